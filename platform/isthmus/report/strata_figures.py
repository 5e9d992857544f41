"""Figures of the strata of one report: stability, Jaccard, the sweep, the plane."""

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isthmus.report.strata_palette import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE,
    TRUST_MARKS,
    VERMILION,
    stratum_mark,
)
from isthmus.report.strata_views import (
    Absent,
    PlaneGroup,
    not_placed,
    plane_view,
    stability_view,
    sweep_view,
)
from isthmus.report.strata_words import LEAKY, TRUSTS, no_partition_because
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.robustness import MatchedNull, Stability

TRUST_LIMITS = (0.6, 0.75)
_ROW_INCHES = 0.24


def stability_figure(report: RobustnessReport, leaky: bool = False) -> Figure:
    """Draw the ARI of the draws, and the observed mean ARI against that of the matched nulls.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        Two histograms above each other, on one axis of ARI. They are not to be compared with each
        other: the lower one is of means, as is the line in it.
    """
    view = stability_view(report)
    if isinstance(view, Absent):
        return said_figure(view.reason, leaky)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    _draw_draws(above, view[0])
    _draw_nulls(below, view[1])
    return finished(figure, leaky)


def jaccard_figure(report: RobustnessReport, leaky: bool = False) -> Figure:
    """Draw how well each stratum is found again, with the conventional limits.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        A row a stratum: mean Jaccard index and 95 % of the draws.
    """
    view = stability_view(report)
    if isinstance(view, Absent):
        return said_figure(view.reason, leaky)
    strata = view[0].strata
    figure = Figure(figsize=(6.4, 1.5 + _ROW_INCHES * len(strata)), layout="constrained")
    axis = figure.subplots()
    for limit in TRUST_LIMITS:
        axis.axvline(limit, color=INK, linewidth=0.8, linestyle=":")
    for row, one in enumerate(strata):
        if one.jaccard is None:
            axis.text(0.01, row, "in no draw", fontsize=7, va="center", color=GREY)
            continue
        colour, shape = TRUST_MARKS[one.trust]
        if one.jaccard_low is not None and one.jaccard_high is not None:
            axis.hlines(row, one.jaccard_low, one.jaccard_high, color=colour, linewidth=1.5)
        axis.plot(one.jaccard, row, color=colour, marker=shape.matplotlib, markersize=6)
    for trust, (colour, shape) in TRUST_MARKS.items():
        axis.plot([], [], color=colour, marker=shape.matplotlib, label=TRUSTS[trust])
    axis.set_yticks(range(len(strata)), [f"{one.stratum} (n {one.size})" for one in strata])
    axis.tick_params(axis="y", labelsize=8)
    axis.set(xlim=(0.0, 1.02), ylim=(len(strata) - 0.4, -0.6))
    axis.set(xlabel="Jaccard index with the best match, mean and 95 % of draws", ylabel="stratum")
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return finished(figure, leaky)


def sweep_figure(report: RobustnessReport, leaky: bool = False) -> Figure:
    """Draw the silhouette of every candidate against its number of strata.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        A point a candidate; the one taken is marked.
    """
    view = sweep_view(report)
    if isinstance(view, Absent):
        return said_figure(view.reason, leaky)
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axis = figure.subplots()
    for outcome, colour, marker, label in (
        ("partition", BLUE, "o", "partition"),
        ("degenerate_partition", GREY, "x", "degenerate: a stratum of one"),
    ):
        own = [candidate for candidate in view if candidate.point.outcome == outcome]
        if own:
            x, y = [one.n_strata for one in own], [one.silhouette for one in own]
            axis.scatter(x, y, c=colour, marker=marker, label=label, s=28)
    for candidate in view:
        if candidate.point.chosen:
            axis.scatter(
                candidate.n_strata,
                candidate.silhouette,
                s=150,
                facecolors="none",
                edgecolors=VERMILION,
                linewidths=1.8,
                label=f"taken: {candidate.n_strata} strata",
            )
    axis.axvline(report.config.max_strata + 0.5, color=GREY, linestyle=":", linewidth=0.9)
    counts = [candidate.n_strata for candidate in view]
    axis.set_xlim(min(counts) - 0.8, max(counts) + 0.8)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("strata" + (f"\n{not_placed(report)}" if not_placed(report) else ""))
    axis.set_ylabel("mean silhouette, in [-1, 1]")
    axis.legend(fontsize=8)
    return finished(figure, leaky)


