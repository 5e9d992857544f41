"""The workers of one training, and what each computes on.

Whether there is one process or many, the training loop talks to `Ranks`. With more than one,
``torch.distributed`` must have been initialised by whoever started the processes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ResourceError
from isthmus.core.machine import usable_cores
from isthmus.training.memory import keep_freed_memory

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The place of this process among the workers of one training.

    Attributes
    ----------
    rank : int
        This worker, from 0.
    world_size : int
        Workers.
    device : torch.device
        Where this worker computes.
    """

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this worker writes files and speaks for all."""
        return self.rank == 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the workers; all of them must call this.

        Parameters
        ----------
        values : Tensor
            Of the same shape everywhere.

        Returns
        -------
        Tensor
            The same sum everywhere, on the CPU.
        """
        if self.world_size > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values.cpu()

    def gather(self, value: Any) -> list[Any]:
        """Collect a picklable value of each worker; all of them must call this.

        Parameters
        ----------
        value : Any
            This worker's.

        Returns
        -------
        list
            By rank, the same everywhere.
        """
        if self.world_size == 1:
            return [value]
        values: list[Any] = [None] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def from_first(self, make: Callable[[], T]) -> T:
        """Let the first worker do something and tell the others what came of it.

        Parameters
        ----------
        make : callable
            Called on the first worker only; the others wait.

        Returns
        -------
        T
            Its result, the same everywhere.

        Raises
        ------
        Exception
            What the first worker raised, on all workers: none is left waiting.
        """
        if self.world_size == 1:
            return make()
        outcome: list[Any] = [None, None]
        if self.is_first:
            try:
                outcome = [make(), None]
            except Exception as error:
                outcome = [None, error]
        dist.broadcast_object_list(outcome, src=0)
        value, failure = outcome
        if failure is not None:
            raise failure
        return cast(T, value)


def join_ranks(config: ExecutionConfig) -> Ranks:
    """Find this process's place among the workers, and its device.

    Parameters
    ----------
    config : ExecutionConfig
        The device asked for.

    Returns
    -------
    Ranks
        One worker where ``torch.distributed`` is not initialised.

    Raises
    ------
    ResourceError
        If a GPU is asked for where there is none.
    """
    grouped = dist.is_available() and dist.is_initialized()
    rank, world_size = (dist.get_rank(), dist.get_world_size()) if grouped else (0, 1)
    device = choose_device(config.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # where the workers' messages go
    return Ranks(rank, world_size, device)


def alone(config: ExecutionConfig) -> Ranks:
    """Stand for this process by itself, as for evaluation.

    Parameters
    ----------
    config : ExecutionConfig
        The device asked for.

    Returns
    -------
    Ranks
        One worker, whether ``torch.distributed`` is initialised or not.

    Raises
    ------
    ResourceError
        If a GPU is asked for where there is none.
    """
    return Ranks(0, 1, choose_device(config.device))


def choose_device(wanted: str) -> torch.device:
    """Choose where to compute.

    Parameters
    ----------
    wanted : {'auto', 'cpu', 'cuda'}
        ``auto`` takes a GPU where there is one.

    Returns
    -------
    torch.device
        The GPU of this worker's local rank, or the CPU.

    Raises
    ------
    ResourceError
        If a GPU is asked for where there is none.
    """
    n_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if wanted == "cuda" and n_devices == 0:
        raise ResourceError(
            "execution.device: cuda needs a GPU that torch can use, but it finds none here. "
            "Set execution.device: cpu, or auto."
        )
    if wanted == "cpu" or n_devices == 0:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % n_devices)


@contextmanager
def compute_settings(config: ExecutionConfig, ranks: Ranks) -> Iterator[None]:
    """Set threads and deterministic convolutions for a while, then restore the caller's.

    On the CPU, the same number of threads gives the same bits. On a GPU, algorithms are chosen
    deterministically where there is a choice; some kernels of torch have none.

    Parameters
    ----------
    config : ExecutionConfig
        Threads of each worker; none given: the cores that this process may use, shared out.
    ranks : Ranks
        The workers; outside of training, `alone`.

    Yields
    ------
    None
    """
    keep_freed_memory()
    before = torch.get_num_threads()
    torch.set_num_threads(config.threads_per_worker or max(1, usable_cores() // ranks.world_size))
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(before)
