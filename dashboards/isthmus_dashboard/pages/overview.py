"""How a study stands: trials by state, the best so far, what runs, what failed and why."""

from collections import Counter
from collections.abc import Mapping

from dash import html

from isthmus.report.ablation.files import title_of
from isthmus.report.ablation.lead import what_failed
from isthmus.report.ablation.outcome import counts_in_words as ablation_counts
from isthmus.report.strata_words import number
from isthmus.report.study_captions import STUDY_CAPTIONS
from isthmus.report.study_charts import history_chart, hypervolume_chart, importance_chart
from isthmus.report.study_page import study_in_words
from isthmus.report.study_parallel_chart import parallel_chart
from isthmus.report.study_summary import study_tables
from isthmus.report.study_words import STATES, is_leaky
from isthmus.report.summary import summary_tables
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.records import StudyResult
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Context
from isthmus_dashboard.pieces import Piece, details, figure, notice, table
from isthmus_dashboard.source import FoldProgress, Missing, Standing, TrialEntry

MOST_ROWS = 100


def overview_page(context: Context, standing: Standing, address: Address) -> list[Piece]:
    """Say how a study stands.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        The study.
    address : Address
        Where in the view one is.

    Returns
    -------
    list of dash component
        Of a search: counts, what runs, failures, course and tables. Of an ablation: counts and
        failures. Of a trial: its tables.
    """
    parts: list[Piece] = []
    if standing.note:
        parts.append(notice("What is not known yet", standing.note))
    if standing.study is not None:
        parts += _search(standing, standing.study, address)
    elif standing.ablation is not None:
        parts += _ablation(standing, standing.ablation, address)
    else:
        parts += _trials(context, standing, address)
    return parts


def running(standing: Standing) -> Piece:
    """Show how far the trials are that are not over.

    Parameters
    ----------
    standing : Standing
        The study.

    Returns
    -------
    dash component
        A row a fold, with a bar that also says what it shows.
    """
    rows = [
        html.Tr([html.Th(one.label, scope="row"), html.Td(_fold(fold)), html.Td(_loss(fold))])
        for one in standing.trials
        for fold in one.folds
    ]
    title = "Trials that are not over"
    if not rows:
        return html.P("No fold is being trained, as far as is known.", className="note")
    head = html.Tr([html.Th(name, scope="col") for name in ("trial", "fold", "training loss")])
    inner = html.Table([html.Caption(title), html.Thead(head), html.Tbody(rows)])
    return html.Div(inner, className="table", tabIndex=0, role="region", **{"aria-label": title})


def _search(standing: Standing, study: StudyResult, address: Address) -> list[Piece]:
    """Show a search."""
    counts = Counter(one.state for one in study.trials)
    tiles = [
        html.Li([html.Strong(str(counts[state])), f" {words}"], className=f"state {state}")
        for state, words in STATES.items()
        if counts[state]
    ]
    links = _links(standing, address)
    captions = STUDY_CAPTIONS
    return [
        html.P(study_in_words(study), className="lead"),
        html.Ul(tiles, className="tiles", **{"aria-label": "Trials by state"}) if tiles else "",
        notice("Leaky normalisation", "Normalisation saw the held-out subjects.", kind="warns")
        if is_leaky(study)
        else "",
        notice("No trial yet", "The study is open, and its first trial has not begun.")
        if not study.trials
        else "",
        running(standing),
        *_failures(standing),
        figure("history", captions["history"], history_chart(study)),
        *(table(one, links) for one in study_tables(study, MOST_ROWS)),
        figure("importance", captions["importance"], importance_chart(study)),
        figure("parallel", captions["parallel"], parallel_chart(study)),
        figure("hypervolume", captions["hypervolume"], hypervolume_chart(study)),
    ]


def _links(standing: Standing, address: Address) -> Mapping[str, str]:
    """Lead from a trial's number in a table to its robustness."""
    return {
        str(one.number): address.to("robustness", trial=one.key)
        for one in standing.trials
        if one.number is not None and one.whole
    }


def _failures(standing: Standing) -> list[Piece]:
    """Say what failed, and why."""
    failed = [one for one in standing.trials if one.state == "failed"]
    known = {one.number for one in failed}
    study = standing.study
    never = [one for one in study.trials if one.state == "failed"] if study else []
    rows = [(one.label, one.reason or "No reason was left.") for one in failed]
    rows += [(f"trial {one.number}", one.reason) for one in never if one.number not in known]
    if not rows:
        return []
    listed = [html.Li([html.Strong(label), f": {reason}"]) for label, reason in rows]
    return [html.Div([html.H2("Failures"), html.Ul(listed)], className="notice warns")]


def _ablation(standing: Standing, result: AblationResult, address: Address) -> list[Piece]:
    """Show an ablation in short; its verdicts have a page of their own."""
    failed = what_failed(result)
    listed = html.Ul([html.Li(line) for line in failed])
    return [
        html.H2(title_of(result)),
        html.P(result.plan.question, className="lead"),
        html.P(ablation_counts(result)),
        html.P(html.A("What it found", href=address.to("ablation"))),
        html.Div([html.H2("Failures"), listed], className="notice warns") if failed else "",
        _listed(standing, address),
    ]


def _trials(context: Context, standing: Standing, address: Address) -> list[Piece]:
    """Show a trial that stands alone, or the trials of what has concluded nothing."""
    if standing.entry.kind != "trial":
        return [running(standing), *_failures(standing), _listed(standing, address)]
    only = standing.trials[0]
    if not only.whole:
        said = "It is not over, so it has no result. This page looks again every few seconds."
        return [notice("Not over", said), running(standing), *_failures(standing)]
    try:
        result = context.seen.source.trial(standing.entry.key, only.key)
    except Missing as error:
        return [notice("Its result is not there", str(error), kind="warns")]
    first, *others = [table(one) for one in summary_tables(result)]
    link = html.A("Robustness of its strata", href=address.to("robustness", trial=only.key))
    return [html.P(link), first, *others]


def _listed(standing: Standing, address: Address) -> Piece:
    """List trials with their states."""
    rows = [html.Li([_named(one, address), f": {one.state}"]) for one in standing.trials]
    return details(f"Trials ({len(rows)})", html.Ul(rows))


def _named(trial: TrialEntry, address: Address) -> Piece:
    """Name a trial, with a link where it has a result."""
    if not trial.whole:
        return trial.label
    return html.A(trial.label, href=address.to("robustness", trial=trial.key))


def _fold(fold: FoldProgress) -> Piece:
    """Say how far a fold is, with a bar."""
    if fold.epoch is None:
        return f"{fold.number}: {fold.state}, before its first epoch"
    of = f" of {fold.n_epochs}" if fold.n_epochs else ""
    words = f"{fold.number}: {fold.state}, epoch {fold.epoch}{of}"
    if not fold.n_epochs:
        return words
    bar = html.Progress(value=str(fold.epoch), max=str(fold.n_epochs), **{"aria-label": words})
    return [words, " ", bar]


def _loss(fold: FoldProgress) -> str:
    """Write the loss of the last epoch."""
    return number(fold.loss, 4)
