"""Tracking URIs: which kinds there are, whether anything answers, and what may be shown of them."""

import fcntl
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import requests

from isthmus.core.errors import ConfigError, IsthmusError, StoreUnavailable

SQLITE = "sqlite:///"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
# SQLAlchemy would take a bare `postgresql://` for a driver that isthmus[postgresql] does not bring.
_DRIVERS = dict.fromkeys(("postgresql", "postgres"), "postgresql+psycopg2")
# Nothing that libpq does by default ever ends: neither waiting for a server that takes connections
# and says nothing, nor for one behind a network that was cut.
_PATIENCE = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_HOSTED = ("databricks", "databricks-uc")
_CONTACT_SECONDS = 5.0
# A password that was not quoted may hold any character but a space; a port is none.
_SECRETS = (
    (r"(?<=://)([^/@:\s]*):(?!\d+/)\S*@", r"\1:***@"),
    (r"(?i)(?<=http://|ttps://)[^/@:\s]+@", "***@"),
    (r"(?i)([?&][\w.-]*(?:password|passwd|secret|token|key)=)[^&\s'\"]+", r"\1***"),
)


class TrackingError(IsthmusError):
    """A tracking store that does not answer, or that refuses what it is given."""


class TrackingUnavailable(TrackingError, StoreUnavailable):
    """A tracking store that does not answer now; the same request may succeed later."""


def sqlite_uri(path: Path) -> str:
    """Name a sqlite file as a tracking URI.

    Parameters
    ----------
    path : Path
        The database file; it need not exist.

    Returns
    -------
    str
        An absolute URI: a relative one would change meaning with the working directory.

    Examples
    --------
    >>> sqlite_uri(Path("/data/runs/mlflow.db"))
    'sqlite:////data/runs/mlflow.db'
    """
    return f"{SQLITE}{path.absolute()}"


def checked_uri(uri: str) -> str:
    """Check that a URI is of a kind that MLflow can track to.

    Parameters
    ----------
    uri : str
        What the user wrote.

    Returns
    -------
    str
        The same; a relative sqlite file is made absolute.

    Raises
    ------
    ConfigError
        If the kind is unknown, or is MLflow's folder of files, which it no longer supports.

    Examples
    --------
    >>> checked_uri("http://localhost:5000")
    'http://localhost:5000'
    """
    if uri.startswith(SQLITE) and len(uri) > len(SQLITE):
        return sqlite_uri(Path(uri.removeprefix(SQLITE)))
    parts = urlsplit(uri)
    dialect = parts.scheme.split("+")[0]
    if uri in _HOSTED or dialect in _HOSTED:
        return uri
    if dialect in ("http", "https", *_PORTS) and parts.hostname:
        return uri
    raise ConfigError(
        "execution.tracking_uri (or --tracking-uri) must be sqlite:///<absolute file>, "
        "http(s)://<server>, postgresql://, mysql:// or mssql:// with a host, or databricks, "
        f"got {shown(uri)!r}. For a local store write {sqlite_uri(Path('mlflow.db'))}"
    )


def engine_uri(uri: str) -> str:
    """Say of a database server's URI what the user left open: the driver, and how long to wait.

    Parameters
    ----------
    uri : str
        A checked URI.

    Returns
    -------
    str
        For SQLAlchemy. A connection to PostgreSQL is given up after 10 s, and one that nothing
        comes back on after about a minute, unless the URI says otherwise.

    Examples
    --------
    >>> engine_uri("mysql+pymysql://me@db/mlflow")
    'mysql+pymysql://me@db/mlflow'
    >>> engine_uri("postgresql://me@db/mlflow").partition("&")[0]
    'postgresql+psycopg2://me@db/mlflow?connect_timeout=10'
    """
    scheme, colon, rest = uri.partition(":")
    scheme = _DRIVERS.get(scheme, scheme)
    if scheme != _DRIVERS["postgresql"]:
        return f"{scheme}{colon}{rest}"
    before, mark, query = rest.partition("?")
    said = {part.partition("=")[0] for part in query.split("&")}
    waits = [f"{name}={value}" for name, value in _PATIENCE.items() if name not in said]
    return f"{scheme}{colon}{before}?{'&'.join([query, *waits] if mark else waits)}"


def require_answer(uri: str) -> None:
    """Check that something listens where a server's URI points, before MLflow retries for minutes.

    Parameters
    ----------
    uri : str
        A checked URI of a server or a database; hosted services are not asked.

    Raises
    ------
    TrackingUnavailable
        If nothing answers within about 5 seconds; any answer of an HTTP server will do.
    """
    parts = urlsplit(uri)
    dialect = parts.scheme.split("+")[0]
    try:
        if dialect in ("http", "https"):
            # Credentials in the URI belong to MLflow's requests, not to this one.
            requests.head(uri, timeout=(_CONTACT_SECONDS, 4 * _CONTACT_SECONDS))
        elif dialect in _PORTS:
            address = (parts.hostname or "localhost", parts.port or _PORTS[dialect])
            socket.create_connection(address, timeout=_CONTACT_SECONDS).close()
    except (OSError, requests.RequestException) as error:
        raise TrackingUnavailable(
            f"A tracking store must answer, but nothing did at {shown(uri)} "
            f"({type(error).__name__}). Start it, or correct execution.tracking_uri "
            "(or --tracking-uri)."
        ) from error


def shown(uri: str) -> str:
    """Hide what may be secret in a URI for messages and logs.

    Parameters
    ----------
    uri : str
        Any text.

    Returns
    -------
    str
        The URI with ``***`` in place of a password, of the user of a web address, who may be a
        token, and of parameters that are called like a secret.

    Examples
    --------
    >>> shown("postgresql://me:secret@db/mlflow")
    'postgresql://me:***@db/mlflow'
    >>> shown("https://token@mlflow"), shown("postgresql://db/x?user=me&password=secret")
    ('https://***@mlflow', 'postgresql://db/x?user=me&password=***')
    """
    for pattern, instead in _SECRETS:
        uri = re.sub(pattern, instead, uri)
    return uri


@contextmanager
def alone_at(database: Path) -> Iterator[None]:
    """Hold a lock beside a database file, waiting for other processes to let go of it.

    Parameters
    ----------
    database : Path
        A sqlite file; its folder is made when missing.

    Yields
    ------
    None
        While no other process is within the same block.
    """
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f".{database.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
