"""Where a study is kept: which URLs there are, whether anything answers, what went wrong.

| URL | kept in | for |
|---|---|---|
| `sqlite:////data/runs/study.db` | a sqlite file | one machine, the default |
| `journal:////data/runs/study.log` | a file that is only appended to | network file systems (NFS) |
| `postgresql://user@host/db` | a server | studies that many people look at |
| `mysql+pymysql://user@host/db` | a server, as Optuna takes it | not tested here |
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from isthmus.backends.tracking_away import is_away
from isthmus.backends.tracking_uri import (
    SQLITE,
    TrackingError,
    engine_uri,
    require_answer,
    shown,
)
from isthmus.core.errors import ConfigError, DiskFull, IsthmusError, StoreUnavailable
from isthmus.core.files import disk_full

JOURNAL = "journal:///"
_SERVERS = ("postgresql", "mysql")
# SQLAlchemy would take `postgresql://` for a driver that isthmus[postgresql] does not bring.
_POSTGRESQL_FULL = "53100"


class StudyError(IsthmusError):
    """A study that cannot be opened, read or written."""


class StudyUnavailable(StudyError, StoreUnavailable):
    """A study's server that does not answer now, and may again."""


def checked_storage(url: str) -> str:
    """Check that a URL is of a kind that a study can be kept in.

    Parameters
    ----------
    url : str
        What the user wrote.

    Returns
    -------
    str
        The same; a relative file is made absolute.

    Raises
    ------
    ConfigError
        If the kind is unknown, or the URL names no file, or no host.

    Examples
    --------
    >>> checked_storage("journal:////data/study.log")
    'journal:////data/study.log'
    """
    for prefix in (SQLITE, JOURNAL):
        if url.startswith(prefix) and len(url) > len(prefix):
            path = Path(url.removeprefix(prefix)).absolute()
            if path.is_dir():
                raise ConfigError(
                    f"A study must be kept in a file, but {path} is a folder. Name a file in it."
                )
            return f"{prefix}{path}"
    parts = urlsplit(url)
    if parts.scheme.split("+")[0] in (*_SERVERS, "postgres") and parts.hostname:
        return url
    raise ConfigError(
        "A study's storage must be sqlite:///<absolute file>, journal:///<absolute file>, or "
        f"postgresql:// or mysql:// with a host and a database, got {shown(url)!r}. For a local "
        f"file write {SQLITE}{Path('study.db').absolute()}"
    )


def file_of(url: str) -> Path | None:
    """Name the file that a checked URL stands for.

    Parameters
    ----------
    url : str
        From `checked_storage`.

    Returns
    -------
    Path or None
        The file; None for a server.

    Examples
    --------
    >>> file_of("sqlite:////data/study.db")
    PosixPath('/data/study.db')
    """
    for prefix in (SQLITE, JOURNAL):
        if url.startswith(prefix):
            return Path(url.removeprefix(prefix))
    return None


def require_storage(url: str) -> None:
    """Check that a server answers, before a driver waits for minutes.

    Parameters
    ----------
    url : str
        From `checked_storage`; files are not asked.

    Raises
    ------
    StudyUnavailable
        If nothing answers within about 5 seconds.
    """
    if file_of(url) is not None:
        return
    try:
        require_answer(engine_uri(url))
    except TrackingError as error:
        raise StudyUnavailable(
            f"A study's storage must answer, but nothing did at {shown(url)} "
            f"({type(error.__cause__).__name__}). Start the server, or correct the URL."
        ) from error


@contextmanager
def readable_errors(url: str, *others: type[Exception]) -> Iterator[None]:
    """Turn what storages raise into errors that say what to do.

    Parameters
    ----------
    url : str
        The storage, for the message.
    *others : type
        Classes of error to turn, besides those of databases and of the operating system.

    Yields
    ------
    None
        While the storage is used.

    Raises
    ------
    DiskFull
        If there is no space for what was to be written.
    StudyError
        If the storage failed otherwise; a `StudyUnavailable` where a server is away. Whatever had
        been kept before still is, in each case.
    """
    caught: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, *others)
    try:
        yield
    except caught as error:
        if _is_full(error, url):
            raise DiskFull(
                f"The study at {shown(url)} must be written, but its disk is full. What was kept "
                "is intact: make room, then run the same command again, and it continues."
            ) from error
        # A file that cannot be had does not come back by itself; a server does.
        kind = StudyUnavailable if file_of(url) is None and is_away(error) else StudyError
        raise kind(
            f"The study at {shown(url)} could not be reached: {_innermost(error)}. What was kept "
            "is intact: once the storage works again, the same command continues."
        ) from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Go from an error to what caused it, and so on."""
    at: BaseException | None = error
    seen: set[int] = set()
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _is_full(error: BaseException, url: str) -> bool:
    """Recognise a full disk, ours or the server's, by the codes that say so."""
    folder = (file_of(url) or Path.cwd()).parent
    full_there = any(getattr(cause, "pgcode", None) == _POSTGRESQL_FULL for cause in _causes(error))
    return full_there or disk_full(error, folder) is not None


def _innermost(error: BaseException) -> str:
    """Say in one line what went wrong at the bottom, by the driver's own words."""
    last = list(_causes(error))[-1]
    words = " ".join(str(last).split())
    return f"{type(last).__name__}: {shown(words)}" if words else type(last).__name__