def plane_figure(report: RobustnessReport, leaky: bool = False) -> Figure:
    """Draw the subjects in the plane of the two leading principal components.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        Colour and shape by stratum; exemplars carry the stratum's number.
    """
    view = plane_view(report)
    if isinstance(view, Absent) or report.plane is None:
        return said_figure(view.reason if isinstance(view, Absent) else "", leaky)
    n_columns = math.ceil(len(view) / 20)
    figure = Figure(figsize=(6.2 + 1.0 * n_columns, 5.2), layout="constrained")
    axis = figure.subplots()
    size = 22.0 if report.n_subjects <= 300 else 10.0
    for group in view:
        _draw_group(axis, group, size)
    for group in view:
        _draw_exemplar(axis, group)
    first, second = report.plane.explained
    axis.set_xlabel(f"principal component 1 ({first:.1%} of the variance)")
    axis.set_ylabel(f"principal component 2 ({second:.1%} of the variance)")
    axis.set_aspect("equal", adjustable="datalim")
    figure.legend(
        loc="outside right upper", ncols=n_columns, fontsize=7, frameon=False, title="stratum"
    )
    reason = no_partition_because(report)
    if reason:
        axis.set_title(_wrapped(reason, 80), fontsize=8)
    return finished(figure, leaky)


def said_figure(reason: str, leaky: bool = False) -> Figure:
    """Say in a figure's place why there is nothing to draw.

    Parameters
    ----------
    reason : str
        Why.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        Text alone.
    """
    figure = Figure(figsize=(6.4, 1.6), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.text(0.5, 0.5, _wrapped(f"Not drawn. {reason}", 76), ha="center", va="center", fontsize=9)
    return finished(figure, leaky)


def finished(figure: Figure, leaky: bool) -> Figure:
    """Take away frames that say nothing, and label what a leaky normalisation touched.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Drawn.
    leaky : bool
        Whether normalisation saw the held-out subjects.

    Returns
    -------
    matplotlib.figure.Figure
        The same.
    """
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    if leaky:
        figure.suptitle(LEAKY, color=VERMILION, fontsize=9)
    return figure


def _draw_draws(axis: Axes, stability: Stability) -> None:
    """Draw the ARI of each draw with the whole partition."""
    axis.hist(stability.ari, bins=_bins(stability.ari), color=BLUE, alpha=0.75)
    mean = f"mean {stability.ari_mean:.2f}"
    axis.axvline(stability.ari_mean, color=INK, linewidth=1.2, label=mean)
    failed = f", {stability.n_failed} without a partition at 0" if stability.n_failed else ""
    axis.set_title(f"{stability.n_draws} draws{failed}", fontsize=9, loc="left")
    axis.set_ylabel("draws")
    axis.legend(fontsize=8)


def _draw_nulls(axis: Axes, null: MatchedNull) -> None:
    """Draw the nulls' mean ARI with the observed one."""
    if null.null:
        axis.hist(null.null, bins=_bins(null.null), color=PALE)
        axis.plot(null.null, [0.0] * len(null.null), "|", color=INK, markersize=7, alpha=0.6)
    label = f"observed {null.observed:.2f}"
    if null.excess is not None:
        label += f"\nexcess {null.excess + 0.0:+.2f}"
    label += "\nno p: too few nulls" if null.p_value is None else f"\np {null.p_value:.2g}"
    axis.axvline(null.observed, color=ORANGE, linewidth=2.0, label=label)
    left_out = f", {null.n_failed} without a partition left out" if null.n_failed else ""
    axis.set_title(f"{null.n_nulls} clouds without strata{left_out}", fontsize=9, loc="left")
    axis.set_ylabel("clouds")
    axis.set_xlabel(f"adjusted Rand index (below: means over {null.n_draws} draws)")
    axis.legend(fontsize=8)


def _bins(values: tuple[float, ...]) -> int:
    """Choose a number of bins that a few dozen values can fill."""
    return max(5, min(30, math.ceil(math.sqrt(len(values)) * 1.5)))


def _draw_group(axis: Axes, group: PlaneGroup, size: float) -> None:
    """Draw the members of one stratum."""
    colour, marker, label = PALE, "o", f"none (n {len(group.points)})"
    if group.stratum is not None:
        colour, shape = stratum_mark(group.stratum)
        marker, label = shape.matplotlib, f"{group.stratum} (n {len(group.points)})"
    x, y = group.points.T
    axis.scatter(x, y, s=size, color=colour, marker=marker, alpha=0.7, linewidths=0, label=label)


def _draw_exemplar(axis: Axes, group: PlaneGroup) -> None:
    """Mark a stratum's exemplar by its number."""
    if group.exemplar is None:
        return
    x, y = group.points[group.exemplar]
    colour, _ = stratum_mark(group.stratum or 0)
    axis.text(
        float(x),
        float(y),
        str(group.stratum),
        fontsize=7,
        ha="center",
        va="center",
        bbox={"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": colour},
    )


def _wrapped(text: str, width: int) -> str:
    """Break a sentence into lines."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
