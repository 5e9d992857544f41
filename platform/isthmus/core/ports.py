"""The seams through which the lower floors reach Ray and MLflow without importing them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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

    def label_experiment(self, experiment: str, tags: Mapping[str, str]) -> str:
        """Give an experiment, made when missing, the labels it lacks; return its identifier."""
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
    running : bool
        Whether it is open; one whose process was killed stays so.
    params : Mapping of str to str
        Settings, as text.
    metrics : Mapping of str to float
        The newest value of each number.
    started, ended : float or None
        Seconds since 1970.
    """

    run_id: str
    name: str
    parent_id: str | None
    finished: bool
    tags: Mapping[str, str]
    running: bool = False
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    started: float | None = None
    ended: float | None = None


class RunReader(Protocol):
    """A tracking store, to read what earlier runs left."""

    def run(self, run_id: str) -> StoredRun:
        """Look up a run."""
        ...

    def children(self, run_id: str, ended_since: float | None = None) -> tuple[StoredRun, ...]:
        """List the runs below a run, in the order in which they were started.

        `ended_since` leaves out those that were over before, in seconds since 1970.
        """
        ...

    def tagged(
        self, tag: str, value: str | None = None, alone: bool = False
    ) -> tuple[StoredRun, ...]:
        """List the runs that have a label, or have it say `value`, the newest first.

        `alone` leaves out those below another.
        """
        ...

    def history(self, run_id: str, metric: str) -> tuple[tuple[int, float], ...]:
        """List the steps at which a number was recorded, and its values, by step."""
        ...

    def fetch(self, run_id: str, artifact: str, destination: Path) -> Path:
        """Copy one of the run's artifacts to a folder; return the file."""
        ...

    def logger(self, run_id: str) -> RunLogger:
        """Reach a run for opening others below it; its status stays as it is."""
        ...


@dataclass(frozen=True)
class ModelVersion:
    """One version of a registered model.

    Attributes
    ----------
    name : str
        Of the registered model.
    version : str
        Its number in the registry, from ``"1"``.
    aliases : tuple of str
        Such as ``champion``; sorted.
    tags : Mapping of str to str
        Searchable labels of this version.
    run_id : str or None
        The run that it came of.
    source : str
        Where the registry keeps its files.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    run_id: str | None
    source: str


class ModelRegistry(Protocol):
    """Keeps versions of models, and aliases that point at one version each.

    Where it does not answer, any method raises `isthmus.core.errors.StoreUnavailable`. Each may be
    repeated: the same bundle is not registered twice, and a tag or an alias that is so already
    stays so.
    """

    def register(
        self,
        name: str,
        bundle: Path,
        *,
        run_id: str | None,
        tags: Mapping[str, str],
        description: str,
        extras: Mapping[str, Path],
    ) -> ModelVersion:
        """Keep a bundle, and files beside it, as the newest version of a model."""
        ...

    def find(self, name: str, which: str) -> ModelVersion | None:
        """Look up the version that an alias points at, or that has a number, if there is one."""
        ...

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """List a model's versions, the oldest first; empty where there is no such model."""
        ...

    def aliases(self, name: str) -> Mapping[str, str]:
        """Look up which version each alias of a model points at."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version, away from where it pointed."""
        ...

    def drop_alias(self, name: str, alias: str) -> None:
        """Take an alias away; there need not be one."""
        ...

    def set_tags(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set labels of one version."""
        ...

    def model_tags(self, name: str) -> Mapping[str, str]:
        """Read the labels of the model itself, which its versions share."""
        ...

    def set_model_tags(self, name: str, tags: Mapping[str, str]) -> None:
        """Set labels of the model itself."""
        ...

    def download(self, version: ModelVersion, destination: Path) -> Path:
        """Copy a version's bundle to a folder that is made for it; return that folder."""
        ...

    def extra(self, version: ModelVersion, label: str, folder: Path) -> Path | None:
        """Copy a file that was registered with a version; None where it has none of that name."""
        ...
