"""The pages of the robustness job: of one report, of several encoders, of the best of many."""

from isthmus.report.across_charts import agreement_chart, curves_chart, selection_chart
from isthmus.report.across_summary import across_tables, selection_table
from isthmus.report.chart_looks import Chart
from isthmus.report.page import Section, page_of
from isthmus.report.strata_captions import CAPTIONS
from isthmus.report.strata_charts import (
    jaccard_chart,
    plane_chart,
    stability_chart,
    sweep_chart,
)
from isthmus.report.strata_summary import robustness_tables
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import (
    stability_in_words,
    strata_in_words,
    verdicts_in_words,
)
from isthmus.report.target_charts import cloud_chart, loadings_chart, profiles_chart
from isthmus.stratification.across import AcrossEncoders, SelectionReport
from isthmus.stratification.record import RobustnessReport


def robustness_page(report: RobustnessReport, leaky: bool = False) -> str:
    """Write the page of one report.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the page says so.

    Returns
    -------
    str
        HTML of about 5 MB, nearly all of it plotly.js.
    """
    sections = (
        _section("stability", stability_chart(report)),
        _section("p_values", cloud_chart(report)),
        _section("plane", plane_chart(report)),
        _section("jaccard", jaccard_chart(report)),
        _section("profiles", profiles_chart(report)),
        _section("loadings", loadings_chart(report)),
        _section("sweep", sweep_chart(report)),
    )
    score = "" if report.score is None else f" Robustness score: {report.score.value:.2g}."
    said = (
        f"Encoder {report.encoder_id}, {report.n_subjects} subjects: {strata_in_words(report)}. "
        f"Stability: {stability_in_words(report)}. Robust / significant / testable: "
        f"{verdicts_in_words(report)}.{score}"
    )
    tables = robustness_tables(report)
    return page_of("Robustness of the strata", said, tables, sections, leaky)


def across_page(across: AcrossEncoders, leaky: bool = False) -> str:
    """Write the page of what a trial's encoders have in common.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the page says so.

    Returns
    -------
    str
        HTML.
    """
    sections = (
        _section("curves", curves_chart(across)),
        _section("agreement", agreement_chart(across)),
    )
    n_encoders = len({one.encoder_id for one in across.specifications})
    said = f"{n_encoders} encoders, {len(across.specifications)} specifications"
    return page_of("Strata across encoders", said, across_tables(across), sections, leaky)


def selection_page(selection: SelectionReport, leaky: bool = False) -> str:
    """Write the page of what is left of the best of many trials.

    Parameters
    ----------
    selection : SelectionReport
        What is left of the best of many trials.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the page says so.

    Returns
    -------
    str
        HTML.
    """
    sections = (_section("selection", selection_chart(selection)),)
    said = f"{len(selection.trials)} trials, {selection.n_permutations} permutations"
    tables = (selection_table(selection),)
    return page_of("The best of many trials", said, tables, sections, leaky)


def _section(key: str, chart: Chart | Absent) -> Section:
    """Put a figure beside its caption."""
    return Section(key, CAPTIONS[key], chart)
