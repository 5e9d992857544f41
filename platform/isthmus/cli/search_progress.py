"""Progress of a search on the terminal, or line by line in a job's log."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import TaskID

from isthmus.cli.progress import bars
from isthmus.config.search_space import SearchSpace
from isthmus.core.ports import EpochEvent
from isthmus.study.events import (
    SearchHalting,
    StudyEvent,
    TrialBegun,
    TrialOver,
    TrialRetried,
    TrialTold,
)
from isthmus.study.records import OVER, TrialRecord
from isthmus.trial.events import (
    EncodersComparing,
    FoldEvaluating,
    FoldFinished,
    StrataProgress,
    TrialEvent,
    TrialStarted,
)


class SearchProgress:
    """A listener that draws a bar over the trials, and one for each that runs.

    Parameters
    ----------
    console : Console
        Where to draw; lines only, when it is no terminal.
    space : SearchSpace
        What is searched.
    records : sequence of TrialRecord
        Trials of earlier sittings.

    Notes
    -----
    Used as a context manager, so that the bars are taken down when the search ends or is
    interrupted.
    """

    def __init__(
        self, console: Console, space: SearchSpace, records: Sequence[TrialRecord]
    ) -> None:
        self._console = console
        self._objectives = space.objectives
        self._n_trials = space.budget.n_trials
        self._n_over = sum(record.state in OVER for record in records)
        self._best: tuple[int, float] | None = None
        for record in records:
            if record.state == "finished" and record.values is not None:
                self._note_best(record.number, record.values[0])
        self._running: dict[int, TaskID] = {}
        self._n_epochs: dict[int, int] = {}
        self._progress = bars(console)
        self._total = self._progress.add_task(
            "trials", total=self._n_trials, completed=self._n_over, detail=""
        )

    def __enter__(self) -> "SearchProgress":
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop drawing."""
        self._progress.stop()

    def __call__(self, event: StudyEvent) -> None:
        """Hear of one event and draw it."""
        match event:
            case TrialBegun(record):
                self._begin(record)
            case TrialTold(number, told):
                self._tick(number, told)
            case TrialRetried(record, why):
                self._remove(record.number)
                self._say(record.number, why)
            case TrialOver(record):
                self._end(record)
            case SearchHalting(why):
                self._console.print(f"the search stops: {why}", markup=False)

    def _begin(self, record: TrialRecord) -> None:
        """Add a bar."""
        point = ", ".join(f"{_short(path)} {_value(v)}" for path, v in record.point.items())
        again = f" again, attempt {record.attempts}" if record.attempts > 1 else ""
        self._say(record.number, f"begun{again}: {point}")
        self._running[record.number] = self._progress.add_task(
            f"trial {record.number}", total=None, detail="starting"
        )

    def _tick(self, number: int, event: TrialEvent) -> None:
        """Move a trial's bar."""
        task = self._running.get(number)
        if task is None:
            return
        match event:
            case TrialStarted():
                epochs = self._n_epochs[number] = event.config.training.epochs
                total = int(event.facts["n_folds"]) * epochs
                self._progress.update(task, total=total, completed=0)
            case EpochEvent():
                done = event.fold * self._n_epochs.get(number, event.n_epochs) + event.epoch
                loss = event.metrics.get("train_loss", float("nan"))
                detail = f"fold {event.fold}, loss {loss:.5g}"
                self._progress.update(task, completed=done, detail=detail)
            case FoldEvaluating(fold):
                self._progress.update(task, detail=f"fold {fold}: evaluating")
            case StrataProgress():
                detail = f"fold {event.number}: strata {event.done} of {event.total}"
                self._progress.update(task, detail=detail)
            case EncodersComparing():
                self._progress.update(task, detail="comparing encoders")
            case FoldFinished(result):
                done = (result.number + 1) * self._n_epochs.get(number, 0)
                self._progress.update(task, completed=done)
                if not self._console.is_terminal:
                    metric = self._objectives[0].metric
                    value = result.metrics.get(metric, float("nan"))
                    self._say(number, f"fold {result.number} finished, {metric} {value:.5g}")
            case _:
                pass

    def _end(self, record: TrialRecord) -> None:
        """Take a trial's bar down and say what became of it."""
        self._remove(record.number)
        if record.state in OVER:
            self._n_over += 1
            self._progress.update(self._total, completed=self._n_over)
        if record.state == "repeated":
            return  # a small space is asked for the same again and again
        counted = f" ({self._n_over} of {self._n_trials})" if record.state in OVER else ""
        if record.state != "finished" or record.values is None:
            self._say(record.number, f"{record.state}{counted}: {record.reason}")
            return
        values = zip(self._objectives, record.values, record.standard_errors or (), strict=True)
        said = ", ".join(
            f"{objective.metric} {value:.5g}" + (f" ± {error:.2g}" if error is not None else "")
            for objective, value, error in values
        )
        self._note_best(record.number, record.values[0])
        best = f"best so far trial {self._best[0]}" if self._best else ""
        self._say(record.number, f"finished{counted}: {said}; {best}")

    def _note_best(self, number: int, value: float) -> None:
        """Remember the best first objective."""
        sign = 1 if self._objectives[0].direction == "minimize" else -1
        if self._best is None or sign * value < sign * self._best[1]:
            self._best = (number, value)

    def _remove(self, number: int) -> None:
        """Take a trial's bar down."""
        task = self._running.pop(number, None)
        if task is not None:
            self._progress.remove_task(task)

    def _say(self, number: int, what: str) -> None:
        """Print a line above the bars."""
        self._console.print(f"trial {number}: {what}", markup=False)


def _short(path: str) -> str:
    """Name a setting without its group."""
    return path.rpartition(".")[2]


def _value(value: object) -> str:
    """Write a value briefly."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
