"""What is known of a study and of each of its trials."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from isthmus.stratification.across import SelectionReport

Point = Mapping[str, Any]

TrialState = Literal["running", "finished", "stopped", "failed", "infeasible", "repeated"]
OPEN: tuple[TrialState, ...] = ("running",)
# Of a trial that was begun and is over; an infeasible or repeated one never was.
OVER: tuple[TrialState, ...] = ("finished", "stopped", "failed")
SPENDS_BUDGET = (*OPEN, *OVER)


@dataclass(frozen=True)
class TrialRecord:
    """One point of the space and what became of it.

    Attributes
    ----------
    number : int
        Number within the study, from 0, in the order of suggestion.
    point : Mapping of str to Any
        Values by dotted path; dimensions that were not asked are absent.
    state : str
        ``running``: begun and not over, now or when the search was cut short; ``finished``: all
        folds; ``stopped``: by the scheduler, on its first folds or epochs; ``failed``: by a type;
        ``infeasible``: cannot be built, never begun; ``repeated``: the same experiment as another
        trial. Only the first four spend budget.
    reason : str
        Why it is in that state, where that needs a reason: a failure's type and message, what
        makes a point infeasible.
    values : tuple of float or None
        The objectives' means over folds, in their order; of finished trials and their repetitions.
    standard_errors : tuple of float or None
        Their standard errors over folds; None for an objective without one (a single fold).
    reports : tuple of (int, float)
        Level and value of what the scheduler compared, ascending by level.
    digest : str or None
        Identity of the experiment that ran; None before it was begun.
    folder : str or None
        Name of its folder below ``execution.output``.
    changed : Mapping of str to Any
        Settings that the search changed to go on, by path, such as
        ``training.accumulation_steps`` after memory ran out.
    same_as : int or None
        Of a repeated trial: the number of the other.
    suggested_after : int
        Trials that were over when this one was suggested.
    attempts : int
        Times it was begun, over all sittings.
    seconds : float
        Time that it ran, over all attempts.
    gpu_seconds : float
        Time x GPUs of its workers.
    facts : Mapping of str to str, int or float
        Model and cohort in numbers (`isthmus.trial.facts`), ``embedding_size`` among them.
    leaky : bool
        Normalisation saw the held-out subjects.
    """

    number: int
    point: Point
    state: TrialState = "running"
    reason: str = ""
    values: tuple[float, ...] | None = None
    standard_errors: tuple[float | None, ...] | None = None
    reports: tuple[tuple[int, float], ...] = ()
    digest: str | None = None
    folder: str | None = None
    changed: Mapping[str, Any] = field(default_factory=dict)
    same_as: int | None = None
    suggested_after: int = 0
    attempts: int = 0
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
    leaky: bool = False


@dataclass(frozen=True)
class Objective:
    """What is sought.

    Attributes
    ----------
    metric : str
        A trial's metric.
    direction : {"minimize", "maximize"}
        Which way is better.
    """

    metric: str
    direction: Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Importance:
    """How much of the differences between trials each dimension explains.

    Attributes
    ----------
    metric : str
        Of which objective.
    method : str
        Such as ``fANOVA`` or ``PED-ANOVA``.
    shares : Mapping of str to float
        By dotted path, largest first; they sum to 1.
    """

    metric: str
    method: str
    shares: Mapping[str, float]


@dataclass(frozen=True)
class StudyResult:
    """A study as it stands.

    Attributes
    ----------
    name : str
        What people call it.
    study_id : str
        Its identity: experiment, data and space together.
    experiment : str
        Name of the experiment.
    n_trials : int
        Trials that the budget allows.
    objectives : tuple of Objective
        What is sought.
    trials : tuple of TrialRecord
        All of them, by number.
    best : int or None
        The finished trial with the best first objective; None where no trial finished.
    within_one_se : tuple of int
        Finished trials whose first objective is within one standard error of the best one's,
        the best included, by number.
    smallest : int or None
        The one with the smallest embedding among them.
    front : tuple of int
        Finished trials that no other beats in all objectives, by number.
    reference_point : tuple of float or None
        Where hypervolume is measured from; None with one objective or no finished trial.
    hypervolume : tuple of (int, float)
        Number of each finished trial and the hypervolume once it was over, by number.
    importance : tuple of Importance
        Of each objective and method; empty where there are too few trials.
    wall_seconds, gpu_seconds : float
        Spent so far, over all sittings.
    selection : SelectionReport or None
        The naive and the selection-adjusted p-value of each finished trial; None where it was not
        computed.
    """

    name: str
    study_id: str
    experiment: str
    n_trials: int
    objectives: tuple[Objective, ...]
    trials: tuple[TrialRecord, ...]
    best: int | None = None
    within_one_se: tuple[int, ...] = ()
    smallest: int | None = None
    front: tuple[int, ...] = ()
    reference_point: tuple[float, ...] | None = None
    hypervolume: tuple[tuple[int, float], ...] = ()
    importance: tuple[Importance, ...] = ()
    wall_seconds: float = 0.0
    gpu_seconds: float = 0.0
    selection: SelectionReport | None = None
