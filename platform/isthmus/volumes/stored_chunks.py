"""What a volume store gives is looked at before zarr decodes it.

A store is a folder that somebody may have handed over, copied in part, or kept on a failing disk.
Blosc believes the sizes in a chunk's header: of one that was cut short it reads on in the memory of
this process, and hands that out as voxels or dies of it. And zarr decodes whatever codecs a
store's metadata names.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.abc.store import ByteRequest, RangeByteRequest, Store
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

from isthmus.core.errors import ConfigError, ImageError

# Blosc's header, little-endian: versions and flags, then bytes that come out, bytes of a block,
# bytes that go in, itself included.
_HEADER = struct.Struct("<4sIII")
_CHECKSUM_BYTES = 4
_CHECKSUMMED = ["bytes", "blosc", "crc32c"]
# Stores of the time before there were checksums have none.
_CODECS = [_CHECKSUMMED, ["bytes", "blosc"]]
_TYPES = ("float32", "float16")
_MOST_EDGE = 2**31
# Blosc's own limit.
_MOST_CHUNK_BYTES = 2**31 - 1 - _HEADER.size


class DamagedChunkError(ImageError):
    """A chunk whose header does not fit its length or its array."""


@dataclass(frozen=True)
class ChunkForm:
    """What a chunk of an array must be.

    Attributes
    ----------
    n_bytes : int
        Bytes of a whole chunk once it is decoded.
    checksum_bytes : int
        Bytes behind what Blosc made.
    """

    n_bytes: int
    checksum_bytes: int

    @property
    def most_bytes(self) -> int:
        """Bytes that a chunk may take: Blosc adds no more than its header."""
        return self.n_bytes + _HEADER.size + self.checksum_bytes


class CheckedChunks(WrapperStore[Store]):  # type: ignore[misc]
    """A place for zarr that gives no chunk on which Blosc would read or write too far.

    Parameters
    ----------
    store : zarr.abc.store.Store
        Where the array is.
    form : ChunkForm
        What its chunks must be.
    """

    def __init__(self, store: Store, form: ChunkForm) -> None:
        super().__init__(store)
        self._form = form

    def _with_store(self, store: Store) -> "CheckedChunks":
        """Keep the form with a copy, such as one that can only be read."""
        return CheckedChunks(store, self._form)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Give what is kept under a name, if it is sound."""
        if key.endswith("zarr.json"):
            return await self._store.get(key, prototype, byte_range)
        # A byte more than there may be: a file with a hole in it can be of any length.
        whole = RangeByteRequest(0, self._form.most_bytes + 1)
        kept = await self._store.get(key, prototype, byte_range or whole)
        if kept is not None:
            _require_sound(bytes(kept[: _HEADER.size].to_bytes()), len(kept), self._form)
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


def require_own_array(described: Any, place: str) -> ChunkForm:
    """Check that an array is one that isthmus made, before zarr makes anything of it.

    Parameters
    ----------
    described : Any
        Content of its ``zarr.json``.
    place : str
        Where that is, for the message.

    Returns
    -------
    ChunkForm
        What its chunks must be.

    Raises
    ------
    ConfigError
        If it is of another format, type or shape, has other chunks or codecs, or reads lost chunks
        as anything but NaN.
    """
    if not is_one_of_ours(described, _TYPES, _CODECS):
        raise not_ours(place)
    shape = described["shape"]
    chunk = [1, 1, *shape[2:]]
    if (
        len(shape) != 5
        or described["chunk_grid"]["configuration"]["chunk_shape"] != chunk
        or described["fill_value"] != "NaN"
    ):
        raise not_ours(place)
    n_bytes: int = math.prod(chunk) * np.dtype(described["data_type"]).itemsize
    if n_bytes > _MOST_CHUNK_BYTES:
        raise not_ours(place)
    checked = [codec["name"] for codec in described["codecs"]] == _CHECKSUMMED
    return ChunkForm(n_bytes, _CHECKSUM_BYTES if checked else 0)


def not_ours(place: str, why: str = "") -> ConfigError:
    """Say that an array is described as isthmus would not.

    Parameters
    ----------
    place : str
        Where the description is.
    why : str, default ""
        What is wrong with it, where that is known.

    Returns
    -------
    ConfigError
        To be raised.
    """
    return ConfigError(
        f"{place}: must describe the array that isthmus ingest made: zarr 3, float32 or float16, "
        f"one volume a chunk, Blosc, NaN where nothing is stored{why}. It was changed, or made by "
        "something else. Remove the store and ingest again."
    )


def is_one_of_ours(described: Any, types: Sequence[str], codecs: Sequence[list[str]]) -> bool:
    """Tell the description of an array that isthmus may have made, but for its shape.

    Parameters
    ----------
    described : Any
        Content of a ``zarr.json``.
    types : sequence of str
        Types that its values may have.
    codecs : sequence of list of str
        Codecs that it may name, in order.

    Returns
    -------
    bool
        Also False of a shape that is none, of chunks with other names, and of what zarr would not
        understand.
    """
    try:
        edges = [*described["shape"], *described["chunk_grid"]["configuration"]["chunk_shape"]]
        return (
            (described["zarr_format"], described["node_type"]) == (3, "array")
            and described["data_type"] in types
            and [codec["name"] for codec in described["codecs"]] in codecs
            and described["chunk_grid"]["name"] == "regular"
            and "fill_value" in described
            # JSON has 8.0 and true too, which equal whole numbers and are none to zarr.
            and all(type(edge) is int and 0 < edge < _MOST_EDGE for edge in edges)
            and not described.get("storage_transformers")
            and described["chunk_key_encoding"]["name"] == "default"
            and _separator(described["chunk_key_encoding"]) == "/"
        )
    except (AttributeError, KeyError, TypeError):
        return False


def _separator(encoding: Mapping[str, Any]) -> str:
    """Say what stands between the numbers in a chunk's name; zarr may leave the usual out."""
    configuration: Mapping[str, Any] = encoding.get("configuration") or {}
    return str(configuration.get("separator", "/"))


def _require_sound(header: bytes, n_bytes: int, form: ChunkForm) -> None:
    """Compare what a chunk's header says with the bytes that there are and that are wanted."""
    if len(header) == _HEADER.size and n_bytes <= form.most_bytes:
        _, out_bytes, _, in_bytes = _HEADER.unpack(header)
        if (out_bytes, in_bytes) == (form.n_bytes, n_bytes - form.checksum_bytes):
            return
    raise DamagedChunkError(
        f"A chunk of a volume store must be whole and hold {form.n_bytes} bytes, but what is kept "
        f"({n_bytes} bytes) is not. Run isthmus ingest again."
    )
