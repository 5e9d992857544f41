"""One training at a time in one folder, with no lock left over from a killed one."""

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isthmus.core.errors import ResourceError

LOCK_FILE = ".lock"
# Workers of a killed driver live on for a while: until their epoch ends, or their group does.
WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.2
_log = logging.getLogger("isthmus.training")


@contextmanager
def lock_folder(directory: Path) -> Iterator[None]:
    """Hold a folder for writing, after waiting a while for whoever holds it.

    Parameters
    ----------
    directory : Path
        A task's folder; made when missing.

    Yields
    ------
    None
        While the lock is held.

    Raises
    ------
    ResourceError
        If another training still holds it after `WAIT_SECONDS`.

    Notes
    -----
    The kernel keeps the lock and drops it with the process, however that ends. The file stays:
    removing it would let one training lock what another, waiting, cannot see.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK_FILE).open("w") as file:
        if not _lock(file.fileno()):
            _log.info("waiting for another training to let go of %s", directory)
            _wait(file.fileno(), directory)
        yield


def _wait(file_number: int, directory: Path) -> None:
    """Try again until it works, or for long enough."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not _lock(file_number):
        if time.monotonic() > deadline:
            raise ResourceError(
                f"One training at a time may write a folder, but another one has been writing "
                f"{directory} for {WAIT_SECONDS:g} s. Wait for it, or end it, then run this again."
            )
        time.sleep(_POLL_SECONDS)


def _lock(file_number: int) -> bool:
    """Take the lock, unless somebody else holds it."""
    try:
        fcntl.flock(file_number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
