"""How each fold of an ablation stands, in memory and on disk, and in which order they come."""

from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.study.ablation.progress import (
    is_fold_done,
    is_gathered,
    read_progress,
    write_progress,
)
from isthmus.study.ablation.records import AblationPlan, ArmRun, FoldRun, Progress

_OPEN = ("waiting", "running")


@dataclass(frozen=True)
class Unit:
    """What is handed out at a time.

    Attributes
    ----------
    number : int
        By which it is asked for and told of.
    run : ArmRun
        An arm at a seed.
    fold : int or None
        Number of the fold; None: all folds are gathered, their encoders compared.
    """

    number: int
    run: ArmRun
    fold: int | None


class Board:
    """Keeps what is known of each fold.

    Parameters
    ----------
    plan : AblationPlan
        Which trials answer the question.
    output : Path
        Folder of the trials.
    folder : Path
        The ablation's.
    retry_failed : bool
        Forget what had failed in earlier sittings.

    Attributes
    ----------
    failed_arms : dict of str to str
        Why, by name.
    """

    def __init__(
        self, plan: AblationPlan, output: Path, folder: Path, retry_failed: bool = False
    ) -> None:
        self._plan, self._output, self._folder = plan, output, folder
        before = read_progress(plan, output, folder)
        self._folds = {(fold.run, fold.fold): fold for fold in before.folds}
        self._gathered = set(before.gathered)
        self._ungathered = {} if retry_failed else dict(before.ungathered)
        self.failed_arms: dict[str, str] = {}
        self._recall(retry_failed)

    @property
    def progress(self) -> Progress:
        """How far the ablation is."""
        folds = tuple(self._folds[key] for key in sorted(self._folds))
        return Progress(folds, tuple(sorted(self._gathered)), dict(self._ungathered))

    @property
    def n_done(self) -> int:
        """Folds that are done."""
        return sum(fold.state == "done" for fold in self._folds.values())

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to be done."""
        return not any(fold.state in _OPEN for fold in self._folds.values()) and not any(
            self.is_to_be_gathered(run) for run in self._plan.runs
        )

    def unit(self, number: int) -> Unit:
        """Tell what a number stands for."""
        run, fold = divmod(number, self._plan.n_folds + 1)
        return Unit(number, self._plan.runs[run], None if fold == self._plan.n_folds else fold)

    def unit_of(self, run: ArmRun, fold: int | None) -> Unit:
        """Give a fold, or the gathering of a run, its number."""
        within = self._plan.n_folds if fold is None else fold
        return Unit(run.number * (self._plan.n_folds + 1) + within, run, fold)

    def fold(self, unit: Unit) -> FoldRun:
        """Look up how a fold stands."""
        return self._folds[unit.run.number, unit.fold or 0]

    def folds_of(self, run: ArmRun) -> tuple[FoldRun, ...]:
        """List how a run's folds stand."""
        return tuple(self._folds[run.number, fold] for fold in range(self._plan.n_folds))

    def in_order(self) -> list[int]:
        """List by number what is to be done: the first fold of all arms before any second."""
        folds = [
            (run.seed, fold.fold, run.number, self.unit_of(run, fold.fold).number)
            for run in self._plan.runs
            for fold in self.folds_of(run)
            if fold.state == "waiting"
        ]
        whole = [
            self.unit_of(run, None).number for run in self._plan.runs if self.is_to_be_gathered(run)
        ]
        return whole + [number for *_, number in sorted(folds)]

    def is_over(self, unit: Unit) -> bool:
        """Tell whether nothing is left to do of it."""
        if unit.fold is None:
            return unit.run.number in (self._gathered | self._ungathered.keys())
        return self.fold(unit).state not in _OPEN

    def is_done(self, unit: Unit) -> bool:
        """Tell whether its result lies in its folder, whoever put it there."""
        if unit.fold is None:
            return is_gathered(self._output, unit.run, self._plan.n_folds)
        return is_fold_done(self._output, unit.run, unit.fold)

    def is_to_be_gathered(self, run: ArmRun) -> bool:
        """Tell whether all folds are done, and nobody has compared their encoders."""
        done = all(fold.state == "done" for fold in self.folds_of(run))
        return done and not self.is_over(self.unit_of(run, None))

    def keep(self, record: FoldRun) -> FoldRun:
        """Keep how a fold stands, at once."""
        self._folds[record.run, record.fold] = record
        self.note()
        return record

    def add_time(self, unit: Unit, seconds: float, gpus: float) -> None:
        """Add to the time that a fold ran; it is kept with the next note."""
        if unit.fold is not None:
            fold = self.fold(unit)
            self._folds[fold.run, fold.fold] = replace(
                fold,
                seconds=fold.seconds + seconds,
                gpu_seconds=fold.gpu_seconds + seconds * gpus,
            )

    def gathered(self, run: ArmRun, why_not: str = "") -> None:
        """Keep that a run's trial is whole, or why it cannot be."""
        if why_not:
            self._ungathered[run.number] = why_not
            self.note()
        else:
            self._gathered.add(run.number)

    def fail_arm(self, arm: str, reason: str) -> int:
        """Skip what waits of an arm, at all seeds; say how many folds that are."""
        self.failed_arms.setdefault(arm, reason)
        runs = [run for run in self._plan.runs if run.arm == arm]
        skipped = [
            replace(fold, state="skipped", reason=f"its arm had failed already, by {reason}")
            for run in runs
            for fold in self.folds_of(run)
            if fold.state == "waiting"
        ]
        self._folds |= {(fold.run, fold.fold): fold for fold in skipped}
        self.note()
        return len(skipped)

    def note(self) -> None:
        """Write down what no trial's folder says."""
        write_progress(self._plan, self.progress, self._folder)

    def _recall(self, retry_failed: bool) -> None:
        """Take up the failures of earlier sittings, or forget them."""
        arms = {run.number: run.arm for run in self._plan.runs}
        failed: dict[str, str] = {}
        for fold in self._folds.values():
            if fold.state == "failed" and not retry_failed:
                failed.setdefault(arms[fold.run], fold.reason)
        for key, fold in self._folds.items():
            # One that was skipped waits again where what failed was done since, by others.
            if fold.state in ("failed", "skipped") and arms[fold.run] not in failed:
                self._folds[key] = replace(fold, state="waiting", reason="")
        for arm, reason in failed.items():
            self.fail_arm(arm, reason)
