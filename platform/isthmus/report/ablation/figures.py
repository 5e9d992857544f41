"""Pictures of an ablation: differences, scores, ranks, verdicts, learning curves."""

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isthmus.report.ablation.learning import Band, Learning
from isthmus.report.ablation.looks import VERDICT_MARKS, arm_line
from isthmus.report.ablation.ranks import Ranks
from isthmus.report.ablation.views import Effect, Matrix, Scores, short_verdict
from isthmus.report.ablation.words import VERDICTS, p_in_words
from isthmus.report.strata_figures import finished
from isthmus.report.strata_palette import GREY, INK, PALE
from isthmus.report.strata_words import shortened

_LONGEST = 34


def effects_figure(view: tuple[Effect, ...], metric: str) -> Figure:
    """Draw the differences with their intervals.

    Parameters
    ----------
    view : tuple of Effect
        A row each.
    metric : str
        In what they differ.

    Returns
    -------
    matplotlib.figure.Figure
        The region of practical equivalence is shaded.
    """
    figure = Figure(figsize=(7.4, 1.5 + 0.42 * len(view)), layout="constrained")
    axis = figure.subplots()
    axis.axvline(0.0, color=INK, linewidth=0.8)
    for row, effect in enumerate(view):
        colour, shape = VERDICT_MARKS[effect.verdict]
        if effect.margin is not None:
            axis.fill_betweenx(
                [row - 0.5, row + 0.5], -effect.margin, effect.margin, color="#EAF3F9", linewidth=0
            )
        if effect.difference is None:
            axis.text(
                0.0, row, f"  {VERDICTS[effect.verdict]}", va="center", fontsize=8, color=GREY
            )
            continue
        if effect.low is not None and effect.high is not None:
            axis.plot([effect.low, effect.high], [row, row], color=colour, linewidth=2.2)
        face = "white" if effect.verdict == "not_resolvable" else colour
        axis.plot(
            effect.difference, row, shape.matplotlib, color=colour, markerfacecolor=face, zorder=3
        )
    axis.set_yticks(range(len(view)), [_name(effect.label) for effect in view], fontsize=8)
    axis.set_ylim(len(view) - 0.5, -0.5)
    axis.set_xlabel(f"difference in {_plain(metric)}", fontsize=9)
    marks = _verdict_legend(view)
    figure.legend(
        handles=marks, loc="outside lower center", ncols=len(marks), fontsize=8, frameon=False
    )
    return finished(figure, False)


def scores_figure(view: Scores) -> Figure:
    """Draw every score, the same blocks joined.

    Parameters
    ----------
    view : Scores
        All arms.

    Returns
    -------
    matplotlib.figure.Figure
        A column an arm.
    """
    figure = Figure(figsize=(max(4.5, 1.8 + 0.8 * len(view.arms)), 4.2), layout="constrained")
    axis = figure.subplots()
    for group in view.joined:
        for block in range(len(view.blocks)):
            values = [view.arms[k].values[block] for k in group]
            heights = [float("nan") if value is None else value for value in values]
            axis.plot(group, heights, color=PALE, linewidth=0.8, zorder=1)
    for column, arm in enumerate(view.arms):
        known = [value for value in arm.values if value is not None]
        axis.scatter([column] * len(known), known, s=14, c=GREY, zorder=2)
        if arm.mean is not None:
            axis.plot(column + 0.18, arm.mean, "D", color=INK, markersize=5, zorder=3)
            if arm.low is not None and arm.high is not None:
                axis.plot([column + 0.18] * 2, [arm.low, arm.high], color=INK, zorder=3)
        elif not known:
            axis.text(
                column,
                0.5,
                "no score",
                rotation=90,
                ha="center",
                va="center",
                fontsize=8,
                color=GREY,
                transform=axis.get_xaxis_transform(),
            )
    labels = [_name(arm.label, 22) for arm in view.arms]
    axis.set_xticks(range(len(labels)), labels, fontsize=8, rotation=20, ha="right")
    axis.set_xlim(-0.5, len(labels) - 0.3)
    axis.set_ylabel(_plain(view.metric), fontsize=9)
    return finished(figure, False)


