"""What is done with freed memory: kept for the next step, given back after a shortage.

A step on whole brains frees and asks again for hundreds of megabytes, layer by layer. The C
library gives blocks of that size back at once, and the system clears every page anew: about a
third of a step's time on a CPU (docs/log.md). Kept, the process stays at its peak between steps,
which it needs again at the next.
"""

import contextlib
import ctypes
import gc
import traceback

import torch

# from glibc's malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell the C library to keep what is freed, for the rest of this process.

    Returns
    -------
    bool
        False where the C library has no such setting (it is glibc's); nothing is changed then.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT))


def give_back_memory(error: BaseException) -> None:
    """Let go of what a failed computation held, so that a smaller one finds room.

    Parameters
    ----------
    error : BaseException
        What ended it. The frames it came through are cleared: they hold the step's tensors for as
        long as somebody holds the error.
    """
    failed: BaseException | None = error
    while failed is not None:
        traceback.clear_frames(failed.__traceback__)
        failed = failed.__cause__ or failed.__context__
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(OSError, AttributeError, TypeError):  # where it is not glibc
        ctypes.CDLL(None).malloc_trim(0)
