"""Trials put in order: the best, those as good as it, those that no other beats."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from isthmus.config.search_space import SearchSpace
from isthmus.stratification.across import SelectionReport
from isthmus.study.ledger import LedgerReader
from isthmus.study.records import Objective, StudyResult, TrialRecord

_OUTWARDS = 0.1
_LEAST_STEP = 1e-9


@dataclass(frozen=True)
class Spent:
    """What trials have cost.

    Attributes
    ----------
    n_trials : int
        Trials that were begun; infeasible and repeated ones are not.
    seconds : float
        Time that they ran, added up over trials and attempts.
    gpu_seconds : float
        Time x GPUs of their workers.
    """

    n_trials: int
    seconds: float
    gpu_seconds: float


def summarise_study(
    name: str,
    study_id: str,
    experiment: str,
    space: SearchSpace,
    ledger: LedgerReader,
    wall_seconds: float,
    selection: SelectionReport | None = None,
    whole: bool = True,
) -> StudyResult:
    """Say how a study stands.

    Parameters
    ----------
    name : str
        What people call it.
    study_id : str
        Its identity.
    experiment : str
        Name of the experiment.
    space : SearchSpace
        Objectives and budget.
    ledger : LedgerReader
        Its trials.
    wall_seconds : float
        Spent so far, over all sittings.
    selection : SelectionReport, optional
        As `isthmus.study.significance.adjust_study` computes it.
    whole : bool
        Add hypervolume and importance, which take seconds.

    Returns
    -------
    StudyResult
        Ranked by the first objective; front and hypervolume by all of them.
    """
    objectives = tuple(Objective(one.metric, one.direction) for one in space.objectives)
    trials = tuple(sorted(ledger.trials(), key=lambda record: record.number))
    good = within_one_standard_error(trials, objectives[0])
    reference = reference_point(trials, objectives)
    return StudyResult(
        name=name,
        study_id=study_id,
        experiment=experiment,
        n_trials=space.budget.n_trials,
        objectives=objectives,
        trials=trials,
        best=best_trial(trials, objectives[0]),
        within_one_se=good,
        smallest=smallest_embedding(trials, good),
        front=pareto_front(trials, objectives),
        reference_point=reference,
        hypervolume=ledger.hypervolume(reference) if whole and reference is not None else (),
        importance=ledger.importance() if whole else (),
        wall_seconds=wall_seconds,
        gpu_seconds=spent(trials).gpu_seconds,
        selection=selection,
    )


def ranked(records: Sequence[TrialRecord], objective: Objective) -> tuple[TrialRecord, ...]:
    """Put finished trials in order, the best first.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials in any state and order.
    objective : Objective
        The study's first one.

    Returns
    -------
    tuple of TrialRecord
        Finished ones by their first value, ties by number. A point that ran once counts once:
        repetitions are left out.
    """
    return tuple(sorted(_finished(records), key=lambda one: (_loss(one, 0, objective), one.number)))


def best_trial(records: Sequence[TrialRecord], objective: Objective) -> int | None:
    """Find the finished trial with the best first objective.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials in any state and order.
    objective : Objective
        The study's first one.

    Returns
    -------
    int or None
        Its number, the lowest of equals; None where no trial has finished.

    Notes
    -----
    The best of many means is too good to be true: part of what put it first is luck, more so the
    more trials there are and the less they differ.
    """
    order = ranked(records, objective)
    return order[0].number if order else None


def within_one_standard_error(
    records: Sequence[TrialRecord], objective: Objective
) -> tuple[int, ...]:
    """Find the trials whose first objective is as good as the best one's, give or take its error.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials in any state and order.
    objective : Objective
        The study's first one.

    Returns
    -------
    tuple of int
        Finished trials whose mean is no further than one standard error of the best trial's mean
        from it, by number, the best among them. Without a standard error (a single fold) the best
        one's equals alone.

    Notes
    -----
    The rule of Breiman et al. [1]_: among models that cannot be told apart the simplest is
    chosen. It is a rule of thumb and no test. Folds share training subjects, so the standard
    error is too small; and the best mean is the best of many. What is outside is not shown to be
    worse, what is inside not to be equal.

    References
    ----------
    .. [1] Breiman, Friedman, Olshen & Stone (1984), Classification and Regression Trees, 3.4.3.
    """
    order = ranked(records, objective)
    if not order:
        return ()
    error = order[0].standard_errors[0] if order[0].standard_errors else None
    limit = _loss(order[0], 0, objective) + (error or 0.0)
    return tuple(sorted(one.number for one in order if _loss(one, 0, objective) <= limit))


def smallest_embedding(records: Sequence[TrialRecord], numbers: Collection[int]) -> int | None:
    """Find the trial with the smallest embedding among some.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials in any order.
    numbers : collection of int
        Among which.

    Returns
    -------
    int or None
        Ties go to fewer parameters, then to the lower number; a trial that does not say how large
        it is comes last. None where there are none to choose from.
    """
    chosen = [one for one in records if one.number in numbers]
    smallest = min(
        chosen,
        key=lambda one: (_size(one, "embedding_size"), _size(one, "n_parameters"), one.number),
        default=None,
    )
    return smallest.number if smallest else None


def pareto_front(
    records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> tuple[int, ...]:
    """Find the finished trials that no other one beats.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials in any state and order.
    objectives : sequence of Objective
        In the order of the values.

    Returns
    -------
    tuple of int
        By number. One trial beats another where it is as good in all objectives and better in
        one, so trials of equal values stay together. Standard errors are not looked at.

    Notes
    -----
    O(n f k) for n finished trials, f of them on the front, and k objectives: a trial can only be
    beaten by one that comes before it in lexicographic order, and then by one of the front, too.
    """
    done = _finished(records)
    if not done:
        return ()
    losses_NK = np.array(
        [[_loss(one, i, of) for i, of in enumerate(objectives)] for one in done], dtype=np.float64
    )
    points_PK, which_N = np.unique(losses_NK, axis=0, return_inverse=True)  # in that order
    front_FK = np.empty_like(points_PK)
    is_front_P = np.zeros(len(points_PK), dtype=bool)
    n_front = 0
    for p, point_K in enumerate(points_PK):
        if not (front_FK[:n_front] <= point_K).all(axis=1).any():
            front_FK[n_front], is_front_P[p] = point_K, True
            n_front += 1
    return tuple(sorted(one.number for one, p in zip(done, which_N, strict=True) if is_front_P[p]))


def reference_point(
    records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> tuple[float, ...] | None:
    """Choose the corner that hypervolume is measured from.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials in any state and order.
    objectives : sequence of Objective
        In the order of the values.

    Returns
    -------
    tuple of float or None
        For each objective the worst value of the finished trials, moved outwards by a tenth of
        their range; where they have no range, by a tenth of the value's size, or 1e-9 for a value
        of 0. None with one objective, or without a finished trial.

    Notes
    -----
    Every finished trial thus spans some volume. The point moves when a trial is worse than all
    before it, so hypervolumes of two studies, or of one at two times, are not to be compared.
    """
    done = _finished(records)
    if len(objectives) < 2 or not done:
        return None
    corner = []
    for i, objective in enumerate(objectives):
        losses = [_loss(one, i, objective) for one in done]
        worst = max(losses)
        moved = worst + _OUTWARDS * (worst - min(losses))
        if moved <= worst:  # also where the range is lost in rounding
            moved = worst + (_OUTWARDS * abs(worst) or _LEAST_STEP)
        corner.append(_signed(moved, objective))
    return tuple(corner)


def spent(records: Sequence[TrialRecord]) -> Spent:
    """Add up what trials have cost.

    Parameters
    ----------
    records : sequence of TrialRecord
        Trials in any state.

    Returns
    -------
    Spent
        Running, finished, stopped and failed trials; the others were never begun.
    """
    begun = [one for one in records if one.state not in ("infeasible", "repeated")]
    return Spent(
        n_trials=len(begun),
        seconds=math.fsum(one.seconds for one in begun),
        gpu_seconds=math.fsum(one.gpu_seconds for one in begun),
    )


def _finished(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Take the finished trials, each experiment once."""
    return [
        one
        for one in records
        if one.state == "finished" and one.same_as is None and one.values is not None
    ]


def _loss(record: TrialRecord, i: int, objective: Objective) -> float:
    """Read a value so that less is better."""
    assert record.values is not None, "only of finished trials"
    return _signed(record.values[i], objective)


def _signed(value: float, objective: Objective) -> float:
    """Turn a value into a loss, or a loss into a value."""
    return value if objective.direction == "minimize" else -value


def _size(record: TrialRecord, fact: str) -> float:
    """Read a number off a trial's facts; unknown is largest."""
    value = record.facts.get(fact)
    return float(value) if isinstance(value, int | float) else math.inf
