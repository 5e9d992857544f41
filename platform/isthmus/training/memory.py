"""Keep freed memory for the next step instead of handing it back to the system.

A step on whole brains frees and asks again for hundreds of megabytes, layer by layer. The C
library gives blocks of that size back at once, and the system clears every page anew: about a
third of a step's time on a CPU (docs/log.md). Kept, the process stays at its peak between steps,
which it needs again at the next.
"""

import ctypes

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
