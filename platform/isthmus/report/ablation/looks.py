"""Colours and shapes of an ablation's verdicts and arms, told apart without colour vision."""

from isthmus.report.strata_palette import (
    BLUE,
    CIRCLE,
    CROSS,
    DIAMOND,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    SQUARE,
    VERMILION,
    Shape,
)
from isthmus.study.ablation.findings import Verdict

UP, DOWN, HOLLOW = Shape("^", "triangle-up"), Shape("v", "triangle-down"), Shape("o", "circle-open")
VERDICT_MARKS: dict[Verdict, tuple[str, Shape]] = {
    "better": (GREEN, CIRCLE),
    "worse": (VERMILION, SQUARE),
    "higher": (BLUE, UP),
    "lower": (PURPLE, DOWN),
    "equivalent": (SKY, DIAMOND),
    "not_resolvable": (GREY, HOLLOW),
    "unpaired": (PALE, CROSS),
    "undefined": (PALE, CROSS),
}
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY, "#5D4A8A")
_DASHES = (("-", "solid"), ("--", "dash"), (":", "dot"), ("-.", "dashdot"))


def arm_line(position: int) -> tuple[str, str, str]:
    """Choose the line of an arm's curve.

    Parameters
    ----------
    position : int
        The arm's place in the plan, from 0.

    Returns
    -------
    tuple of (str, str, str)
        Colour, and the dashes by their names in matplotlib and in plotly; no two among the first
        28 have colour and dashes in common.

    Examples
    --------
    >>> len({arm_line(k) for k in range(28)})
    28
    """
    dashes = _DASHES[position // len(_COLOURS) % len(_DASHES)]
    return _COLOURS[position % len(_COLOURS)], *dashes
