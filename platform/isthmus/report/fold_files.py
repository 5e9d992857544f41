"""What is drawn of a fold and of a trial: pictures, pages and tables, in their folders."""

from pathlib import Path

from isthmus.core.digest import digest_of
from isthmus.core.files import write_text
from isthmus.report.drawn import Groups, drawn_once
from isthmus.report.figures import controls_figure, learning_curves
from isthmus.report.pictures import reconstruction_figure, save_png
from isthmus.report.strata_files import write_across_files, write_strata_files
from isthmus.report.subset_figures import subset_figure
from isthmus.report.summary import summary_tables
from isthmus.training.history import read_history
from isthmus.trial.events import FoldFinished, TrialEvent, TrialFinished
from isthmus.trial.panels import COMPARED, load_panels
from isthmus.trial.records import FoldResult, TrialResult
from isthmus.trial.subset_grid import SYNTHESIS_PANELS
from isthmus.trial.subset_records import SubsetGrid

# Folder in the fold's; "strata" itself is where the robustness job keeps its pieces.
STRATA_FOLDER = "strata_report"
# Groups, which are folders of a run's artifacts too; "" is the top.
RECONSTRUCTIONS, STRATA, ACROSS, TOP = "reconstructions", "strata", "across_encoders", ""
SUBSETS = "subsets"
SUMMARY_FILE = "summary.md"


def draw_fold(result: FoldResult, directory: Path) -> Groups:
    """Write a fold's reconstructions and the pictures, page and tables of its strata.

    Parameters
    ----------
    result : FoldResult
        The finished fold.
    directory : Path
        Its folder.

    Returns
    -------
    Mapping of str to tuple of Path
        By folder of the run's artifacts: ``reconstructions`` and ``strata``, and ``subsets`` where
        the fold looked at every subset of the modalities. What this version drew of the same
        results is not drawn again.
    """

    def draw() -> Groups:
        pictures = []
        # the one for comparison with other models is drawn beside theirs, not alone
        panels = [one for one in load_panels(directory / "panels.npz") if one.why != COMPARED]
        for i, panel in enumerate(panels):
            picture = directory / RECONSTRUCTIONS / f"{i}_{panel.participant_id}.png"
            save_png(reconstruction_figure(panel, result.leaky), picture)
            pictures.append(picture)
        strata = write_strata_files(result.strata, directory / STRATA_FOLDER, result.leaky)
        groups = {RECONSTRUCTIONS: tuple(pictures), STRATA: strata}
        if result.subset_grid is not None:
            groups[SUBSETS] = _draw_subsets(result, result.subset_grid, directory)
        return groups

    return drawn_once(directory, digest_of(result.to_json()), draw)


def _draw_subsets(result: FoldResult, grid: SubsetGrid, directory: Path) -> tuple[Path, ...]:
    """Draw the subset grid, and what was synthesised beside its original."""
    pictures = {"subset_grid.png": subset_figure(grid, result.leaky)}
    if (directory / SYNTHESIS_PANELS).exists():
        for panel in load_panels(directory / SYNTHESIS_PANELS):
            pictures[f"synthesis_{panel.participant_id}.png"] = reconstruction_figure(
                panel, result.leaky
            )
    for name, figure in pictures.items():
        save_png(figure, directory / SUBSETS / name)
    return tuple(directory / SUBSETS / name for name in pictures)


def draw_trial(result: TrialResult, directory: Path) -> Groups:
    """Write a trial's learning curves, its controls, its tables and what its encoders share.

    Parameters
    ----------
    result : TrialResult
        The finished trial.
    directory : Path
        Its folder.

    Returns
    -------
    Mapping of str to tuple of Path
        By folder of the run's artifacts: the top (``""``) and ``across_encoders``. What this
        version drew of the same results is not drawn again.
    """

    def draw() -> Groups:
        histories = {
            fold.number: read_history(directory / f"fold-{fold.number}") for fold in result.folds
        }
        figures = {"learning_curves.png": learning_curves(histories, result.leaky)}
        if result.succeeded:
            figures["controls.png"] = controls_figure(result)
        for file, figure in figures.items():
            save_png(figure, directory / file)
        write_text(directory / SUMMARY_FILE, summary_text(result))
        groups = {TOP: tuple(directory / file for file in (*figures, SUMMARY_FILE))}
        if result.across is not None:
            groups[ACROSS] = write_across_files(result.across, directory / ACROSS, result.leaky)
        return groups

    return drawn_once(directory, digest_of(result.to_json()), draw)


def draw_pictures(event: TrialEvent) -> None:
    """Draw what a fold or a trial that has finished calls for.

    Parameters
    ----------
    event : TrialEvent
        A listener told of it before the one that publishes finds everything drawn there.
    """
    match event:
        case FoldFinished():
            draw_fold(event.result, event.directory)
        case TrialFinished():
            draw_trial(event.result, event.directory)
        case _:
            pass


def summary_text(result: TrialResult) -> str:
    """Write the tables of a trial as markdown.

    Parameters
    ----------
    result : TrialResult
        The finished trial.

    Returns
    -------
    str
        One table below another.
    """
    return "\n".join(table.to_markdown() for table in summary_tables(result))
