"""A study as files: its record, one interactive page, tables as markdown, pictures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from isthmus.core.files import write_text
from isthmus.report.across_figures import selection_figure
from isthmus.report.across_views import selection_view
from isthmus.report.drawings import Drawing, drawings_in_words, write_drawings
from isthmus.report.strata_figures import said_figure
from isthmus.report.strata_views import Absent
from isthmus.report.study_captions import STUDY_CAPTIONS
from isthmus.report.study_figures import (
    front_figure,
    history_figure,
    hypervolume_figure,
    importance_figure,
    parallel_figure,
)
from isthmus.report.study_page import study_in_words, study_page
from isthmus.report.study_parallel import parallel_view
from isthmus.report.study_summary import study_tables
from isthmus.report.study_views import (
    front_view,
    history_view,
    hypervolume_view,
    importance_view,
    leading_selection,
)
from isthmus.report.study_words import is_leaky
from isthmus.study.record_json import write_study
from isthmus.study.records import StudyResult

PAGE_FILE = "study.html"
SUMMARY_FILE = "summary.md"
# More rows than this belong onto the page.
MOST_ROWS = 100

_DRAWN: dict[str, tuple[str, Callable[[StudyResult], object], Callable[[StudyResult], Figure]]] = {
    "front": ("pareto_front.png", front_view, front_figure),
    "history": ("history.png", history_view, history_figure),
    "parallel": ("parallel.png", parallel_view, parallel_figure),
    "importance": ("importance.png", importance_view, importance_figure),
    "hypervolume": ("hypervolume.png", hypervolume_view, hypervolume_figure),
}
_SELECTION = "selection.png"


def write_study_files(result: StudyResult, directory: Path) -> tuple[Path, ...]:
    """Write a study: ``study.json``, ``study.html``, ``summary.md`` and a PNG a figure.

    Parameters
    ----------
    result : StudyResult
        A study as it stands, be it without any trial.
    directory : Path
        Folder of the files; made when missing.

    Returns
    -------
    tuple of Path
        The files written, each whole, the record first. A figure that has nothing to show is not
        written, and one of an earlier state in its place is removed; page and summary say why.
        The summary has the first 100 rows of a table, the page has all.
    """
    written = [write_study(result, directory), directory / PAGE_FILE, directory / SUMMARY_FILE]
    drawings = study_drawings(result)
    tables = "\n".join(table.to_markdown() for table in study_tables(result, MOST_ROWS))
    heading = f"# Search {result.name} of {result.experiment}\n\n{study_in_words(result)}\n"
    write_text(written[1], study_page(result))
    write_text(written[2], "\n".join((heading, tables, drawings_in_words(drawings))))
    return (*written, *write_drawings(drawings, directory))


def study_drawings(result: StudyResult) -> list[Drawing]:
    """List the figures of a study.

    Parameters
    ----------
    result : StudyResult
        A study as it stands.

    Returns
    -------
    list of Drawing
        Those that have nothing to show are among them, and say why.
    """
    drawings = [
        Drawing(name, view_of(result), partial(draw, result), STUDY_CAPTIONS[key])
        for key, (name, view_of, draw) in _DRAWN.items()
    ]
    leading = leading_selection(result)
    view = leading if isinstance(leading, Absent) else selection_view(leading)

    def draw() -> Figure:
        return (
            said_figure(leading.reason)
            if isinstance(leading, Absent)
            else selection_figure(leading, is_leaky(result))
        )

    return [*drawings, Drawing(_SELECTION, view, draw, STUDY_CAPTIONS["selection"])]
