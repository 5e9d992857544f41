"""All finished trials over all dimensions and objectives, as axes that stand side by side."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.report.strata_views import Absent
from isthmus.report.study_words import (
    NOT_ASKED,
    counts_in_words,
    dimensions,
    short_paths,
    value_in_words,
)
from isthmus.study.ranking import ranked
from isthmus.study.records import StudyResult, TrialRecord

# Positive numbers that span more than this are spread over orders of magnitude.
_LOG_SPAN = 8.0
_MOST_TICKS = 8
# How far below the others those stand that a dimension was not asked of, as a share of its span.
_BELOW = 0.2
_MISSING = ...


@dataclass(frozen=True)
class Scale:
    """One of the axes that stand beside each other.

    Attributes
    ----------
    label : str
        What it is of.
    positions : tuple of float
        Where each trial crosses it.
    ticks : tuple of (float, str)
        Positions with their words.
    low, high : float
        Its ends.
    """

    label: str
    positions: tuple[float, ...]
    ticks: tuple[tuple[float, str], ...]
    low: float
    high: float

    def height(self, position: float) -> float:
        """Bring a position to 0, the foot of the axis, to 1, its head."""
        return (position - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Parallel:
    """All finished trials over all dimensions and objectives.

    Attributes
    ----------
    trials : tuple of TrialRecord
        By the first objective, the best first.
    scales : tuple of Scale
        Dimensions, then objectives.
    """

    trials: tuple[TrialRecord, ...]
    scales: tuple[Scale, ...]


def parallel_view(result: StudyResult) -> Parallel | Absent:
    """Lay the finished trials over all dimensions and objectives.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    Parallel or Absent
        Absent without a finished trial.
    """
    order = ranked(result.trials, result.objectives[0])
    if not order:
        return Absent(f"No trial has finished: {counts_in_words(result)}.")
    names = short_paths(dimensions(order))
    scales = [
        scale_of(label, [one.point.get(path, _MISSING) for one in order])
        for path, label in names.items()
    ]
    scales += [
        scale_of(objective.metric, [one.values[i] if one.values else _MISSING for one in order])
        for i, objective in enumerate(result.objectives)
    ]
    return Parallel(order, tuple(scales))


def scale_of(label: str, values: Sequence[Any]) -> Scale:
    """Lay values along an axis.

    Parameters
    ----------
    label : str
        What they are of.
    values : sequence
        Of each trial; `...` where a dimension was not asked.

    Returns
    -------
    Scale
        Numbers where they belong, by their logarithm where they span orders of magnitude;
        anything else at equal distances, in the order of its words; those that were not asked
        below all of them.

    Examples
    --------
    >>> scale_of("depth", [4, 2, ...]).ticks
    ((1.6, 'not asked'), (2.0, '2'), (4.0, '4'))
    """
    asked = [value for value in values if value is not _MISSING]
    is_number = all(isinstance(v, int | float) and not isinstance(v, bool) for v in asked)
    if asked and is_number:
        at, ticks = _numeric([float(value) for value in asked])
    else:
        words = sorted({value_in_words(value) for value in asked})
        at = [float(words.index(value_in_words(value))) for value in asked]
        ticks = [(float(i), word) for i, word in enumerate(words)]
    low, high = min(at), max(at)
    if low == high:
        low, high = low - 0.5, high + 0.5
    crossed = iter(at)
    below = low - _BELOW * (high - low)
    positions = tuple(below if value is _MISSING else next(crossed) for value in values)
    if len(asked) < len(values):
        ticks, low = [(below, NOT_ASKED), *ticks], below
    return Scale(label, positions, tuple(ticks), low, high)


def _numeric(values: list[float]) -> tuple[list[float], list[tuple[float, str]]]:
    """Lay numbers along an axis, with a tick at each of few, and some for many."""
    is_log = min(values) > 0 and max(values) / min(values) >= _LOG_SPAN
    at = [math.log10(value) if is_log else value for value in values]
    distinct = sorted(set(at))
    if len(distinct) > _MOST_TICKS:
        low, high = distinct[0], distinct[-1]
        distinct = [low + k * (high - low) / 4 for k in range(5)]
    return at, [(p, value_in_words(_three_digits(10**p if is_log else p))) for p in distinct]


def _three_digits(value: float) -> float:
    """Round for a tick."""
    return float(f"{value:.3g}")
