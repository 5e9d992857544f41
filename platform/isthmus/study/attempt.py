"""One attempt at a trial or a fold of it, wherever it runs: what it is given, how it ended."""

import traceback
from dataclasses import dataclass
from typing import Literal, Protocol

from isthmus.config.load import Experiment
from isthmus.core.errors import DiskFull, FolderBusy, IsthmusError, NoRoom, OutOfMemory
from isthmus.core.ports import TaskRunner
from isthmus.trial.events import TrialEvent, TrialListener
from isthmus.trial.run import Launcher, run_fold, run_trial

EndingKind = Literal[
    "finished", "failed", "memory", "disk", "died", "gone", "lost", "busy", "room", "halted"
]


@dataclass(frozen=True)
class Assignment:
    """A trial to be run, or one fold of it.

    Attributes
    ----------
    number : int
        Of the trial within its study, or of what else is counted by whoever hands it out.
    experiment : Experiment
        Resolved settings and folders; what the trial's folder holds is continued.
    fold : int or None
        Number of the fold; None: all of them, and their encoders compared.
    """

    number: int
    experiment: Experiment
    fold: int | None = None


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Attributes
    ----------
    kind : str
        ``finished``: its folder holds a result; ``failed``: by an error that would come again;
        ``memory``: it ran out of it; ``disk``: the disk is full; ``died``: its process did;
        ``gone``: its process's node is; ``lost``: it was ended because of something that it had no
        part in; ``busy``: another process writes its folder; ``room``: its workers found none on
        the cluster; ``halted``: it was told to stop.
    error : str
        Class of the error; empty where there is none.
    message : str
        What it said.
    """

    kind: EndingKind
    error: str = ""
    message: str = ""


class Director(Protocol):
    """Decides what is run: a search, or an ablation. Whoever runs it asks and tells."""

    def next(self) -> Assignment | Literal["wait", "done"]:
        """Say what is to be begun now; nothing before something is over; nothing any more."""
        ...

    def hear(self, number: int, event: TrialEvent) -> bool:
        """Hear of an event within what runs; say whether it is to go on."""
        ...

    def end(self, number: int, ending: Ending) -> None:
        """Hear that an attempt is over."""
        ...


def attempt(
    assignment: Assignment, launcher: Launcher, runner: TaskRunner, tell: TrialListener
) -> Ending:
    """Run a trial, or a fold, in this process, and say how that ended instead of raising.

    Parameters
    ----------
    assignment : Assignment
        What to run.
    launcher : TrainLauncher
        Where folds are trained.
    runner : TaskRunner
        Where the robustness job's pieces are computed.
    tell : callable
        Hears of each event; what it raises ends the attempt and is raised.

    Returns
    -------
    Ending
        ``finished``, or the error by type.
    """
    heard = _Heard(tell)
    try:
        if assignment.fold is None:
            run_trial(assignment.experiment, launcher, heard, runner)
        else:
            run_fold(assignment.experiment, assignment.fold, launcher, heard, runner)
    except Exception as error:
        if error is heard.raised:
            raise
        return _ending_of(error)
    return Ending("finished")


class _Heard:
    """Tells an error of the listener from one of the trial."""

    def __init__(self, tell: TrialListener) -> None:
        self._tell = tell
        self.raised: Exception | None = None

    def __call__(self, event: object) -> None:
        """Pass an event on."""
        try:
            self._tell(event)  # type: ignore[arg-type]
        except Exception as error:
            self.raised = error
            raise


def _ending_of(error: Exception) -> Ending:
    """Sort an error by what can be done about it."""
    name, message = type(error).__name__, str(error)
    if isinstance(error, OutOfMemory):
        return Ending("memory", name, message)
    if isinstance(error, FolderBusy):
        return Ending("busy", name, message)
    if isinstance(error, DiskFull):
        return Ending("disk", name, message)
    if isinstance(error, NoRoom):
        return Ending("room", name, message)
    if isinstance(error, IsthmusError):
        return Ending("failed", name, message)
    where = "".join(traceback.format_exception(error)[-2:])
    return Ending("failed", name, f"a bug in isthmus: {message or name}\n{where}")
