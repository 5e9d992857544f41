"""Who may write a folder, one or several at a time, with no lock left over from a killed one."""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isthmus.core.errors import FolderBusy

LOCK_FILE = ".lock"
# Workers of a killed driver live on for a while: until their epoch ends, or their group does.
WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.2
_log = logging.getLogger("isthmus.training")


@contextmanager
def lock_folder(directory: Path, file: str = LOCK_FILE, shared: bool = False) -> Iterator[None]:
    """Hold a folder for writing, after waiting a while for whoever holds it.

    Parameters
    ----------
    directory : Path
        A task's folder; made when missing.
    file : str
        Name of the lock's file in it, where parts of the folder are held each by itself.
    shared : bool
        Hold it together with others that share it, and with nobody who does not.

    Yields
    ------
    None
        While the lock is held.

    Raises
    ------
    FolderBusy
        If somebody else still holds it after `WAIT_SECONDS`.

    Notes
    -----
    The kernel keeps the lock and drops it with the process, however that ends. The file stays:
    removing it would let one training lock what another, waiting, cannot see.
    """
    directory.mkdir(parents=True, exist_ok=True)
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    with (directory / file).open("w") as opened:
        if not _lock(opened.fileno(), kind):
            _log.info("waiting for another command to let go of %s", directory)
            _wait(opened.fileno(), kind, directory)
        yield


def _wait(file_number: int, kind: int, directory: Path) -> None:
    """Try again until it works, or for long enough."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not _lock(file_number, kind):
        if time.monotonic() > deadline:
            raise FolderBusy(
                f"One command at a time may write a folder, but another one has been writing "
                f"{directory} for {WAIT_SECONDS:g} s. Wait for it, or end it, then run this again."
            )
        time.sleep(_POLL_SECONDS)


def _lock(file_number: int, kind: int) -> bool:
    """Take the lock, unless somebody else keeps it from being taken."""
    try:
        fcntl.flock(file_number, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
