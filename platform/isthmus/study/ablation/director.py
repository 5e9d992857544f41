"""What an ablation does next: which fold of which arm is begun, goes on, is begun again.

Folders are the only truth about work: killed at any moment, a director made anew on the same plan
goes on where the last one was. It is asked and told as a search's is (`isthmus.study.attempt`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from isthmus.config.load import Experiment
from isthmus.study.ablation.board import Board, Unit
from isthmus.study.ablation.events import (
    AblationHalting,
    AblationListener,
    ArmFailed,
    FoldOver,
    RunOver,
    UnitBegun,
    UnitRetried,
    UnitTold,
)
from isthmus.study.ablation.records import AblationPlan, ArmRun, Progress
from isthmus.study.attempt import Assignment, Ending
from isthmus.study.clocks import Clocks
from isthmus.study.retries import Retries, Verdict, shared_fault
from isthmus.training.order import smaller_micro_batch
from isthmus.trial.events import (
    FoldFailed,
    FoldFinished,
    TrialEvent,
    TrialFinished,
    TrialStarted,
)


@dataclass(frozen=True)
class Conditions:
    """What an ablation is run under.

    Attributes
    ----------
    n_slots : int
        Folds at a time.
    max_failures : int
        How often the process of one fold may die.
    gpus : float
        Of one fold, over all its workers.
    retry_failed : bool
        Try again what had failed in an earlier sitting.
    """

    n_slots: int
    max_failures: int
    gpus: float = 0.0
    retry_failed: bool = False


class AblationDirector:
    """Decides the course of an ablation.

    Parameters
    ----------
    plan : AblationPlan
        Which trials answer the question.
    experiments : Mapping of int to Experiment
        Settings and folders of each run, by number.
    output : Path
        Folder of the trials.
    folder : Path
        The ablation's.
    conditions : Conditions
        What it is run under.
    tell : callable
        Hears of the ablation's course.

    Attributes
    ----------
    why_halted : str or None
        Why it ended before its end, where it did.
    disk_full : str or None
        What a fold said that found no room left, where that is why it ended.

    Notes
    -----
    The first fold of all arms comes before the second of any, so that an ablation that is cut
    short can compare all of them on the folds that there are. A run is gathered as soon as its
    folds are done. A fold that fails fails its arm: its other folds that wait are skipped, for a
    mean over some of the blocks would be compared with nothing. Not for several threads at once.
    """

    def __init__(
        self,
        plan: AblationPlan,
        experiments: Mapping[int, Experiment],
        output: Path,
        folder: Path,
        conditions: Conditions,
        tell: AblationListener,
    ) -> None:
        self._plan, self._experiments = plan, experiments
        self._under, self._tell = conditions, tell
        self._board = Board(plan, output, folder, conditions.retry_failed)
        self._waiting = self._board.in_order()
        self._running: dict[int, Unit] = {}
        self._retries = Retries(conditions.max_failures)
        self._short_of_memory: set[int] = set()
        self._clocks = Clocks()
        self.why_halted: str | None = None
        self.disk_full: str | None = None

    def next(self) -> Assignment | Literal["wait", "done"]:
        """Say what is to be begun now.

        Returns
        -------
        Assignment, "wait" or "done"
            A fold, or a trial to be gathered; nothing before something is over; nothing any more.
        """
        while (
            self.why_halted is None and self._waiting and len(self._running) < self._under.n_slots
        ):
            assignment = self._consider(self._board.unit(self._waiting.pop(0)))
            if assignment is not None:
                return assignment
        return "wait" if self._running else "done"

    def hear(self, number: int, event: TrialEvent) -> bool:
        """Hear of an event within a running fold.

        Parameters
        ----------
        number : int
            As the assignment has it.
        event : TrialEvent
            What happened.

        Returns
        -------
        bool
            Whether it is to go on. Of one that is not, `end` is told all the same.
        """
        unit = self._running.get(number)
        if unit is None or self._board.is_over(unit):
            return False
        self._retries.hear(number, event)
        self._board.add_time(unit, self._clocks.passed(number), self._under.gpus)
        if self._clocks.is_due(number):
            self._board.note()
        if isinstance(event, TrialStarted):
            another = _another(unit.run, event)
            if another is not None:
                self._fail(unit, another)
                return False
        self._tell(UnitTold(unit.run, unit.fold, event))
        if isinstance(event, FoldFailed):
            failure = event.failure
            self._fail(unit, f"{failure.kind}: fold {failure.number}: {failure.message}")
            return False
        return self.why_halted is None or isinstance(event, FoldFinished | TrialFinished)

    def end(self, number: int, ending: Ending) -> None:
        """Hear that an attempt is over.

        Parameters
        ----------
        number : int
            As the assignment has it.
        ending : Ending
            How it ended.
        """
        unit = self._running.pop(number, None)
        if unit is None:
            return
        passed = self._clocks.passed(number, is_last=True)
        self._board.add_time(unit, passed, self._under.gpus)
        if self._board.is_over(unit):
            self._board.note()  # was closed when it was told to stop
        elif self._board.is_done(unit):
            self._finish(unit)  # whatever came after, its result is there
        elif ending.kind == "halted":
            self._put_back(unit)
        elif ending.kind == "disk":
            self.disk_full = self.disk_full or ending.message
            self._put_back(unit)
            self.halt(ending.message)
        elif ending.kind in ("memory", "died", "gone", "lost", "busy", "room"):
            self._retry(unit, ending)
        else:
            self._fail(unit, _said(ending))
        self._settle(unit.run)

    def halt(self, why: str) -> None:
        """Begin nothing further, and stop what runs where it can go on later.

        Parameters
        ----------
        why : str
            The reason.
        """
        if self.why_halted is None:
            self.why_halted = why
            self._tell(AblationHalting(why))

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self._board.progress

    @property
    def is_interrupted(self) -> bool:
        """Whether something is left to be done."""
        return not self._board.is_complete

    def _consider(self, unit: Unit) -> Assignment | None:
        """Begin it, unless it was skipped, or was done by others."""
        if self._board.is_over(unit):
            return None
        if self._board.is_done(unit):
            self._finish(unit)
            self._settle(unit.run)
            return None
        return self._begin(unit)

    def _begin(self, unit: Unit) -> Assignment:
        """Hand it out."""
        self._running[unit.number] = unit
        self._clocks.begin(unit.number)
        self._retries.begin(unit.number)
        attempt = 1
        if unit.fold is not None:
            attempt = self._board.fold(unit).attempts + 1
            self._board.keep(replace(self._board.fold(unit), state="running", attempts=attempt))
        self._tell(UnitBegun(unit.run, unit.fold, attempt))
        return Assignment(unit.number, self._experiments[unit.run.number], unit.fold)

    def _finish(self, unit: Unit) -> None:
        """Close what is done."""
        if unit.fold is None:
            self._board.gathered(unit.run)
            self._tell(RunOver(unit.run, "gathered", ""))
            return
        before = self._board.fold(unit)
        record = replace(before, state="done", reason="", reused=not before.attempts)
        self._tell(FoldOver(unit.run, self._board.keep(record)))

    def _fail(self, unit: Unit, reason: str) -> None:
        """Close what has failed, and its arm with it; give up if nothing else ever happens."""
        if unit.fold is None:
            self._board.gathered(unit.run, why_not=reason)
            self._tell(RunOver(unit.run, "failed", reason))
            return
        record = replace(self._board.fold(unit), state="failed", reason=reason)
        self._tell(FoldOver(unit.run, self._board.keep(record)))
        is_new = unit.run.arm not in self._board.failed_arms
        n_skipped = self._board.fail_arm(unit.run.arm, reason)
        if is_new:
            self._tell(ArmFailed(unit.run.arm, reason, n_skipped))
            for run in self._plan.runs:
                if run.arm == unit.run.arm and run != unit.run:
                    self._settle(run)
        n_failed = len(self._board.failed_arms)
        fault = shared_fault(n_failed, self._board.n_done, reason, "arms")
        if fault is not None:
            self.halt(fault)

    def _settle(self, run: ArmRun) -> None:
        """Gather a run whose folds are done; close one that lacks some for good."""
        states = {fold.state for fold in self._board.folds_of(run)}
        if states == {"done"}:
            unit = self._board.unit_of(run, None)
            known = (*self._waiting, *self._running)
            if self._board.is_to_be_gathered(run) and unit.number not in known:
                self._waiting.insert(0, unit.number)
        elif not states & {"waiting", "running"}:
            self._tell(RunOver(run, "failed", self._board.failed_arms[run.arm]))

    def _put_back(self, unit: Unit, n_attempts: int = 0) -> None:
        """Leave it to later in this sitting, or to the next one; unless its arm has failed."""
        if unit.fold is None:
            return
        fold = self._board.fold(unit)
        self._board.keep(replace(fold, state="waiting", attempts=fold.attempts + n_attempts))
        if unit.run.arm in self._board.failed_arms:
            self._board.fail_arm(unit.run.arm, self._board.failed_arms[unit.run.arm])

    def _retry(self, unit: Unit, ending: Ending) -> None:
        """Begin again what ended before its time, unless that happened too often."""
        if ending.kind == "memory":
            verdict = self._after_shortage(unit, ending)
        else:
            verdict = self._retries.after(unit.number, ending)
        if verdict.halts:
            self._put_back(unit, n_attempts=-1)
            self.halt(verdict.why)
            return
        if not verdict.again:
            self._fail(unit, f"{ending.error}: {verdict.why}")
            return
        is_busy = ending.kind in ("busy", "room")
        self._put_back(unit, n_attempts=-1 if is_busy else 0)
        if not self._board.is_over(unit):
            # Another process stays at a folder for longer than others take.
            self._waiting.insert(len(self._waiting) if is_busy else 0, unit.number)
            self._tell(UnitRetried(unit.run, unit.fold, verdict.why))

    def _after_shortage(self, unit: Unit, ending: Ending) -> Verdict:
        """Try once more as it is: an arm that alone takes smaller slices would be another one."""
        if unit.number not in self._short_of_memory:
            self._short_of_memory.add(unit.number)
            return Verdict(True, "it ran out of memory and is begun again in a new process")
        config = self._experiments[unit.run.number].config
        smaller = smaller_micro_batch(config, config.execution.workers)
        if smaller is None:
            return Verdict(False, ending.message)
        steps = smaller["training.accumulation_steps"]
        return Verdict(
            False,
            f"{ending.message.rstrip('.')}. All arms must be trained alike, so this one alone is "
            f"not cut into smaller slices: set training.accumulation_steps: {steps} in the "
            "experiment, or fewer execution.concurrent_trials.",
        )


def _another(run: ArmRun, event: TrialStarted) -> str | None:
    """Say how a trial is not the one that was planned: its folds would not be paired."""
    for name, was, now in (
        ("split", run.split, event.identity["split"]),
        ("trial", run.digest, event.digest),
    ):
        if was != now:
            return (
                f"LeakageError: the {name} must be the one that was planned, whose digest is "
                f"{was[:12]}, but is {now[:12]}: the cohort or its volume store was changed since. "
                "Run the same command again: it plans anew."
            )
    return None


def _said(ending: Ending) -> str:
    """Say how an attempt ended."""
    if ending.kind == "finished":
        return "RuntimeError: it ended, but its result is not in its folder"
    return f"{ending.error}: {ending.message}"
