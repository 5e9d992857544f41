"""What a volume store gives is looked at before zarr decodes it.

A store is a folder that somebody may have handed over, copied in part, or kept on a failing disk.
Blosc believes the sizes in a chunk's header: of one that was cut short it reads on in the memory of
this process, and hands that out as voxels or dies of it. And zarr decodes whatever codecs a
store's metadata names.
"""

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from zarr.abc.store import ByteRequest, Store
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from isthmus.core.errors import ConfigError, ImageError

# Blosc's header, little-endian: versions and flags, then bytes that come out, bytes of a block,
# bytes that go in, itself included.
_HEADER = struct.Struct("<4sIII")
_CHECKSUM_BYTES = 4
_TYPES = ("float32", "float16")
# Stores of the time before there were checksums have none.
_CODECS = (["bytes", "blosc", "crc32c"], ["bytes", "blosc"])


class DamagedChunkError(ImageError):
    """A chunk whose header does not fit its length or its array."""


class CheckedChunks(WrapperStore[Store]):  # type: ignore[misc]
    """A place for zarr that gives no chunk on which Blosc would read or write too far.

    Parameters
    ----------
    store : zarr.abc.store.Store
        Where the array is.
    chunk_bytes : int, default 0
        Bytes of a whole chunk once it is decoded.
    """

    def __init__(self, store: Store, chunk_bytes: int = 0) -> None:
        super().__init__(store)
        self._chunk_bytes = chunk_bytes

    def _with_store(self, store: Store) -> "CheckedChunks":
        """Keep the size with a copy, such as one that can only be read."""
        return CheckedChunks(store, self._chunk_bytes)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Give what is kept under a name, if it is sound."""
        kept = await self._store.get(key, prototype, byte_range)
        if kept is not None and "/c/" in key:
            _require_sound(bytes(kept[: _HEADER.size].to_bytes()), len(kept), self._chunk_bytes)
        return kept


def chunk_codecs() -> list[BloscCodec | Crc32cCodec]:
    """Say how a chunk is kept: compressed, with a checksum of what came of it behind.

    Returns
    -------
    list
        For `zarr.create_array`; the checksum is looked at before Blosc is.
    """
    return [BloscCodec(cname="zstd", clevel=5, shuffle="shuffle"), Crc32cCodec()]


def is_damage(error: Exception) -> bool:
    """Tell whether reading failed because of the bytes that are kept.

    Parameters
    ----------
    error : Exception
        What zarr raised.

    Returns
    -------
    bool
        True of a header that lies, a checksum that differs, and bytes that cannot be decoded.
    """
    if isinstance(error, DamagedChunkError):
        return True
    said = str(error)
    # So numcodecs and zarr say that bytes are not what they wrote.
    return (isinstance(error, RuntimeError) and "decompression" in said) or (
        isinstance(error, ValueError) and "checksum" in said
    )


def require_own_array(metadata: Any, place: str) -> int:
    """Check that an array is one that isthmus made, before zarr makes anything of it.

    Parameters
    ----------
    metadata : Any
        Content of its ``zarr.json``.
    place : str
        Where that is, for the message.

    Returns
    -------
    int
        Bytes of a decoded chunk.

    Raises
    ------
    ConfigError
        If it is of another format, type or shape, has other chunks or codecs, or reads lost chunks
        as anything but NaN.
    """
    try:
        edges = [int(edge) for edge in metadata["shape"]]
        names = [codec["name"] for codec in metadata["codecs"]]
        chunk = list(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        own = (
            (metadata["zarr_format"], metadata["node_type"]) == (3, "array")
            and metadata["data_type"] in _TYPES
            and metadata["fill_value"] == "NaN"
            and names in _CODECS
            and metadata["chunk_grid"]["name"] == "regular"
            and len(edges) == 5
            and min(edges) > 0
            and chunk == [1, 1, *edges[2:]]
            and not metadata.get("storage_transformers")
            and _separator(metadata["chunk_key_encoding"]) == "/"
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        own = False
    if not own:
        raise ConfigError(
            f"{place}: must describe the array that isthmus ingest made: zarr 3, float32 or "
            "float16, one volume a chunk, Blosc, NaN where nothing is stored. It was changed, or "
            "made by something else. Remove the store and ingest again."
        )
    n_bytes: int = math.prod(chunk) * np.dtype(metadata["data_type"]).itemsize
    return n_bytes


def require_own_mask(array: Any, grid: tuple[int, int, int], place: str) -> None:
    """Check that a store's mask is one, before its chunk is decoded.

    Parameters
    ----------
    array : zarr.Array
        Opened, not read.
    grid : tuple of int
        D, H, W of the store.
    place : str
        Where it is, for the message.

    Raises
    ------
    ConfigError
        If it is not an array of booleans on the grid.
    """
    if tuple(array.shape) != grid or array.dtype != np.bool_:
        raise ConfigError(
            f"{place}: must be the mask on the store's grid {grid}, but is an array "
            f"{tuple(array.shape)} of {array.dtype}. Remove the store and ingest again."
        )


def _separator(encoding: Mapping[str, Any]) -> str:
    """Say what stands between the numbers in a chunk's name; zarr may leave the usual out."""
    configuration: Mapping[str, Any] = encoding.get("configuration") or {}
    usual = "/" if encoding["name"] == "default" else "."
    return str(configuration.get("separator", usual))


def _require_sound(header: bytes, n_bytes: int, chunk_bytes: int) -> None:
    """Compare what a chunk's header says with the bytes that there are and that are wanted."""
    if len(header) == _HEADER.size:
        _, out_bytes, _, in_bytes = _HEADER.unpack(header)
        if out_bytes == chunk_bytes and in_bytes in (n_bytes, n_bytes - _CHECKSUM_BYTES):
            return
    raise DamagedChunkError(
        f"A chunk of a volume store must be whole and hold {chunk_bytes} bytes, but what is kept "
        f"({n_bytes} bytes) is not. Run isthmus ingest again."
    )
