"""The Pareto front by two axes of one's choice; a trial behind each point."""

from dataclasses import replace

from dash import html

from isthmus.report.strata_views import Absent
from isthmus.report.study_captions import STUDY_CAPTIONS
from isthmus.report.study_charts import front_chart
from isthmus.report.study_summary import front_table
from isthmus.report.study_views import front_view
from isthmus.report.study_words import STATES, estimate_in_words, objective_in_words, value_in_words
from isthmus.study.ranking import best_trial, pareto_front
from isthmus.study.records import Objective, StudyResult, TrialRecord
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Context
from isthmus_dashboard.pieces import Piece, choice, choices, figure, notice, pairs, table
from isthmus_dashboard.source import Standing

GRAPH = "front-points"
# Of two models that do the same, the smaller one is the better.
_SIZES = ("embedding_size", "n_parameters")


def front_page(context: Context, standing: Standing, address: Address) -> list[Piece]:
    """Show the finished trials by two axes.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        A search.
    address : Address
        Its choices ``x``, ``y`` and ``trial``.

    Returns
    -------
    list of dash component
        Choices, the report's chart by these axes, the chosen trial.
    """
    study = standing.study
    if study is None:
        return [
            notice(
                "No Pareto front here",
                standing.note
                or f"{standing.entry.name} is no search, and so weighs no objectives "
                "against each other. Choose a search in the list of studies.",
            )
        ]
    axes = axes_of(study)
    names = [one.metric for one in axes]
    x, y = _axis(address.get("x"), names, 0), _axis(address.get("y"), names, 1)
    seen = by_axes(study, axes, x, y)
    options = [(one.metric, objective_in_words(one)) for one in axes]
    listed = [(one.key, f"{one.label} ({one.state})") for one in standing.trials]
    return [
        choices(
            choice("x", "Across", options, names[x]),
            choice("y", "Upwards", options, names[y]),
            choice("trial", "Trial", [("", "none"), *listed], address.get("trial")),
        ),
        figure("front", STUDY_CAPTIONS["front"], front_chart(seen), GRAPH),
        html.P("Choose a point, or a trial in the list, to read about it.", className="note"),
        _trial(standing, study, address),
        table(front_table(study)),
    ]


def axes_of(study: StudyResult) -> tuple[Objective, ...]:
    """List what trials can be laid out by: objectives, then sizes that all of them tell.

    Parameters
    ----------
    study : StudyResult
        A search.

    Returns
    -------
    tuple of Objective
        At least two, where any trial finished.
    """
    finished = [one for one in study.trials if one.state == "finished"]
    sizes = [
        Objective(name, "minimize")
        for name in _SIZES
        if finished and all(isinstance(one.facts.get(name), int | float) for one in finished)
    ]
    return (*study.objectives, *sizes)


def by_axes(study: StudyResult, axes: tuple[Objective, ...], x: int, y: int) -> StudyResult:
    """Look at a study as if two axes were all that is sought.

    Parameters
    ----------
    study : StudyResult
        A search.
    axes : tuple of Objective
        As `axes_of` lists them.
    x, y : int
        Which two.

    Returns
    -------
    StudyResult
        Its front is that of the two.
    """
    if x == y or len(axes) < 2:
        return replace(study, objectives=tuple(axes[i] for i in {x}))
    chosen = (axes[x], axes[y])
    trials = tuple(_by(one, axes, (x, y)) for one in study.trials)
    return replace(
        study,
        objectives=chosen,
        trials=trials,
        best=best_trial(trials, chosen[0]),
        front=pareto_front(trials, chosen),
    )


def clicked_trial(study: StudyResult, address: Address, trace: int, point: int) -> int | None:
    """Tell which trial is behind a point of the chart.

    Parameters
    ----------
    study : StudyResult
        A search.
    address : Address
        Its axes.
    trace, point : int
        Which point of which trace.

    Returns
    -------
    int or None
        The trial's number; None if there is no such point.
    """
    axes = axes_of(study)
    names = [one.metric for one in axes]
    x, y = _axis(address.get("x"), names, 0), _axis(address.get("y"), names, 1)
    view = front_view(by_axes(study, axes, x, y))
    if isinstance(view, Absent) or trace not in (0, 1):
        return None
    trials = (view.beaten, view.front)[trace]  # as `front_chart` draws them
    return trials[point].number if 0 <= point < len(trials) else None


def _by(trial: TrialRecord, axes: tuple[Objective, ...], chosen: tuple[int, int]) -> TrialRecord:
    """Give a trial the values of the chosen axes in place of its objectives'."""
    if trial.values is None:
        return trial
    values, errors = list(trial.values), list(trial.standard_errors or ())
    errors += [None] * (len(axes) - len(errors))
    values += [float(trial.facts.get(one.metric, "nan")) for one in axes[len(values) :]]
    return replace(
        trial,
        values=tuple(values[i] for i in chosen),
        standard_errors=tuple(errors[i] for i in chosen),
    )


def _axis(name: str, names: list[str], default: int) -> int:
    """Find a chosen axis."""
    return names.index(name) if name in names else min(default, len(names) - 1)


def _trial(standing: Standing, study: StudyResult, address: Address) -> Piece:
    """Tell about the chosen trial."""
    key = address.get("trial")
    if not key:
        return ""
    entry = standing.trial(key)
    record = next((one for one in study.trials if one.number == entry.number), None)
    if record is None:
        return notice("Not in the record", f"{entry.label} is not in the study's record yet.")
    rows: list[tuple[str, Piece]] = [("state", STATES[record.state])]
    rows += [("why", record.reason)] if record.reason else []
    if record.values is not None:
        rows += [
            (objective_in_words(one), estimate_in_words(record, i))
            for i, one in enumerate(study.objectives)
        ]
    rows += [(path, value_in_words(value)) for path, value in record.point.items()]
    rows += [(name, str(value)) for name, value in record.facts.items()]
    pages = {"robustness": "robustness", "embeddings": "embeddings", "images": "images"}
    links = [html.Li(html.A(words, href=address.to(page))) for page, words in pages.items()]
    more = html.Ul(links, className="row") if entry.whole else html.P("It has no result yet.")
    return html.Section(
        [html.H2(f"Trial {record.number}"), more, pairs(rows)], id="trial", className="card"
    )
