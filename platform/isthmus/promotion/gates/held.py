"""What is held against a threshold: a mean over folds, or the end of its interval."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from isthmus.config.promotion.thresholds import ComparedSettings
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.verdict import GateVerdict
from isthmus.study.inference.resampled_t import (
    Constant,
    Identical,
    Outcome,
    ResampledT,
    mean_ratio,
    resampled_t,
)

_FURTHEST = 299 * math.log(10)


@dataclass(frozen=True)
class Held:
    """A mean and, where one was asked for, its interval.

    Attributes
    ----------
    label : str
        Of what: a modality, or ``all``.
    mean : float
        The mean.
    low, high : float
        The interval's ends; the mean itself where no interval was asked for.
    n : int
        Values averaged.
    percent : float or None
        Coverage of the interval; None without one.
    """

    label: str
    mean: float
    low: float
    high: float
    n: int
    percent: float | None

    def through(self, change: Callable[[float], float]) -> "Held":
        """Put it on another scale, such as from logarithms to ratios.

        Parameters
        ----------
        change : callable
            Increasing.

        Returns
        -------
        Held
            Mean and ends changed alike.
        """
        mean, low, high = change(self.mean), change(self.low), change(self.high)
        return Held(self.label, mean, low, high, self.n, self.percent)

    def in_words(self, of: str = "folds") -> str:
        """Write the mean with its interval.

        Parameters
        ----------
        of : str
            What was averaged over.

        Returns
        -------
        str
            Such as ``0.47 (95 % interval 0.4 to 0.55 over 5 folds)``.
        """
        if self.percent is None:
            return f"{in_short(self.mean)} (mean over {self.n} {of})"
        return (
            f"{in_short(self.mean)} ({self.percent:g} % interval {in_short(self.low)} to "
            f"{in_short(self.high)} over {self.n} {of})"
        )


class CannotBeJudged(Exception):
    """Evidence is missing; the message says which, as a sentence."""


def held_of(
    outcome: Outcome, label: str, settings: ComparedSettings, values: Sequence[float]
) -> Held:
    """Make of an estimated mean what is held against a threshold.

    Parameters
    ----------
    outcome : Outcome
        Of `resampled_t` on the values.
    label : str
        Of what they are.
    settings : ComparedSettings
        Interval or mean, and the interval's level.
    values : sequence of float
        At least one.

    Returns
    -------
    Held
        On the values' scale.

    Raises
    ------
    CannotBeJudged
        If an interval is asked for and there is no spread to make it of.
    """
    mean = math.fsum(values) / len(values)
    if settings.by == "mean":
        return Held(label, mean, mean, mean, len(values), None)
    if isinstance(outcome, ResampledT):
        low, high = outcome.interval(settings.alpha)
        return Held(label, outcome.mean, low, high, len(values), 100 * (1 - settings.alpha))
    if isinstance(outcome, Identical | Constant):
        raise CannotBeJudged(
            f"All {len(values)} values are the same: without any spread there is no interval."
        )
    raise CannotBeJudged(
        "An interval needs two values or more and there is one. Train on more folds, or ask for "
        "the mean (by: mean), which is no evidence."
    )


def held_over_folds(
    evidence: TrialEvidence,
    settings: ComparedSettings,
    label: str,
    value: Callable[[int], float],
) -> Held:
    """Average a number over folds, with the interval that overlapping training sets leave.

    Parameters
    ----------
    evidence : TrialEvidence
        With at least one fold.
    settings : ComparedSettings
        Interval or mean, and the interval's level.
    label : str
        Of what the number is.
    value : callable
        The number of the fold at a position.

    Returns
    -------
    Held
        On the numbers' scale.

    Raises
    ------
    CannotBeJudged
        As `held_of`, and as `value`.
    """
    values = [value(i) for i in range(len(evidence.folds))]
    return held_of(resampled_t(values, mean_ratio(evidence.sizes)), label, settings, values)


def metric(evidence: TrialEvidence, position: int, name: str) -> float:
    """Read a fold's metric.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    position : int
        Of the fold.
    name : str
        Of the metric.

    Returns
    -------
    float
        The metric.

    Raises
    ------
    CannotBeJudged
        If the fold has none.
    """
    fold = evidence.folds[position]
    if name not in fold.metrics:
        raise CannotBeJudged(f"Fold {fold.number} has no `{name}`.")
    return fold.metrics[name]


def log_ratio(evidence: TrialEvidence, position: int, name: str, other: str) -> float:
    """Compute the logarithm of one metric over another, of one fold.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.
    position : int
        Of the fold.
    name, other : str
        The metrics.

    Returns
    -------
    float
        log(name / other).

    Raises
    ------
    CannotBeJudged
        If the fold lacks one, or one is not above 0.
    """
    values = [metric(evidence, position, one) for one in (name, other)]
    for which, value in zip((name, other), values, strict=True):
        if not value > 0:
            number = evidence.folds[position].number
            raise CannotBeJudged(f"`{which}` of fold {number} is {value:g}, which has no ratio.")
    return math.log(values[0]) - math.log(values[1])


def require_all_folds(evidence: TrialEvidence) -> None:
    """Refuse a trial of which a fold is missing: what is left is no mean of it.

    Parameters
    ----------
    evidence : TrialEvidence
        The trial's.

    Raises
    ------
    CannotBeJudged
        If a fold failed, or there is none.
    """
    if evidence.failures:
        raise CannotBeJudged(
            f"{len(evidence.failures)} of {len(evidence.failures) + len(evidence.folds)} folds "
            f"failed, and a failed fold is not averaged away ({evidence.failures[0]})."
        )
    if not evidence.folds:
        raise CannotBeJudged("The trial has no finished fold.")


def unknown(gate: str, threshold: float | None, reason: str) -> GateVerdict:
    """Say that a gate stays shut for want of evidence.

    Parameters
    ----------
    gate : str
        Its name.
    threshold : float or None
        What would have had to be met.
    reason : str
        What is missing, as a sentence.

    Returns
    -------
    GateVerdict
        Not passed, with nothing found.
    """
    return GateVerdict(gate, False, None, threshold, f"It could not be judged. {reason}")


def miss(found: float, threshold: float, side: Literal["above", "below"], quantity: str) -> str:
    """Say by how much a threshold was missed.

    Parameters
    ----------
    found, threshold : float
        What was found, and what was asked for.
    side : {"above", "below"}
        Where it lies, which is the wrong one.
    quantity : str
        What lies there, such as ``the interval's upper end``.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> miss(1.1, 1.0, "above", "The mean")
    'The mean is 0.1 above 1.'
    """
    away = abs(found - threshold)
    if away == 0:
        return f"{quantity} is {in_short(threshold)} itself."
    return f"{quantity} is {away:.2g} {side} {in_short(threshold)}."


def times(log: float) -> float:
    """Turn the logarithm of a ratio into the ratio, within what a float and JSON can hold.

    Parameters
    ----------
    log : float
        Any; the end of an interval over two folds may be far out.

    Returns
    -------
    float
        exp(log), at least 1e-299 and at most 1e299.

    Examples
    --------
    >>> times(0.0), times(1e6) < 1e300
    (1.0, True)
    """
    return math.exp(min(max(log, -_FURTHEST), _FURTHEST))


def in_short(value: float) -> str:
    """Write a number with four digits.

    Parameters
    ----------
    value : float
        Any.

    Returns
    -------
    str
        Without a minus before 0.
    """
    return f"{value + 0.0:.4g}"
