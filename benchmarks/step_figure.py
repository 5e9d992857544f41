"""The time of a training step as bars: convolutions, and all else."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

_COLOURS = {"convolutions": "#2f6690", "all else": "#d98324"}


def draw(seconds: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Draw bars, one a variant: seconds of a step in convolutions and in all of it."""
    figure = Figure(figsize=(7.0, 0.8 + 0.36 * len(seconds)), layout="constrained")
    axes = figure.subplots()
    convolving = [parts[0] for parts in seconds.values()]
    whole = [parts[1] for parts in seconds.values()]
    rest = [b - a for a, b in zip(convolving, whole, strict=True)]
    places = range(len(seconds))
    for (label, colour), left, width in zip(
        _COLOURS.items(), ([0.0] * len(rest), convolving), (convolving, rest), strict=True
    ):
        axes.barh(places, width, left=left, color=colour, label=label)
    for place, value in zip(places, whole, strict=True):
        axes.text(value, place, f" {value:.2f} s", va="center")
    axes.set_yticks(places, list(seconds))
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("seconds a step")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper center", ncols=len(_COLOURS))
    figure.savefig(path, dpi=150)
