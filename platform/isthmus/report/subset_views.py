"""The subset grid of a trial in tables: reconstruction and strata from fewer modalities."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from isthmus.report.table import Table
from isthmus.trial.records import TrialResult
from isthmus.trial.subset_records import SubsetGrid, SubsetScore, subsets_of


def subset_tables(result: TrialResult) -> tuple[Table, ...]:
    """Show what is reconstructed from each subset of the modalities, and which strata it gives.

    Parameters
    ----------
    result : TrialResult
        A finished trial.

    Returns
    -------
    tuple of Table
        Synthesis, each modality against the mean image, and the grid, a row a subset; none
        where the trial did not look at subsets, and no synthesis where nobody could be scored.
    """
    grids = [fold.subset_grid for fold in result.folds if fold.subset_grid is not None]
    if not grids:
        return ()
    synthesis = _synthesis_table(result, grids[0].modalities)
    return (_grid_table(grids), synthesis) if synthesis.rows else (_grid_table(grids),)


def _grid_table(grids: Sequence[SubsetGrid]) -> Table:
    """Lay out a row a subset: the error of each modality, and the agreement of the strata."""
    modalities = grids[0].modalities
    rows = []
    for subset in subsets_of(modalities):
        scores = [item for grid in grids for item in grid.scores if item.given == subset]
        errors = (_error(scores, name) for name in modalities)
        rows.append(("+".join(subset), *errors, *_agreement(grids, subset)))
    n_held_out = sum(grid.n_held_out for grid in grids)
    note = (
        f"Mean over folds; {n_held_out} held-out subjects with every modality, given the row's "
        "alone. * not given: synthesised. ARI, AMI: the partition of the fold's subjects embedded "
        "from these, with that from all modalities, 0 where there is none."
    )
    reasons = dict.fromkeys(
        item.reason for grid in grids for item in grid.agreements if item.reason is not None
    )
    if reasons:
        note += f" Without a partition: {' '.join(reasons)}"
    caution = grids[0].caution
    if caution is not None:
        note += f" {caution}"
    columns = ("given", *(f"{name} MSE" for name in modalities), "ARI", "AMI", "partitions")
    return Table("Fewer modalities given", columns, tuple(rows), note)


def _synthesis_table(result: TrialResult, modalities: Sequence[str]) -> Table:
    """Set the synthesis of each modality beside the mean training image."""
    rows, worse = [], []
    for name in modalities:
        error = result.summary.get(f"synthesis_mse/{name}")
        delta = result.summary.get(f"synthesis_delta_mse/{name}")
        if error is None or delta is None:
            continue
        baseline = error.mean + delta.mean
        ratio = f"{baseline / error.mean:.2f}" if error.mean else "-"
        rows.append((name, f"{error.mean:.4g}", f"{baseline:.4g}", ratio))
        if delta.mean <= 0:
            worse.append(name)
    note = "Mean over the subsets that lack the modality."
    if worse:
        note += f" Synthesis of {', '.join(worse)} does NOT beat the mean image."
    columns = ("synthesised", "MSE", "mean training image's", "x synthesis")
    return Table("Synthesis of what was not given", columns, tuple(rows), note)


def _error(scores: Sequence[SubsetScore], modality: str) -> str:
    """Write the mean error of one modality, marked where it is of a synthesis."""
    own = [item for item in scores if item.modality == modality]
    if not own:
        return "-"
    return f"{np.mean([item.mse for item in own]):.4g}{' *' if own[0].synthesised else ''}"


def _agreement(grids: Sequence[SubsetGrid], subset: tuple[str, ...]) -> tuple[str, str, str]:
    """Write the mean agreement, and in how many folds there was a partition."""
    grids = [grid for grid in grids if grid.agreements]
    metrics: tuple[Literal["ari", "ami"], ...] = ("ari", "ami")
    cells = []
    for metric in metrics:
        values = [grid.agreement(subset, metric) for grid in grids]
        defined = [value for value in values if value is not None]
        cells.append(f"{np.mean(defined):.2f}" if defined else "-")
    found = [item for grid in grids for item in grid.agreements if item.given == subset]
    n_partitions = sum(item.outcome == "partition" for item in found)
    return cells[0], cells[1], f"{n_partitions} of {len(found)}"
