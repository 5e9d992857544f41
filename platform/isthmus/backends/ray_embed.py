"""A cohort embedded by Ray Data: actors that load the model once, and a stream of their rows."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    GetTimeoutError,
    NodeDiedError,
    OutOfMemoryError,
    RayError,
)

from isthmus.backends.ray_session import cluster_nodes, ray_session
from isthmus.backends.ray_worker import described, killed_for_memory, refusal_of
from isthmus.backends.worker_share import WorkerShare, share_out
from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import IsthmusError, ResourceError
from isthmus.core.files import disk_full
from isthmus.promotion.embedding.row import SubjectRow
from isthmus.promotion.embedding.source import SubjectImages
from isthmus.promotion.embedding.subject import Embedder, EmbedJob
from isthmus.volumes.sources import ImageSource

Piece = tuple[SubjectImages, ...]

# So often may workers die before anything more is finished.
_RETRIES = 3
# As long as Ray Train is given to place its workers.
_ROOM_SECONDS = 180
_DEATHS = (ActorDiedError, ActorUnavailableError, NodeDiedError, OutOfMemoryError)


class RayEmbedRunner:
    """Embed pieces on Ray's workers (`isthmus.promotion.embedding.run.EmbedRunner`).

    Parameters
    ----------
    execution : ExecutionConfig
        ``workers``, ``threads_per_worker``, ``device`` and ``address`` are read.

    Notes
    -----
    The pieces are a dataset, and a worker is an actor that loads the model once and maps pieces to
    rows. Images are read and reconstructions written where the worker is, so their folders, and
    the model's, must be reachable there by the same paths. What travels is a piece's paths and a
    subject's row, and rows are handed on as they come; images stay with the worker, one subject's
    at a time.
    """

    def __init__(self, execution: ExecutionConfig) -> None:
        self._execution = execution

    def run(
        self,
        job: EmbedJob,
        pieces: Sequence[Piece],
        on_done: Callable[[Sequence[SubjectRow]], None],
    ) -> None:
        """Embed each piece; tell of its rows as they come, in any order.

        Parameters
        ----------
        job : EmbedJob
            What each worker is told.
        pieces : sequence of tuple of SubjectImages
            Whom.
        on_done : callable
            Hears, in the calling thread, of the rows of each piece.

        Raises
        ------
        ResourceError
            If the workers do not fit on the cluster, find no room there within minutes, or die
            again and again.
        IsthmusError
            What a worker refused, under its own class.
        """
        if not pieces:
            return
        with ray_session(self._execution.address):
            share = share_out(self._execution, self._execution.workers, cluster_nodes())
            self._until_done(replace(job, threads=share.threads), pieces, share, on_done)

    def _until_done(
        self,
        job: EmbedJob,
        pieces: Sequence[Piece],
        share: WorkerShare,
        on_done: Callable[[Sequence[SubjectRow]], None],
    ) -> None:
        """Stream what is left, again where a worker died on the way."""
        left, n_deaths = dict(enumerate(pieces)), 0
        while left:
            workers = min(self._execution.workers, len(left))
            try:
                for number, line in _stream(job, left, workers, share):
                    on_done(_rows(line))
                    del left[number]
                    n_deaths = 0
            except (
                ActorDiedError,
                ActorUnavailableError,
                NodeDiedError,
                OutOfMemoryError,
            ) as error:
                n_deaths += 1
                if n_deaths > _RETRIES:
                    raise _given_up(error) from error
            except GetTimeoutError as error:
                raise _no_room(workers) from error


class _Worker:
    """An actor of the pool; Ray Data calls it with a batch of pieces."""

    def __init__(self, job: EmbedJob) -> None:
        self._job = job
        self._embedder: Embedder | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Embed the batch's pieces; what is refused travels as a line too, under its class."""
        lines = [self._line(str(piece)) for piece in batch["piece"]]
        return {"number": [int(number) for number in batch["number"]], "line": lines}

    def _line(self, piece: str) -> str:
        """Embed one piece."""
        try:
            # Here and not in the constructor, so that a refusal is told like any other.
            self._embedder = self._embedder or Embedder(self._job)
            rows = self._embedder(_unpacked(piece))
        except IsthmusError as error:
            return json.dumps({"refusal": described(error)})
        except OSError as error:
            refusal = disk_full(error, self._job.bundle) or IsthmusError(f"A worker: {error}.")
            return json.dumps({"refusal": described(refusal)})
        return json.dumps({"rows": [row.to_json() for row in rows]})


