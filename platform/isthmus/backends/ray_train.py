"""Training on several workers with Ray Train: the launcher for two workers or more."""

import json
import shutil
import threading
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import ray
from ray.data import DataContext
from ray.train import (
    ControllerError,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    WorkerGroupError,
)

from isthmus.backends.group_rules import GroupRules
from isthmus.backends.permit import held, permitted
from isthmus.backends.ray_group import GroupTrainer, refused
from isthmus.backends.ray_session import cluster_nodes, ray_session
from isthmus.backends.ray_worker import Noticeboard, killed_for_memory, work
from isthmus.backends.worker_share import WorkerShare, share_out
from isthmus.core.errors import ResourceError
from isthmus.core.files import room_needed
from isthmus.core.ports import EpochEvent, EpochListener
from isthmus.training.fitted import FittedEncoder, read_fitted
from isthmus.training.history import HISTORY_FILE
from isthmus.training.order import world_sizes
from isthmus.training.shortage import step_too_large
from isthmus.training.task import TrainTask
from isthmus.volumes.store import open_store

_POLL_SECONDS = 0.2
# To begin anew with more workers takes about 15 s: it is not done at every change.
_RESIZE_SECONDS = 60.0


class RayTrainLauncher:
    """Train on Ray workers (`isthmus.core.ports.TrainLauncher`).

    The workers run the same `isthmus.training.fit.fit` as one process does, joined by
    ``torch.distributed``: gloo on CPUs, nccl on GPUs. Checkpoints are fit's own, in the task's
    folder, which every worker must reach; Ray keeps none.

    Notes
    -----
    A worker that dies costs one of ``execution.max_failures``: Ray starts the group again and
    fit goes on from the last checkpoint. A node that is lost costs none, as long as the training
    gets further in between. What fit refuses is not tried again.

    With ``execution.min_workers`` the group is as large as the cluster has room for: it is made
    smaller when a node is lost or about to go, and larger, after a checkpoint, when one has come.

    Starting two workers takes 10 to 20 s, so one worker is better trained by
    `isthmus.training.launch.InProcessLauncher`.

    Parameters
    ----------
    share : WorkerShare, optional
        What each worker reserves where the cluster is too small at the moment: nodes that were
        there before are waited for. By default that is so from the second launch on, and the first
        refuses what the cluster has no nodes for.
    """

    def __init__(self, share: WorkerShare | None = None) -> None:
        self._known = share

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
        NoRoom
            If the workers find no room on the cluster for ``execution.worker_wait_minutes``.
        ResourceError
            If the cluster is too small for them, or they die more than
            ``execution.max_failures`` times.
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
            sizes = world_sizes(
                task.config.training, task.workers, task.config.execution.min_workers
            )
            share = self._known = self._share(task, sizes)
            task = _with_threads(task, share.threads)
            with _noticeboard(task) as board:
                _train(task, share, _rules(task, sizes, board), on_epoch)
        fitted = read_fitted(task.directory, digest)
        if fitted is None:
            raise ResourceError(
                f"The workers' folder must be this machine's too, but they finished and "
                f"{task.directory} holds no encoder here. Set execution.output to a folder that "
                "all nodes share."
            )
        return fitted

    def _share(self, task: TrainTask, sizes: Sequence[int]) -> WorkerShare:
        """Decide what each worker reserves: as for the most of them that there is room for now."""
        execution, nodes = task.config.execution, cluster_nodes()
        for workers in reversed(sizes):
            with suppress(ResourceError):
                return share_out(execution, workers, nodes)
        return self._known or share_out(execution, sizes[0], nodes)


def _rules(task: TrainTask, sizes: tuple[int, ...], board: Noticeboard) -> GroupRules:
    """Say what Ray's controller is to go by."""
    return GroupRules(
        sizes=sizes,
        max_failures=task.config.execution.max_failures,
        wait_minutes=task.config.execution.worker_wait_minutes,
        fold=task.fold.number,
        directory=task.directory,
        board=board,
    )


def _train(task: TrainTask, share: WorkerShare, rules: GroupRules, on_epoch: EpochListener) -> None:
    """Run the workers, and tell of epochs meanwhile."""
    board = rules.board
    failures: list[BaseException] = []
    with warnings.catch_warnings():
        # Made once in a process, it warns of Ray's own defaults.
        warnings.simplefilter("ignore", DeprecationWarning)
        DataContext.get_current()

    def run() -> None:
        """Wait for Ray, aside: in the main thread it would take over Ctrl-C."""
        try:
            _trainer(task, share, rules).fit()
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
        refusal = next(filter(None, map(refused, _raised(failures))), None)
    if refusal is not None:
        raise refusal
    if failures:
        raise _readable(failures[0], task) from failures[0]


def _trainer(task: TrainTask, share: WorkerShare, rules: GroupRules) -> GroupTrainer:
    """Describe the run to Ray Train."""
    board, permit = rules.board, held()

    def work_here() -> None:
        """Train in a worker, for as long as this process may."""
        board.join(ray.get_runtime_context().get_node_id())
        with permitted(permit) if permit else nullcontext():
            work(task, board, ray.train.get_context().get_world_rank())

    return GroupTrainer(
        rules,
        work_here,
        scaling_config=ScalingConfig(
            num_workers=(rules.sizes[0], rules.sizes[-1]) if rules.is_elastic else task.workers,
            elastic_resize_monitor_interval_s=_RESIZE_SECONDS,
            use_gpu=share.on_gpu,
            resources_per_worker=share.resources,
        ),
        run_config=RunConfig(
            # Ray Train goes on where a run of the same name was: fit does that, from its own.
            name=board.folder.name,
            storage_path=str(board.folder.parent),
            failure_config=FailureConfig(),
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


def _raised(failures: Sequence[BaseException]) -> list[BaseException]:
    """List what workers and controller raised, of a run that failed."""
    found: list[BaseException] = []
    for failure in failures:
        found += getattr(failure, "worker_failures", {}).values()
        found += [failure.controller_failure] if isinstance(failure, ControllerError) else []
    return found


def _readable(error: BaseException, task: TrainTask) -> BaseException:
    """Say in a paragraph what happened to the workers; an error of the code is left as it is."""
    if killed_for_memory(error):
        return step_too_large(task, task.workers, "Ray killed workers, their node was short of it")
    if isinstance(error, WorkerGroupError):
        most = task.config.execution.max_failures
        failures = error.worker_failures.values()
        raised = [one._base_exc for one in failures if hasattr(one, "_base_exc")]
        # Where a worker is gone, the others raise what tells of a broken connection.
        bug = next((one for one in raised if not isinstance(one, RuntimeError | OSError)), None)
        if isinstance(bug, Exception):
            return bug
        last = next((f"{type(one).__name__}: {one}" for one in [*raised, *failures]), str(error))
        last = " ".join(last.split())
        return ResourceError(
            f"The workers of fold {task.fold.number} may die {most} times "
            f"(execution.max_failures), but died {most + 1} times; often memory is short. The last "
            f"said: {last:.200}. Run the command again to go on from the last checkpoint in "
            f"{task.directory}."
        )
    if isinstance(error, TrainingFailedError):
        return RuntimeError(f"fold {task.fold.number}: {error}")
    return error