def ranks_figure(view: Ranks) -> Figure:
    """Draw the critical-difference diagram.

    Parameters
    ----------
    view : Ranks
        Arms, and what joins them.

    Returns
    -------
    matplotlib.figure.Figure
        The axis above, bars below it, names fanned out to both sides.
    """
    n, n_bars = len(view.arms), len(view.bars)
    bottom = 1.0 + 0.35 * n_bars + max((arm.height for arm in view.arms), default=0)
    figure = Figure(figsize=(7.4, 1.1 + 0.3 * bottom), layout="constrained")
    axis = figure.subplots()
    for k, (low, high) in enumerate(view.bars):
        y = 0.4 + 0.35 * k
        axis.plot([low - 0.04, high + 0.04], [y, y], color=INK, linewidth=3.5)
    for arm in view.arms:
        y, end = 1.0 + 0.35 * n_bars + arm.height, 0.7 if arm.on_left else n + 0.3
        axis.plot([arm.rank, arm.rank, end], [0.0, y, y], color=GREY, linewidth=0.9)
        axis.text(
            end + (-0.05 if arm.on_left else 0.05),
            y,
            f"{_name(arm.label)} ({arm.rank:.2f})",
            ha="right" if arm.on_left else "left",
            va="center",
            fontsize=8,
        )
    axis.set_xlim(1 - 0.7 * n, n + 0.7 * n)
    axis.set_ylim(bottom + 0.5, 0.0)
    axis.xaxis.tick_top()
    axis.set_xticks(range(1, n + 1))
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.plot([1, n], [0, 0], color=INK, linewidth=1.2, clip_on=False)
    axis.set_title(
        f"average rank by {_plain(view.metric)}, 1 is best; Friedman {p_in_words(view.p_value)} "
        f"over {view.n_blocks} blocks",
        fontsize=9,
    )
    return figure


def matrix_figure(view: Matrix) -> Figure:
    """Draw the verdicts of all metrics.

    Parameters
    ----------
    view : Matrix
        Verdicts.

    Returns
    -------
    matplotlib.figure.Figure
        A row a metric, a column a comparison, coloured and worded.
    """
    n_rows, n_columns = len(view.metrics), len(view.comparisons)
    size = (2.6 + 1.15 * n_columns, 1.4 + 0.55 * n_rows)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    colours = [[_cell(effect) for effect in row] for row in view.cells]
    axis.imshow(colours, aspect="auto")
    for i, row in enumerate(view.cells):
        for j, effect in enumerate(row):
            words = "" if effect is None else short_verdict(effect)
            axis.text(j, i, words, ha="center", va="center", fontsize=7)
    columns = [_name(name, 24) for name in view.comparisons]
    axis.set_xticks(range(n_columns), columns, fontsize=7, rotation=20, ha="right")
    axis.set_yticks(range(n_rows), [_name(name) for name in view.metrics], fontsize=8)
    axis.set_xlabel(_plain(view.against), fontsize=8)
    axis.set_xticks([j - 0.5 for j in range(1, n_columns)], minor=True)
    axis.set_yticks([i - 0.5 for i in range(1, n_rows)], minor=True)
    axis.grid(which="minor", color="white", linewidth=2)
    axis.tick_params(which="both", length=0)
    axis.spines[:].set_visible(False)
    return figure


def learning_figure(view: Learning) -> Figure:
    """Draw the middle and the range of each arm's curves.

    Parameters
    ----------
    view : Learning
        Training losses, and what was monitored.

    Returns
    -------
    matplotlib.figure.Figure
        One panel, or two beside each other.
    """
    panels = [("training loss", view.train)]
    if view.monitor:
        panels.append(("monitored mean squared error", view.monitor))
    figure = Figure(figsize=(5.2 * len(panels), 4.0), layout="constrained")
    for axis, (label, bands) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        for band in bands:
            _draw_band(axis, band)
        axis.set_xlabel("epoch", fontsize=9)
        axis.set_ylabel(label, fontsize=9)
    shown = figure.axes[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return finished(figure, False)


def _draw_band(axis: Axes, band: Band) -> None:
    """Draw one arm over epochs."""
    colour, dashes, _ = arm_line(band.position)
    axis.fill_between(band.epochs, band.low, band.high, color=colour, alpha=0.15, linewidth=0)
    marker = "o" if len(band.epochs) == 1 else ""
    label = _name(band.label)
    axis.plot(band.epochs, band.middle, dashes, color=colour, marker=marker, label=label)


def _cell(effect: Effect | None) -> tuple[float, float, float, float]:
    """Choose a cell's colour, pale enough for words on it."""
    return to_rgba("white" if effect is None else VERDICT_MARKS[effect.verdict][0], 0.35)


def _verdict_legend(view: tuple[Effect, ...]) -> list[Line2D]:
    """Explain the marks that are there."""
    marks = []
    for verdict, (colour, shape) in VERDICT_MARKS.items():
        if any(one.verdict == verdict and one.difference is not None for one in view):
            face = "white" if verdict == "not_resolvable" else colour
            marks.append(
                Line2D(
                    [],
                    [],
                    color=colour,
                    marker=shape.matplotlib,
                    markerfacecolor=face,
                    linestyle="",
                    label=VERDICTS[verdict],
                )
            )
    return marks


def _name(text: str, longest: int = _LONGEST) -> str:
    """Shorten what a user named, and keep it from starting a formula."""
    return _plain(shortened(text, longest))


def _plain(text: str) -> str:
    """Keep a dollar sign from starting a formula."""
    return text.replace("$", r"\$")
