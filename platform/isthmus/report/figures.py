"""Figures of a trial: learning curves, and the model against its controls."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from isthmus.report.summary import CONTROL_LABELS
from isthmus.trial.records import TrialResult


def learning_curves(
    histories: Mapping[int, Sequence[Mapping[str, float]]], leaky: bool = False
) -> Figure:
    """Draw the training loss, and the monitored loss where there is one, over epochs.

    Parameters
    ----------
    histories : Mapping of int to sequence of Mapping
        For each fold, one mapping an epoch with ``epoch``, ``train_loss`` and maybe
        ``monitor_loss``.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the title says so.

    Returns
    -------
    matplotlib.figure.Figure
        One line a fold; monitored losses are dashed.
    """
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axis = figure.subplots()
    for number, history in histories.items():
        epochs = [int(row["epoch"]) for row in history]
        colour = f"C{number % 10}"
        axis.plot(
            epochs,
            [row["train_loss"] for row in history],
            color=colour,
            marker="o",
            markersize=3,
            label=f"fold {number}",
        )
        watched = [(row["epoch"], row["monitor_loss"]) for row in history if "monitor_loss" in row]
        if watched:
            axis.plot(*zip(*watched, strict=True), color=colour, linestyle="--")
    axis.set_xlabel("epoch")
    axis.set_ylabel("loss (training solid, monitored dashed)")
    axis.legend(fontsize=8)
    if leaky:
        _label_leaky(axis)
    return figure


def controls_figure(result: TrialResult) -> Figure:
    """Draw the held-out MSE of the model and of each control, a point a fold.

    Parameters
    ----------
    result : TrialResult
        A finished trial.

    Returns
    -------
    matplotlib.figure.Figure
        MSE from zero, on normalised intensity; a short line marks the mean over folds.
    """
    figure = Figure(figsize=(6.5, 3.2), layout="constrained")
    axis = figure.subplots()
    for row, metric in enumerate(CONTROL_LABELS):
        values = [fold.metrics[metric] for fold in result.folds if metric in fold.metrics]
        if not values:
            continue
        axis.scatter(values, [row] * len(values), color="C0" if row == 0 else "0.4", zorder=2)
        mean = sum(values) / len(values)
        axis.plot([mean, mean], [row - 0.25, row + 0.25], color="black", zorder=3)
        axis.text(mean, row - 0.3, f"{mean:.4g}", fontsize=7, ha="center", va="bottom")
    axis.set_yticks(range(len(CONTROL_LABELS)), list(CONTROL_LABELS.values()))
    axis.invert_yaxis()
    axis.margins(x=0.08)
    axis.set_xlim(left=0.0)
    axis.set_xlabel("held-out MSE in the mask, a point a fold")
    if result.leaky:
        _label_leaky(axis)
    return figure


def _label_leaky(axis: Axes) -> None:
    """Say above a figure that its numbers are for comparison only."""
    axis.set_title("LEAKY normalisation: it saw the held-out subjects", color="C3", fontsize=9)
