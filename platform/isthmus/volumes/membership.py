"""Which partition and which row each participant has, for good, and the lockbox's seal."""

import logging
import tempfile
from pathlib import Path
from typing import Any

from isthmus.cohort.participants import Participants
from isthmus.cohort.seal import SEAL_NAME, Seal, read_seal, write_seal
from isthmus.cohort.splits import draw_lockbox
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import Experiment
from isthmus.core.errors import ConfigError, LeakageError
from isthmus.volumes.layout import INDEX_FILE, PARTITIONS, Partition, Place, require_settings
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.reference import require_same

_LOG = logging.getLogger(__name__)
_MOST_ROWS = 2**31 - 1

# Rows by participant; a participant who leaves the cohort keeps the row, so that nothing which an
# ended ingest may still be writing can land in another participant's.
Index = dict[Partition, dict[str, int]]


def assign_places(
    location: StoreLocation, participants: Participants, config: ExperimentConfig
) -> dict[str, Place]:
    """Give every participant a place, drawing the lockbox when the store is new.

    Parameters
    ----------
    location : StoreLocation
        The store; its index and seal are written.
    participants : Participants
        All who are listed now.
    config : ExperimentConfig
        With `cohort.lockbox_share`, `cohort.stratify_by` and `seed`.

    Returns
    -------
    dict of str to Place
        For every participant ever listed; those set aside stay so, and nobody who was developed
        on is set aside later.

    Raises
    ------
    ConfigError
        If the lockbox was sealed with another share.
    LeakageError
        If seal and index contradict each other, or a family would be divided.
    """
    index = _read_index(location)
    seal = _read_seal(location)
    share = config.cohort.lockbox_share
    if seal is not None:
        _require_share(location, seal, share)
    # Later additions are drawn with the seed of the seal: another seed in the experiment means
    # another training, not another lockbox.
    seed = config.seed if seal is None else seal.seed
    known, sealed = tuple(index["development"]), set(index["lockbox"])
    if seal is not None:
        _require_agreement(location, set(known), sealed, seal)
        sealed |= set(seal.participant_ids)
    members = draw_lockbox(
        participants, share, config.cohort.stratify_by, seed, already=sorted(sealed), known=known
    )
    _extend(index, participants.ids, set(members))
    # The index first: a seal without the rest of the cohort could not tell who was known already.
    location.write_json(INDEX_FILE, index)
    if seal is None or set(members) != set(seal.participant_ids):
        _LOG.info("%s: %d participants are set aside in the lockbox", location.url, len(members))
        _write_seal(location, Seal(tuple(sorted(members)), share, seed))
    return {
        participant_id: Place(partition, row)
        for partition in PARTITIONS
        for participant_id, row in index[partition].items()
    }


def require_fits(url: str, experiment: Experiment, participants: Participants) -> None:
    """Refuse to study an ingested store under other settings, or with its lockbox's families.

    Parameters
    ----------
    url : str
        The store.
    experiment : Experiment
        The settings that it is to be studied under.
    participants : Participants
        All who are listed now, those set aside among them, with the families of now.

    Raises
    ------
    ConfigError
        If there is no store, it lacks its seal, or it was made with other settings.
    ImageError
        If a mask is declared and not there.
    LeakageError
        If a family is in the lockbox and in development, or seal and index contradict each other.
    """
    location = StoreLocation(url)
    require_same(require_settings(location), experiment, url)
    seal, index = _read_seal(location), _read_index(location)
    if seal is None:
        raise ConfigError(
            f"{location.url}: {SEAL_NAME} must say who is in the lockbox, but is not there. Run "
            "isthmus ingest again: it restores it."
        )
    _require_share(location, seal, experiment.config.cohort.lockbox_share)
    known, sealed = set(index["development"]), set(index["lockbox"])
    _require_agreement(location, known, sealed, seal)
    # Of a share of 0 nobody is drawn: what is left is the check that families are whole.
    draw_lockbox(
        participants, 0.0, (), seal.seed, already=seal.participant_ids, known=sorted(known)
    )


def _require_share(location: StoreLocation, seal: Seal, share: float) -> None:
    """Refuse another share than that of the seal."""
    if seal.share != share:
        raise ConfigError(
            f"{location.url}: the lockbox was sealed with cohort.lockbox_share {seal.share:g}, got "
            f"{share:g}. Set it back, or set another execution.store and run isthmus ingest."
        )


def _extend(index: Index, ids: tuple[str, ...], members: set[str]) -> None:
    """Give rows to those who have none, in the order of the table."""
    for participant_id in ids:
        partition: Partition = "lockbox" if participant_id in members else "development"
        rows = index[partition]
        if participant_id not in rows:
            rows[participant_id] = max(rows.values(), default=-1) + 1


def _require_agreement(
    location: StoreLocation, developed: set[str], set_aside: set[str], seal: Seal
) -> None:
    """Refuse a seal that frees somebody, or claims somebody whose images have been seen."""
    claimed = sorted(set(seal.participant_ids) & developed)
    freed = sorted(set_aside - set(seal.participant_ids))
    if claimed or freed:
        raise LeakageError(
            f"{location.url}: {SEAL_NAME} and {INDEX_FILE} must agree on who is in the lockbox, "
            f"but differ on {(claimed + freed)[:5]}. Restore both, or ingest into a new store."
        )


def _read_index(location: StoreLocation) -> Index:
    """Read the rows given so far."""
    content = location.read_json(INDEX_FILE)
    index: dict[Any, Any] = {name: {} for name in PARTITIONS}
    if content is not None:
        index.update(content if isinstance(content, dict) else {"": content})
    rows = [list(one.values()) if isinstance(one, dict) else [None] for one in index.values()]
    whole = all(type(row) is int and 0 <= row < _MOST_ROWS for one in rows for row in one)
    if set(index) != set(PARTITIONS) or not whole or any(len(set(one)) < len(one) for one in rows):
        raise ConfigError(
            f"{location.url}/{INDEX_FILE}: must give each participant of each partition a row of "
            "its own, as isthmus ingest wrote it, but does not. Restore it, or ingest into a new "
            "store."
        )
    return index


def _read_seal(location: StoreLocation) -> Seal | None:
    """Read the seal; one behind a URL through a private copy."""
    if location.path is not None:
        return read_seal(location.path)
    text = location.read_text(SEAL_NAME)
    if text is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / SEAL_NAME).write_text(text, encoding="utf-8")
        return read_seal(Path(folder))


def _write_seal(location: StoreLocation, seal: Seal) -> None:
    """Write the seal; one behind a URL through a private copy."""
    if location.path is not None:
        write_seal(location.path, seal)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_seal(Path(folder), seal)
        location.write_text(SEAL_NAME, (Path(folder) / SEAL_NAME).read_text("utf-8"))
