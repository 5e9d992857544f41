"""What became of an ablation's arms: failures, how far it is, what it took."""

from collections import Counter
from dataclasses import dataclass

from isthmus.report.ablation.labels import arm_label, counted, fuse_differently
from isthmus.study.ablation.findings import AblationResult, MetricFindings
from isthmus.study.ablation.records import Arm, ArmRun, FoldRun

UNKNOWN = "reason not kept"


@dataclass(frozen=True)
class Failure:
    """A fold that failed, or a trial whose folds' encoders could not be compared.

    Attributes
    ----------
    arm : str
        Label of the arm, with those that share its runs.
    seed : int
        Which seed.
    fold : int or None
        Which fold; None: all are done, and comparing their encoders failed.
    kind : str
        Type of the error.
    message : str
        What it said.
    attempts : int
        Times it was begun.
    """

    arm: str
    seed: int
    fold: int | None
    kind: str
    message: str
    attempts: int

    @property
    def in_words(self) -> str:
        """Such as ``none failed in seed 1, fold 2 (TrainingDiverged: ...)``."""
        said = f"{self.kind}: {self.message}".rstrip(". ") if self.message else self.kind
        if self.fold is None:
            return f"{self.arm}: the encoders of seed {self.seed} could not be compared ({said})."
        return f"{self.arm} failed in seed {self.seed}, fold {self.fold} ({said})."


def failures(result: AblationResult) -> tuple[Failure, ...]:
    """List the folds that failed, and the trials whose encoders could not be compared.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    tuple of Failure
        In the order of the runs; folds that were skipped for another one's failure are not
        among them. A trial that could not be gathered costs no fold: its arm is compared.
    """
    runs = {run.number: run for run in result.plan.runs}
    folds = (
        _failure(result, runs[one.run], one.fold, one.reason, one.attempts)
        for one in result.progress.folds
        if one.state == "failed"
    )
    trials = (
        _failure(result, runs[number], None, reason, 1)
        for number, reason in result.progress.ungathered.items()
    )
    return (*folds, *trials)


def _failure(
    result: AblationResult, run: ArmRun, fold: int | None, reason: str, attempts: int
) -> Failure:
    """Name what failed by the arms that share it."""
    kind, _, message = reason.partition(": ")
    shared = [one.name for one in result.plan.arms if run.arm in (one.name, one.same_as)]
    arms = ", ".join(arm_label(result.plan, name) for name in shared)
    return Failure(arms, run.seed, fold, kind or UNKNOWN, message, attempts)


def folds_of(result: AblationResult, arm: Arm) -> tuple[FoldRun, ...]:
    """List an arm's folds over all seeds.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    arm : Arm
        One of its arms.

    Returns
    -------
    tuple of FoldRun
        Those of the arm that it is the same as, if it is.
    """
    numbers = {run.number for run in result.plan.runs_of(arm.name)}
    return tuple(fold for fold in result.progress.folds if fold.run in numbers)


def state_of(result: AblationResult, arm: Arm) -> str:
    """Say how an arm stands.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    arm : Arm
        One of its arms.

    Returns
    -------
    str
        Such as ``"done"``, ``"failed"``, ``"4 of 10 folds"``, ``"infeasible"``.
    """
    if arm.infeasible:
        return "infeasible"
    folds = folds_of(result, arm)
    counts = Counter(fold.state for fold in folds)
    if counts["failed"]:
        said = "failed"
    elif folds and counts["done"] == len(folds):
        ungathered = {run.number for run in result.plan.runs_of(arm.name)}
        ungathered &= result.progress.ungathered.keys()
        said = "done, encoders not compared" if ungathered else "done"
    else:
        total = len(result.plan.seeds) * result.plan.n_folds
        said = f"{counts['done']} of {total} folds"
    return f"{said}, same as {arm.same_as}" if arm.same_as else said


def counts_in_words(result: AblationResult) -> str:
    """Say how far an ablation is.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    str
        Such as ``"3 arms x 2 seeds x 5 folds; 28 of 30 folds done, 1 failed, 1 skipped"``.
    """
    plan = result.plan
    counts = Counter(fold.state for fold in result.progress.folds)
    total = len(plan.runs) * plan.n_folds
    said = [f"{counts['done']} of {total} folds done"]
    said += [f"{counts[s]} {s}" for s in ("running", "failed", "skipped") if counts[s]]
    infeasible = sum(bool(arm.infeasible) for arm in plan.arms)
    if infeasible:
        said.append(f"{infeasible} of the arms cannot be built")
    shape = (
        f"{counted(len(plan.arms), 'arm')} x {counted(len(plan.seeds), 'seed')} x "
        f"{counted(plan.n_folds, 'fold')}"
    )
    return f"{shape}; {', '.join(said)}"


def primary_of(result: AblationResult) -> MetricFindings | None:
    """Take what the primary metric says.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    MetricFindings or None
        None before anything was tested.
    """
    return next((one for one in result.findings if one.is_primary), None)


def losses_differ(result: AblationResult) -> bool:
    """Tell whether arms minimise different losses.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    bool
        Whether their training losses cannot be compared: another loss, or other modalities.
    """
    arms = [arm for arm in result.plan.arms if not arm.infeasible]
    losses = {
        tuple(sorted((k, repr(v)) for k, v in arm.settings.items() if "training.loss" in k))
        for arm in arms
    }
    return len(losses) > 1 or fuse_differently(arms)
