"""Training on several workers with Ray Train: the launcher for two workers or more."""

import json
import shutil
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.data import DataContext
from ray.train import (
    ControllerError,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    UserCallback,
    WorkerGroupError,
)
from ray.train.torch import TorchTrainer

from isthmus.backends.ray_session import cluster_nodes, ray_session
from isthmus.backends.ray_worker import Noticeboard, killed_for_memory, work
from isthmus.backends.worker_share import WorkerShare, share_out
from isthmus.core.errors import IsthmusError, ResourceError
from isthmus.core.files import room_needed
from isthmus.core.ports import EpochEvent, EpochListener
from isthmus.training.fitted import FittedEncoder, read_fitted
from isthmus.training.history import HISTORY_FILE
from isthmus.training.shortage import step_too_large
from isthmus.training.task import TrainTask
from isthmus.volumes.store import open_store

_POLL_SECONDS = 0.2
# Each placement that finds no room within Ray's 60 s counts as one failure of the controller.
_PLACEMENTS = 3


class RayTrainLauncher:
    """Train on Ray workers (`isthmus.core.ports.TrainLauncher`).

    The workers run the same `isthmus.training.fit.fit` as one process does, joined by
    ``torch.distributed``: gloo on CPUs, nccl on GPUs. Checkpoints are fit's own, in the task's
    folder, which every worker must reach; Ray keeps none.

    Notes
    -----
    A worker that dies costs one of ``execution.max_failures``: Ray starts the group again and
    fit goes on from the last checkpoint. What fit refuses is not tried again.

    Starting two workers takes 10 to 20 s, so one worker is better trained by
    `isthmus.training.launch.InProcessLauncher`.
    """

    def launch(self, task: TrainTask, on_epoch: EpochListener) -> FittedEncoder:
        """Train to the end, resuming what the task's folder holds.

        Parameters
        ----------
        task : TrainTask
            What to train, and where. Without a `ray_session` around the call, one is opened for
            it at ``execution.address``.
        on_epoch : callable
            Hears, in the calling thread, of each epoch that this call finishes, once. If it
            raises, the workers are told to stop after their epoch.

        Returns
        -------
        FittedEncoder
            The record of the training.

        Raises
        ------
        ResourceError
            If the workers do not fit on the cluster, find no room there within minutes, or die
            more than ``execution.max_failures`` times.
        OutOfMemory
            If a step does not fit into a worker's memory, or Ray killed workers for the node's
            memory more than ``execution.max_failures`` times.
        IsthmusError
            What else a worker's fit refused, under its own class.
        """
        task = _absolute(task)
        digest = task.digest(open_store(task.store_url))
        finished = read_fitted(task.directory, digest)
        if finished is not None:
            return finished
        with room_needed(task.directory), ray_session(task.config.execution.address):
            share = share_out(task.config.execution, task.workers, cluster_nodes())
            task = _with_threads(task, share.threads)
            with _noticeboard(task) as board:
                _train(task, share, board, on_epoch)
        fitted = read_fitted(task.directory, digest)
        if fitted is None:
            raise ResourceError(
                f"The workers' folder must be this machine's too, but they finished and "
                f"{task.directory} holds no encoder here. Set execution.output to a folder that "
                "all nodes share."
            )
        return fitted


class _NoSecondTry(UserCallback):  # type: ignore[misc]
    """Make Ray's controller give up after a refusal: an error of its own is not retried."""

    def __init__(self, board: Noticeboard) -> None:
        self._board = board

    def after_exception(self, run_context: Any, worker_exceptions: Any) -> None:
        """Raise in the controller if trying again would change nothing."""
        if self._board.is_over or any(map(_refused, worker_exceptions.values())):
            raise RuntimeError("refused by a worker, or halted by the driver")


def _train(
    task: TrainTask, share: WorkerShare, board: Noticeboard, on_epoch: EpochListener
) -> None:
    """Run the workers, and tell of epochs meanwhile."""
    failures: list[BaseException] = []
    with warnings.catch_warnings():
        # Made once in a process, it warns of Ray's own defaults.
        warnings.simplefilter("ignore", DeprecationWarning)
        DataContext.get_current()

    def run() -> None:
        """Wait for Ray, aside: in the main thread it would take over Ctrl-C."""
        try:
            _trainer(task, share, board).fit()
        except BaseException as error:
            failures.append(error)

    tail = _HistoryTail(task)
    aside = threading.Thread(target=run, name="ray-train", daemon=True)
    aside.start()
    try:
        while aside.is_alive():
            aside.join(_POLL_SECONDS)
            tail.tell(on_epoch)
        tail.tell(on_epoch)
    except BaseException:
        board.halt()
        raise
    refusal = board.refusal()
    if refusal is None:
        refusal = next(filter(None, map(_refused, _worker_failures(failures))), None)
    if refusal is not None:
        raise refusal
    if failures:
        raise _readable(failures[0], task, share) from failures[0]


