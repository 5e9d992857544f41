"""How a volume store is laid out: the files it is made of, and reading and writing them.

Shapes: N rows, M modalities, grid D, H, W.

Layout, in a folder or behind an fsspec URL::

    store.json                      what every image was made to be
    mask/                           the cohort's mask, zarr, where one is declared
    index.json                      the row that each participant has for good, by partition
    lockbox.json                    the seal: who is set aside
    development/volumes/            zarr v3, NMDHW, chunks (1, 1, D, H, W); none, so NaN, of what
                                    a subject that is kept without every modality lacks
    development/records/000042.json written after the chunks of row 42: only then is it done;
                                    of a refused subject it holds why, and there are no chunks
    lockbox/...                     the same
    verdicts.tsv, complete.json     written last
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr

from isthmus.core.errors import ConfigError
from isthmus.volumes.examine import Rules
from isthmus.volumes.location import StoreLocation, readable
from isthmus.volumes.stored_chunks import CheckedChunks, chunk_codecs, not_ours, require_own_array
from isthmus.volumes.stored_mask import read_mask, write_mask
from isthmus.volumes.stored_settings import StoreSettings, parse_settings

Partition = Literal["development", "lockbox"]
PARTITIONS: tuple[Partition, ...] = ("development", "lockbox")
STORE_FILE, INDEX_FILE, COMPLETE_FILE = "store.json", "index.json", "complete.json"
VERDICTS_FILE = "verdicts.tsv"


@dataclass(frozen=True)
class Place:
    """Where a participant's volumes lie.

    Attributes
    ----------
    partition : {"development", "lockbox"}
        Which array.
    row : int
        Which row of it.
    """

    partition: Partition
    row: int


def read_settings(location: StoreLocation) -> StoreSettings | None:
    """Read what a store was made with.

    Parameters
    ----------
    location : StoreLocation
        The store.

    Returns
    -------
    StoreSettings or None
        As `write_settings` wrote them; None where there is no store.

    Raises
    ------
    ConfigError
        If another version of isthmus wrote the store, or ``store.json`` is not what it writes.
    """
    content = location.read_json(STORE_FILE)
    if content is None:
        return None
    return parse_settings(content, f"{location.url}/{STORE_FILE}")


def require_settings(location: StoreLocation) -> StoreSettings:
    """Read what a store was made with, which must be there.

    Parameters
    ----------
    location : StoreLocation
        The store.

    Returns
    -------
    StoreSettings
        As `write_settings` wrote them.

    Raises
    ------
    ConfigError
        If there is no store, or as `read_settings`.
    """
    settings = read_settings(location)
    if settings is None:
        raise ConfigError(f"There is no volume store at {location.url}. Run isthmus ingest first.")
    return settings


@readable
def write_settings(
    location: StoreLocation, settings: StoreSettings, mask_DHW: npt.NDArray[np.bool_] | None
) -> None:
    """Begin a store: the mask first, so that settings are never there without it.

    Parameters
    ----------
    location : StoreLocation
        The store to begin; what an ingest that was killed left of these is replaced.
    settings : StoreSettings
        What every image will be made to be.
    mask_DHW : ndarray of bool, shape (D, H, W), or None
        The cohort's mask on the store's grid, where one is declared.

    Raises
    ------
    OSError
        If the place cannot be written.
    """
    digest = None if mask_DHW is None else write_mask(location, mask_DHW)
    location.write_json(STORE_FILE, replace(settings, mask_digest=digest).to_json())


@readable
def read_rules(location: StoreLocation, settings: StoreSettings) -> Rules:
    """Read what the store's settings ask of an image.

    Parameters
    ----------
    location : StoreLocation
        The store.
    settings : StoreSettings
        The store's, as from `read_settings`.

    Returns
    -------
    Rules
        With the mask on the store's grid, boolean of shape (D, H, W), where one is declared.

    Raises
    ------
    LostMaskError
        If a mask is declared and not the one that was stored.
    """
    declared = settings.declared
    mask_DHW = None if declared["mask"] is None else read_mask(location, settings)
    return Rules(
        settings.space,
        mask_DHW,
        bool(declared["resample"]),
        float(declared["min_finite_share"]),
        float(declared["min_mask_coverage"]),
        declared["storage_dtype"],
        # Stores of the time before there was a choice left them out.
        declared.get("missing_modalities", "exclude") == "keep",
    )


@readable
def require_rows(
    location: StoreLocation, partition: Partition, settings: StoreSettings, n_rows: int
) -> None:
    """Make the partition's array, or lengthen it, so that it has at least this many rows.

    Rows that are there stay; new ones read as NaN. The array is never shortened.

    Parameters
    ----------
    location : StoreLocation
        The store.
    partition : {"development", "lockbox"}
        Which array.
    settings : StoreSettings
        The store's, for modalities, grid and the type in which volumes are stored.
    n_rows : int
        Rows wanted, at least 1.

    Raises
    ------
    ConfigError
        If the array that is there is not as the settings say.
    OSError
        If the place cannot be written.
    """
    path = f"{partition}/volumes"
    shape = (n_rows, len(settings.modalities), *settings.grid)
    if location.read_text(f"{path}/zarr.json") is None:
        zarr.create_array(
            location.zarr(),
            name=path,
            shape=shape,
            chunks=(1, 1, *settings.grid),
            dtype=settings.declared["storage_dtype"],
            compressors=chunk_codecs(),
            fill_value=float("nan"),
        )
        return
    array = open_volumes(location, partition, writable=True)
    require_fit(array, settings, location.url, partition)
    if array.shape[0] < n_rows:
        array.resize(shape)


def require_fit(array: Any, settings: StoreSettings, url: str, partition: Partition) -> None:
    """Check that an array holds what the store's settings say.

    Parameters
    ----------
    array : zarr.Array
        As `open_volumes` opened it.
    settings : StoreSettings
        The store's.
    url : str
        The store, for the message.
    partition : {"development", "lockbox"}
        Which array, for the message.

    Raises
    ------
    ConfigError
        If its rows have another shape, or its values another type.
    """
    held = (len(settings.modalities), *settings.grid)
    dtype = settings.declared["storage_dtype"]
    if tuple(array.shape[1:]) != held or array.dtype != dtype:
        raise ConfigError(
            f"{url}: each row of the {partition} partition must be {held} values of {dtype} as "
            f"store.json says, but is {tuple(array.shape[1:])} of {array.dtype}. Remove the store "
            "and ingest again."
        )


@readable
def open_volumes(location: StoreLocation, partition: Partition, writable: bool = False) -> Any:
    """Open a partition's array of volumes.

    Parameters
    ----------
    location : StoreLocation
        The store.
    partition : {"development", "lockbox"}
        Which array.
    writable : bool, default False
        Let values be written, else only read.

    Returns
    -------
    zarr.Array, float32 or float16, shape (N, M, D, H, W)
        Image units, read in chunks when indexed; NaN in rows that nobody's volumes fill.

    Raises
    ------
    ConfigError
        If the array is not one that isthmus made: nothing of another is decoded.
    zarr.errors.ArrayNotFoundError
        If the partition has no array yet.
    """
    path = f"{partition}/volumes"
    described = location.read_json(f"{path}/zarr.json")
    if described is None:
        raise zarr.errors.ArrayNotFoundError(f"There is no array at {location.url}/{path}.")
    place = f"{location.url}/{path}/zarr.json"
    form = require_own_array(described, place)
    kept = CheckedChunks(location.zarr(read_only=not writable), form)
    try:
        # Of the second format too there are arrays, and they may ask for anything to be unpacked.
        return zarr.open_array(kept, path=path, mode="r+" if writable else "r", zarr_format=3)
    except zarr.errors.ArrayNotFoundError:
        raise
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise not_ours(place, f" ({type(error).__name__}: {error})") from None
