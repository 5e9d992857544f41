"""Reading ahead: the next volumes are read while the present ones are computed on."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


def prefetch(read: Callable[[K], V], keys: Iterable[K]) -> Iterator[V]:
    """Read one item ahead in a thread, in order.

    Parameters
    ----------
    read : callable
        From a key to its value; called on one thread, one key after the other.
    keys : iterable
        What to read.

    Yields
    ------
    V
        The values, in the order of the keys. What `read` raises is raised in its turn.

    Examples
    --------
    >>> list(prefetch(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="isthmus-read") as thread:
        ahead: Future[V] | None = None
        for key in keys:
            following = thread.submit(read, key)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
