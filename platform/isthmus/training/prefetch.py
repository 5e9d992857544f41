"""Reading ahead: the next volumes are read while the present ones are computed on.

Threads, not processes: decoding and arithmetic on whole volumes let go of the interpreter, so that
threads overlap, and a volume needs no copy from one process to another.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch

from isthmus.config.execution import ExecutionConfig
from isthmus.core.machine import usable_cores

K = TypeVar("K")
V = TypeVar("V")

# One reader keeps ahead of a processor's steps many times over; a GPU's are shorter, and a store
# behind a network answers late. More than these only take memory.
_READERS_BESIDE_CPU = 2
_READERS_BESIDE_GPU = 8


@dataclass(frozen=True)
class Reading:
    """How reading keeps ahead. It decides when something is read, never what.

    Attributes
    ----------
    readers : int
        Threads that read, each another item.
    ahead : int
        Items that are read, or being read, beyond the one that is waited for or worked on.
    pinned : bool
        Read into page-locked memory, from which a GPU copies while it computes.
    """

    readers: int = 1
    ahead: int = 1
    pinned: bool = False


def plan_reading(config: ExecutionConfig, device: torch.device, world_size: int = 1) -> Reading:
    """Choose how reading keeps ahead on this machine.

    Parameters
    ----------
    config : ExecutionConfig
        ``readers`` and ``read_ahead``, each None for a choice.
    device : torch.device
        Where it is computed on what is read.
    world_size : int
        Workers that share this machine's cores.

    Returns
    -------
    Reading
        Chosen are at most as many readers as a worker has cores: up to 2 where it computes on
        these cores too, up to 8 beside a GPU; and as many parts ahead as readers.
    """
    most = _READERS_BESIDE_GPU if device.type == "cuda" else _READERS_BESIDE_CPU
    if config.read_ahead is not None:
        most = min(most, config.read_ahead)  # a reader without a part to read would be idle
    readers = config.readers or max(1, min(most, usable_cores() // world_size))
    return Reading(readers, config.read_ahead or readers, device.type == "cuda")


def prefetch(
    read: Callable[[K], V], keys: Iterable[K], reading: Reading | None = None
) -> Generator[V, None, None]:
    """Read some items ahead in threads, and give them in order.

    Parameters
    ----------
    read : callable
        From a key to its value; with several readers it is called by several threads at a time.
    keys : iterable
        What to read; taken one by one, no further ahead than is read.
    reading : Reading, optional
        Threads, and items ahead; none given: one of each.

    Yields
    ------
    V
        The values, in the order of the keys. What `read` raises is raised in its turn, and nothing
        more is read.

    Notes
    -----
    The threads end with the generator: at its last value, at an error, or when it is closed, which
    a loop that may stop early does by `contextlib.closing`. What has begun to be read is waited
    for. At most ``reading.ahead`` values are held beside the one given out.

    Examples
    --------
    >>> list(prefetch(abs, [-1, 2, -3], Reading(readers=2, ahead=2)))
    [1, 2, 3]
    """
    reading = reading or Reading()
    waiting = iter(keys)
    ahead: deque[Future[V]] = deque()
    threads = ThreadPoolExecutor(reading.readers, thread_name_prefix="isthmus-read")
    try:
        ahead.extend(threads.submit(read, key) for key in islice(waiting, reading.ahead))
        while ahead:
            ahead.extend(threads.submit(read, key) for key in islice(waiting, 1))
            # Under no name here: who was given a value decides how long it is kept.
            yield ahead.popleft().result()
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
