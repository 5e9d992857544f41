"""Pictures of reconstructions: three planes, input beside reconstruction and difference."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from isthmus.core.files import write_atomically
from isthmus.report.strata_palette import GREY
from isthmus.trial.panels import PLANES, Panel

COLUMN_INCHES = 1.5
DIFFERENCE_LIMIT = 0.25


def reconstruction_figure(panel: Panel, leaky: bool = False) -> Figure:
    """Draw one subject: a row for each modality, three planes of input, reconstruction, difference.

    Parameters
    ----------
    panel : Panel
        Slices of a held-out subject, normalised intensity in [0, 1]; NaN where there is no image.
    leaky : bool
        Whether normalisation saw this subject; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        Input and reconstruction on one grey scale, difference (reconstruction - input) on a
        diverging scale of +-0.25. In place of an image that the subject lacks there is a word; what
        the model makes of it is shown.
    """
    n_rows, n_planes = len(panel.modalities), len(PLANES)
    figure = Figure(
        figsize=(COLUMN_INCHES * 3 * n_planes, COLUMN_INCHES * n_rows + 0.8), layout="constrained"
    )
    label = " - LEAKY normalisation" if leaky else ""
    figure.suptitle(f"{panel.participant_id} ({panel.why}, held out){label}", fontsize=10)
    axes = figure.subplots(n_rows, 3 * n_planes, squeeze=False)
    drawn = None
    for row, modality in enumerate(panel.modalities):
        axes[row, 0].set_ylabel(modality)
        for k, plane in enumerate(PLANES):
            x, y = panel.inputs[row][k], panel.reconstructions[row][k]
            titles = (f"input\n{plane}", "reconstruction", "difference")
            for column, image in enumerate((x, y, y - x)):
                axis = axes[row, 3 * k + column]
                if row == 0:
                    axis.set_title(titles[column], fontsize=8)
                limits = (-DIFFERENCE_LIMIT, DIFFERENCE_LIMIT) if column == 2 else (0.0, 1.0)
                drawn = axis.imshow(
                    upright(image),
                    cmap="RdBu_r" if column == 2 else "gray",
                    vmin=limits[0],
                    vmax=limits[1],
                )
                axis.set_xticks([])
                axis.set_yticks([])
                if is_missing(image):
                    words = "missing" if column == 0 else "nothing to\ncompare with"
                    say_instead(axis, words)
    if drawn is not None:
        figure.colorbar(drawn, ax=axes, shrink=0.7, label="reconstruction - input")
    return figure


def is_missing(image: npt.NDArray[np.float32]) -> bool:
    """Tell whether a slice is of an image that the subject lacks.

    Parameters
    ----------
    image : ndarray
        A slice of an image, or of its difference from something.

    Returns
    -------
    bool
        True where it holds no number at all.
    """
    return bool(np.isnan(image).all())


def say_instead(axis: Axes, words: str) -> None:
    """Write into the middle of a place that has no image.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        The place.
    words : str
        Why there is none.
    """
    axis.text(
        0.5,
        0.5,
        words,
        ha="center",
        va="center",
        fontsize=7,
        color=GREY,
        transform=axis.transAxes,
    )


def save_png(figure: Figure, path: Path, dots_per_inch: int = 110) -> None:
    """Write a figure as PNG, whole or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    path : Path
        The file.
    dots_per_inch : int
        Resolution.
    """
    FigureCanvasAgg(figure)
    write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=dots_per_inch))


def png_of(figure: Figure, dots_per_inch: int = 110) -> bytes:
    """Write a figure as PNG, in memory.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What to write.
    dots_per_inch : int
        Resolution.

    Returns
    -------
    bytes
        What a file would hold.
    """
    FigureCanvasAgg(figure)
    with io.BytesIO() as file:
        figure.savefig(file, format="png", dpi=dots_per_inch)
        return file.getvalue()


def upright(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Turn a plane so that superior or anterior is up, for axes in RAS order.

    Parameters
    ----------
    image : ndarray
        A plane as it is cut from a volume.

    Returns
    -------
    ndarray
        The same, as a picture's rows and columns.
    """
    return np.flipud(image.T)
