"""Reading one NIfTI file with suspicion: its header first, then every byte it declares."""

import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.spatialimages import HeaderDataError

from isthmus.core.errors import ImageError, ResourceError
from isthmus.volumes.space import Space, show_grid

_HEADER_BYTES: Mapping[int, Any] = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_MAGIC = {348: (344, b"n+1\0"), 540: (4, b"n+2\0")}
_MAX_VOXELS = 2**31
# Deflate cannot expand by more than 1032 (zlib's documentation).
_MAX_EXPANSION = 1032
_MIN_EDGE = 4
# Ten kilometres: nothing in a scanner is further from its centre, and no square of it overflows.
_FURTHEST_MM = 1e7
_UNREADABLE = (OSError, EOFError, zlib.error)


class NotReadError(ImageError):
    """The file system did not give the bytes, which says nothing about them."""


class TooLargeError(ResourceError):
    """An image that needs more memory than is free, which says nothing about the image."""


@dataclass(frozen=True, eq=False)
class ImageHeader:
    """What a NIfTI header declares, checked to be possible.

    Attributes
    ----------
    space : Space
        Grid and affine.
    dtype : numpy.dtype
        How values are stored, before scaling.
    slope, intercept : float
        Value = stored * slope + intercept; 1 and 0 where the header asks for no scaling.
    offset : int
        Byte at which the voxels begin, uncompressed.
    file_bytes : int
        Size of the file.
    """

    space: Space
    dtype: np.dtype[Any]
    slope: float
    intercept: float
    offset: int
    file_bytes: int

    @property
    def declared_bytes(self) -> int:
        """Uncompressed size that the header implies, itself included."""
        return self.offset + math.prod(self.space.grid) * self.dtype.itemsize

    @property
    def memory_bytes(self) -> int:
        """Memory that reading takes at its peak: the file, its content, float64 and float32."""
        return self.file_bytes + self.declared_bytes + 13 * math.prod(self.space.grid)


@dataclass(frozen=True, eq=False)
class Image:
    """A whole image.

    Attributes
    ----------
    header : ImageHeader
        What it declares.
    voxels_DHW : ndarray, float32
        Scaled values; those that were not finite are as they came.
    sha256 : str
        Digest of the file's bytes, of those very bytes that were read.
    """

    header: ImageHeader
    voxels_DHW: npt.NDArray[np.float32]
    sha256: str


def read_header(path: Path) -> ImageHeader:
    """Read and check a NIfTI header, without the voxels.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.

    Returns
    -------
    ImageHeader
        What it declares.

    Raises
    ------
    ImageError
        If it is no single-file NIfTI-1 or NIfTI-2, is not one 3D volume of real numbers, has an
        affine or scaling that cannot be used, or declares more than the file can hold. Nothing of
        the declared size is allocated to find that out.
    """
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ImageError(f"{path.name}: must be a .nii or .nii.gz file.")
    try:
        file_bytes = path.stat().st_size
        with _open(path) as file:
            block = file.read(max(_HEADER_BYTES))
    except _UNREADABLE as error:
        raise _unreadable(path.name, error) from None
    return _parse(block, path.name, file_bytes)


def read_image(path: Path, memory_limit_bytes: int | None = None) -> Image:
    """Read a NIfTI file to its last byte, checksum included.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.
    memory_limit_bytes : int, optional
        Memory that reading may take.

    Returns
    -------
    Image
        Scaled values, and the digest of the bytes read.

    Raises
    ------
    ImageError
        As `read_header`, and if the file is cut short or damaged, holds more than its header
        declares, or has values beyond float32; its subclass `NotReadError` if the file system
        failed.
    TooLargeError
        If reading needs more memory than allowed.
    """
    header = read_header(path)
    if memory_limit_bytes is not None and header.memory_bytes > memory_limit_bytes:
        raise TooLargeError(
            f"{path.name}: reading needs {_show_bytes(header.memory_bytes)} of memory, and "
            f"{_show_bytes(memory_limit_bytes)} are free for it."
        )
    try:
        raw = path.read_bytes()
        content = _unpack(raw, path.name, header.declared_bytes)
    except _UNREADABLE as error:
        raise _unreadable(path.name, error) from None
    stored = np.frombuffer(
        content, header.dtype, count=math.prod(header.space.grid), offset=header.offset
    ).reshape(header.space.grid, order="F")
    return Image(header, _scaled(stored, header, path.name), hashlib.sha256(raw).hexdigest())


