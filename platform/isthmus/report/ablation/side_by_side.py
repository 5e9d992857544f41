"""Reconstructions of all arms side by side: the same person, the same plane."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus.report.ablation.labels import LEAKY_LABEL, arm_label
from isthmus.report.pictures import DIFFERENCE_LIMIT, is_missing, say_instead, upright
from isthmus.report.strata_palette import VERMILION
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import shortened
from isthmus.study.ablation.findings import AblationResult
from isthmus.trial.panels import COMPARED, PLANES, FloatArray, Panel, load_panels

_PLANE = PLANES.index("axial")
_COLUMN_INCHES = 1.35
# More columns cannot be seen; the first arms are those of the plan's order.
MOST_ARMS = 16


@dataclass(frozen=True)
class Column:
    """One arm's reconstructions.

    Attributes
    ----------
    label : str
        Which arm.
    images : tuple of (ndarray or None)
        For each modality the slice; None of one that the arm neither fuses nor makes.
    differences : tuple of (ndarray or None)
        Reconstruction - the arm's own input: arms may normalise differently. None too where the
        subject lacks that image.
    """

    label: str
    images: tuple[FloatArray | None, ...]
    differences: tuple[FloatArray | None, ...]


@dataclass(frozen=True)
class SideBySide:
    """What every arm makes of one held-out subject.

    Attributes
    ----------
    participant_id : str
        Who.
    modalities : tuple of str
        Rows.
    originals : tuple of ndarray
        As the first arm that has the modality normalises it; NaN where the subject lacks it.
    columns : tuple of Column
        Arms, in the plan's order.
    left_out : tuple of str
        Arms without such a picture, and those that there is no room for.
    """

    participant_id: str
    modalities: tuple[str, ...]
    originals: tuple[FloatArray, ...]
    columns: tuple[Column, ...]
    left_out: tuple[str, ...]

    @property
    def in_words(self) -> str:
        """What is to be seen, for those who cannot see it."""
        arms = ", ".join(column.label for column in self.columns)
        lacking = [
            name
            for name, original in zip(self.modalities, self.originals, strict=True)
            if is_missing(original)
        ]
        said = (
            f"Axial slices of {self.participant_id}, held out: original and reconstructions of "
            f"{', '.join(self.modalities)} by {arms}."
        )
        if lacking:
            said += f" The subject lacks {', '.join(lacking)}, so that is synthesised."
        return said + (f" Not shown: {', '.join(self.left_out)}." if self.left_out else "")


def side_by_side_view(result: AblationResult, output: Path) -> SideBySide | Absent:
    """Read the slices that all arms kept of the same subject.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    output : Path
        Folder that the trials are in.

    Returns
    -------
    SideBySide or Absent
        Absent where no arm has kept any, or where arms show different people.
    """
    panels = {
        arm.name: panel
        for arm in result.plan.arms
        if arm.name in result.panels and not arm.same_as
        if (panel := _compared(output / result.panels[arm.name])) is not None
    }
    if not panels:
        return Absent("No arm has kept slices of the subject that all arms show.")
    people = {panel.participant_id for panel in panels.values()}
    if len(people) > 1:
        return Absent(f"Arms show different subjects ({', '.join(sorted(people))}).")
    modalities = tuple(dict.fromkeys(name for one in panels.values() for name in one.modalities))
    first = {name: next(p for p in panels.values() if name in p.modalities) for name in modalities}
    shown = list(panels)[:MOST_ARMS]
    return SideBySide(
        next(iter(people)),
        modalities,
        tuple(_slice(first[name], name, original=True) for name in modalities),
        tuple(_column(arm_label(result.plan, arm), panels[arm], modalities) for arm in shown),
        tuple(
            arm_label(result.plan, arm.name)
            for arm in result.plan.arms
            if arm.name not in shown and not arm.same_as
        ),
    )


def side_by_side_figure(view: SideBySide) -> Figure:
    """Draw the arms side by side.

    Parameters
    ----------
    view : SideBySide
        The slices.

    Returns
    -------
    matplotlib.figure.Figure
        For each modality a row of images on one grey scale, and one of differences
        (reconstruction - input) on a diverging scale of +-0.25.
    """
    n_rows, n_columns = 2 * len(view.modalities), 1 + len(view.columns)
    width, height = _COLUMN_INCHES * n_columns + 1.4, _COLUMN_INCHES * n_rows + 0.7
    # by hand: the layout engine takes seconds where there are dozens of images
    figure = Figure(figsize=(width, height))
    figure.suptitle(f"{view.participant_id}, held out, axial", fontsize=10, y=1 - 0.1 / height)
    axes = figure.subplots(n_rows, n_columns, squeeze=False)
    figure.subplots_adjust(
        left=0.4 / width,
        right=1 - 1.0 / width,
        bottom=0.05 / height,
        top=1 - 0.65 / height,
        wspace=0.06,
        hspace=0.06,
    )
    drawn = None
    for row, modality in enumerate(view.modalities):
        above, below = axes[2 * row], axes[2 * row + 1]
        above[0].set_ylabel(modality)
        below[0].set_ylabel("difference", fontsize=8)
        original = view.originals[row]
        if is_missing(original):
            _empty(above[0], "missing")
        else:
            above[0].imshow(upright(original), cmap="gray", vmin=0.0, vmax=1.0)
        _empty(below[0], "")
        for column, one in enumerate(view.columns, 1):
            image, difference = one.images[row], one.differences[row]
            if image is None:
                _empty(above[column], "not fused")
                _empty(below[column], "")
                continue
            above[column].imshow(upright(image), cmap="gray", vmin=0.0, vmax=1.0)
            if difference is None:
                _empty(below[column], "")
                continue
            drawn = below[column].imshow(
                upright(difference), cmap="RdBu_r", vmin=-DIFFERENCE_LIMIT, vmax=DIFFERENCE_LIMIT
            )
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0, 0].set_title("original", fontsize=8)
    for axis, one in zip(axes[0, 1:], view.columns, strict=True):
        leaky = one.label.endswith(LEAKY_LABEL)
        name = one.label.removesuffix(LEAKY_LABEL).strip()
        words = f"LEAKY\n{shortened(name, 18)}" if leaky else shortened(name, 18)
        axis.set_title(words.replace("$", r"\$"), fontsize=8, color=VERMILION if leaky else "black")
    if drawn is not None:
        beside = figure.add_axes((1 - 0.85 / width, 0.3, 0.15 / width, 0.4))
        figure.colorbar(drawn, cax=beside, label="reconstruction - input")
    return figure


def _compared(path: Path) -> Panel | None:
    """Find the subject that every arm shows, if the arm kept it."""
    if not path.is_file():
        return None
    return next((panel for panel in load_panels(path) if panel.why == COMPARED), None)


def _column(label: str, panel: Panel, modalities: tuple[str, ...]) -> Column:
    """Take one arm's slices."""
    made = [name in panel.modalities for name in modalities]
    images = tuple(
        _slice(panel, name) if has else None for name, has in zip(modalities, made, strict=True)
    )
    differences = tuple(
        _difference(panel, name) if has else None
        for name, has in zip(modalities, made, strict=True)
    )
    return Column(label, images, differences)


def _slice(panel: Panel, modality: str, original: bool = False) -> FloatArray:
    """Take the axial slice of one modality."""
    row = panel.modalities.index(modality)
    planes = (panel.inputs if original else panel.reconstructions)[row]
    return np.asarray(planes[_PLANE], dtype=np.float32)


def _difference(panel: Panel, modality: str) -> FloatArray | None:
    """Take the slice of reconstruction - input; None where there is no input."""
    original = _slice(panel, modality, original=True)
    return None if is_missing(original) else _slice(panel, modality) - original


def _empty(axis: Axes, words: str) -> None:
    """Leave a place without an image."""
    axis.spines[:].set_visible(False)
    say_instead(axis, words)
