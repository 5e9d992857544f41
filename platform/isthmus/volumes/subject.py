"""One subject's way into the store: the work of one task, in this process or in another."""

import multiprocessing
import os
import signal
import stat
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isthmus.core.digest import digest_array, digest_file
from isthmus.core.errors import ConfigError, ResourceError
from isthmus.volumes.examine import Rules, examine_image
from isthmus.volumes.layout import COMPLETE_FILE, Place, open_volumes, read_rules, read_settings
from isthmus.volumes.location import StoreLocation, readable
from isthmus.volumes.records import is_accepted, record_name
from isthmus.volumes.sources import ImageSource
from isthmus.volumes.verdict import ImageVerdict

# File systems keep times in steps of up to some milliseconds: a file changed within this time
# before it was looked at may change once more without its stamp showing it.
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class SubjectTask:
    """What one task needs, small enough to be sent to a process.

    Attributes
    ----------
    store_url : str
        The store, whose settings are the rules.
    settings_digest : str
        Digest of those settings.
    participant_id : str
        Whose images.
    place : Place
        Where they go.
    sources : tuple of ImageSource
        One for each of the store's modalities, in its order.
    memory_limit_bytes : int
        Memory that reading one image may take.
    """

    store_url: str
    settings_digest: str
    participant_id: str
    place: Place
    sources: tuple[ImageSource, ...]
    memory_limit_bytes: int


@dataclass(frozen=True)
class SubjectOutcome:
    """What came of it.

    Attributes
    ----------
    participant_id : str
        Whose images.
    verdicts : tuple of ImageVerdict
        One for each modality.
    accepted : bool
        Whether the subject is in the store: all images were accepted, or, where subjects without
        every modality are kept, at least one was and none was refused.
    """

    participant_id: str
    verdicts: tuple[ImageVerdict, ...]
    accepted: bool

    @property
    def lacking(self) -> tuple[str, ...]:
        """Modalities of which there is no image."""
        return tuple(item.modality for item in self.verdicts if item.verdict == "missing")

    @property
    def n_stored(self) -> int:
        """Images in the store."""
        return len(self.verdicts) - len(self.lacking) if self.accepted else 0


@readable
def ingest_subject(task: SubjectTask) -> SubjectOutcome:
    """Examine a subject's images and store them if the subject can be used.

    An image that is there and refused is no missing image: something is wrong with the subject's
    data, which is for a person to put right, and until then the subject is left out as a whole.

    Parameters
    ----------
    task : SubjectTask
        Whose, from where and to where.

    Returns
    -------
    SubjectOutcome
        The verdicts; the record is written once every chunk is, and without any for a refused
        subject.

    Raises
    ------
    ConfigError
        If the store's settings are no longer those of the task.
    ResourceError
        If the store cannot be written, or as its subclass `TooLargeError` if an image needs more
        memory than the task allows.
    """
    rules = _rules(task.store_url, task.settings_digest)
    verdicts, volumes, stamps = [], [], []
    for source in task.sources:
        stamp = file_stamp(source.path)
        verdict, voxels_DHW = examine_image(source, rules, task.memory_limit_bytes)
        # A file that was being written may be good by now: no stamp says what was refused.
        if verdict.verdict == "refused" and not same_state(stamp, file_stamp(source.path)):
            stamp = None
        stamps.append(stamp)
        verdicts.append(verdict)
        volumes.append(voxels_DHW)
    accepted = _is_usable(verdicts, rules.keep_incomplete)
    outcome = SubjectOutcome(task.participant_id, tuple(verdicts), accepted)
    digests = [
        digest_array(voxels_DHW) if accepted and voxels_DHW is not None else None
        for voxels_DHW in volumes
    ]
    record = {
        "participant_id": task.participant_id,
        "accepted": outcome.accepted,
        "images": {
            verdict.modality: {
                "verdict": verdict.to_json(),
                "stamp": stamp,
                "stored_digest": digest,
            }
            for verdict, stamp, digest in zip(verdicts, stamps, digests, strict=True)
        },
    }
    location = StoreLocation(task.store_url)
    place = task.place
    try:
        if outcome.accepted:
            location.remove(COMPLETE_FILE)
            nothing_DHW = np.full(rules.space.grid, np.nan, dtype=rules.dtype)
            open_volumes(location, place.partition, writable=True)[place.row] = np.stack(
                [nothing_DHW if voxels_DHW is None else voxels_DHW for voxels_DHW in volumes]
            )
        location.write_json(record_name(place.partition, place.row), record)
    except OSError as error:
        raise ResourceError(
            f"The store {task.store_url} must be writable and have room, got: {error}. Subjects "
            "that are finished are kept; run isthmus ingest again once it is."
        ) from None
    return outcome


def _is_usable(verdicts: Sequence[ImageVerdict], keep_incomplete: bool) -> bool:
    """Judge a subject by its images."""
    found = {verdict.verdict for verdict in verdicts}
    return "accepted" in found and found <= (
        {"accepted", "missing"} if keep_incomplete else {"accepted"}
    )


