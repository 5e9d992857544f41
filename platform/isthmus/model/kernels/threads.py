"""Sharing tasks among as many threads as PyTorch computes on."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch


def share(n_tasks: int, work: Callable[[int, int], None]) -> None:
    """Do some tasks, on PyTorch's number of threads, and wait for all of them.

    Parameters
    ----------
    n_tasks : int
        Tasks.
    work : callable
        Given the first task and the one after the last. It must let go of Python's lock.
    """
    n_threads = min(torch.get_num_threads(), n_tasks)
    if n_threads < 2:
        work(0, n_tasks)
        return
    edges = [n_tasks * i // n_threads for i in range(n_threads + 1)]
    pool = _pool(os.getpid())
    others = [pool.submit(work, edges[i], edges[i + 1]) for i in range(1, n_threads)]
    try:
        work(edges[0], edges[1])
    finally:
        for other in others:
            other.result()


@lru_cache(maxsize=1)
def _pool(_process: int) -> ThreadPoolExecutor:
    """Return this process's threads; they are started as they are needed."""
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="isthmus-kernel")
