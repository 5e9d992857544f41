"""The records of a volume store: what came of each subject, one small file a row."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from isthmus.volumes.layout import Partition, Place, open_volumes
from isthmus.volumes.location import StoreLocation


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
        recorded.

    Raises
    ------
    ConfigError
        If a record is no JSON.
    """
    names = (name for name in location.names(f"{partition}/records") if name.endswith(".json"))
    return {
        int(name.removesuffix(".json")): location.read_json(f"{partition}/records/{name}")
        for name in names
    }


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


def has_volumes(location: StoreLocation, place: Place, n_modalities: int) -> bool:
    """Tell whether every chunk of a row is there, without reading it.

    Parameters
    ----------
    location : StoreLocation
        The store.
    place : Place
        Which row of which array.
    n_modalities : int
        Chunks that a row is made of.

    Returns
    -------
    bool
        False where one is lost; it would read as NaN.
    """
    row = f"{place.partition}/volumes/c/{place.row}"
    return all(location.exists(f"{row}/{number}/0/0/0") for number in range(n_modalities))


def discard(location: StoreLocation, partition: Partition, row: int) -> None:
    """Forget a subject: the record first, so that half of this is not taken for a subject.

    Parameters
    ----------
    location : StoreLocation
        The store.
    partition : {"development", "lockbox"}
        Which array.
    row : int
        Which row of it, from 0; its values become NaN, its record need not be there.

    Raises
    ------
    zarr.errors.ArrayNotFoundError
        If the partition has no array.
    IndexError
        If the array has no such row.
    """
    location.remove(record_name(partition, row))
    open_volumes(location, partition, writable=True)[row] = np.nan
