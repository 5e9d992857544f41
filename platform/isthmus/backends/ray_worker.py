"""What runs in each training worker, and the files by which driver and workers understand another.

A refusal, such as a diverged loss, is the same however often it is tried: the worker writes it
down, Ray's controller sees the file and gives up at once, and the driver raises it again under its
own class. A killed worker writes nothing, and Ray starts the group again.

Before the controller ends a group that could go on, because nodes come or are about to go, it
leaves a wish; the workers save after the step they are in, and take the wish away.
"""

import contextlib
import importlib
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import FolderBusy, IsthmusError
from isthmus.core.files import write_json
from isthmus.core.ports import EpochEvent
from isthmus.training.fit import fit
from isthmus.training.ranks import Ranks, join_ranks
from isthmus.training.task import TrainTask

# How often the first worker looks whether a checkpoint is wished for.
_LOOK_SECONDS = 1.0
_KILLED_FOR_MEMORY = "killed due to the node running low on memory"


class Halted(Exception):
    """The driver is no longer interested."""


@dataclass(frozen=True)
class Noticeboard:
    """A folder that driver, controller and workers see, for one launch.

    Attributes
    ----------
    folder : Path
        Absolute; made by the driver.
    """

    folder: Path

    @property
    def _refusal(self) -> Path:
        """Where a worker writes why it will not go on."""
        return self.folder / "refusal.json"

    @property
    def _halt(self) -> Path:
        """Where the driver says that nobody waits any more."""
        return self.folder / "halt"

    def refuse(self, error: IsthmusError) -> None:
        """Write down an error that trying again would not change.

        Parameters
        ----------
        error : IsthmusError
            What was raised in a worker.
        """
        write_json(self._refusal, described(error))

    def halt(self) -> None:
        """Ask the workers to stop after the epoch they are in."""
        self._halt.touch()

    @property
    def is_halted(self) -> bool:
        """Whether the driver has gone."""
        return self._halt.exists()

    @property
    def is_over(self) -> bool:
        """Whether the training must not be started again: after a refusal or a halt."""
        return self.is_halted or self._refusal.exists()

    def refusal(self) -> IsthmusError | None:
        """Read what a worker refused, as the error it raised.

        Returns
        -------
        IsthmusError or None
            Of the worker's own class; None where no worker refused.
        """
        try:
            content = json.loads(self._refusal.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return refusal_of(content)

    @property
    def _wish(self) -> Path:
        """What stands for a checkpoint that is waited for."""
        return self.folder / "wish"

    @property
    def is_wished(self) -> bool:
        """Whether a checkpoint is waited for, before this group is ended."""
        return self._wish.exists()

    def wish(self) -> None:
        """Ask the workers to save after the step they are in."""
        self._wish.touch()

    def grant(self) -> None:
        """Take the wish away: it was met, or the group it was made to is gone."""
        self._wish.unlink(missing_ok=True)

    def join(self, node: str) -> None:
        """Write down that a worker of the present group is on a node.

        Parameters
        ----------
        node : str
            Ray's identifier of it.
        """
        (self.folder / f"node-{node}").touch()

    def take_nodes(self) -> frozenset[str]:
        """Say which nodes a group that has failed was on, and forget them.

        Returns
        -------
        frozenset of str
            Ray's identifiers.
        """
        files = tuple(self.folder.glob("node-*"))
        for file in files:
            file.unlink(missing_ok=True)
        return frozenset(file.name.removeprefix("node-") for file in files)

    def listen(self, _: EpochEvent) -> None:
        """Stop a worker at the end of an epoch if the driver is gone.

        Parameters
        ----------
        _ : EpochEvent
            Not needed: the driver reads the history.

        Raises
        ------
        Halted
            If it is.
        """
        if self.is_halted:
            raise Halted(f"halted by {self._halt}")


def described(error: IsthmusError) -> dict[str, str]:
    """Describe a refusal, so that it can be told where it was not raised.

    Parameters
    ----------
    error : IsthmusError
        What was raised in a worker.

    Returns
    -------
    dict of str to str
        Its class and its message.
    """
    kind = type(error)
    return {"module": kind.__module__, "name": kind.__qualname__, "message": str(error)}


def refusal_of(content: Mapping[str, str]) -> IsthmusError:
    """Make a refusal of its description.

    Parameters
    ----------
    content : Mapping of str to str
        As `described` gave it.

    Returns
    -------
    IsthmusError
        Of the class that was described, if it is one of ours.
    """
    kind = None
    # A class of ours is named, nothing else.
    if content["module"].split(".")[0] == "isthmus":
        kind = getattr(importlib.import_module(content["module"]), content["name"], None)
    if not (isinstance(kind, type) and issubclass(kind, IsthmusError)):
        kind = IsthmusError
    return kind(content["message"])


def killed_for_memory(error: BaseException) -> bool:
    """Tell whether Ray killed a process because its node ran low on memory.

    Parameters
    ----------
    error : BaseException
        What Ray raised; its causes, and the failures of Ray Train's workers, are looked at too.

    Returns
    -------
    bool
        True where Ray's own memory monitor did it. A process that the kernel kills dies of SIGKILL
        like any other: Ray then names short memory as one of several possible causes, which is not
        taken for knowledge.

    Notes
    -----
    Of Ray 2.60, by running it: a killed task, actor, Train worker and Train controller come as
    ``ray.exceptions.OutOfMemoryError``. Tune does not expect that of a trial: ``Tuner.fit`` ends
    with a RuntimeError of which it is the cause. By signal, a task comes as ``WorkerCrashedError``
    and an actor as ``ActorDiedError``.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        failed = waiting.pop()
        if failed is None or id(failed) in seen:
            continue
        seen.add(id(failed))
        kind = type(failed)
        by_class = kind.__name__ == "OutOfMemoryError" and kind.__module__.startswith("ray.")
        if by_class or _KILLED_FOR_MEMORY in str(failed):
            return True
        waiting += [failed.__cause__, failed.__context__]
        for name in ("worker_failures", "controller_failure", "health_check_failure", "cause"):
            inner = getattr(failed, name, None)
            several = inner.values() if isinstance(inner, Mapping) else [inner]
            waiting += [item for item in several if isinstance(item, BaseException)]
    return False


def work(task: TrainTask, board: Noticeboard, rank: int) -> None:
    """Train in one worker of a group that Ray has joined by ``torch.distributed``.

    Parameters
    ----------
    task : TrainTask
        What to train; its folder holds what an earlier group got to.
    board : Noticeboard
        Where to say why not.
    rank : int
        This worker's.

    Raises
    ------
    IsthmusError
        What `fit` refuses, after it is written down.
    """
    _hush()
    execution = task.config.execution
    saver = None if execution.min_workers is None else _Saver(board, execution)
    try:
        fit(task, board.listen if rank == 0 else None, saver)
    except FolderBusy:
        # Perhaps it is the group before, on a node that was cut off: the controller knows.
        raise
    except IsthmusError as error:
        # A full disk may not take the note; the error itself tells the controller then.
        with contextlib.suppress(OSError):
            board.refuse(error)
        raise


class _Saver:
    """Has a checkpoint made, on all workers after the same step, when one is wished for."""

    def __init__(self, board: Noticeboard, execution: ExecutionConfig) -> None:
        self._board = board
        self._execution = execution
        self._ranks: Ranks | None = None
        self._looks_again = 0.0
        self._saved = False

    def __call__(self, step: int, loss: float) -> bool:
        """Say whether this step is to be saved."""
        if self._ranks is None:
            self._ranks = join_ranks(self._execution)
        wished = 0.0
        if self._ranks.is_first:
            if self._saved:
                self._board.grant()
            if time.monotonic() >= self._looks_again:
                self._looks_again = time.monotonic() + _LOOK_SECONDS
                wished = float(self._board.is_wished)
        self._saved = bool(self._ranks.sum(torch.tensor([wished])).item())
        return self._saved


def _hush() -> None:
    """Silence Ray Train's line for each report; its logger is named after a private file."""
    logging.getLogger("ray.train.v2._internal.execution.context").setLevel(logging.ERROR)
