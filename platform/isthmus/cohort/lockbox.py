"""Opening the lockbox, which promotion alone may do; every opening is written down first."""

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from isthmus.cohort.seal import SEAL_NAME, read_seal
from isthmus.core.errors import CohortError

LOOKS_NAME = "lockbox_looks.jsonl"


@dataclass(frozen=True)
class Look:
    """One opening of the lockbox.

    Attributes
    ----------
    time : str
        ISO 8601, in UTC.
    reason : str
        What it was opened for.
    """

    time: str
    reason: str


def open_lockbox(store_folder: Path, reason: str) -> tuple[str, ...]:
    """Read who is in the lockbox, after writing down that it was opened, and why.

    A lockbox is held-out data at its first opening alone. Each further look lets a choice depend
    on it; `lockbox_looks` says how many there were.

    Parameters
    ----------
    store_folder : Path
        Folder of the volume store.
    reason : str
        What it is opened for, such as the model to be promoted.

    Returns
    -------
    tuple of str
        Sorted participant_ids.

    Raises
    ------
    CohortError
        If there is no lockbox, its seal is broken, or no reason is given.
    """
    if not reason.strip():
        raise CohortError("Opening the lockbox must have a reason, got none. Say what it is for.")
    seal = read_seal(store_folder)
    if seal is None:
        raise CohortError(
            f"{store_folder / SEAL_NAME}: there is no lockbox. Run isthmus ingest with "
            "cohort.lockbox_share above 0."
        )
    look = Look(datetime.now(UTC).isoformat(timespec="seconds"), reason.strip())
    line = (json.dumps(asdict(look)) + "\n").encode()
    # One appending write is whole or absent, and openings at the same time do not lose each other.
    looks = os.open(store_folder / LOOKS_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(looks, line)
        os.fsync(looks)
    finally:
        os.close(looks)
    return seal.participant_ids


def lockbox_looks(store_folder: Path) -> tuple[Look, ...]:
    """List every opening of the lockbox.

    Parameters
    ----------
    store_folder : Path
        Folder of the volume store.

    Returns
    -------
    tuple of Look
        From the first to the last.

    Raises
    ------
    CohortError
        If the record is damaged.
    """
    path = store_folder / LOOKS_NAME
    if not path.exists():
        return ()
    try:
        return tuple(Look(**json.loads(line)) for line in path.read_text("utf-8").splitlines())
    except (OSError, ValueError, TypeError) as error:
        raise CohortError(f"{path}: must list the lockbox's openings, but: {error}.") from None