def _open(path: Path) -> BinaryIO:
    """Open for reading, through gzip where the name says so."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _parse(block: bytes, name: str, file_bytes: int) -> ImageHeader:
    """Turn the first bytes of a file into a checked header."""
    n_bytes, order = int.from_bytes(block[:4], "little"), "<"
    if n_bytes not in _HEADER_BYTES:
        n_bytes, order = int.from_bytes(block[:4], "big"), ">"
    if n_bytes not in _HEADER_BYTES or len(block) < n_bytes:
        raise ImageError(f"{name}: must begin with a whole NIfTI header, which it does not.")
    at, magic = _MAGIC[n_bytes]
    if block[at : at + 4] != magic:
        raise ImageError(
            f"{name}: must be a single-file NIfTI (magic {magic!r}), got {block[at : at + 4]!r}; "
            "join header and image into one .nii.gz."
        )
    header = _HEADER_BYTES[n_bytes](block[:n_bytes], order, check=False)
    grid = _declared_grid(header, name)
    dtype = _declared_dtype(header, name)
    slope, intercept = _declared_scaling(header, name)
    offset = float(header["vox_offset"])
    if not (math.isfinite(offset) and offset >= n_bytes and offset == int(offset)):
        raise ImageError(f"{name}: vox_offset must be at least {n_bytes}, got {offset:g}.")
    checked = ImageHeader(
        Space(grid, _declared_affine(header, name)),
        dtype,
        slope,
        intercept,
        int(offset),
        file_bytes,
    )
    _require_room(checked, name)
    return checked


def _declared_grid(header: Any, name: str) -> tuple[int, int, int]:
    """Read the grid of one 3D volume; trailing axes of length 1 are dropped."""
    n_axes = int(header["dim"][0])
    if not 1 <= n_axes <= 7:
        raise ImageError(f"{name}: the header must declare 1 to 7 axes, got {n_axes}.")
    edges = [int(edge) for edge in header["dim"][1 : 1 + n_axes]]
    if n_axes < 3 or any(edge > 1 for edge in edges[3:]):
        n_frames = math.prod(edges[3:])
        got = f"{n_axes}D" + (f" with {n_frames} frames" if n_frames > 1 else "")
        raise ImageError(
            f"{name}: must be 3D, or 4D with one frame, got {got} ({show_grid(tuple(edges))}); "
            "extract or average the frames first."
        )
    if min(edges) < 1 or min(edges[:3]) < _MIN_EDGE:
        raise ImageError(
            f"{name}: must have at least {_MIN_EDGE} voxels along each axis, got "
            f"{show_grid(tuple(edges))}."
        )
    return edges[0], edges[1], edges[2]


def _declared_dtype(header: Any, name: str) -> np.dtype[Any]:
    """Read the stored type: integers or floats of at most 64 bits."""
    code = int(header["datatype"])
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
    except (HeaderDataError, KeyError):
        raise ImageError(f"{name}: the header's datatype {code} is none of NIfTI's.") from None
    if dtype.kind not in "iuf" or dtype.itemsize > 8 or dtype.itemsize == 0:
        kind = {"c": "complex", "V": "RGB"}.get(dtype.kind, str(dtype))
        raise ImageError(
            f"{name}: must hold real numbers of at most 64 bits, got {kind} values (datatype "
            f"{code}); convert it to one real number per voxel."
        )
    return dtype


def _declared_scaling(header: Any, name: str) -> tuple[float, float]:
    """Read the scaling; a slope of 0 means none by the standard, and tools write NaN for it."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0.0 or math.isnan(slope):
        return 1.0, 0.0
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise ImageError(
            f"{name}: scl_slope and scl_inter must be finite, got {slope} and {intercept}."
        )
    return slope, intercept


