"""Naming a few of many in a message."""

from collections.abc import Sequence

_SHOWN = 5


def a_few(items: Sequence[str]) -> str:
    """Name the first of a list, and say how many more there are.

    Parameters
    ----------
    items : sequence of str
        What to name.

    Returns
    -------
    str
        At most five, separated by commas.

    Examples
    --------
    >>> a_few(["a", "b"])
    'a, b'
    >>> a_few(list("abcdefg"))
    'a, b, c, d, e and 2 more'
    """
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