def _stream(
    job: EmbedJob, pieces: Mapping[int, Piece], workers: int, share: WorkerShare
) -> Iterator[tuple[int, str]]:
    """Yield what became of each piece, with its number, as it comes."""
    items = [{"number": number, "piece": _packed(piece)} for number, piece in pieces.items()]
    with _quiet_data() as data:
        rows = _mapped(data.from_items(items, override_num_blocks=len(items)), job, workers, share)
        for row in rows.iter_rows():
            yield int(row["number"]), str(row["line"])


def _mapped(dataset: Any, job: EmbedJob, workers: int, share: WorkerShare) -> Any:
    """Map a dataset of pieces to one of rows, by workers whose death is told."""
    from ray.data import ActorPoolStrategy  # noqa: PLC0415

    with warnings.catch_warnings():
        # That Ray 2.64 will not take a number of restarts; by then there may be a name for it.
        warnings.simplefilter("ignore", DeprecationWarning)
        return dataset.map_batches(
            _Worker,
            fn_constructor_args=(job,),
            compute=ActorPoolStrategy(size=workers),
            num_cpus=share.threads,
            num_gpus=share.gpus,
            # Ray Data would start what died again without end.
            max_restarts=0,
        )


def _packed(piece: Piece) -> str:
    """Write a piece as text, which a dataset holds in a plain column."""
    return json.dumps(
        [
            [subject.participant_id, [{**vars(s), "path": _text(s.path)} for s in subject.sources]]
            for subject in piece
        ]
    )


def _unpacked(text: str) -> Piece:
    """Read a piece."""
    return tuple(
        SubjectImages(
            participant_id,
            tuple(ImageSource(**{**s, "path": s["path"] and Path(s["path"])}) for s in sources),
        )
        for participant_id, sources in json.loads(text)
    )


def _text(path: Path | None) -> str | None:
    """Write a path."""
    return None if path is None else str(path)


def _rows(line: str) -> list[SubjectRow]:
    """Read what became of a piece, or raise what was refused."""
    content = json.loads(line)
    if "refusal" in content:
        raise refusal_of(content["refusal"])
    return [SubjectRow.from_json(row) for row in content["rows"]]


def _given_up(error: RayError) -> ResourceError:
    """Say why workers were given up."""
    short = "memory was short" if killed_for_memory(error) else type(error).__name__
    return ResourceError(
        f"Workers that embed may die {_RETRIES} times without a subject finished in between, but "
        f"one died once more ({short}). Set fewer --workers, so that each has more memory, and "
        "run the same command: finished subjects are kept."
    )


def _no_room(workers: int) -> ResourceError:
    """Say that a cluster is busy."""
    return ResourceError(
        f"All {workers} workers must find room on the cluster, but did not within "
        f"{_ROOM_SECONDS} s. Wait for what runs there, or set fewer --workers; then run the same "
        "command: finished subjects are kept."
    )


@contextmanager
def _quiet_data() -> Iterator[Any]:
    """Give Ray Data without its bars and its log on the terminal."""
    with warnings.catch_warnings():
        # Its settings warn of each other when they are made.
        warnings.simplefilter("ignore")
        import ray.data as data  # noqa: PLC0415

        context = data.DataContext.get_current().copy()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.wait_for_min_actors_s = _ROOM_SECONDS
    logger = logging.getLogger("ray.data")
    handlers = list(logger.handlers)
    logger.handlers = [handler for handler in handlers if handler.name != "console"]
    try:
        with data.DataContext.current(context):
            yield data
    finally:
        logger.handlers = handlers