def recorded_outcome(
    record: Mapping[str, Any], participant_id: str, sources: tuple[ImageSource, ...]
) -> tuple[SubjectOutcome, Literal["stamp", "hash"]] | None:
    """Take a subject from its record, if every source file is still what was examined.

    Parameters
    ----------
    record : Mapping
        As `ingest_subject` wrote it.
    participant_id : str
        Who must be recorded.
    sources : tuple of ImageSource
        Where the images are now.

    Returns
    -------
    outcome : SubjectOutcome
        With the verdicts of then.
    how : {"stamp", "hash"}
        Whether path, size, inode and times sufficed, or bytes had to be hashed. None in place of
        both when something changed.
    """
    try:
        images = record["images"]
        if record["participant_id"] != participant_id:
            return None
        if set(images) != {source.modality for source in sources}:
            return None
        found = [_recorded_verdict(images[source.modality], source) for source in sources]
    except (KeyError, TypeError):  # written by another version, or damaged: ingest it again
        return None
    good = [item for item in found if item is not None]
    if len(good) < len(found):
        return None
    verdicts = tuple(verdict for verdict, _ in good)
    return SubjectOutcome(participant_id, verdicts, is_accepted(record)), (
        "hash" if any(hashed for _, hashed in good) else "stamp"
    )


def _recorded_verdict(
    image: Mapping[str, Any], source: ImageSource
) -> tuple[ImageVerdict, bool] | None:
    """Take an image's verdict from its record if the file is the same, and say if it was hashed."""
    then = image["stamp"]
    verdict = ImageVerdict(**{**image["verdict"], "path": source.shown})
    if verdict.verdict != "accepted" and image["verdict"]["path"] != source.shown:
        return None  # the reason names the file
    if verdict.verdict == "missing":
        return (verdict, False) if source.is_missing and then is None else None
    how = same_bytes(source.path, then, verdict.sha256)
    return None if how is None else (verdict, how == "hash")


def file_stamp(path: Path | None) -> dict[str, Any] | None:
    """Say what identifies a file's state without reading it.

    Parameters
    ----------
    path : Path or None
        The file; None where none is named.

    Returns
    -------
    dict or None
        ``path``, ``size`` in bytes, ``inode``, and in nanoseconds since 1970 ``mtime_ns``,
        ``ctime_ns`` and ``seen_ns``, the time of this look; None where there is no such file, or
        it cannot be looked at.
    """
    try:
        status = None if path is None else path.stat()
    except (OSError, ValueError):
        return None
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    return {
        "path": str(path),
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "inode": status.st_ino,
        "seen_ns": time.time_ns(),
    }


def same_state(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Tell whether two looks saw the same file in the same state.

    Parameters
    ----------
    one, other : Mapping or None
        As `file_stamp` gave them.

    Returns
    -------
    bool
        False where one of them saw no file.
    """
    names = ("path", "size", "mtime_ns", "ctime_ns", "inode")
    if one is None or other is None:
        return False
    return all(one[name] == other[name] for name in names)


def same_bytes(
    path: Path | None, then: Mapping[str, Any] | None, sha256: str | None
) -> Literal["stamp", "hash"] | None:
    """Tell whether a file still has the bytes that were read of it.

    Parameters
    ----------
    path : Path or None
        The file now.
    then : Mapping or None
        Its state when it was read, as `file_stamp` gave it.
    sha256 : str or None
        Digest of what was read; without one the bytes were never had, which may have passed.

    Returns
    -------
    {"stamp", "hash"} or None
        Whether path, size, inode and times sufficed, or bytes had to be hashed; None where
        something changed.
    """
    now = file_stamp(path)
    if path is None or now is None or then is None or sha256 is None or now["size"] != then["size"]:
        return None
    if _settled(then) and same_state(now, then):
        return "stamp"
    try:
        return "hash" if digest_file(path) == sha256 else None
    except OSError:
        return None


def end_with_parent() -> None:
    """Prepare a worker process to end with the one that started it, however that ends."""
    # An interrupt reaches the whole process group; the command answers it and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_await_end, args=(parent,), daemon=True).start()


def _await_end(parent: Any) -> None:
    """Wait for the parent, then leave without cleaning up: nobody is there to answer to."""
    parent.join()
    os._exit(1)


def _settled(stamp: Mapping[str, Any]) -> bool:
    """Whether a later change must show: the status-change time cannot be set back by copying."""
    changed_ns: int = max(stamp["ctime_ns"], stamp["mtime_ns"])
    return bool(stamp["seen_ns"] - changed_ns > _SETTLED_NS)


@lru_cache(maxsize=1)
def _rules(store_url: str, settings_digest: str) -> Rules:
    """Read the store's rules, once a process; the digest tells stores at one URL apart."""
    location = StoreLocation(store_url)
    settings = read_settings(location)
    if settings is None or settings.digest != settings_digest:
        raise ConfigError(f"The store {store_url} was replaced while isthmus ingest was running.")
    return read_rules(location, settings)
