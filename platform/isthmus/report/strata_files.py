"""Reports of the robustness job as files: pictures, one interactive page, tables as markdown."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from isthmus.core.files import write_text
from isthmus.report.across_figures import agreement_figure, curve_figure, selection_figure
from isthmus.report.across_summary import across_tables, selection_table
from isthmus.report.across_views import agreement_view, curve_view
from isthmus.report.drawings import Drawing, drawings_in_words, write_drawings
from isthmus.report.strata_figures import (
    jaccard_figure,
    plane_figure,
    stability_figure,
    sweep_figure,
)
from isthmus.report.strata_page import across_page, robustness_page, selection_page
from isthmus.report.strata_summary import robustness_tables
from isthmus.report.strata_views import (
    cloud_view,
    loadings_view,
    plane_view,
    profile_view,
    stability_view,
    sweep_view,
)
from isthmus.report.table import Table
from isthmus.report.target_figures import cloud_figure, loadings_figure, profiles_figure
from isthmus.stratification.across import AcrossEncoders, SelectionReport
from isthmus.stratification.record import RobustnessReport

_DRAWN: dict[
    str,
    tuple[Callable[[RobustnessReport], object], Callable[[RobustnessReport, bool], Figure]],
] = {
    "stability.png": (stability_view, stability_figure),
    "p_values.png": (cloud_view, cloud_figure),
    "strata_plane.png": (plane_view, plane_figure),
    "stratum_jaccard.png": (stability_view, jaccard_figure),
    "stratum_profiles.png": (profile_view, profiles_figure),
    "factor_loadings.png": (loadings_view, loadings_figure),
    "sweep.png": (sweep_view, sweep_figure),
}


def write_strata_files(
    report: RobustnessReport, directory: Path, leaky: bool = False
) -> tuple[Path, ...]:
    """Write one report: ``robustness.html``, ``robustness.md`` and a PNG a figure.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    directory : Path
        Folder of the files; made when missing.
    leaky : bool
        Whether normalisation saw the held-out subjects; then everything says so.

    Returns
    -------
    tuple of Path
        The files written, each whole. A figure that has nothing to show is not written, and one
        of an earlier report in its place is removed; the page and the tables say why.
    """
    drawings = strata_drawings(report, leaky)
    tables = robustness_tables(report, leaky)
    page = robustness_page(report, leaky)
    return _write(directory, "robustness", page, tables, drawings)


def strata_drawings(report: RobustnessReport, leaky: bool = False) -> list[Drawing]:
    """List the figures of one report.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then each says so.

    Returns
    -------
    list of Drawing
        Those that have nothing to show are among them, and say why.
    """
    return [
        Drawing(name, view_of(report), partial(draw, report, leaky))
        for name, (view_of, draw) in _DRAWN.items()
    ]


def write_across_files(
    across: AcrossEncoders, directory: Path, leaky: bool = False
) -> tuple[Path, ...]:
    """Write what a trial's encoders have in common: page, tables, a curve a target, agreement.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.
    directory : Path
        Folder of the files; made when missing.
    leaky : bool
        Whether normalisation saw the held-out subjects; then everything says so.

    Returns
    -------
    tuple of Path
        ``across_encoders.html``, ``across_encoders.md``, ``agreement.png`` and
        ``specification_curve_<n>.png``, n the number of the target from 1.
    """
    tables, page = across_tables(across, leaky), across_page(across, leaky)
    return _write(directory, "across_encoders", page, tables, across_drawings(across, leaky))


def across_drawings(across: AcrossEncoders, leaky: bool = False) -> list[Drawing]:
    """List the figures of what a trial's encoders have in common.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.
    leaky : bool
        Whether normalisation saw the held-out subjects; then each says so.

    Returns
    -------
    list of Drawing
        Agreement, and a specification curve a target.
    """
    drawings = [
        Drawing("agreement.png", agreement_view(across), partial(agreement_figure, across, leaky))
    ]
    drawings += [
        Drawing(
            f"specification_curve_{target + 1}.png",
            curve_view(across, target),
            partial(curve_figure, across, target, leaky),
        )
        for target in range(len(across.targets))
    ]
    return drawings


def write_selection_files(
    selection: SelectionReport, directory: Path, leaky: bool = False
) -> tuple[Path, ...]:
    """Write what is left of the best of many trials: page, table, picture.

    Parameters
    ----------
    selection : SelectionReport
        What is left of the best of many trials.
    directory : Path
        Folder of the files; made when missing.
    leaky : bool
        Whether normalisation saw the held-out subjects; then everything says so.

    Returns
    -------
    tuple of Path
        ``selection.html``, ``selection.md`` and ``selection.png``.
    """
    tables, page = (selection_table(selection).labelled(leaky),), selection_page(selection, leaky)
    draw = partial(selection_figure, selection, leaky)
    drawings = [Drawing("selection.png", selection, draw)]
    return _write(directory, "selection", page, tables, drawings)


def _write(
    directory: Path,
    stem: str,
    page: str,
    tables: Sequence[Table],
    drawings: Sequence[Drawing],
) -> tuple[Path, ...]:
    """Write a page, its tables and its pictures."""
    text = "\n".join(table.to_markdown() for table in tables)
    not_drawn = drawings_in_words(drawings)
    page_file, text_file = directory / f"{stem}.html", directory / f"{stem}.md"
    write_text(page_file, page)
    write_text(text_file, f"{text}\n{not_drawn}" if not_drawn else text)
    return (page_file, text_file, *write_drawings(drawings, directory))
