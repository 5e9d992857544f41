"""The tables of a database server are made by one process at a time.

Neither MLflow nor Optuna sees to that: of several first users of an empty PostgreSQL database all
but one fail, on relations that exist already.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.pool import NullPool

from isthmus.backends.tracking_uri import engine_uri, shown
from isthmus.core.errors import ConfigError

# Any number will do that nothing else in the database takes: the bytes of "isthmus".
_LOCK = int.from_bytes(b"isthmus")
_SECONDS = 300
_NOT_AVAILABLE = "55P03"


@contextmanager
def alone_in(uri: str, made: str, rival: str) -> Iterator[None]:
    """Hold a lock of a PostgreSQL database, unless its tables are made already.

    Parameters
    ----------
    uri : str
        A checked URI. Of another kind of server nothing is locked: make its tables once, before
        several processes use it.
    made : str
        Table that has a row as soon as all tables are made.
    rival : str
        Table of the other of MLflow and Optuna: both keep their version under one name, so that
        one database cannot be for both.

    Yields
    ------
    None
        While no other process is within the same block, or the tables are there.

    Raises
    ------
    ConfigError
        If the rival's table is there.
    TimeoutError
        If another process has held the lock for five minutes.

    Notes
    -----
    The lock belongs to a transaction, which a connection pooler keeps on one connection too, and
    is gone with the process that holds it.
    """
    if not uri.startswith("postgres"):
        yield
        return
    engine = create_engine(engine_uri(uri), poolclass=NullPool)
    with engine.connect() as connection:
        if connection.scalar(text(f"SELECT to_regclass('{rival}') IS NOT NULL")):
            raise ConfigError(
                "A database must be for MLflow's runs or for Optuna's studies, but in "
                f"{shown(uri)} there is the other's table {rival!r}. Name another database of "
                "the same server in execution.tracking_uri or execution.study_storage."
            )
        if _has_rows(connection, made):
            yield
            return
        connection.execute(text(f"SET LOCAL lock_timeout = '{_SECONDS}s'"))
        try:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) != _NOT_AVAILABLE:
                raise
            raise TimeoutError(
                f"another process has been making the tables of {shown(uri)} for {_SECONDS} s; "
                "end it if it hangs"
            ) from None
        yield


def _has_rows(connection: Connection, table: str) -> bool:
    """Tell whether a table is there and not empty."""
    try:
        return connection.execute(text(f"SELECT 1 FROM {table} LIMIT 1")).first() is not None
    except ProgrammingError:  # there is no such table
        return False
    finally:
        connection.rollback()
