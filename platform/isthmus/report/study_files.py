"""A study as files: its record, one interactive page, tables as markdown, pictures."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from isthmus.core.files import write_text
from isthmus.report.across_figures import selection_figure
from isthmus.report.across_views import selection_view
from isthmus.report.pictures import save_png
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
    figures, said = _figures(result)
    tables = "\n".join(table.to_markdown() for table in study_tables(result, MOST_ROWS))
    heading = f"# Search {result.name} of {result.experiment}\n\n{study_in_words(result)}\n"
    write_text(written[1], study_page(result))
    write_text(written[2], "\n".join((heading, tables, *said)))
    for name in (*(name for name, _, _ in _DRAWN.values()), _SELECTION):
        if name in figures:
            save_png(figures[name](), directory / name)
            written.append(directory / name)
        else:
            (directory / name).unlink(missing_ok=True)
    return tuple(written)


def _figures(result: StudyResult) -> tuple[dict[str, Callable[[], Figure]], list[str]]:
    """List the figures that have something to show, and the words of all of them."""
    figures: dict[str, Callable[[], Figure]] = {}
    said = []
    drawings: list[tuple[str, str, object, Callable[[], Figure]]] = [
        (key, name, view_of(result), partial(draw, result))
        for key, (name, view_of, draw) in _DRAWN.items()
    ]
    leading = leading_selection(result)
    if isinstance(leading, Absent):
        said.append(_not_drawn("selection", leading))
    else:
        drawn = partial(selection_figure, leading, is_leaky(result))
        drawings.append(("selection", _SELECTION, selection_view(leading), drawn))
    for key, name, view, draw in drawings:
        words = STUDY_CAPTIONS[key]
        if isinstance(view, Absent):
            said.append(_not_drawn(key, view))
            continue
        figures[name] = draw
        said.append(
            f"**{words.title}**\n\n![{words.title}]({name})\n\n{words.reads}\n\n"
            f"Does not show: {words.not_shown}\n"
        )
    return figures, said


def _not_drawn(key: str, view: Absent) -> str:
    """Say in a figure's place why there is none."""
    return f"**{STUDY_CAPTIONS[key].title}**: not drawn. {view.reason}\n"