def _trainer(task: TrainTask, share: WorkerShare, board: Noticeboard) -> TorchTrainer:
    """Describe the run to Ray Train."""

    def work_here() -> None:
        """Train in a worker."""
        work(task, board, ray.train.get_context().get_world_rank())

    return TorchTrainer(
        work_here,
        scaling_config=ScalingConfig(
            num_workers=task.workers,
            use_gpu=share.on_gpu,
            resources_per_worker=share.resources,
        ),
        run_config=RunConfig(
            # Ray Train goes on where a run of the same name was: fit does that, from its own.
            name=board.folder.name,
            storage_path=str(board.folder.parent),
            failure_config=FailureConfig(
                max_failures=task.config.execution.max_failures,
                controller_failure_limit=_PLACEMENTS - 1,
            ),
            callbacks=[_NoSecondTry(board)],
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


@contextmanager
def _noticeboard(task: TrainTask) -> Iterator[Noticeboard]:
    """Have a folder of a name never used before; it is kept while workers must see the halt."""
    folder = task.directory / "ray" / f"{task.encoder_id[:24]}-{uuid.uuid4().hex[:12]}"
    folder.mkdir(parents=True)
    board = Noticeboard(folder)
    try:
        yield board
    finally:
        if not board.is_halted:
            shutil.rmtree(folder.parent, ignore_errors=True)


class _HistoryTail:
    """The epochs in a task's history that have not been told of."""

    def __init__(self, task: TrainTask) -> None:
        self._task = task
        self._told = max((int(record["epoch"]) for record in self._records()), default=0)

    def tell(self, on_epoch: EpochListener) -> None:
        """Tell of each epoch beyond the last one told."""
        for record in self._records():
            epoch = int(record["epoch"])
            if epoch > self._told:
                self._told = epoch
                on_epoch(_event(record, self._task))

    def _records(self) -> list[dict[str, float]]:
        """Read the history as it is now; the first worker replaces the file as a whole."""
        try:
            text = (self._task.directory / HISTORY_FILE).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.splitlines()]


def _event(record: dict[str, float], task: TrainTask) -> EpochEvent:
    """Make of a line of the history what fit tells in one process."""
    metrics = dict(record)
    return EpochEvent(
        fold=task.fold.number,
        epoch=int(metrics.pop("epoch")),
        n_epochs=task.config.training.epochs,
        subjects_per_second=metrics.pop("subjects_per_second"),
        metrics=metrics,
    )


def _absolute(task: TrainTask) -> TrainTask:
    """Name places in a way that means the same in every process."""
    store = task.store_url if "://" in task.store_url else str(Path(task.store_url).resolve())
    return replace(task, directory=task.directory.resolve(), store_url=store)


def _with_threads(task: TrainTask, threads: int) -> TrainTask:
    """Have each worker compute with the threads that Ray reserves for it."""
    execution = task.config.execution.model_copy(update={"threads_per_worker": threads})
    return replace(task, config=task.config.model_copy(update={"execution": execution}))


def _worker_failures(failures: Sequence[BaseException]) -> list[BaseException]:
    """List what the workers raised, of a run that failed."""
    return [
        raised
        for failure in failures
        for raised in getattr(failure, "worker_failures", {}).values()
    ]


def _refused(error: BaseException) -> IsthmusError | None:
    """Take fit's refusal out of what Ray makes of it, if it is one."""
    # Public is only the text of it.
    raised = getattr(error, "_base_exc", error)
    return raised if isinstance(raised, IsthmusError) else None


def _readable(error: BaseException, task: TrainTask, share: WorkerShare) -> BaseException:
    """Say in a paragraph what happened to the workers; an error of the code is left as it is."""
    if isinstance(error, ControllerError) and "Timeout" in type(error.controller_failure).__name__:
        return ResourceError(
            f"The {task.workers} workers of fold {task.fold.number} must find room on the cluster, "
            f"but each needs {share.resources} and so much was not free at {_PLACEMENTS} attempts "
            "of a minute. Wait for what runs there, or set fewer execution.workers."
        )
    if killed_for_memory(error):
        return step_too_large(task, task.workers, "Ray killed workers, their node was short of it")
    if isinstance(error, WorkerGroupError) and not _all_raised(error):
        most = task.config.execution.max_failures
        return ResourceError(
            f"The workers of fold {task.fold.number} may die {most} times "
            f"(execution.max_failures), but died {most + 1} times; often memory is short. Run "
            f"the command again to go on from the last checkpoint in {task.directory}."
        )
    if isinstance(error, TrainingFailedError):
        return RuntimeError(f"fold {task.fold.number}: {error}")
    return error


def _all_raised(error: WorkerGroupError) -> bool:
    """Tell whether every failed worker raised something itself: then the code is at fault."""
    names = {type(failure).__name__ for failure in error.worker_failures.values()}
    return names == {"UserExceptionWithTraceback"}
