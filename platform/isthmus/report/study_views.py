"""What the figures of a study show, computed once for both kinds of drawing."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from isthmus.report.strata_views import Absent
from isthmus.report.study_captions import MOST_SELECTED
from isthmus.report.study_words import (
    counts_in_words,
)
from isthmus.stratification.across import SelectionReport
from isthmus.study.ranking import ranked
from isthmus.study.records import Importance, Objective, StudyResult, TrialRecord, TrialState

# As `isthmus.study.outcome.stopped` says it: means over folds are in the objective's unit.
_AT_FOLD = re.compile(r" at fold \d+\b")


@dataclass(frozen=True)
class History:
    """One objective over the trials.

    Attributes
    ----------
    objective : Objective
        Which.
    finished : tuple of TrialRecord
        By number.
    values : tuple of float
        Theirs.
    errors : tuple of (float or None)
        Their standard errors.
    best_so_far : tuple of float
        The best value up to each of them.
    stopped : tuple of (int, float)
        Number and last report of trials that the scheduler stopped after some folds: a mean over
        fewer folds.
    without_value : tuple of (str, tuple of int)
        Trials that have no value to draw, by their state.
    """

    objective: Objective
    finished: tuple[TrialRecord, ...]
    values: tuple[float, ...]
    errors: tuple[float | None, ...]
    best_so_far: tuple[float, ...]
    stopped: tuple[tuple[int, float], ...]
    without_value: tuple[tuple[TrialState, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Front:
    """Finished trials in the plane of two objectives.

    Attributes
    ----------
    pairs : tuple of (int, int)
        Positions of the objectives of each plane.
    beaten, front : tuple of TrialRecord
        Trials that another one beats in all objectives, and the others; by the first objective.
    """

    pairs: tuple[tuple[int, int], ...]
    beaten: tuple[TrialRecord, ...]
    front: tuple[TrialRecord, ...]


def history_view(result: StudyResult) -> tuple[History, ...] | Absent:
    """Follow each objective over the trials.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    tuple of History or Absent
        One an objective. Absent where nothing has come to a value.
    """
    stopped = tuple(
        (one.number, one.reports[-1][1])
        for one in result.trials
        if one.state == "stopped" and one.reports and _AT_FOLD.search(one.reason)
    )
    if result.best is None and not stopped:
        return Absent(f"No trial has come to a value: {counts_in_words(result)}.")
    return tuple(
        _history(result, i, objective, stopped if i == 0 else ())
        for i, objective in enumerate(result.objectives)
    )


def front_view(result: StudyResult) -> Front | Absent:
    """Tell the trials that no other one beats from the others.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    Front or Absent
        Absent with a single objective, or without a finished trial.
    """
    if len(result.objectives) < 2:
        return Absent("There is one objective: the best trial stands in the ranking.")
    order = ranked(result.trials, result.objectives[0])
    if not order:
        return Absent(f"No trial has finished: {counts_in_words(result)}.")
    return Front(
        pairs=tuple(combinations(range(len(result.objectives)), 2)),
        beaten=tuple(one for one in order if one.number not in result.front),
        front=tuple(one for one in order if one.number in result.front),
    )


def hypervolume_view(result: StudyResult) -> tuple[tuple[int, float], ...] | Absent:
    """Take the hypervolume after each finished trial.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    tuple of (int, float) or Absent
        Number and hypervolume.
    """
    if len(result.objectives) < 2:
        return Absent("There is one objective, and so no volume between several.")
    if not result.hypervolume:
        return Absent(f"No trial has finished: {counts_in_words(result)}.")
    return result.hypervolume


def importance_view(result: StudyResult) -> tuple[Importance, ...] | Absent:
    """Take the importance of the dimensions.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    tuple of Importance or Absent
        Those that have a share to show.
    """
    found = tuple(one for one in result.importance if one.shares)
    return found or Absent(
        f"Too few trials have finished to tell dimensions apart: {counts_in_words(result)}."
    )


def leading_selection(result: StudyResult) -> SelectionReport | Absent:
    """Take the trials with the smallest adjusted p-values, as many as can be drawn.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    SelectionReport or Absent
        Absent where p-values were not computed.
    """
    if result.selection is None:
        return Absent(
            "P-values adjusted for having picked the best trial were not computed: that needs "
            "phenotypes and a finished trial."
        )
    return replace(result.selection, trials=result.selection.trials[:MOST_SELECTED])


def values_of(trials: Sequence[TrialRecord], i: int) -> list[float]:
    """Take one objective of finished trials.

    Parameters
    ----------
    trials : sequence of TrialRecord
        Finished ones.
    i : int
        Position of the objective.

    Returns
    -------
    list of float
        A value a trial.
    """
    return [one.values[i] for one in trials if one.values is not None]


def errors_of(trials: Sequence[TrialRecord], i: int) -> list[float]:
    """Take the length of the whiskers of one objective.

    Parameters
    ----------
    trials : sequence of TrialRecord
        Finished ones.
    i : int
        Position of the objective.

    Returns
    -------
    list of float
        A standard error a trial; 0, which is not to be seen, where there is none.
    """
    return [(one.standard_errors[i] or 0.0) if one.standard_errors else 0.0 for one in trials]


def _history(
    result: StudyResult, i: int, objective: Objective, stopped: tuple[tuple[int, float], ...]
) -> History:
    """Follow one objective."""
    done = sorted(ranked(result.trials, result.objectives[0]), key=lambda one: one.number)
    values = [one.values[i] for one in done if one.values is not None]
    errors = [one.standard_errors[i] if one.standard_errors else None for one in done]
    better = min if objective.direction == "minimize" else max
    drawn = {one.number for one in done} | {number for number, _ in stopped}
    states: dict[TrialState, list[int]] = {}
    for one in result.trials:
        if one.number not in drawn:
            states.setdefault(one.state, []).append(one.number)
    return History(
        objective=objective,
        finished=tuple(done),
        values=tuple(values),
        errors=tuple(errors),
        best_so_far=tuple(better(values[: k + 1]) for k in range(len(values))),
        stopped=stopped,
        without_value=tuple((state, tuple(numbers)) for state, numbers in states.items()),
    )