def _declared_affine(header: Any, name: str) -> npt.NDArray[np.float64]:
    """Read the sform, or else the qform, or else what the voxel size implies."""
    try:
        with np.errstate(all="ignore"):  # what overflows is found below
            affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        raise ImageError(f"{name}: the affine must be usable, got: {error}.") from None
    if not (np.abs(affine) < _FURTHEST_MM).all():
        raise ImageError(
            f"{name}: the affine must be finite and of less than {_FURTHEST_MM:g} mm, got "
            f"{affine[:3].tolist()}; set the header's sform or qform."
        )
    edges = np.linalg.norm(affine[:3, :3], axis=0)
    if edges.min() < 1e-3:
        raise ImageError(
            f"{name}: the affine must have voxel edges above 0.001 mm, got {edges.tolist()}."
        )
    if not _are_apart(affine[:3, :3] / edges):
        raise ImageError(f"{name}: the affine must be invertible, but its axes are parallel.")
    return affine


def _are_apart(directions: npt.NDArray[np.float64]) -> bool:
    """Tell axes that span a volume, by the volume of their unit vectors (3 columns)."""
    one, two, three = directions.T
    return bool(abs(np.dot(np.cross(one, two), three)) >= 1e-3)


def _require_room(header: ImageHeader, name: str) -> None:
    """Refuse a header that declares more than the file, or any image, can hold."""
    n_voxels, grid = math.prod(header.space.grid), show_grid(header.space.grid)
    declared = f"declares {grid} voxels ({_show_bytes(header.declared_bytes)})"
    if n_voxels > _MAX_VOXELS:
        raise ImageError(f"{name}: the header {declared}; at most 2^31 voxels are read.")
    packed = name.endswith(".gz")
    if header.declared_bytes > header.file_bytes * (_MAX_EXPANSION if packed else 1):
        raise ImageError(
            f"{name}: the header {declared}, which a file of {_show_bytes(header.file_bytes)} "
            "cannot hold; it is cut short, or its header is wrong."
        )


def _unpack(raw: bytes, name: str, declared_bytes: int) -> bytes:
    """Uncompressed content; reading past the end makes gzip verify its checksum and length."""
    file: Any = io.BytesIO(raw)
    if name.endswith(".gz"):
        file = gzip.GzipFile(fileobj=file)
    content: bytes = file.read(declared_bytes)
    if len(content) < declared_bytes:
        raise EOFError(f"{len(content)} of {declared_bytes} declared bytes")
    if file.read(1):
        raise ImageError(
            f"{name}: must end where its header says, after {declared_bytes} bytes, but goes on; "
            "the header does not describe this file."
        )
    return content


def _scaled(stored: npt.NDArray[Any], header: ImageHeader, name: str) -> npt.NDArray[np.float32]:
    """Apply the scaling in float64, then keep float32."""
    values = stored.astype(np.float64)
    if (header.slope, header.intercept) != (1.0, 0.0):
        values *= header.slope
        values += header.intercept
    with np.errstate(over="ignore"):
        voxels = values.astype(np.float32)
    if np.count_nonzero(np.isfinite(voxels)) < np.count_nonzero(np.isfinite(values)):
        raise ImageError(f"{name}: values must fit float32 (at most 3.4e38).")
    return voxels


def _unreadable(name: str, error: BaseException) -> ImageError:
    """Say that the bytes could not be had."""
    # Errors of the system have a number; those of gzip, which are of the same class, have none.
    failed = isinstance(error, OSError) and error.errno is not None
    return (NotReadError if failed else ImageError)(
        f"{name}: must be readable to its last byte, got: {error}. The file is cut short or "
        "damaged; copy or convert it again."
    )


def _show_bytes(n_bytes: float) -> str:
    """Write a size for people."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if n_bytes < 1024 or unit == "PiB":
            break
        n_bytes /= 1024
    return f"{n_bytes:.4g} {unit}"
