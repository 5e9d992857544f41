"""How far the strata of a trial can be trusted."""

from dash import html

from isthmus.report.across_charts import agreement_chart, curves_chart, selection_chart
from isthmus.report.across_summary import across_tables
from isthmus.report.chart_looks import Chart
from isthmus.report.strata_captions import CAPTIONS
from isthmus.report.strata_charts import jaccard_chart, stability_chart, sweep_chart
from isthmus.report.strata_summary import robustness_tables
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import (
    LEAKY,
    stability_in_words,
    strata_in_words,
    verdicts_in_words,
)
from isthmus.report.study_captions import STUDY_CAPTIONS
from isthmus.report.study_views import leading_selection
from isthmus.report.target_charts import cloud_chart, loadings_chart, profiles_chart
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Context, choose_trial, fold_choice, trial_choice
from isthmus_dashboard.pieces import Piece, choices, details, figure, notice, table
from isthmus_dashboard.source import Standing

_ONE_TRIAL = Absent(
    "This is no search: p-values are adjusted for having picked the best of many trials, and "
    "nothing was picked."
)
_NO_ACROSS = Absent(
    "The encoders of this trial were not compared: a fold failed, or there is only one."
)


def robustness_page(context: Context, standing: Standing, address: Address) -> list[Piece]:
    """Show the robustness report of one fold, and what the trial's encoders have in common.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        The study.
    address : Address
        Its choices ``trial`` and ``fold``.

    Returns
    -------
    list of dash component
        Stability against its null, p-values over draws, Jaccard, specification curve, what is
        left of the best of many trials, and the tables behind them.
    """
    chosen = choose_trial(context, standing, address)
    report, across = chosen.fold.strata, chosen.result.across
    score = "" if report.score is None else f" Robustness score: {report.score.value:.2g}."
    said = (
        f"{report.n_subjects} subjects: {strata_in_words(report)}. Stability: "
        f"{stability_in_words(report)}. Robust / significant / testable: "
        f"{verdicts_in_words(report)}.{score}"
    )
    tables = robustness_tables(report, chosen.fold.leaky)
    if across is not None:
        tables += across_tables(across, chosen.fold.leaky)
    return [
        choices(trial_choice(standing, chosen.entry.key), fold_choice(chosen)),
        notice("Leaky normalisation", LEAKY, kind="warns") if chosen.fold.leaky else "",
        html.P(said, className="lead"),
        _figure("stability", stability_chart(report)),
        _figure("p_values", cloud_chart(report)),
        _figure("jaccard", jaccard_chart(report)),
        _figure("curves", _NO_ACROSS if across is None else curves_chart(across)),
        figure("selection", STUDY_CAPTIONS["selection"], _selection(standing)),
        _figure("agreement", _NO_ACROSS if across is None else agreement_chart(across)),
        _figure("profiles", profiles_chart(report)),
        _figure("loadings", loadings_chart(report)),
        _figure("sweep", sweep_chart(report)),
        details("Tables", *(table(one) for one in tables)),
    ]


def _figure(key: str, chart: Chart | Absent) -> Piece:
    """Put a chart beside the words that all reports have for it."""
    return figure(key, CAPTIONS[key], chart)


def _selection(standing: Standing) -> Chart | Absent:
    """Draw what is left of the best of many trials."""
    if standing.study is None:
        return _ONE_TRIAL
    leading = leading_selection(standing.study)
    return leading if isinstance(leading, Absent) else selection_chart(leading)
