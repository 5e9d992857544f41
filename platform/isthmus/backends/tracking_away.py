"""Telling a tracking store that is away for a while from one that refuses what it is given."""

from collections.abc import Iterator

import requests
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from isthmus.backends.tracking_limits import first_line
from isthmus.backends.tracking_uri import TrackingError, TrackingUnavailable, shown

_BUSY = (408, 429, 500, 502, 503, 504)
# What sqlite says under one class of error: these pass, "no such table" and "readonly" do not.
_SQLITE_PASSES = (
    "database is locked",
    "database table is locked",
    "database schema is locked",
    "disk i/o error",
    "database or disk is full",
    "unable to open database file",
)


def refusal(error: Exception, doing: str, uri: str) -> TrackingError:
    """Make one readable error of what MLflow, its database or its server raised.

    Parameters
    ----------
    error : Exception
        As it was raised.
    doing : str
        What was asked of the store, such as ``"record metrics"``.
    uri : str
        The store's address.

    Returns
    -------
    TrackingError
        To be raised from ``error``; a `TrackingUnavailable` where `is_away` says so.
    """
    if is_away(error):
        return TrackingUnavailable(
            f"The tracking store must answer to {doing}, but {shown(uri)} did not: "
            f"{_reason(error)} Check that what execution.tracking_uri (or --tracking-uri) "
            "names is running and has room."
        )
    return TrackingError(
        f"The tracking store must be able to {doing}, but {shown(uri)} "
        f"was not: {_reason(error)} If that is no mistake in what was recorded, check "
        "execution.tracking_uri (or --tracking-uri), and that what it names is running "
        "and can be written to."
    )


def is_away(error: BaseException) -> bool:
    """Tell whether the same request may succeed later, with nothing changed on this side.

    Parameters
    ----------
    error : BaseException
        What was raised; MLflow hides the reason in its causes, so these are looked at too.

    Returns
    -------
    bool
        True where a server did not answer in time, refused or dropped the connection, or answered
        408, 429 or 5xx; where a database server did the same; where sqlite was locked or its disk
        had no room.

    Examples
    --------
    >>> is_away(requests.ConnectionError("connection refused"))
    True
    >>> is_away(ValueError("no such metric"))
    False
    """
    return any(map(_passes, _causes(error)))


def _reason(error: Exception) -> str:
    """Say what went wrong; of a database's error what its driver said, without the statement."""
    drivers = (cause.orig for cause in _causes(error) if isinstance(cause, DBAPIError))
    driver = next(filter(None, drivers), None)
    return first_line(driver if isinstance(driver, Exception) else error)


def _passes(error: BaseException) -> bool:
    """Judge one error of a chain."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _BUSY
    if isinstance(error, requests.RequestException):
        # The others of its subclasses speak of what was asked: a wrong URL, header or scheme.
        passing = (
            requests.ConnectionError,
            requests.Timeout,
            requests.exceptions.RetryError,
            requests.exceptions.ChunkedEncodingError,
        )
        return isinstance(error, passing)
    if isinstance(error, DBAPIError):
        return _database_passes(error)
    return isinstance(error, ConnectionError | TimeoutError)


def _database_passes(error: DBAPIError) -> bool:
    """Judge what a database's driver raised."""
    if type(error.orig).__module__.startswith("sqlite3"):
        return any(reason in str(error.orig).lower() for reason in _SQLITE_PASSES)
    return error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """List an error and what it came of."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
