"""Figures of the targets of one report: p-values over draws, loadings, profiles of the strata."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from isthmus.report.strata_figures import finished, said_figure
from isthmus.report.strata_palette import (
    GREY,
    INK,
    PALE,
    VERDICT_MARKS,
    VERMILION,
    stratum_mark,
)
from isthmus.report.strata_views import (
    Absent,
    Cloud,
    ProfilePanel,
    cloud_view,
    loadings_view,
    profile_limits,
    profile_view,
    spread,
)
from isthmus.report.strata_words import VERDICTS, shortened
from isthmus.stratification.factors import NoFactors
from isthmus.stratification.record import RobustnessReport

_MOST_CELLS_WITH_NUMBERS = 160
_PANELS_A_ROW = 4


def cloud_figure(report: RobustnessReport, leaky: bool = False) -> Figure:
    """Draw each target's p-values over the draws, and its replication rate beside the null's.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        A row a target. Left: a point a draw, logarithmic, with median and 95 % of the draws.
        Right: the rate as a mark, over a bar to the null's 95th percentile with a line at its mean.
    """
    view = cloud_view(report)
    if isinstance(view, Absent):
        return said_figure(view.reason, leaky)
    figure = Figure(figsize=(8.8, 1.7 + 0.36 * len(view)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for row, cloud in enumerate(view):
        _draw_cloud(left, row, cloud)
        _draw_rate(right, row, cloud)
    _draw_kinds(left, view)
    left.axvline(report.config.alpha, color=INK, linestyle=":", linewidth=0.9)
    left.set_xscale("log")
    left.set_xlim(0.7 / (1 + report.config.robustness.n_null_phenotypes), 1.4)
    left.xaxis.set_minor_formatter(NullFormatter())
    left.set_xlabel(f"p-value in each draw\n(dotted: {report.config.alpha:g})")
    left.set_yticks(range(len(view)), [shortened(cloud.target) for cloud in view], fontsize=8)
    left.set_ylim(len(view) - 0.4, -0.6)
    right.axvline(
        report.config.robustness.min_replication_rate, color=INK, linestyle=":", linewidth=0.9
    )
    right.set_xlim(-0.03, 1.03)
    right.set_xlabel("replication rate\n(grey: null, mean and 95th percentile)")
    for verdict, (colour, shape) in VERDICT_MARKS.items():
        if any(cloud.verdict == verdict for cloud in view):
            right.plot(
                [], [], shape.matplotlib, color=colour, markersize=6, label=VERDICTS[verdict]
            )
    figure.legend(loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return finished(figure, leaky)


def loadings_figure(report: RobustnessReport, leaky: bool = False) -> Figure:
    """Draw the factor loadings as a heat map.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        A row a phenotype, a column a factor with its share of the variance.
    """
    view, factors = loadings_view(report), report.factors
    if isinstance(view, Absent) or isinstance(factors, NoFactors):
        return said_figure(view.reason if isinstance(view, Absent) else "", leaky)
    n_phenotypes, n_factors = view.shape
    size = (2.9 + 0.62 * n_factors, 1.4 + 0.24 * n_phenotypes)
    figure = Figure(figsize=(max(4.2, size[0]), max(2.4, size[1])), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(view, cmap="PuOr", vmin=-1.0, vmax=1.0, aspect="auto")
    axis.set_yticks(range(n_phenotypes), [shortened(name) for name in factors.phenotypes])
    labels = [
        f"{name.removeprefix('factor_')}\n{share:.0%}"
        for name, share in zip(factors.names, factors.explained_variance, strict=True)
    ]
    axis.set_xticks(range(n_factors), labels)
    axis.tick_params(labelsize=8, length=0)
    axis.set_xlabel("factor, and its share of the phenotypes' variance")
    if view.size <= _MOST_CELLS_WITH_NUMBERS:
        for (row, column), value in np.ndenumerate(view):
            colour = "white" if abs(value) > 0.65 else INK
            axis.text(
                column,
                row,
                f"{value + 0.0:.2f}",
                color=colour,
                fontsize=7,
                ha="center",
                va="center",
            )
    figure.colorbar(image, ax=axis, label="loading (correlation)")
    return finished(figure, leaky)


def profiles_figure(report: RobustnessReport, leaky: bool = False) -> Figure:
    """Draw what each stratum looks like on each target.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a target: mean z-score, or share of a category, +- standard error, over strata.
        Panels of one unit share their axis.
    """
    view = profile_view(report)
    if isinstance(view, Absent):
        return said_figure(view.reason, leaky)
    n_strata = 1 + max(profile.stratum for profile in report.profiles)
    across = min(len(view), _PANELS_A_ROW if n_strata <= 20 else 2)
    down = math.ceil(len(view) / across)
    width, height = max(4.8, 2.5 * across if n_strata <= 20 else 9.4), 1.7 * down + 1.0
    figure = Figure(figsize=(width, height))
    # inches by hand: the layout engine takes seconds where there are dozens of panels
    figure.subplots_adjust(
        left=0.75 / width,
        right=1 - 0.1 / width,
        bottom=0.55 / height,
        top=1 - 0.55 / height,
        hspace=0.45,
        wspace=0.22,
    )
    axes = figure.subplots(down, across, squeeze=False).ravel()
    limits = {of: profile_limits(view, category=of) for of in (False, True)}
    for axis, panel in zip(axes, view, strict=False):
        _draw_profile(axis, panel, n_strata)
        axis.set_ylim(*limits[panel.kind == "category"])
    for axis in axes[len(view) :]:
        axis.set_axis_off()
    figure.supxlabel("stratum", fontsize=9, y=0.08 / height)
    figure.supylabel("mean z-score, or share, +- SE", fontsize=9, x=0.08 / width)
    return finished(figure, leaky)


def _draw_cloud(axis: Axes, row: int, cloud: Cloud) -> None:
    """Draw one target's p-values."""
    colour, _ = VERDICT_MARKS[cloud.verdict]
    at = row + 0.55 * spread(len(cloud.p_values))
    axis.scatter(cloud.p_values, at, s=7, color=colour, alpha=0.4, linewidths=0)
    again = cloud.replication
    if again.p_median is not None and again.p_low is not None and again.p_high is not None:
        axis.hlines(row, again.p_low, again.p_high, color=INK, linewidth=1.0)
        axis.plot(again.p_median, row, "|", color=INK, markersize=11, markeredgewidth=1.8)
    else:
        axis.text(0.5, row, "no p-value in any draw", fontsize=7, va="center", color=GREY)


