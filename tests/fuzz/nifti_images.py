"""Images that lie: headers whose fields contradict each other and the file, and gzip in pieces."""

import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from fuzz.target import Target

from isthmus.volumes.examine import Rules, examine_image
from isthmus.volumes.sources import ImageSource
from isthmus.volumes.space import Space

GRID = (4, 5, 4)
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])
_FIELDS = {
    348: (nib.Nifti1Header.template_dtype, "<"),
    540: (nib.Nifti2Header.template_dtype, "<"),
}
# Those that decide what is read come more often than descriptions.
_TELLING = (
    *("dim", "dim", "datatype", "bitpix", "vox_offset", "scl_slope", "scl_inter", "pixdim"),
    *("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c"),
    *("quatern_d", "qoffset_x", "sizeof_hdr", "magic", "xyzt_units", "intent_code", "descrip"),
)
_NUMBERS = (
    *("0", "1", "2", "3", "4", "5", "7", "8", "16", "64", "256", "512", "768", "1024", "2048"),
    *("-1", "-5", "127", "128", "255", "32767", "-32768", "65535", "2147483647", "-2147483648"),
    *("1e18", "9.2e18", "-9.2e18", "0.5", "-0.0", "1e-45", "1e-30", "1e38", "3.4e38", "-3.4e38"),
    *("1e300", "nan", "inf", "-inf", "1e-3", "1000", "352", "353", "544", "348", "540"),
)


def _seeds() -> tuple[bytes, ...]:
    """Small valid images, of either version and byte order, plain and packed."""
    draw = np.random.default_rng(0)
    seeds = []
    for klass, kind, form in (
        (nib.Nifti1Image, "<i2", (1, 0)),
        (nib.Nifti1Image, "<f4", (0, 1)),
        (nib.Nifti2Image, "<f8", (1, 1)),
        (nib.Nifti1Image, "<u1", (0, 0)),
        (nib.Nifti1Image, ">i2", (2, 0)),
    ):
        header = klass.header_class(endianness=kind[0])
        header.set_data_dtype(kind)
        voxels = draw.integers(0, 100, size=GRID).astype(kind)
        image: Any = klass(voxels, AFFINE, header)
        image.set_sform(AFFINE, code=form[0])
        image.set_qform(AFFINE, code=form[1])
        seeds.append(image.to_bytes())
    packed = [gzip.compress(raw, 1, mtime=0) for raw in seeds]
    members = b"".join(gzip.compress(part, 1, mtime=0) for part in (seeds[0][:100], seeds[0][100:]))
    return (*seeds, *packed, members, packed[0] + b"\0" * 8)


def _edit(data: bytes, operation: str, place: int, value: bytes) -> bytes:
    """Edit a header's field, or what is around the voxels; a packed image stays packed."""
    if operation == "pack":
        return gzip.compress(data, 1, mtime=0)
    if operation == "members":
        at = place % (len(data) + 1)
        return gzip.compress(data[:at], 1, mtime=0) + gzip.compress(data[at:], 1, mtime=0)
    if operation == "unpacked" or data[:2] != b"\x1f\x8b":
        return _edit_plain(data, place, value)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            return gzip.compress(_edit_plain(file.read(2**16), place, value), 1, mtime=0)
    except (OSError, EOFError, zlib.error):
        return data


def _edit_plain(raw: bytes, place: int, value: bytes) -> bytes:
    """Put a number into a field of the header, as far as its type can hold it."""
    n_bytes = int.from_bytes(raw[:4], "little")
    order = "<"
    if n_bytes not in _FIELDS:
        n_bytes, order = int.from_bytes(raw[:4], "big"), ">"
    if n_bytes not in _FIELDS or len(raw) < n_bytes:
        return raw + value
    template = _FIELDS[n_bytes][0].newbyteorder(order)
    header = np.frombuffer(raw[:n_bytes], template).copy()
    field = header[_TELLING[place % len(_TELLING)]]
    cell = field.reshape(-1)[place // len(_TELLING) % field.size :][:1]
    if cell.dtype.kind == "S":
        cell[0] = value
    else:
        try:
            number = float(value)
        except ValueError:
            number = float(int.from_bytes(value, "little", signed=True))
        with np.errstate(all="ignore"):
            cell[0] = _held(number, cell.dtype)
    return header.tobytes() + raw[n_bytes:]


def _held(number: float, dtype: np.dtype[Any]) -> Any:
    """The number nearest to what a type holds."""
    if dtype.kind == "f":
        return dtype.type(number)
    limits = np.iinfo(dtype)
    return 0 if np.isnan(number) else int(min(max(number, limits.min), limits.max))


def _prepare(folder: Path) -> Callable[[bytes], bool]:
    """Examine images as ingest does, with and without resampling, and with a mask."""
    mask_DHW = np.ones(GRID, dtype=bool)
    space = Space(GRID, AFFINE)
    rules = [
        Rules(space, None, False, 0.9, 0.5, "float32"),
        Rules(space, mask_DHW, True, 0.5, 0.5, "float16"),
    ]

    def examine(data: bytes) -> bool:
        packed = data[:1] == b"\x1f"
        path = folder / ("a.nii.gz" if packed != (len(data) % 16 == 15) else "a.nii")
        path.write_bytes(data)
        source = ImageSource("sub-01", "T1w", path, path.name)
        verdict, voxels_DHW = examine_image(source, rules[len(data) % 2], 2**28)
        json.dumps(verdict.to_json(), allow_nan=False).encode()
        if verdict.verdict != "accepted":
            assert voxels_DHW is None
            assert verdict.reason
            return False
        assert voxels_DHW is not None
        assert voxels_DHW.shape == GRID
        assert np.isfinite(voxels_DHW).all()
        assert voxels_DHW.min() < voxels_DHW.max()
        return True

    return examine


TARGET = Target(
    "images",
    _seeds(),
    ("field", "field", "field", "field", "field", "pack", "members", "unpacked"),
    tuple(number.encode() for number in _NUMBERS),
    _edit,
    _prepare,
)
