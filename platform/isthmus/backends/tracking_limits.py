"""What MLflow's tracking API takes in one request and one value, and how to keep within it."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from isthmus.backends.tracking_uri import TrackingError, shown
from isthmus.core.digest import digest_of

METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
_MESSAGE_LENGTH = 300

ItemT = TypeVar("ItemT")


def batches(items: Sequence[ItemT], size: int) -> Iterator[Sequence[ItemT]]:
    """Cut a sequence into parts.

    Parameters
    ----------
    items : Sequence
        Any sequence.
    size : int
        Largest number of items in a part, at least 1.

    Yields
    ------
    Sequence
        The parts in order; none of them is empty.

    Examples
    --------
    >>> list(batches("abcde", 2))
    ['ab', 'cd', 'e']
    """
    for start in range(0, len(items), size):
        yield items[start : start + size]


def cut(text: str, limit: int) -> str:
    """Shorten a text that is too long; its digest then stands for what is left out.

    Parameters
    ----------
    text : str
        Any text.
    limit : int
        Largest number of characters to keep, above 80.

    Returns
    -------
    str
        The text itself, or its beginning and its digest: different texts stay different.

    Examples
    --------
    >>> cut("short", 100)
    'short'
    >>> len(cut("long" * 100, 100))
    100
    """
    if len(text) <= limit:
        return text
    ending = f" ... sha256:{digest_of(text)}"
    return text[: limit - len(ending)] + ending


def quoted(text: str) -> str:
    """Quote a value in a message, shortened to a line.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        The value in quotes, of about 60 characters at most.

    Examples
    --------
    >>> quoted("Adam")
    "'Adam'"
    """
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def quotable(value: str) -> str:
    """Check that MLflow's filter language, which knows no escapes, can quote a value.

    Parameters
    ----------
    value : str
        A key or a name.

    Returns
    -------
    str
        The same.

    Raises
    ------
    TrackingError
        If the value holds a single quote.
    """
    if "'" in value:
        raise TrackingError(
            f"A run's key and the name of a child must not contain a single quote, got {value!r}."
        )
    return value


def first_line(error: Exception) -> str:
    """Say in one line what went wrong: MLflow's own messages can be pages long.

    Parameters
    ----------
    error : Exception
        What a library raised.

    Returns
    -------
    str
        The message's first line, cut to 300 characters and without passwords, with a full stop.

    Examples
    --------
    >>> first_line(ValueError("no such run"))
    'no such run.'
    """
    lines = (line.strip() for line in str(error).splitlines())
    line = shown(next((line for line in lines if line), type(error).__name__))
    if len(line) > _MESSAGE_LENGTH:
        line = f"{line[: _MESSAGE_LENGTH - 3]}..."
    return line if line.endswith(".") else f"{line}."
