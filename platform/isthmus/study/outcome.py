"""The final states of a trial: what is written down of each."""

from collections.abc import Sequence
from dataclasses import replace

from isthmus.config.search_space import ObjectiveConfig, SchedulerConfig
from isthmus.study.records import SPENDS_BUDGET, TrialRecord
from isthmus.trial.records import FoldFailure, TrialResult


def finished(
    record: TrialRecord, result: TrialResult, objectives: Sequence[ObjectiveConfig]
) -> TrialRecord:
    """Take a trial's objectives from its result.

    Parameters
    ----------
    record : TrialRecord
        The trial, running.
    result : TrialResult
        What its folder holds.
    objectives : sequence of ObjectiveConfig
        What is sought.

    Returns
    -------
    TrialRecord
        Finished; or failed, if a fold did, or an objective is not a number in every fold: a mean
        over the others would be one of another question.
    """
    if result.failures:
        return fold_failed(record, result.failures[0])
    found = {o.metric: result.summary.get(o.metric) for o in objectives}
    estimates = [e for e in found.values() if e is not None and e.n_folds == len(result.folds)]
    if len(estimates) < len(found):
        missing = [
            f"{name} (in {e.n_folds if e else 0} of {len(result.folds)})"
            for name, e in found.items()
            if e is None or e.n_folds < len(result.folds)
        ]
        return failed(
            record,
            "ObjectiveUndefined",
            f"an objective must be a number in every fold, but is not: {', '.join(missing)}",
        )
    return replace(
        record,
        state="finished",
        reason="",
        values=tuple(estimate.mean for estimate in estimates),
        standard_errors=tuple(estimate.standard_error for estimate in estimates),
        facts=result.facts,
        leaky=result.leaky,
    )


def failed(record: TrialRecord, kind: str, message: str) -> TrialRecord:
    """Write down a failure by its type.

    Parameters
    ----------
    record : TrialRecord
        The trial, running.
    kind : str
        Class of the error.
    message : str
        What it said.

    Returns
    -------
    TrialRecord
        Failed.
    """
    return replace(record, state="failed", reason=f"{kind}: {message}")


def fold_failed(record: TrialRecord, failure: FoldFailure) -> TrialRecord:
    """Let a fold's failure be the trial's.

    Parameters
    ----------
    record : TrialRecord
        The trial, running.
    failure : FoldFailure
        Of one fold.

    Returns
    -------
    TrialRecord
        Failed by the same type.
    """
    return failed(record, failure.kind, f"fold {failure.number}: {failure.message}")


def stopped(record: TrialRecord, scheduler: SchedulerConfig) -> TrialRecord:
    """Write down that the scheduler stopped a trial at its last report.

    Parameters
    ----------
    record : TrialRecord
        The trial, with at least one report.
    scheduler : SchedulerConfig
        Which it was.

    Returns
    -------
    TrialRecord
        Stopped.
    """
    level, value = record.reports[-1]
    reason = f"{scheduler.kind} at {scheduler.unit} {level}, where it stood at {value:.5g}"
    return replace(record, state="stopped", reason=reason)


def same_experiment(record: TrialRecord, others: Sequence[TrialRecord]) -> TrialRecord | None:
    """Find the trial that a new point would repeat.

    Parameters
    ----------
    record : TrialRecord
        Just suggested, with its digest.
    others : sequence of TrialRecord
        The trials so far, itself among them.

    Returns
    -------
    TrialRecord or None
        One that was begun and is the same experiment.
    """
    for other in others:
        begun = other.state in SPENDS_BUDGET and other.number != record.number
        if begun and other.digest == record.digest:
            return other
    return None


def repeated(record: TrialRecord, other: TrialRecord) -> TrialRecord:
    """Close a point that stands for an experiment that another trial is.

    Parameters
    ----------
    record : TrialRecord
        Just suggested.
    other : TrialRecord
        The trial that it would repeat.

    Returns
    -------
    TrialRecord
        Repeated, with the other's values where it has some already.
    """
    return replace(
        record,
        state="repeated",
        reason=f"the same experiment as trial {other.number}",
        same_as=other.number,
        values=other.values,
        standard_errors=other.standard_errors,
        facts=other.facts,
        leaky=other.leaky,
    )
