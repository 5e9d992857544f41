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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import zarr

from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError
from isthmus.volumes.examine import Rules
from isthmus.volumes.location import StoreLocation, readable
from isthmus.volumes.space import Space
from isthmus.volumes.stored_chunks import (
    CheckedChunks,
    chunk_codecs,
    require_own_array,
    require_own_mask,
)

Partition = Literal["development", "lockbox"]
PARTITIONS: tuple[Partition, ...] = ("development", "lockbox")
STORE_FILE, INDEX_FILE, COMPLETE_FILE = "store.json", "index.json", "complete.json"
VERDICTS_FILE = "verdicts.tsv"
_SCHEMA_VERSION = 1


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


@dataclass(frozen=True)
class StoreSettings:
    """What every image of a store was made to be.

    Attributes
    ----------
    declared : Mapping
        The settings as the experiment has them, and the mask file's digest.
    modalities : tuple of str
        Order of the array's second axis.
    grid : tuple of int
        D, H, W.
    affine : tuple of tuple of float
        4 x 4, from voxel indices to mm.
    reference : str
        Where grid and affine came from.
    """

    declared: Mapping[str, Any]
    modalities: tuple[str, ...]
    grid: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    reference: str

    @property
    def space(self) -> Space:
        """Grid and affine."""
        return Space(self.grid, np.array(self.affine, dtype=np.float64))

    @property
    def digest(self) -> str:
        """Digest of everything but where the grid came from."""
        return digest_of(
            {
                "declared": dict(self.declared),
                "modalities": list(self.modalities),
                "grid": list(self.grid),
                "affine": [list(row) for row in self.affine],
            }
        )


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
    if not isinstance(content, dict) or content.get("schema_version") != _SCHEMA_VERSION:
        raise ConfigError(
            f"{location.url}/{STORE_FILE}: must have schema_version {_SCHEMA_VERSION}. Another "
            "version of isthmus wrote it; set another execution.store."
        )
    try:
        depth, height, width = content["grid"]
        return StoreSettings(
            dict(content["declared"]),
            tuple(content["modalities"]),
            (int(depth), int(height), int(width)),
            tuple(tuple(float(value) for value in row) for row in content["affine"]),
            content["reference"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{location.url}/{STORE_FILE}: must be as isthmus ingest wrote it, but is not "
            f"({type(error).__name__}: {error}). Remove the store and ingest again."
        ) from None


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
    if mask_DHW is not None:
        zarr.create_array(
            location.zarr(), name="mask", data=mask_DHW, chunks=mask_DHW.shape, overwrite=True
        )
    location.write_json(
        STORE_FILE,
        {
            "schema_version": _SCHEMA_VERSION,
            "declared": dict(settings.declared),
            "modalities": list(settings.modalities),
            "grid": list(settings.grid),
            "affine": [list(row) for row in settings.affine],
            "reference": settings.reference,
            "digest": settings.digest,
        },
    )


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
    ConfigError
        If the mask's array is none of booleans on the store's grid.
    zarr.errors.ArrayNotFoundError
        If a mask is declared and its array is lost.
    """
    declared = settings.declared
    mask_DHW = None
    if declared["mask"] is not None:
        place = location.zarr(read_only=True)
        array: Any = zarr.open_array(place, path="mask", mode="r", zarr_format=3)
        require_own_mask(array, settings.grid, f"{location.url}/mask")
        mask_DHW = np.asarray(array[...], dtype=bool)
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
    if array.shape[0] < n_rows:
        array.resize(shape)


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
    metadata = location.read_json(f"{path}/zarr.json")
    chunk_bytes = 0
    if metadata is not None:
        chunk_bytes = require_own_array(metadata, f"{location.url}/{path}/zarr.json")
    place = CheckedChunks(location.zarr(read_only=not writable), chunk_bytes)
    # Of the second format too there are arrays, and they may ask for anything to be unpacked.
    return zarr.open_array(place, path=path, mode="r+" if writable else "r", zarr_format=3)
