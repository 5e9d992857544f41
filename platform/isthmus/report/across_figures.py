"""Figures across encoders and trials: specification curves, agreement, the best of many."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isthmus.report.across_views import Choice, Curve, agreement_view, curve_view, selection_view
from isthmus.report.strata_figures import finished, said_figure
from isthmus.report.strata_palette import BLUE, GREY, INK, ORANGE, PALE
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import number, shortened
from isthmus.stratification.across import AcrossEncoders, SelectionReport

_MOST_ENCODERS_WITH_NUMBERS = 12


def curve_figure(across: AcrossEncoders, target: int, leaky: bool = False) -> Figure:
    """Draw one target's specification curve (Simonsohn et al. 2020).

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.
    target : int
        Position of the target.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        Above: effect sizes sorted, those with q <= alpha filled. Below: the choices behind each.
    """
    view = curve_view(across, target)
    if isinstance(view, Absent):
        return said_figure(view.reason, leaky)
    n_rows = len(view.choices)
    heights = (2.4, 0.5 + 0.15 * n_rows)
    figure = Figure(figsize=(8.4, sum(heights) + 0.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    _draw_curve(above, across, view)
    _draw_choices(below, view.choices, view.significant)
    below.set_xlim(-1, len(view.effect_sizes))
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.set_xlabel("specification, by rising effect size")
    return finished(figure, leaky)


def agreement_figure(across: AcrossEncoders, leaky: bool = False) -> Figure:
    """Draw the adjusted Rand index of each pair of encoders.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        A square heat map; pairs without a partition each are left grey.
    """
    view = agreement_view(across)
    if isinstance(view, Absent):
        return said_figure(view.reason, leaky)
    names, ari_EE = view
    edge = 2.2 + max(0.17 * len(names), 1.8)
    figure = Figure(figsize=(edge + 1.0, edge), layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor("#E4E4E4")
    image = axis.imshow(np.ma.masked_invalid(ari_EE), cmap="viridis", vmin=0.0, vmax=1.0)
    fontsize = 8 if len(names) <= 20 else 6
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=fontsize)
    axis.set_yticks(range(len(names)), names, fontsize=fontsize)
    if len(names) <= _MOST_ENCODERS_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(ari_EE):
            if not np.isnan(value):
                colour = INK if value > 0.6 else "white"
                axis.text(
                    column,
                    row,
                    f"{value + 0.0:.2f}",
                    color=colour,
                    fontsize=7,
                    ha="center",
                    va="center",
                )
    figure.colorbar(image, ax=axis, shrink=0.8, label="adjusted Rand index on shared subjects")
    return finished(figure, leaky)


def selection_figure(selection: SelectionReport, leaky: bool = False) -> Figure:
    """Draw each trial's naive p-value beside the one adjusted for having been picked.

    Parameters
    ----------
    selection : SelectionReport
        What is left of the best of many trials.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        A row a trial, logarithmic.
    """
    view = selection_view(selection)
    if isinstance(view, Absent):
        return said_figure(view.reason, leaky)
    figure = Figure(figsize=(6.8, 1.5 + 0.24 * len(view)), layout="constrained")
    axis = figure.subplots()
    rows = range(len(view))
    naive, adjusted = [one.p_naive for one in view], [one.p_adjusted for one in view]
    axis.hlines(rows, naive, adjusted, color=PALE, linewidth=1.5)
    axis.plot(naive, rows, "o", color=GREY, markerfacecolor="white", label="naive p")
    axis.plot(adjusted, rows, "D", color=BLUE, markersize=5, label="p adjusted over all trials")
    axis.set_xscale("log")
    axis.set_yticks(rows, [shortened(one.label, 40) for one in view], fontsize=7)
    axis.set_ylim(len(view) - 0.4, -0.6)
    axis.set_xlabel("p-value of the trial's best factor")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return finished(figure, leaky)


def curve_title(curve: Curve, alpha: float) -> str:
    """Say in a line how a target fares over all specifications.

    Parameters
    ----------
    curve : Curve
        Its specification curve.
    alpha : float
        Level.

    Returns
    -------
    str
        Share that is significant beside the null's, joint p, and what is not drawn.
    """
    said = shortened(curve.target, 40)
    if curve.survival is not None:
        one = curve.survival
        said += (
            f": {one.share:.0%} with q <= {alpha:g} (null {one.null_share:.1%}, "
            f"joint p {number(one.p_value)})"
        )
    if curve.n_unusable:
        said += f"; {curve.n_unusable} without a partition not drawn"
    return said


def _draw_curve(axis: Axes, across: AcrossEncoders, curve: Curve) -> None:
    """Draw the sorted effect sizes."""
    for significant, face, label in (
        (True, BLUE, f"q <= {across.alpha:g}"),
        (False, "white", "not significant"),
    ):
        points = [
            (i, effect)
            for i, effect in enumerate(curve.effect_sizes)
            if curve.significant[i] == significant
        ]
        if points:
            x, y = zip(*points, strict=True)
            edge = BLUE if significant else GREY
            axis.scatter(x, y, s=20, c=face, edgecolors=edge, linewidths=0.9, label=label)
    middle = float(np.median(curve.effect_sizes))
    axis.axhline(middle, color=ORANGE, linewidth=1.0, label=f"median {middle:.2g}")
    axis.set_ylim(min(0.0, *curve.effect_sizes), 1.1 * max(0.01, *curve.effect_sizes))
    axis.set_ylabel("epsilon^2")
    axis.set_title(curve_title(curve, across.alpha), fontsize=9, loc="left")
    axis.legend(fontsize=8)


def _draw_choices(axis: Axes, choices: Sequence[Choice], significant: Sequence[bool]) -> None:
    """Draw a tick for each choice behind each specification."""
    for row, choice in enumerate(choices):
        for wanted, colour in ((True, BLUE), (False, GREY)):
            at = [i for i in choice.at if significant[i] == wanted]
            axis.plot(at, [row] * len(at), "|", color=colour, markersize=6)
        if row and choice.group != choices[row - 1].group:
            axis.axhline(row - 0.5, color=PALE, linewidth=0.9)
    axis.set_yticks(range(len(choices)), [choice.label for choice in choices], fontsize=7)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(choices) - 0.4, -0.6)
