"""Progress of an ablation on the terminal, or line by line in a job's log."""

from collections import Counter

from rich.console import Console
from rich.progress import TaskID

from isthmus.cli.progress import bars
from isthmus.core.ports import EpochEvent
from isthmus.study.ablation.events import (
    AblationEvent,
    AblationHalting,
    ArmFailed,
    FoldOver,
    RunOver,
    UnitBegun,
    UnitRetried,
    UnitTold,
)
from isthmus.study.ablation.records import AblationPlan, ArmRun, FoldRun, Progress
from isthmus.trial.events import EncodersComparing, FoldEvaluating, StrataProgress, TrialEvent

_MINUTE, _HOUR = 60.0, 3600.0
_OVER = ("done", "failed", "skipped")


class AblationProgress:
    """A listener that draws a bar over the folds, and one for each that runs.

    Parameters
    ----------
    console : Console
        Where to draw; lines only, when it is no terminal.
    plan : AblationPlan
        What is asked.
    before : Progress
        How far earlier sittings, and others that share trials, had come.
    n_slots : int
        Folds at a time.

    Notes
    -----
    Used as a context manager, so that the bars are taken down when the ablation ends or is
    interrupted.
    """

    def __init__(
        self, console: Console, plan: AblationPlan, before: Progress, n_slots: int
    ) -> None:
        self._console = console
        self._n_slots = n_slots
        self._arms = {run.number: run.arm for run in plan.runs}
        self._states: Counter[str] = Counter(fold.state for fold in before.folds)
        self._n_folds = len(before.folds)
        self._open = Counter(
            self._arms[fold.run] for fold in before.folds if fold.state not in _OVER
        )
        # what each arm's folds took, in this sitting and in earlier ones
        self._seconds: dict[str, list[float]] = {}
        for fold in before.folds:
            self._note_seconds(fold)
        self._failed: set[str] = set()
        self._running: dict[tuple[int, int | None], TaskID] = {}
        self._progress = bars(console)
        self._total = self._progress.add_task("folds", total=self._n_folds, detail="")

    def __enter__(self) -> "AblationProgress":
        """Start drawing."""
        n_done = self._states["done"]
        if n_done:
            self._print(f"{n_done} of {self._n_folds} folds are done already")
        self._show_total()
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop drawing."""
        self._progress.stop()

    def __call__(self, event: AblationEvent) -> None:
        """Hear of one event and draw it."""
        match event:
            case UnitBegun(run, fold, attempt):
                self._begin(run, fold, attempt)
            case UnitTold(run, fold, told):
                self._tick(run, fold, told)
            case UnitRetried(run, fold, why):
                self._remove(run, fold)
                self._print(f"{_named(run, fold)}: {why}")
            case FoldOver(run, record):
                self._end(run, record)
            case ArmFailed(arm, _, n_skipped):
                self._skip(arm, n_skipped)
            case RunOver(run, state, reason):
                self._finish(run, state == "gathered", reason)
            case AblationHalting(why):
                self._print(f"the ablation stops: {why}")

    def _begin(self, run: ArmRun, fold: int | None, attempt: int) -> None:
        """Add a bar."""
        again = f" again, attempt {attempt}" if attempt > 1 else ""
        if fold is not None:
            self._print(f"{_named(run, fold)}: begun{again}")
        self._running[run.number, fold] = self._progress.add_task(
            _named(run, fold), total=None, detail="starting" if fold is not None else "gathering"
        )

    def _tick(self, run: ArmRun, fold: int | None, event: TrialEvent) -> None:
        """Move the bar of what runs."""
        task = self._running.get((run.number, fold))
        if task is None:
            return
        match event:
            case EpochEvent():
                loss = event.metrics.get("train_loss", float("nan"))
                self._progress.update(
                    task, total=event.n_epochs, completed=event.epoch, detail=f"loss {loss:.5g}"
                )
            case FoldEvaluating():
                self._progress.update(task, detail="evaluating")
            case StrataProgress():
                self._progress.update(task, detail=f"strata {event.done} of {event.total}")
            case EncodersComparing():
                self._progress.update(task, detail="comparing encoders")
            case _:
                pass

    def _end(self, run: ArmRun, record: FoldRun) -> None:
        """Take a fold's bar down and say what came out."""
        self._remove(run, record.fold)
        self._states[record.state] += 1
        self._open[run.arm] -= 1
        self._note_seconds(record)
        self._show_total()
        what = f"{_named(run, record.fold)}: {record.state}"
        if record.state == "failed":
            self._print(f"{what}: {record.reason}")
            return
        by = " by another run" if record.reused else ""
        left = f", {self._left}" if self._left else ""
        self._print(f"{what}{by} ({self._states['done']} of {self._n_folds}{left})")

    def _skip(self, arm: str, n_skipped: int) -> None:
        """Say that an arm has failed."""
        self._failed.add(arm)
        self._states["skipped"] += n_skipped
        self._open[arm] -= n_skipped
        self._show_total()
        folds = f"; {n_skipped} of its folds are skipped" if n_skipped else ""
        self._print(f"arm {arm} has failed{folds}, the other arms go on")

    def _finish(self, run: ArmRun, is_gathered: bool, reason: str) -> None:
        """Say what became of an arm at a seed."""
        self._remove(run, None)
        if is_gathered:
            self._print(f"{_named(run, None)}: gathered")
        elif run.arm not in self._failed:
            self._print(f"{_named(run, None)}: its encoders could not be compared: {reason}")

    def _show_total(self) -> None:
        """Move the bar over all folds."""
        over = sum(self._states[state] for state in _OVER)
        self._progress.update(self._total, completed=over, detail=self._left)

    @property
    def _left(self) -> str:
        """Estimate what is left, by what the folds of each arm took so far."""
        known = [seconds for arm in self._seconds.values() for seconds in arm]
        if not known or not self._open.total():
            return ""
        overall = sum(known) / len(known)
        seconds = (
            sum(
                n
                * (
                    sum(self._seconds[arm]) / len(self._seconds[arm])
                    if arm in self._seconds
                    else overall
                )
                for arm, n in self._open.items()
            )
            / self._n_slots
        )
        if seconds < _MINUTE:
            return "less than a minute left"
        return (
            f"about {seconds / _MINUTE:.0f} min left"
            if seconds < _HOUR
            else (f"about {seconds / _HOUR:.1f} h left")
        )

    def _note_seconds(self, record: FoldRun) -> None:
        """Remember what a fold took."""
        if record.state == "done" and not record.reused:
            self._seconds.setdefault(self._arms[record.run], []).append(record.seconds)

    def _remove(self, run: ArmRun, fold: int | None) -> None:
        """Take a bar down."""
        task = self._running.pop((run.number, fold), None)
        if task is not None:
            self._progress.remove_task(task)

    def _print(self, line: str) -> None:
        """Print a line above the bars."""
        self._console.print(line, markup=False)


def _named(run: ArmRun, fold: int | None) -> str:
    """Name what runs."""
    of_fold = "" if fold is None else f", fold {fold}"
    return f"{run.arm}, seed {run.seed}{of_fold}"