def _draw_rate(axis: Axes, row: int, cloud: Cloud) -> None:
    """Draw one target's replication rate beside the null's."""
    again = cloud.replication
    colour, shape = VERDICT_MARKS[cloud.verdict]
    left, right = again.null_rate, again.null_rate_high
    axis.barh(row, right, height=0.62, color="#ECECEC")
    axis.plot([left, left], [row - 0.31, row + 0.31], color=GREY, linewidth=1.5)
    axis.plot([right, right], [row - 0.31, row + 0.31], color=GREY, linewidth=1.5)
    axis.plot(again.rate, row, shape.matplotlib, color=colour, markersize=7)
    beside = f"{again.rate:.0%} (p {again.p_rate:.2g})"
    inside = again.rate > 0.6
    axis.annotate(
        beside,
        (again.rate if inside else max(again.rate, right), row),
        xytext=(-7 if inside else 7, 0),
        textcoords="offset points",
        ha="right" if inside else "left",
        va="center",
        fontsize=7,
    )


def _draw_kinds(axis: Axes, view: tuple[Cloud, ...]) -> None:
    """Draw a line between the families of tests."""
    for row in range(1, len(view)):
        if view[row].kind != view[row - 1].kind:
            axis.axhline(row - 0.5, color=PALE, linewidth=0.9)


def _draw_profile(axis: Axes, panel: ProfilePanel, n_strata: int) -> None:
    """Draw one target over the strata."""
    if panel.kind != "category":
        axis.axhline(0.0, color=PALE, linewidth=0.9, zorder=0)
    bars = [(p.stratum, p.mean or 0.0, p.standard_error or 0.0) for p in panel.profiles]
    marks = [stratum_mark(profile.stratum) for profile in panel.profiles]
    for shape in dict.fromkeys(shape for _, shape in marks):  # a call a shape: calls are slow
        own = [i for i, mark in enumerate(marks) if mark[1] == shape]
        x, y, error = zip(*(bars[i] for i in own), strict=True)
        colours = [marks[i][0] for i in own]
        low, high = np.subtract(y, error), np.add(y, error)
        axis.vlines(x, low, high, colors=colours, linewidth=1.1)
        axis.scatter(x, y, s=15, c=colours, marker=shape.matplotlib, linewidths=0, zorder=3)
    if not panel.profiles:
        axis.text(0.5, 0.5, "unknown", transform=axis.transAxes, ha="center", color=VERMILION)
    axis.set_title(shortened(panel.target, 30 if n_strata <= 20 else 60), fontsize=8)
    step = max(1, math.ceil(n_strata / 20))
    axis.set_xticks(range(0, n_strata, step))
    axis.set_xlim(-0.6, n_strata - 0.4)
    axis.tick_params(labelsize=7)
