"""The subjects in the plane of their embeddings: by stratum, by factor, by phenotype."""

from dash import html

from isthmus.core.errors import IsthmusError
from isthmus.report.chart_looks import Chart
from isthmus.report.strata_captions import CAPTIONS, Caption
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import number
from isthmus.stratification.embedding_table import load_parquet
from isthmus.stratification.partition import NonConvergence
from isthmus.stratification.record import RobustnessReport
from isthmus.trial.embedded import EMBEDDINGS_FILE
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Chosen, Context, choose_trial, fold_choice, trial_choice
from isthmus_dashboard.people import People, Variable, experiment_of, factors_of, people_of
from isthmus_dashboard.pieces import Piece, choice, choices, figure, notice, pairs
from isthmus_dashboard.source import Missing, Standing
from isthmus_dashboard.subject_charts import strata_points, value_points

GRAPH = "embedding-points"
BY_STRATUM = "stratum"
_VALUES = Caption(
    "Subjects in the plane",
    "Each subject where the two leading principal components put it, from dark (low) to light "
    "(high); hollow where the number is not known.",
    "A test: that a colour gathers somewhere may be chance, and whatever relates to it. What was "
    "tested stands on the page of robustness.",
)
_ROLES = {
    "train": "trained on",
    "monitor": "chose the best epoch",
    "validation": "held out",
    "unknown": "not known",
}


def embeddings_page(context: Context, standing: Standing, address: Address) -> list[Piece]:
    """Show the subjects of one fold.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        The study.
    address : Address
        Its choices ``trial``, ``fold``, ``colour`` and ``subject``.

    Returns
    -------
    list of dash component
        The chart, and what is known of the chosen subject.
    """
    chosen = choose_trial(context, standing, address)
    report = chosen.fold.strata
    people, variables = _variables(context, standing, chosen)
    colour = address.get("colour", BY_STRATUM)
    colour = colour if colour in variables else BY_STRATUM
    colours = [(BY_STRATUM, "stratum"), *((key, one.name) for key, one in variables.items())]
    subjects = [("", "nobody"), *((name, name) for name in report.participant_ids)]
    subject = address.get("subject")
    chart, _ = points_of(report, variables, colour, subject)
    words = CAPTIONS["plane"] if colour == BY_STRATUM else _VALUES
    return [
        choices(
            trial_choice(standing, chosen.entry.key),
            fold_choice(chosen),
            choice("colour", "Colour by", colours, colour),
            choice("subject", "Subject", subjects, subject),
        ),
        html.P(people.why_not, className="note") if people.why_not else "",
        figure("plane", words, chart, GRAPH),
        html.P("Choose a point, or a subject in the list.", className="note"),
        _subject(context, standing, chosen, variables, address) if subject else "",
    ]


def clicked_subject(
    context: Context, standing: Standing, address: Address, trace: int, point: int
) -> str | None:
    """Tell who is behind a point of the chart.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        The study.
    address : Address
        Of the page with the chart.
    trace, point : int
        Which point of which trace.

    Returns
    -------
    str or None
        The subject; None if there is no such point.
    """
    chosen = choose_trial(context, standing, address)
    _, variables = _variables(context, standing, chosen)
    _, ids = points_of(chosen.fold.strata, variables, address.get("colour"), "")
    if not 0 <= trace < len(ids) or not 0 <= point < len(ids[trace]):
        return None
    return ids[trace][point]


def points_of(
    report: RobustnessReport, variables: dict[str, Variable], colour: str, subject: str
) -> tuple[Chart | Absent, list[list[str]]]:
    """Draw the subjects by what was chosen.

    Parameters
    ----------
    report : RobustnessReport
        What the robustness job found.
    variables : dict of str to Variable
        What can be chosen beside the stratum.
    colour : str
        What was chosen.
    subject : str
        Whom to ring.

    Returns
    -------
    chart : plotly.graph_objects.Figure or Absent
        The figure.
    ids : list of list of str
        Who is behind each point, trace by trace.
    """
    if colour in variables:
        one = variables[colour]
        return value_points(report, one.name, one.values, subject)
    return strata_points(report, subject)


def _variables(
    context: Context, standing: Standing, chosen: Chosen
) -> tuple[People, dict[str, Variable]]:
    """List what subjects can be coloured by, with names that cannot be confused."""
    report = chosen.fold.strata
    try:
        experiment = experiment_of(context.seen.source, standing.entry.key, chosen.entry.key)
        people = people_of(experiment, report.participant_ids)
    except Missing as error:
        people = People((), f"Phenotypes are not shown: the trial's settings are away. {error}")
    factors = {f"factor:{one.name}": one for one in factors_of(report)}
    columns = {f"column:{one.name}": one for one in people.variables}
    return people, {**factors, **columns}


def _subject(
    context: Context,
    standing: Standing,
    chosen: Chosen,
    variables: dict[str, Variable],
    address: Address,
) -> Piece:
    """Tell about the chosen subject."""
    report, subject = chosen.fold.strata, address.get("subject")
    if subject not in report.participant_ids:
        return notice(
            "Not among these subjects",
            f"{subject} was not clustered in this fold: it is in the lockbox, was refused when the "
            "cohort was ingested, or is of another cohort. Choose one from the list.",
        )
    at = report.participant_ids.index(subject)
    stratum = "none"
    if not isinstance(report.strata, NonConvergence):
        stratum = str(report.strata.labels[at])
    rows: list[tuple[str, Piece]] = [
        ("stratum", stratum),
        ("part in training", _role(context, standing, chosen, subject)),
    ]
    rows += [(one.name, number(one.values[at], 4)) for one in variables.values()]
    link = html.A("Its images", href=address.to("images"))
    return html.Section(
        [html.H2(subject), html.P(link), pairs(rows)], id="subject", className="card"
    )


def _role(context: Context, standing: Standing, chosen: Chosen, subject: str) -> str:
    """Say what the subject was to the encoder."""
    try:
        folder = context.seen.source.files(
            standing.entry.key, chosen.entry.key, chosen.fold.number, (EMBEDDINGS_FILE,)
        )
        table = load_parquet(folder / EMBEDDINGS_FILE)
    except IsthmusError as error:
        return f"not known: {error}"
    roles = dict(zip(table.participant_ids, table.roles, strict=True))
    return _ROLES[roles.get(subject, "unknown")]
