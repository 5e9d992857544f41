"""Learning curves of an ablation's arms: the middle and the range over blocks, epoch by epoch."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from isthmus.report.ablation.labels import arm_label
from isthmus.report.ablation.outcome import counts_in_words
from isthmus.report.strata_views import Absent
from isthmus.study.ablation.findings import AblationResult, LearningCurve


@dataclass(frozen=True)
class Band:
    """One arm over epochs.

    Attributes
    ----------
    label : str
        Which arm.
    position : int
        Its place in the plan, which chooses its colour.
    epochs : tuple of int
        From 1.
    middle, low, high : tuple of float
        Median, least and largest over the blocks that came to that epoch.
    n_blocks : tuple of int
        How many they were.
    """

    label: str
    position: int
    epochs: tuple[int, ...]
    middle: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n_blocks: tuple[int, ...]


@dataclass(frozen=True)
class Learning:
    """How all arms learned.

    Attributes
    ----------
    train : tuple of Band
        Training loss.
    monitor : tuple of Band
        Mean squared error of the monitor part; empty without one.
    """

    train: tuple[Band, ...]
    monitor: tuple[Band, ...]


def learning_view(result: AblationResult) -> Learning | Absent:
    """Summarise the curves of each arm's folds.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    Learning or Absent
        Arms in the plan's order, one that is the same as another left out; Absent before a fold
        has finished.
    """
    if not any(curve.epochs for curve in result.curves):
        return Absent(f"No fold has finished: {counts_in_words(result)}.")
    train, monitor = [], []
    for position, arm in enumerate(result.plan.arms):
        if arm.same_as:
            continue
        curves = [curve for curve in result.curves if curve.arm == arm.name]
        label = arm_label(result.plan, arm.name)
        losses = _by_epoch(curves, "train_loss")
        watched = _by_epoch(curves, "monitor_mse")
        train += [_band(label, position, losses)] if losses else []
        monitor += [_band(label, position, watched)] if watched else []
    return Learning(tuple(train), tuple(monitor))


def _by_epoch(curves: Iterable[LearningCurve], what: str) -> dict[int, list[float]]:
    """Collect the values of each epoch."""
    values: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in zip(curve.epochs, getattr(curve, what), strict=True):
            if value is not None:
                values.setdefault(epoch, []).append(value)
    return dict(sorted(values.items()))


def _band(label: str, position: int, values: dict[int, list[float]]) -> Band:
    """Summarise one arm."""
    return Band(
        label,
        position,
        tuple(values),
        tuple(statistics.median(of) for of in values.values()),
        tuple(min(of) for of in values.values()),
        tuple(max(of) for of in values.values()),
        tuple(len(of) for of in values.values()),
    )
