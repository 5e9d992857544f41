"""Writing files whole or not at all: write beside, flush to disk, then rename."""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from isthmus.core.errors import DiskFull

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# numpy tells how much it wrote, and not why it was no more.
_NUMPY_SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write a file so that a reader, or a killed writer, never leaves half of it.

    Parameters
    ----------
    path : Path
        The file to make or to replace; its folder is made when missing.
    write : callable
        Receives an open binary file and writes the content.

    Raises
    ------
    OSError
        If the disk refuses; the file at ``path`` is then as it was. An error for want of room
        names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = name_beside(path, "tmp")
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except Exception as error:
        _name_file(error, path)
        raise
    finally:
        beside.unlink(missing_ok=True)


def name_beside(path: Path, ending: str) -> Path:
    """Name what stands in for a file or folder for a moment, in the same folder.

    Parameters
    ----------
    path : Path
        What it stands in for.
    ending : str
        Says what it is, such as ``tmp``.

    Returns
    -------
    Path
        Hidden, and called like nothing else: processes on two nodes, or in two containers, may
        have the same number.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.{ending}")


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically.

    Parameters
    ----------
    path : Path
        The file to make or to replace.
    content : bytes
        Its whole content.
    """
    write_atomically(path, lambda file: _discard(file.write(content)))


def write_text(path: Path, text: str) -> None:
    """Write text atomically, as UTF-8.

    Parameters
    ----------
    path : Path
        The file to make or to replace.
    text : str
        Its whole content.
    """
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically.

    Parameters
    ----------
    path : Path
        The file to make or to replace.
    value : Any
        JSON-serialisable; non-finite numbers are refused.
    """
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def reserve(file: BinaryIO, n_bytes: int) -> None:
    """Have the disk set room aside for a file that is going to be mapped into memory.

    Writing into a mapped file that has no room kills the process by a signal (SIGBUS); with the
    room set aside, a full disk is an error like any other, raised here.

    Parameters
    ----------
    file : BinaryIO
        Open for writing.
    n_bytes : int
        Its size to be; at least 1.

    Raises
    ------
    OSError
        If there is not so much room.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, n_bytes)


def disk_full(error: BaseException, folder: Path) -> DiskFull | None:
    """Say which folder has no room, if that is what an error comes of.

    Parameters
    ----------
    error : BaseException
        What was raised; its causes are looked at too, for a library may tell of a full disk by an
        error of its own.
    folder : Path
        Where things are written; named where the error names no file.

    Returns
    -------
    DiskFull or None
        With the folder, what is free there and what to do; None if the error is another one.
    """
    for cause in _causes(error):
        if isinstance(cause, DiskFull):
            return cause
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            named = Path(cause.filename) if isinstance(cause.filename, str) else None
            return _no_room(folder, named, cause.errno == errno.EDQUOT)
        by_sqlite = getattr(cause, "sqlite_errorname", "") == "SQLITE_FULL"
        if by_sqlite or (isinstance(cause, OSError) and _NUMPY_SHORT_WRITE.search(str(cause))):
            return _no_room(folder, None, by_quota=False)
    return None


@contextmanager
def room_needed(folder: Path) -> Iterator[None]:
    """Tell of a full disk by its own class.

    Parameters
    ----------
    folder : Path
        Where the block writes.

    Yields
    ------
    None

    Raises
    ------
    DiskFull
        If the block fails for want of room; every other error passes through.
    """
    try:
        yield
    except Exception as error:
        full = disk_full(error, folder)
        if full is None or full is error:
            raise
        raise full from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Go from an error to what caused it, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _name_file(error: BaseException, path: Path) -> None:
    """Say for which file there was no room: a failed write itself does not."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            cause.filename = str(path)


def _no_room(folder: Path, file: Path | None, by_quota: bool) -> DiskFull:
    """Describe a folder into which nothing more can be written, or not this file."""
    folder = file.parent if file is not None else folder
    needed = file.name if file is not None else "what is written"
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    free = f"{shutil.disk_usage(place).free / 2**20:.1f} MiB"
    reason = "the user's quota is used up" if by_quota else "the file system is full"
    return DiskFull(
        f"{folder}: must have room for {needed}, but {reason} ({free} are free now that "
        "the unfinished file is gone). Every finished file is whole. Make room, or set "
        "execution.output (or execution.store, for volumes) to another disk; then run the same "
        "command again."
    )


def _discard(_: int) -> None:
    """Turn a byte count into None."""
