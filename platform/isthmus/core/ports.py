"""The seams through which the lower floors reach Ray and MLflow without importing them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

TaskT = TypeVar("TaskT", contravariant=True)
FittedT = TypeVar("FittedT", covariant=True)
SharedT = TypeVar("SharedT")
PieceT = TypeVar("PieceT")
ResultT = TypeVar("ResultT")
DeciderT = TypeVar("DeciderT", contravariant=True)


@dataclass(frozen=True)
class EpochEvent:
    """What is told once an epoch of one fold is over.

    Attributes
    ----------
    fold : int
        Number of the fold, from 0.
    epoch : int
        Number of the finished epoch, from 1.
    n_epochs : int
        Epochs planned.
    metrics : Mapping of str to float
        Such as ``train_loss`` and ``monitor_mse``.
    subjects_per_second : float
        Throughput of this epoch over all workers.
    """

    fold: int
    epoch: int
    n_epochs: int
    metrics: Mapping[str, float]
    subjects_per_second: float


EpochListener = Callable[[EpochEvent], None]


class TrainLauncher(Protocol[TaskT, FittedT]):
    """Runs the training of one fold somewhere: in this process, or on Ray workers."""

    def launch(self, task: TaskT, on_epoch: EpochListener) -> FittedT:
        """Train to the end, resuming what the task's folder holds."""
        ...


class TaskRunner(Protocol):
    """Runs independent pieces of one computation: in this process, or as Ray tasks."""

    def run(
        self,
        function: Callable[[SharedT, PieceT], ResultT],
        shared: SharedT,
        pieces: Sequence[PieceT],
        on_done: Callable[[PieceT, ResultT], None],
    ) -> None:
        """Apply a module's function to each piece; tell of each result as it comes, in any order.

        An error of a piece, or of `on_done`, ends the run and is raised.
        """
        ...


class TrialExecutor(Protocol[DeciderT]):
    """Runs the trials of a search somewhere, as its director says."""

    def run(self, director: DeciderT) -> None:
        """Ask for trials, run them, tell of them, until there is nothing more."""
        ...


class RunLogger(Protocol):
    """One run of the tracking store, open for writing.

    Where the store does not answer, any method raises `isthmus.core.errors.StoreUnavailable`; the
    same call may then be repeated, and what the store has taken already is not written twice.
    """

    @property
    def run_id(self) -> str:
        """The store's identifier of this run."""
        ...

    def child(self, name: str, tags: Mapping[str, str]) -> "RunLogger":
        """Open the run of that name below this one, continuing it where it exists."""
        ...

    def log_params(self, params: Mapping[str, str | int | float | bool]) -> None:
        """Record settings; repeating the same values is allowed."""
        ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record numbers; with a step that the run already has, nothing is written twice."""
        ...

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Copy a file into the run's artifacts."""
        ...

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set searchable labels."""
        ...

    def finish(self, succeeded: bool) -> None:
        """Close the run."""
        ...


class RunStore(Protocol):
    """A tracking store in which runs are found again by the digest of what they compute."""

    def open_run(self, experiment: str, name: str, key: str, tags: Mapping[str, str]) -> RunLogger:
        """Open the run with this key in the named experiment, continuing it where it exists."""
        ...


@dataclass(frozen=True)
class StoredRun:
    """A run as a tracking store has it.

    Attributes
    ----------
    run_id : str
        The store's identifier.
    name : str
        What people call it.
    parent_id : str or None
        The run that it is below.
    finished : bool
        Whether it was closed as a success.
    tags : Mapping of str to str
        Labels, the store's own among them.
    """

    run_id: str
    name: str
    parent_id: str | None
    finished: bool
    tags: Mapping[str, str]


class RunReader(Protocol):
    """A tracking store, to read what earlier runs left."""

    def run(self, run_id: str) -> StoredRun:
        """Look up a run."""
        ...

    def children(self, run_id: str) -> tuple[StoredRun, ...]:
        """List the runs below a run, in the order in which they were started."""
        ...

    def fetch(self, run_id: str, artifact: str, destination: Path) -> Path:
        """Copy one of the run's artifacts to a folder; return the file."""
        ...

    def logger(self, run_id: str) -> RunLogger:
        """Reach a run for opening others below it; its status stays as it is."""
        ...
