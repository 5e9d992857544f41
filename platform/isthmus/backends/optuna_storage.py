"""Opens the storage of a study through Optuna, and closes it."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from isthmus.backends.schema_lock import alone_in
from isthmus.backends.study_storage import (
    StudyError,
    checked_storage,
    file_of,
    readable_errors,
    require_storage,
)
from isthmus.backends.tracking_uri import SQLITE, alone_at, engine_uri, shown
from isthmus.core.errors import ConfigError

# What Optuna has to tell is told by the search: a terminal is drawn on meanwhile.
optuna.logging.set_verbosity(optuna.logging.ERROR)

# A reader such as `isthmus compare` holds a sqlite file for milliseconds.
_SECONDS_FOR_A_LOCK = 10.0
# A driver killed while it wrote leaves its lock. Writing takes milliseconds and there is one
# driver, so a lock that is older than this has no owner.
_SECONDS_OF_A_LOCK = 4

_FIRST_BYTES = b'{"op_code":'
_CHUNK = 65536


@contextmanager
def opened(url: str, must_exist: bool = False) -> Iterator[Any]:
    """Open a storage of studies, and close its connections at the end.

    Parameters
    ----------
    url : str
        As in `isthmus.backends.study_storage`.
    must_exist : bool
        Make nothing: neither a file nor tables.

    Yields
    ------
    optuna.storages.BaseStorage
        The storage.

    Raises
    ------
    ConfigError
        If the URL is of no known kind, or its driver is not installed.
    StudyError
        If nothing answers, or what answers cannot be used.
    """
    url = checked_storage(url)
    path = file_of(url)
    if must_exist and path is not None and not path.is_file():
        raise StudyError(f"There must be studies at {shown(url)}, but there is no such file.")
    require_storage(url)
    with storage_errors(url):
        storage = _opened_file(url, path, must_exist) if path else _tables(url, must_exist)
    try:
        yield storage
    finally:
        if isinstance(storage, RDBStorage):
            with contextlib.suppress(StorageInternalError):
                storage.remove_session()
            storage.engine.dispose()


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what Optuna's storages raise into errors that say what to do.

    Parameters
    ----------
    url : str
        The storage, for the message.

    Yields
    ------
    None
        While the storage is used.
    """
    with readable_errors(url, StorageInternalError):
        yield


def study_names(storage: Any) -> list[str]:
    """List the studies of a storage.

    Parameters
    ----------
    storage : optuna.storages.BaseStorage
        From `opened`.

    Returns
    -------
    list of str
        Their names, sorted.
    """
    return sorted(optuna.get_all_study_names(storage))


def _opened_file(url: str, path: Path, must_exist: bool) -> Any:
    """Open a file, alone while it may have to be made."""
    if must_exist and not url.startswith(SQLITE):
        return _journal(path)
    # A reader waits too: Optuna would take tables that are being made for ones that it must mend.
    with alone_at(path):
        if url.startswith(SQLITE):
            return _tables(url, must_exist)
        if path.exists():
            _require_journal(path)
            _cut_torn_line(path)
        return _journal(path)


def _tables(url: str, must_exist: bool) -> RDBStorage:
    """Open a database."""
    engine: dict[str, Any] = {"pool_pre_ping": True}
    if url.startswith(SQLITE):
        engine = {"connect_args": {"timeout": _SECONDS_FOR_A_LOCK}}
    try:
        # A reader waits too, for the reason that `_opened_file` gives.
        with alone_in(url, made="alembic_version", rival="experiments"):
            return RDBStorage(engine_uri(url), engine_kwargs=engine, skip_table_creation=must_exist)
    except ImportError as error:
        raise ConfigError(
            f"A study at {shown(url)} needs a driver that is not installed. For PostgreSQL: "
            "pip install 'isthmus[postgresql]'."
        ) from error
    except RuntimeError as error:  # tables of a version of Optuna that this one cannot read
        raise StudyError(f"The study at {shown(url)} cannot be used: {error}") from error


def _journal(path: Path) -> JournalStorage:
    """Open a journal."""
    if path.exists():
        _require_journal(path)
    lock = JournalFileSymlinkLock(str(path), grace_period=_SECONDS_OF_A_LOCK)
    try:
        return JournalStorage(_WholeLines(str(path), lock_obj=lock))
    except ValueError as error:
        raise StudyError(
            f"The study at {path} must be a journal of Optuna, but a line of it cannot be read "
            f"({error}). Name another file, or restore this one."
        ) from error


class _WholeLines(JournalFileBackend):  # type: ignore[misc]
    """A journal of which a write that failed leaves no part.

    The next line would be appended to that part, and the journal could not be read any more.
    """

    def __init__(self, file_path: str, lock_obj: JournalFileSymlinkLock) -> None:
        super().__init__(file_path, lock_obj)
        self._whole = Path(file_path)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines to the journal, all of them or none."""
        before = self._whole.stat().st_size
        try:
            super().append_logs(logs)
        except OSError:
            os.truncate(self._whole, before)
            raise


def _require_journal(path: Path) -> None:
    """Refuse some other file, which was named by mistake."""
    with path.open("rb") as file:
        first = file.read(len(_FIRST_BYTES))
    if not _FIRST_BYTES.startswith(first):  # less of them where the first line was torn
        raise StudyError(
            f"The study at {path} must be a journal of Optuna, but the file begins with "
            f"{first!r}. Name another file; it is made where there is none."
        )


def _cut_torn_line(path: Path) -> None:
    """Remove the end of a journal whose last line was not written to its end."""
    with path.open("rb+") as file:
        end = whole = file.seek(0, os.SEEK_END)
        while whole > 0:
            start = file.seek(max(0, whole - _CHUNK))
            newline = file.read(whole - start).rfind(b"\n")
            whole = start + newline + 1
            if newline >= 0:
                break
        if whole < end:
            file.truncate(whole)
