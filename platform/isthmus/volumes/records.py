"""The records of a volume store: what came of each subject, one small file a row."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from isthmus.volumes.layout import Partition, Place, open_volumes
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.stored_settings import StoreSettings


def record_name(partition: Partition, row: int) -> str:
    """Name the file of a row's record; participants' labels never become file names.

    Parameters
    ----------
    partition : {"development", "lockbox"}
        Which array.
    row : int
        Which row of it, from 0.

    Returns
    -------
    str
        From the store's folder, with ``/`` between the parts.

    Examples
    --------
    >>> record_name("development", 42)
    'development/records/000042.json'
    """
    return f"{partition}/records/{row:06d}.json"


def read_records(location: StoreLocation, partition: Partition) -> dict[int, dict[str, Any]]:
    """Read the records of all examined subjects, accepted or not, by row.

    Parameters
    ----------
    location : StoreLocation
        The store.
    partition : {"development", "lockbox"}
        Which records.

    Returns
    -------
    dict of int to dict
        What `ingest_subject` recorded, by row of the partition's array; empty where nobody is
        recorded. A record that is none at all is given as an empty one.

    Raises
    ------
    ConfigError
        If a record is no JSON.
    """
    found: dict[int, dict[str, Any]] = {}
    for name in location.names(f"{partition}/records"):
        number = name.removesuffix(".json")
        # What a system put beside them, such as ._000000.json, is of nobody.
        if number != name and number.isascii() and number.isdecimal():
            record = location.read_json(f"{partition}/records/{name}")
            found[int(number)] = record if isinstance(record, dict) else {}
    return found


def is_record(record: Mapping[str, Any], settings: StoreSettings) -> bool:
    """Tell whether a record says of a subject what a store is read by.

    Parameters
    ----------
    record : Mapping
        Of a subject that was accepted.
    settings : StoreSettings
        The store's, for its modalities.

    Returns
    -------
    bool
        False for one that is damaged.
    """
    images = record.get("images")
    if not isinstance(record.get("participant_id"), str) or not isinstance(images, dict):
        return False
    return set(images) <= set(settings.modalities) and all(
        isinstance(image, dict) and isinstance(image.get("stored_digest", 0), str | None)
        for image in images.values()
    )


def is_accepted(record: Mapping[str, Any]) -> bool:
    """Tell whether a record is of a subject in the store, not of one that was refused.

    Parameters
    ----------
    record : Mapping
        As `ingest_subject` wrote it.

    Returns
    -------
    bool
        True also for records of the time before refusals were recorded.
    """
    return bool(record.get("accepted", True))


def recorded_modalities(record: Mapping[str, Any]) -> frozenset[str]:
    """List the modalities of which a record says that a subject's volume is stored.

    Parameters
    ----------
    record : Mapping
        As `ingest_subject` wrote it.

    Returns
    -------
    frozenset of str
        All of the store's for most subjects, fewer for one that is kept without every modality,
        and none for one that was refused.
    """
    return frozenset(
        name for name, image in record["images"].items() if image["stored_digest"] is not None
    )


def has_volumes(
    location: StoreLocation, settings: StoreSettings, place: Place, record: Mapping[str, Any]
) -> bool:
    """Tell whether every chunk that a record speaks of is there, without reading it.

    Parameters
    ----------
    location : StoreLocation
        The store.
    settings : StoreSettings
        The store's, for the order of its modalities.
    place : Place
        Which row of which array.
    record : Mapping
        What is recorded of that row.

    Returns
    -------
    bool
        False where one is lost; it would read as NaN. So too for a record that is no record.
    """
    if not is_record(record, settings):  # another version's, or damaged
        return False
    row = f"{place.partition}/volumes/c/{place.row}"
    numbers = [settings.modalities.index(name) for name in recorded_modalities(record)]
    return all(location.exists(f"{row}/{number}/0/0/0") for number in numbers)


def discard(location: StoreLocation, partition: Partition, row: int) -> None:
    """Forget a subject: the record first, so that half of this is not taken for a subject.

    Parameters
    ----------
    location : StoreLocation
        The store.
    partition : {"development", "lockbox"}
        Which array.
    row : int
        Which row of it, from 0; its values become NaN. Neither need be there.

    Raises
    ------
    zarr.errors.ArrayNotFoundError
        If the partition has no array.
    """
    location.remove(record_name(partition, row))
    array = open_volumes(location, partition, writable=True)
    if row < array.shape[0]:
        array[row] = np.nan
