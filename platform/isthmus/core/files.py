"""Writing files whole or not at all: write beside, flush to disk, then rename."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


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
        If the disk refuses; the file at ``path`` is then as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


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


def _discard(_: int) -> None:
    """Turn a byte count into None."""
