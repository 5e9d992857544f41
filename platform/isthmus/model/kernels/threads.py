"""Sharing tasks among PyTorch's own threads.

PyTorch's threads wait for their next work by spinning for a while. Threads of our own beside them
would have to share the cores with that: a step took half as long again. So the tasks are handed to
the OpenMP runtime that PyTorch runs on, by the entry that compilers call (`GOMP_parallel`, which
LLVM's runtime has too). Where it is not found there is a pool of threads instead.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

_Work = Callable[[int, int], None]
_BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_own_process = os.getpid()


def share(n_tasks: int, work: _Work, *, much: bool = True) -> None:
    """Do some tasks, on PyTorch's number of threads, and wait for all of them.

    Parameters
    ----------
    n_tasks : int
        Tasks.
    work : callable
        Given the first task and the one after the last. It must let go of Python's lock. What it
        raises is raised when all threads have ended.
    much : bool
        Whether it is enough for several threads: calling one takes some 25 microseconds.
    """
    n_threads = min(torch.get_num_threads(), n_tasks) if much else 1
    if n_threads < 2:
        work(0, n_tasks)
        return
    edges = [n_tasks * i // n_threads for i in range(n_threads + 1)]
    parts = iter(list(pairwise(edges)))
    errors: list[BaseException] = []
    begin = _openmp()
    # A forked child has OpenMP's bookkeeping but not its threads.
    if begin is None or os.getpid() != _own_process:
        pool = _pool(os.getpid())
        wait([pool.submit(_do, parts, work, errors) for _ in range(n_threads)])
    else:
        begin(_BODY(lambda _: _do(parts, work, errors)), None, n_threads, 0)
    if errors:
        raise errors[0]


def _do(parts: Iterator[tuple[int, int]], work: _Work, errors: list[BaseException]) -> None:
    """Take parts until there are none; there may be fewer threads than parts."""
    try:
        for first, last in parts:
            try:
                work(first, last)
            except BaseException as error:  # raised again in the caller's thread
                errors.append(error)
    except BaseException as error:  # an interrupt between two parts, which C would not pass on
        errors.append(error)


@lru_cache(maxsize=1)
def _openmp() -> Callable[..., Any] | None:
    """Find the entry of PyTorch's OpenMP runtime, which runs a function on a team of threads."""
    if not torch.backends.openmp.is_available():  # type: ignore[no-untyped-call]
        return None
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        # Looked up in the library and in those that it was linked with.
        begin = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError):
        return None
    begin.argtypes = [_BODY, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    begin.restype = None
    return begin


@lru_cache(maxsize=1)
def _pool(_process: int) -> ThreadPoolExecutor:
    """Return this process's threads; they are started as they are needed."""
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="isthmus-kernel")
