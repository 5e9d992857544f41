"""Colours and shapes of strata and verdicts, told apart without colour vision.

Colours are those of Okabe and Ito; a shape or a word always says the same as the colour.
"""

from typing import NamedTuple

from isthmus.stratification.robustness import Trust
from isthmus.stratification.tested import Verdict

BLUE, ORANGE, GREEN = "#0072B2", "#E69F00", "#009E73"
VERMILION, PURPLE, SKY = "#D55E00", "#CC79A7", "#56B4E9"
GREY, PALE, INK = "#767676", "#C8C8C8", "#222222"
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, "#5D4A8A")


class Shape(NamedTuple):
    """One shape by its name in matplotlib and in plotly."""

    matplotlib: str
    plotly: str


CIRCLE, SQUARE, DIAMOND = Shape("o", "circle"), Shape("s", "square"), Shape("D", "diamond")
CROSS, STAR = Shape("X", "x"), Shape("*", "star")
_SHAPES = (CIRCLE, Shape("^", "triangle-up"), SQUARE, Shape("P", "cross"), DIAMOND, CROSS)

VERDICT_MARKS: dict[Verdict, tuple[str, Shape]] = {
    "robust": (GREEN, CIRCLE),
    "significant_but_unstable": (ORANGE, DIAMOND),
    "not_significant": (GREY, SQUARE),
    "untestable": (PALE, CROSS),
}
TRUST_MARKS: dict[Trust, tuple[str, Shape]] = {
    "stable": (GREEN, CIRCLE),
    "doubtful": (ORANGE, DIAMOND),
    "not_to_be_trusted": (VERMILION, SQUARE),
}


def stratum_mark(stratum: int) -> tuple[str, Shape]:
    """Choose a stratum's colour and shape.

    Parameters
    ----------
    stratum : int
        Its number, from 0.

    Returns
    -------
    tuple of (str, Shape)
        No two among the first 42 have both in common.

    Examples
    --------
    >>> len({stratum_mark(k) for k in range(42)})
    42
    """
    shape = _SHAPES[stratum // len(_COLOURS) % len(_SHAPES)]
    return _COLOURS[stratum % len(_COLOURS)], shape
