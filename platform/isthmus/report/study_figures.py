"""Pictures of a study: front, history, hypervolume, importance, all dimensions side by side."""

import math
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from isthmus.report.strata_figures import finished, said_figure
from isthmus.report.strata_palette import BLUE, GREY, INK, ORANGE, PALE, VERMILION
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import shortened
from isthmus.report.study_parallel import parallel_view
from isthmus.report.study_views import (
    Front,
    History,
    errors_of,
    front_view,
    history_view,
    hypervolume_view,
    importance_view,
    values_of,
)
from isthmus.report.study_words import STATES, is_leaky, objective_in_words
from isthmus.study.records import Importance, StudyResult, TrialRecord

_MOST_NAMED = 12
_MOST_WHISKERS = 150
_COLOURS = colormaps["viridis"]


def front_figure(result: StudyResult) -> Figure:
    """Draw the finished trials by two objectives, those that no other one beats joined.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each two objectives.
    """
    view = front_view(result)
    if isinstance(view, Absent):
        return said_figure(view.reason, is_leaky(result))
    n_columns = min(3, len(view.pairs))
    n_rows = math.ceil(len(view.pairs) / n_columns)
    size = (6.4, 4.6) if n_columns == 1 else (4.2 * n_columns, 3.8 * n_rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axis, (i, j) in zip(panels, view.pairs, strict=False):
        _draw_front(axis, view, i, j)
        axis.set_xlabel(objective_in_words(result.objectives[i]), fontsize=9)
        axis.set_ylabel(objective_in_words(result.objectives[j]), fontsize=9)
    for axis in panels[len(view.pairs) :]:
        axis.set_axis_off()
    shown = panels[0].get_legend_handles_labels()
    figure.legend(*shown, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return finished(figure, is_leaky(result))


def history_figure(result: StudyResult) -> Figure:
    """Draw each objective over the trials.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    matplotlib.figure.Figure
        A panel an objective, below each other.
    """
    view = history_view(result)
    if isinstance(view, Absent):
        return said_figure(view.reason, is_leaky(result))
    figure = Figure(figsize=(7.4, 0.8 + 2.8 * len(view)), layout="constrained")
    panels = figure.subplots(len(view), 1, sharex=True, squeeze=False).ravel()
    for axis, history in zip(panels, view, strict=True):
        _draw_history(axis, history)
    panels[-1].set_xlabel("trial, in the order of suggestion")
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    return finished(figure, is_leaky(result))


def hypervolume_figure(result: StudyResult) -> Figure:
    """Draw the hypervolume after each finished trial.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    matplotlib.figure.Figure
        Steps, from zero.
    """
    view = hypervolume_view(result)
    if isinstance(view, Absent):
        return said_figure(view.reason, is_leaky(result))
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = figure.subplots()
    numbers, volumes = zip(*view, strict=True)
    marker = "o" if len(view) <= _MOST_WHISKERS else ""
    axis.plot(numbers, volumes, color=BLUE, drawstyle="steps-post", marker=marker, markersize=3)
    axis.set_ylim(bottom=0.0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("trial, in the order of suggestion")
    axis.set_ylabel("hypervolume")
    return finished(figure, is_leaky(result))


def importance_figure(result: StudyResult) -> Figure:
    """Draw the share of each dimension.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    matplotlib.figure.Figure
        A panel a method and objective, the dimensions in the order of the first one.
    """
    view = importance_view(result)
    if isinstance(view, Absent):
        return said_figure(view.reason, is_leaky(result))
    paths = tuple(dict.fromkeys(path for one in view for path in one.shares))
    n_columns = min(4, len(view))
    n_rows = math.ceil(len(view) / n_columns)
    size = (2.4 + 2.2 * n_columns, n_rows * (0.9 + 0.28 * len(paths)) + 0.2)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
    for axis, one in zip(panels, view, strict=False):
        _draw_importance(axis, one, paths)
    for axis in panels[len(view) :]:
        axis.set_axis_off()
    return finished(figure, is_leaky(result))


def parallel_figure(result: StudyResult) -> Figure:
    """Draw each finished trial as a line over all dimensions and objectives.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    matplotlib.figure.Figure
        Dark lines are best by the first objective; the best one is drawn last.
    """
    view = parallel_view(result)
    if isinstance(view, Absent):
        return said_figure(view.reason, is_leaky(result))
    n = len(view.trials)
    figure = Figure(figsize=(max(5.0, 1.5 * len(view.scales)), 4.6), layout="constrained")
    axis = figure.subplots()
    opacity = max(0.1, min(0.8, 40 / n))
    heights = [[scale.height(p) for p in scale.positions] for scale in view.scales]
    for k in reversed(range(n)):
        axis.plot(
            range(len(view.scales)),
            [height[k] for height in heights],
            color=_COLOURS(k / max(1, n)),
            alpha=1.0 if k == 0 else opacity,
            linewidth=2.2 if k == 0 else 1.0,
        )
    for column, scale in enumerate(view.scales):
        axis.axvline(column, color=INK, linewidth=0.8)
        for position, words in scale.ticks:
            height = scale.height(position)
            axis.plot([column - 0.02, column], [height, height], color=INK, linewidth=0.8)
            axis.text(
                column - 0.04,
                height,
                _plain(shortened(words, 16)),
                fontsize=7,
                ha="right",
                va="center",
                bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.6},
            )
    labels = [_plain(shortened(scale.label, 22)) for scale in view.scales]
    axis.set_xticks(range(len(labels)), labels, fontsize=8, rotation=20, ha="right")
    axis.set_yticks([])
    axis.set_xlim(-0.6, len(view.scales) - 0.8)
    axis.spines[["left", "bottom"]].set_visible(False)
    axis.set_title(_best_in_words(view.trials), fontsize=9, loc="left")
    return finished(figure, is_leaky(result))


def _draw_front(axis: Axes, view: Front, i: int, j: int) -> None:
    """Draw one plane."""
    for trials, face, edge, label in (
        (view.beaten, "white", GREY, "finished"),
        (view.front, BLUE, BLUE, "no other beats it in all"),
    ):
        if trials:
            x, y = values_of(trials, i), values_of(trials, j)
            if len(view.front) + len(view.beaten) <= _MOST_WHISKERS:
                up, across = errors_of(trials, j), errors_of(trials, i)
                axis.errorbar(x, y, up, across, fmt="none", ecolor=PALE, elinewidth=0.9, zorder=1)
            axis.scatter(x, y, s=26, c=face, edgecolors=edge, linewidths=0.9, label=label, zorder=3)
    if len(view.pairs) == 1:
        # as steps: what lies between two trials was not reached by any
        x, y = values_of(view.front, i), values_of(view.front, j)
        axis.plot(x, y, color=BLUE, linewidth=1, drawstyle="steps-post", zorder=2)
    if len(view.front) <= _MOST_NAMED:
        for one in view.front:
            if one.values is not None:
                at = (one.values[i], one.values[j])
                axis.annotate(
                    str(one.number), at, (4, 4), textcoords="offset points", fontsize=7, zorder=4
                )


def _draw_history(axis: Axes, history: History) -> None:
    """Draw one objective over the trials."""
    numbers = [one.number for one in history.finished]
    if numbers:
        if len(numbers) <= _MOST_WHISKERS:
            errors = [error or 0.0 for error in history.errors]
            axis.errorbar(
                numbers, history.values, yerr=errors, fmt="none", ecolor=PALE, elinewidth=1.0
            )
        size = 18 if len(numbers) <= _MOST_WHISKERS else 6
        axis.scatter(numbers, history.values, s=size, c=GREY, label="finished", zorder=2)
        axis.plot(
            numbers, history.best_so_far, color=BLUE, drawstyle="steps-post", label="best so far"
        )
    if history.stopped:
        x, y = zip(*history.stopped, strict=True)
        label = STATES["stopped"]
        axis.scatter(x, y, s=18, marker="s", c="white", edgecolors=ORANGE, label=label, zorder=2)
    colours = {"failed": VERMILION, "infeasible": INK}
    for state, of in history.without_value:
        axis.plot(
            of,
            [0.0] * len(of),
            "|",
            color=colours.get(state, GREY),
            markersize=9,
            markeredgewidth=1.6,
            transform=axis.get_xaxis_transform(),
            clip_on=False,
            label=STATES[state],
        )
    axis.set_ylabel(objective_in_words(history.objective), fontsize=8)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _draw_importance(axis: Axes, one: Importance, paths: Sequence[str]) -> None:
    """Draw one method's shares."""
    shares = [one.shares.get(path, 0.0) for path in paths]
    axis.barh(range(len(paths)), shares, color=BLUE, height=0.7)
    for row, share in enumerate(shares):
        axis.text(share + 0.02, row, f"{share:.0%}", va="center", fontsize=7)
    labels = [_plain(shortened(path, 34)) for path in paths]
    axis.set_yticks(range(len(paths)), labels, fontsize=8)
    axis.set_ylim(len(paths) - 0.4, -0.6)
    axis.set_xlim(0.0, 1.15)
    axis.set_xticks([0.0, 0.5, 1.0])
    axis.set_title(f"{one.metric}\n{one.method}", fontsize=8, loc="left")


def _best_in_words(trials: Sequence[TrialRecord]) -> str:
    """Say what the colours mean."""
    return f"{len(trials):,} finished trials, dark is best; thick: trial {trials[0].number}"


def _plain(text: str) -> str:
    """Keep a dollar sign from starting a formula."""
    return text.replace("$", r"\$")
