"""One ingest at a time into one store, with no lock left over from a killed one."""

import contextlib
import fcntl
import json
import logging
import os
import platform
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import psutil

from isthmus.core.errors import ResourceError
from isthmus.volumes.location import StoreLocation

LOCK_FILE = "ingest.lock"

_LOG = logging.getLogger(__name__)


@contextlib.contextmanager
def ingest_lock(location: StoreLocation) -> Iterator[None]:
    """Hold a store for writing.

    Parameters
    ----------
    location : StoreLocation
        The store; its folder is made when missing.

    Yields
    ------
    None
        While the lock is held.

    Raises
    ------
    ResourceError
        If another ingest holds it; the message names its process and machine.

    Notes
    -----
    Locally the kernel keeps the lock and drops it with the process, however that ends. Behind a URL
    there is no such thing: a small object names the holder, one of a process of this machine that
    has ended is taken over, and two ingests that begin within the same moment are told apart by
    reading it back.
    """
    owner = {
        "pid": os.getpid(),
        "host": platform.node(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "token": uuid.uuid4().hex,
    }
    held = _file_lock if location.is_local else _object_lock
    with held(location, owner):
        yield


@contextlib.contextmanager
def _file_lock(location: StoreLocation, owner: dict[str, Any]) -> Iterator[None]:
    """Hold the kernel's lock on the lock file."""
    assert location.path is not None
    location.path.mkdir(parents=True, exist_ok=True)
    # The file stays: removing it would let a waiting ingest lock what nobody else can see.
    with (location.path / LOCK_FILE).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _busy(location, _parsed(file.read())) from None
        file.seek(0)
        left = _parsed(file.read())
        if left:
            _LOG.warning("%s: taking over from process %s, which ended", location.url, left["pid"])
        file.truncate(0)
        file.write(json.dumps(owner))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


@contextlib.contextmanager
def _object_lock(location: StoreLocation, owner: dict[str, Any]) -> Iterator[None]:
    """Hold an object that names the holder."""
    left = _parsed(location.read_text(LOCK_FILE) or "")
    if left:
        if left["host"] != owner["host"] or psutil.pid_exists(int(left["pid"])):
            raise _busy(location, left)
        _LOG.warning("%s: taking over from process %s, which ended", location.url, left["pid"])
    location.write_json(LOCK_FILE, owner)
    now = _parsed(location.read_text(LOCK_FILE) or "")
    if now.get("token") != owner["token"]:
        raise _busy(location, now)
    try:
        yield
    finally:
        location.remove(LOCK_FILE)


def _parsed(text: str) -> dict[str, Any]:
    """Who holds, or held, the lock; empty when nobody or when it cannot be told."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError:
        return {}
    named = isinstance(content, dict) and {"pid", "host", "since"} <= set(content)
    return content if named else {}


def _busy(location: StoreLocation, holder: dict[str, Any]) -> ResourceError:
    """Say who is writing."""
    who = (
        f"process {holder['pid']} on {holder['host']} has been writing it since {holder['since']}"
        if holder
        else "another process is writing it"
    )
    todo = "Wait for it to end, or set another execution.store"
    if not location.is_local:
        todo += f"; if it no longer runs, remove {LOCK_FILE} there"
    return ResourceError(
        f"The store {location.url} must be written by one ingest at a time, but {who}. {todo}."
    )
