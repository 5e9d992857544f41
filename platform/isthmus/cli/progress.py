"""Progress on the terminal: folds, epochs and throughput of a trial, pieces of a robustness job."""

import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from isthmus.core.ports import EpochEvent
from isthmus.trial.events import (
    EncodersComparing,
    FoldEvaluating,
    FoldFailed,
    FoldFinished,
    FoldStarted,
    StrataProgress,
    TrialEvent,
    TrialStarted,
)

_QUARTERS = 4


class PieceBar:
    """One bar over the pieces of a robustness job, begun anew for each encoder.

    Parameters
    ----------
    console : Console
        Receives a line each quarter of the way, when it is no terminal.
    progress : Progress
        Where the bar is drawn.
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console = console
        self._progress = progress
        self._task: TaskID | None = None
        self._label = ""
        self._began = (0.0, 0)
        self._quarter = 0

    def tell(self, label: str, done: int, total: int) -> None:
        """Show how far the job of one encoder is.

        Parameters
        ----------
        label : str
            Names the encoder; another one begins the bar anew.
        done, total : int
            Pieces. What is done at the first call was found done, and says nothing of the speed.
        """
        if label != self._label:
            self.clear()
            self._label, self._began = label, (time.monotonic(), done)
            self._quarter = _QUARTERS * done // max(1, total)
            self._task = self._progress.add_task(label, total=total, detail="")
        left = self._time_left(done, total)
        if self._task is not None:
            self._progress.update(self._task, completed=done, detail=left)
        quarter = _QUARTERS * done // max(1, total)
        if quarter > self._quarter and not self._console.is_terminal:
            said = f", {left}" if left else ""
            self._console.print(f"{label}: {done} of {total} pieces{said}", markup=False)
        self._quarter = quarter

    def clear(self) -> None:
        """Take the bar down."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task, self._label = None, ""

    def _time_left(self, done: int, total: int) -> str:
        """Estimate from the pieces done since this encoder was begun."""
        began, before = self._began
        if done <= before or done >= total:
            return ""
        seconds = (time.monotonic() - began) / (done - before) * (total - done)
        return f"about {_clock(int(seconds))} left"


class StratifyProgress:
    """Draws the bar of `isthmus stratify`.

    Parameters
    ----------
    console : Console
        Where to draw; lines only, when it is no terminal.

    Notes
    -----
    Used as a context manager, so that the bar is taken down when the job ends or is interrupted.
    """

    def __init__(self, console: Console) -> None:
        self._progress = bars(console, TimeElapsedColumn())
        self._pieces = PieceBar(console, self._progress)

    def __enter__(self) -> "StratifyProgress":
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop drawing."""
        self._progress.stop()

    def __call__(self, label: str, encoder: str, done: int, total: int) -> None:
        """Hear how far the job is with one encoder of one trial."""
        name = label if encoder == label else f"{label} {encoder}"
        self._pieces.tell(name, done, total)


class TrialProgress:
    """A listener that draws bars: epochs of the fold, folds of the trial, pieces of its strata.

    Parameters
    ----------
    console : Console
        Where to draw; lines only, when it is no terminal.

    Notes
    -----
    Used as a context manager, so that the bars are taken down when the trial ends or is
    interrupted.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = bars(console, TimeElapsedColumn())
        self._pieces = PieceBar(console, self._progress)
        self._folds: TaskID | None = None
        self._epochs: TaskID | None = None
        self._n_folds = 0
        self._n_epochs = 0
        self._n_folds_over = 0
        self._seconds_per_epoch: list[float] = []

    def __enter__(self) -> "TrialProgress":
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop drawing."""
        self._progress.stop()

    def __call__(self, event: TrialEvent) -> None:
        """Hear of one event and draw it."""
        match event:
            case TrialStarted():
                self._start_trial(event)
            case FoldStarted(number):
                self._start_fold(number)
            case EpochEvent():
                self._tick(event)
            case FoldEvaluating(number):
                self._say(number, "evaluating: fidelity, controls, strata")
            case StrataProgress():
                label = f"fold {event.number}: strata, {event.encoder} encoder"
                self._pieces.tell(label, event.done, event.total)
            case EncodersComparing(n_encoders):
                self._console.print(f"comparing the strata of {n_encoders} encoders")
            case FoldFinished(result, _, reused):
                mse = result.metrics.get("validation_mse")
                done = "finished by an earlier run" if reused else "finished"
                label = " [LEAKY normalisation]" if result.leaky else ""
                self._end_fold(result.number, f"{done}, held-out MSE {mse:.5g}{label}")
            case FoldFailed(failure):
                self._end_fold(failure.number, f"FAILED ({failure.kind}): {failure.message}")
            case _:
                pass

    def _start_trial(self, event: TrialStarted) -> None:
        """Set up the bars."""
        config = event.config
        self._n_folds = int(event.facts["n_folds"])
        self._n_epochs = config.training.epochs
        self._folds = self._progress.add_task("folds", total=self._n_folds, detail="")
        self._epochs = self._progress.add_task("epochs", total=self._n_epochs, detail="")
        self._console.print(
            f"trial [bold]{event.digest[:12]}[/]: {event.facts['n_subjects']} subjects, "
            f"{event.facts['modalities']}, {event.facts['n_parameters']:,} parameters, "
            f"{self._n_folds} folds of {self._n_epochs} epochs"
        )

    def _start_fold(self, number: int) -> None:
        """Begin a fold's bar anew."""
        if self._epochs is not None:
            self._progress.reset(self._epochs, description=f"fold {number}", detail="starting")

    def _tick(self, event: EpochEvent) -> None:
        """Count an epoch."""
        self._seconds_per_epoch.append(event.metrics["seconds"])
        loss = event.metrics.get("train_loss", float("nan"))
        detail = (
            f"loss {loss:.5g}, {event.subjects_per_second:.2g} subjects/s, "
            f"about {self._time_left(event)} left"
        )
        if self._epochs is not None:
            self._progress.update(self._epochs, completed=event.epoch, detail=detail)
        if not self._console.is_terminal:
            self._say(event.fold, f"epoch {event.epoch} of {event.n_epochs}: {detail}")

    def _time_left(self, event: EpochEvent) -> str:
        """Estimate the time to the end of the trial from the median epoch so far."""
        recent = sorted(self._seconds_per_epoch[-20:])
        median = recent[len(recent) // 2]
        folds_after = self._n_folds - self._n_folds_over - 1
        epochs = event.n_epochs - event.epoch + folds_after * self._n_epochs
        return _clock(int(epochs * median))

    def _end_fold(self, number: int, what: str) -> None:
        """Count a fold that is over."""
        self._pieces.clear()
        self._n_folds_over += 1
        if self._folds is not None:
            self._progress.update(self._folds, completed=self._n_folds_over)
        self._say(number, what)

    def _say(self, number: int, what: str) -> None:
        """Print a line above the bars."""
        self._console.print(f"fold {number}: {what}", markup=False)


def bars(console: Console, *more: ProgressColumn) -> Progress:
    """Lay out lines of progress.

    Parameters
    ----------
    console : Console
        Where to draw; nothing, when it is no terminal.
    *more : ProgressColumn
        Columns at the end.

    Returns
    -------
    Progress
        With a field ``detail`` for each task.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        *more,
        console=console,
        disable=not console.is_terminal,
    )


def _clock(seconds: int) -> str:
    """Write a duration."""
    hours, minutes = seconds // 3600, seconds // 60 % 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds % 60:02d} s"
