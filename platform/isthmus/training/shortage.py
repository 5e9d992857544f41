"""Memory and disk that do not suffice, told by errors of their own class.

What ran out decides what helps: too large a step is helped by smaller slices, a full disk by room,
and an evaluation, which takes one subject at a time, by fewer trials beside it.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from isthmus.config.experiment import ExperimentConfig
from isthmus.core.errors import IsthmusError, OutOfMemory, ResourceError
from isthmus.core.files import room_needed
from isthmus.training.memory import give_back_memory
from isthmus.training.order import smaller_micro_batch
from isthmus.training.task import TrainTask

# How torch, oneDNN and CUDA's libraries say it where they have no class for it.
_PHRASES = (
    "can't allocate memory",
    "bad_alloc",
    "out of memory",
    "ALLOC_FAILED",
    "could not create a primitive",
    "can't start new thread",
)


def memory_ran_out(error: BaseException) -> bool:
    """Tell whether an error means that memory could not be had.

    Parameters
    ----------
    error : BaseException
        What was raised.

    Returns
    -------
    bool
        True for CUDA's, Python's and torch's own CPU allocator's way of saying so.

    Examples
    --------
    >>> memory_ran_out(RuntimeError("DefaultCPUAllocator: can't allocate memory: 64 bytes"))
    True
    >>> memory_ran_out(RuntimeError("shapes differ"))
    False
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in _PHRASES)


@contextmanager
def typed_in_training(task: TrainTask, workers: int) -> Iterator[None]:
    """Tell of a training's shortages: of a step that does not fit, with the slices that may.

    Parameters
    ----------
    task : TrainTask
        What is trained, and where.
    workers : int
        Workers that are at it.

    Yields
    ------
    None

    Raises
    ------
    OutOfMemory
        If the block runs out of memory. What it held is let go of first.
    DiskFull
        If there is no room left on the disk.
    """
    try:
        with room_needed(task.directory):
            yield
    except IsthmusError:
        raise
    except Exception as error:
        if not memory_ran_out(error):
            raise
        give_back_memory(error)
        raise step_too_large(task, workers, _first_line(error)) from error


@contextmanager
def typed_failures(folder: Path, config: ExperimentConfig) -> Iterator[None]:
    """Tell of shortages by their classes, around a whole trial or a part of one.

    Parameters
    ----------
    folder : Path
        Where the block writes.
    config : ExperimentConfig
        The experiment.

    Yields
    ------
    None

    Raises
    ------
    DiskFull
        If there is no room left on the disk.
    ResourceError
        If memory runs out. Training itself raises the more special `OutOfMemory`, which passes
        through; elsewhere a smaller micro-batch changes nothing.
    """
    try:
        with room_needed(folder):
            yield
    except IsthmusError:
        raise
    except Exception as error:
        if not memory_ran_out(error):
            raise
        give_back_memory(error)
        raise ResourceError(
            f"{folder}: must be worked on within the memory there is, but outside of training, "
            f"where subjects come one by one, memory ran out ({_first_line(error)}). Smaller "
            "micro-batches do not help: give it more memory, or set fewer "
            "execution.concurrent_trials or execution.stratification_workers (now "
            f"{config.execution.concurrent_trials} and {config.execution.stratification_workers})."
        ) from error


def step_too_large(task: TrainTask, workers: int, reason: str) -> OutOfMemory:
    """Say what a step holds at a time, and what to set.

    Parameters
    ----------
    task : TrainTask
        What was trained.
    workers : int
        Workers that were at it.
    reason : str
        How it showed, in a line.

    Returns
    -------
    OutOfMemory
        To be raised.
    """
    training = task.config.training
    size, steps = training.global_batch_size, training.accumulation_steps
    part = max(1, size // (steps * workers))
    fewer = f", of which {workers} ran" if workers != task.workers else ""
    smaller = smaller_micro_batch(task.config, task.workers)
    if smaller is None:
        remedy = (
            "That is the least: use a GPU or a machine with more memory, a smaller model "
            "(model.base_channels, model.depth) or training.precision: bfloat16."
        )
    else:
        after = smaller["training.accumulation_steps"]
        remedy = (
            f"Set training.accumulation_steps to {after}: {size // (after * task.workers)} at a "
            f"time{' with all workers' if fewer else ''} "
            "for the same global batch."
        )
    return OutOfMemory(
        f"A training step of fold {task.fold.number} must fit into memory, but with {part} "
        f"subject{'s' if part > 1 else ''} at a time it does not ({reason}): "
        f"training.global_batch_size {size} / training.accumulation_steps {steps} / "
        f"execution.workers {task.workers}{fewer}. {remedy}"
    )


def _first_line(error: BaseException) -> str:
    """Say in a line what the library said."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0].rstrip('.'):.200}"
