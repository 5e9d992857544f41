"""A picture of the subset grid: subsets of the modalities down, what is reconstructed across."""

from math import isnan, nan

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from isthmus.trial.subset_records import SubsetGrid, subsets_of

ROW_INCHES, COLUMN_INCHES = 0.42, 1.15


def subset_figure(grid: SubsetGrid, leaky: bool = False) -> Figure:
    """Draw how far each reconstruction is from the mean image, and how far strata agree.

    Parameters
    ----------
    grid : SubsetGrid
        Of one fold.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        Left: MSE over the mean training image's MSE, 1 (white) is worth nothing; cells of a
        synthesis are framed and marked. Right: adjusted Rand index with the full set's partition.
    """
    subsets, modalities = subsets_of(grid.modalities), grid.modalities
    found = {(item.given, item.modality): item for item in grid.scores}
    ratio_SM = np.full((len(subsets), len(modalities)), nan)
    for row, subset in enumerate(subsets):
        for column, name in enumerate(modalities):
            item = found.get((subset, name))
            if item is not None and item.mean_image_mse > 0:
                ratio_SM[row, column] = item.mse / item.mean_image_mse
    size = (2.6 + COLUMN_INCHES * (len(modalities) + 1), 1.3 + ROW_INCHES * len(subsets))
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(len(modalities), 1))
    drawn = left.imshow(ratio_SM, cmap="RdBu_r", vmin=0.0, vmax=2.0, aspect="auto")
    for (row, column), value in np.ndenumerate(ratio_SM):
        synthesised = modalities[column] not in subsets[row]
        text = "-" if isnan(value) else f"{value:.2f}{'*' if synthesised else ''}"
        left.text(column, row, text, ha="center", va="center", fontsize=8)
        if synthesised:
            box = Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, fill=False, edgecolor="black")
            left.add_patch(box)
    left.set_xticks(range(len(modalities)), modalities)
    left.set_yticks(range(len(subsets)), ["+".join(subset) for subset in subsets])
    left.set_ylabel("given")
    left.set_title("MSE / mean image's\n(framed*: synthesised)", fontsize=9)
    figure.colorbar(drawn, ax=left, shrink=0.8)
    agreed = {item.given: item.ari for item in grid.agreements}
    ari_S1 = np.array([[nan if (ari := agreed.get(s)) is None else ari] for s in subsets])
    right.imshow(ari_S1, cmap="Greys", vmin=0.0, vmax=1.5, aspect="auto")
    for row, value in enumerate(ari_S1[:, 0]):
        text = "none" if isnan(value) else f"{value:.2f}"
        right.text(0, row, text, ha="center", va="center", fontsize=8)
    right.set_xticks([])
    right.set_yticks([])
    right.set_title("strata: ARI\nwith all", fontsize=9)
    label = " - LEAKY normalisation" if leaky else ""
    warned = "" if grid.caution is None else "\ntrained WITHOUT modality dropout"
    figure.suptitle(f"{grid.n_held_out} held-out subjects{label}{warned}", fontsize=9)
    return figure
