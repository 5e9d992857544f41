"""Independent pieces of one computation as Ray tasks: the runner for two processes or more."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import ray
from ray.exceptions import (
    GetTimeoutError,
    NodeDiedError,
    OutOfMemoryError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)
from threadpoolctl import threadpool_limits

from isthmus.backends.ray_session import cluster_nodes, ray_session
from isthmus.backends.worker_share import require_cores
from isthmus.core.errors import ResourceError

SharedT = TypeVar("SharedT")
PieceT = TypeVar("PieceT")
ResultT = TypeVar("ResultT")

_POLL_SECONDS = 1.0
# As long as Ray Train is given to place its workers.
_ROOM_SECONDS = 180.0
# A lost node's tasks start again elsewhere; without any node left there is no elsewhere.
_LOST_SECONDS = 60.0
_RETRIES = 3

# What a worker process was given last: many pieces share it, and opening it costs each time.
_held: dict[str, Any] = {}


class RayTaskRunner:
    """Run pieces on Ray workers (`isthmus.core.ports.TaskRunner`).

    What the pieces share is sent once and read by every worker from shared memory, so its arrays
    cannot be written to there; at most `workers` pieces run at a time, each with one core and one
    thread. Which worker ran what leaves no trace in a result.

    Parameters
    ----------
    workers : int
        Processes, at least 1.
    address : str or None
        A cluster, as `ray_session` has it; none: a Ray on this machine. Where this process is in
        a session already, that one is used.

    Notes
    -----
    A context manager: Ray is started by the first run that has a piece, and ended with the block,
    so what is finished already costs no Ray. Without the block, each run has a session of its own.

    A worker process that dies, or is killed for want of memory, has its piece tried anew, three
    times. What a piece raises itself would be raised again, and is raised here at once, under its
    own class.

    Sending a piece takes about 1 ms, starting Ray 5 to 10 s.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        self._workers = workers
        self._address = address
        self._kept: ExitStack | None = None

    def __enter__(self) -> "RayTaskRunner":
        """Keep the session that the first run starts."""
        self._kept = ExitStack()
        return self

    def __exit__(self, *exception: object) -> None:
        """End the session, if one was started."""
        if self._kept is not None:
            self._kept.close()
        self._kept = None

    def run(
        self,
        function: Callable[[SharedT, PieceT], ResultT],
        shared: SharedT,
        pieces: Sequence[PieceT],
        on_done: Callable[[PieceT, ResultT], None],
    ) -> None:
        """Apply a function to each piece; tell of each result as it comes, in any order.

        Parameters
        ----------
        function : callable
            Of a module, so that a worker can import it; takes what all share, and one piece.
        shared : object
            Given to each call; it must survive pickling.
        pieces : sequence
            What is to be done.
        on_done : callable
            Hears, in the calling thread, of each piece and its result. If it raises, nothing more
            is begun.

        Raises
        ------
        ResourceError
            If the workers do not fit on the cluster, find no room there within minutes, lose it,
            or die again and again.
        Exception
            What a piece raised, as it was raised.
        """
        if not pieces:
            return
        with ExitStack() as own:
            (own if self._kept is None else self._kept).enter_context(ray_session(self._address))
            require_cores(self._workers, cluster_nodes())
            _require_room(self._workers)
            _run(self._workers, function, shared, pieces, on_done)


def _run(
    workers: int,
    function: Callable[[SharedT, PieceT], ResultT],
    shared: SharedT,
    pieces: Sequence[PieceT],
    on_done: Callable[[PieceT, ResultT], None],
) -> None:
    """Keep the workers busy until all pieces are done."""
    task = ray.remote(num_cpus=1, max_retries=_RETRIES, retry_exceptions=False)(_work)
    place = ray.put(shared)
    # After an error what runs is left to end by itself, or with the session: Ray 2.60 aborts this
    # process where it is told to cancel a task that is just coming back.
    waiting, running = iter(pieces), {}
    for piece in _next(waiting, workers):
        running[task.remote(function, [place], piece)] = piece
    for done in _finished(running):
        piece = running.pop(done)
        result = _result(done)
        for following in _next(waiting, 1):
            running[task.remote(function, [place], following)] = following
        on_done(piece, result)


def _next(waiting: Iterator[PieceT], n: int) -> Iterator[PieceT]:
    """Take some of the pieces that wait."""
    for _, piece in zip(range(n), waiting, strict=False):
        yield piece


def _finished(running: dict[Any, PieceT]) -> Iterator[Any]:
    """Wait for tasks, whichever ends first, while there are any; the cluster must not vanish."""
    lost_since: float | None = None
    while running:
        done, _ = ray.wait(list(running), num_returns=1, timeout=_POLL_SECONDS)
        yield from done
        alive = bool(done) or any(node.get("CPU", 0.0) >= 1 for node in cluster_nodes())
        now = time.monotonic()
        lost_since = None if alive else lost_since or now
        if lost_since is not None and now - lost_since > _LOST_SECONDS:
            raise ResourceError(
                f"{len(running)} pieces of work wait for a core of the Ray cluster, but it has "
                f"had none for {_LOST_SECONDS:.0f} s. Start its nodes again and run the same "
                "command: finished pieces are kept."
            )


def _result(done: Any) -> Any:
    """Open a result, or raise what was raised in its stead."""
    try:
        return ray.get(done)
    except RayTaskError as error:
        raise error.cause from error
    except (WorkerCrashedError, OutOfMemoryError, NodeDiedError) as error:
        raise ResourceError(
            f"A worker of the robustness job may die {_RETRIES} times at a piece of work, but died "
            f"once more ({type(error).__name__}); often memory is short. Set fewer "
            "execution.stratification_workers and run the same command: finished pieces are kept."
        ) from error
    except RaySystemError as error:
        raise ResourceError(f"Ray failed at a piece of work: {error}") from error


def _require_room(workers: int) -> None:
    """Refuse to wait for ever on a cluster that others keep busy."""
    probe = ray.remote(num_cpus=1)(_nothing).remote()
    try:
        ray.get(probe, timeout=_ROOM_SECONDS)
    except GetTimeoutError:
        raise ResourceError(
            f"The {workers} workers of the robustness job need a free core each, but the cluster "
            f"had not one for {_ROOM_SECONDS:.0f} s. Wait for what runs there, or set "
            "execution.stratification_workers: 1 to compute in this process."
        ) from None


def _nothing() -> None:
    """Take a core for a moment, to see that it can be had."""


def _work(
    function: Callable[[SharedT, PieceT], ResultT], place: list[Any], piece: PieceT
) -> ResultT:
    """Do one piece in a worker; the place comes in a list, or Ray would open it for each task."""
    name = place[0].hex()
    if name not in _held:
        _held.clear()
        _held[name] = ray.get(place[0])
    # the module that torch would be in, where the work has imported it
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    with threadpool_limits(limits=1):
        return function(_held[name], piece)
