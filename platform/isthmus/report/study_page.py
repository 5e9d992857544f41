"""The page of a study: front, history, hypervolume, importance, all dimensions, tables."""

from isthmus.report.across_charts import selection_chart
from isthmus.report.chart_looks import Chart
from isthmus.report.page import Section, page_of
from isthmus.report.strata_views import Absent
from isthmus.report.study_captions import STUDY_CAPTIONS
from isthmus.report.study_charts import (
    front_chart,
    history_chart,
    hypervolume_chart,
    importance_chart,
)
from isthmus.report.study_parallel_chart import parallel_chart
from isthmus.report.study_summary import study_tables
from isthmus.report.study_views import leading_selection
from isthmus.report.study_words import counts_in_words, estimate_in_words, is_leaky
from isthmus.study.records import StudyResult


def study_page(result: StudyResult) -> str:
    """Write the page of a study.

    Parameters
    ----------
    result : StudyResult
        A study as it stands, be it without any trial.

    Returns
    -------
    str
        HTML of about 5 MB that needs no network.
    """
    sections = (
        _section("front", front_chart(result)),
        _section("history", history_chart(result)),
        _section("parallel", parallel_chart(result)),
        _section("importance", importance_chart(result)),
        _section("hypervolume", hypervolume_chart(result)),
        _section("selection", _selection(result)),
    )
    title = f"Search {result.name} of {result.experiment}"
    said = study_in_words(result)
    return page_of(title, said, study_tables(result), sections, is_leaky(result))


def study_in_words(result: StudyResult) -> str:
    """Say in two lines how a study stands.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    str
        Counts of trials; the best one and the smallest as good.
    """
    said = f"{counts_in_words(result)}; the budget is {result.n_trials} trials."
    if result.best is None:
        return said
    best = next(one for one in result.trials if one.number == result.best)
    metric = result.objectives[0].metric
    said += f" Best by {metric}: trial {best.number} ({estimate_in_words(best, 0)})"
    if result.smallest != result.best:
        said += f"; within its standard error and smallest: trial {result.smallest}"
    return f"{said}."


def _selection(result: StudyResult) -> Chart | Absent:
    """Draw what is left of the best of many trials, where that was computed."""
    leading = leading_selection(result)
    return leading if isinstance(leading, Absent) else selection_chart(leading)


def _section(key: str, chart: Chart | Absent) -> Section:
    """Put a figure beside its caption."""
    return Section(key, STUDY_CAPTIONS[key], chart)
