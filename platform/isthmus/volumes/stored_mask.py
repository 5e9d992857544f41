"""The cohort's mask in a volume store: written once, and looked at before it is believed.

Shapes: grid D, H, W.

A mask that is lost would read as empty, and every image would cover it. Zstandard unpacks whatever
a chunk declares, and further chunks behind it: so the chunk is unpacked here, no further than the
grid.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import zarr
from zarr.codecs import ZstdCodec

from isthmus.core.digest import digest_array
from isthmus.core.errors import ConfigError
from isthmus.volumes.location import StoreLocation, readable
from isthmus.volumes.stored_chunks import is_one_of_ours
from isthmus.volumes.stored_settings import StoreSettings

Mask = npt.NDArray[np.bool_]
_CODECS = ["bytes", "zstd"]
# What cannot be packed takes a little more than it is.
_MORE_BYTES = 1024


class LostMaskError(ConfigError):
    """A declared mask that is not there, or is not the one that was stored."""


@readable
def write_mask(location: StoreLocation, mask_DHW: Mask) -> str:
    """Keep a mask, in place of one that may be there.

    Parameters
    ----------
    location : StoreLocation
        The store.
    mask_DHW : ndarray of bool, shape (D, H, W)
        The mask on the store's grid.

    Returns
    -------
    str
        Its digest.

    Raises
    ------
    OSError
        If the place cannot be written.
    """
    zarr.create_array(
        location.zarr(),
        name="mask",
        data=mask_DHW,
        chunks=mask_DHW.shape,
        compressors=ZstdCodec(),
        overwrite=True,
    )
    return digest_array(mask_DHW)


@readable
def read_mask(location: StoreLocation, settings: StoreSettings) -> Mask:
    """Read the mask of a store that has one.

    Parameters
    ----------
    location : StoreLocation
        The store.
    settings : StoreSettings
        The store's.

    Returns
    -------
    ndarray of bool, shape (D, H, W)
        With at least one voxel; the one that was stored, as far as the store has its digest.

    Raises
    ------
    LostMaskError
        If it is missing, damaged, empty or another one.
    """
    n_voxels = math.prod(settings.grid)
    try:
        described = location.read_json("mask/zarr.json")
        if described is None or not _is_mask(described, settings.grid):
            raise _lost(location, f"is {'not there' if described is None else 'another array'}")
        chunk = location.read_bytes("mask/c/0/0/0", n_voxels + n_voxels // 128 + _MORE_BYTES)
    except LostMaskError:
        raise
    except ConfigError:
        raise _lost(location, "is damaged") from None
    if chunk is None:
        raise _lost(location, "has lost its values")
    try:
        with pa.CompressedInputStream(pa.BufferReader(chunk), "zstd") as stream:
            values = stream.read(n_voxels + 1)
    except (OSError, pa.ArrowException):
        raise _lost(location, "is damaged") from None
    if len(values) != n_voxels:
        raise _lost(location, "does not hold one value a voxel")
    # Compared, not taken for truth values as they are: numpy counts a byte of 2 twice.
    mask_DHW: Mask = np.frombuffer(values, np.uint8).reshape(settings.grid) != 0
    if not mask_DHW.any():
        raise _lost(location, "is empty")
    if settings.mask_digest not in (None, digest_array(mask_DHW)):
        raise _lost(location, "is not the one that was stored")
    return mask_DHW


def _is_mask(described: Any, grid: tuple[int, int, int]) -> bool:
    """Tell the description of one chunk of truth values on a grid."""
    return is_one_of_ours(described, ("bool",), [_CODECS]) and (
        described["shape"] == described["chunk_grid"]["configuration"]["chunk_shape"] == list(grid)
    )


def _lost(location: StoreLocation, why: str) -> LostMaskError:
    """Say what is wrong with a mask, and what to do."""
    return LostMaskError(
        f"{location.url}/mask: must be the mask that isthmus ingest stored, but {why}. Run isthmus "
        "ingest again: it makes the mask anew. If it still says so, remove the store first."
    )
