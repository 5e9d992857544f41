"""What a client sends a served model: one row a subject, one column a modality.

Nothing of it is trusted. An image travels in the request itself, as a NIfTI file in base64 or as
nested lists; a file of the server is read only from a folder that whoever runs it allows, for else
any client could ask which files there are and what is wrong with them.

Shape suffixes: M modality, D H W the grid.
"""

import base64
import binascii
import gzip
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from isthmus.cohort.confinement import confine
from isthmus.core.errors import CohortError, ConfigError, IsthmusError
from isthmus.promotion.bundle.images import read_volumes
from isthmus.promotion.bundle.record import BundleRecord
from isthmus.promotion.bundle.served import ServedModel
from isthmus.volumes.nifti import read_header
from isthmus.volumes.space import show_grid

PARTICIPANT = "participant_id"
RECONSTRUCT = "reconstruct"
IMAGES_VARIABLE = "ISTHMUS_SERVE_IMAGES"
MOST_ROWS = 64
MOST_BYTES = 512 * 2**20
_DATA_URI = "data:"
_MARK = ";base64,"
_GZIP = b"\x1f\x8b"
_SHOWN = 80
_PATH_LENGTH = 4096


class RequestRefused(IsthmusError):
    """A request that cannot be answered, with the row, the column and the reason."""


@dataclass(frozen=True, eq=False)
class SubjectRequest:
    """One subject of a request, read and checked.

    Attributes
    ----------
    participant_id : str or None
        As the client names the subject, if at all.
    x_MDHW : ndarray of float32, shape (m, d, h, w)
        Images as the store would hold them; zeros where none was given.
    given_M : ndarray of bool, shape (m,)
        Which were given.
    """

    participant_id: str | None
    x_MDHW: npt.NDArray[np.float32]
    given_M: npt.NDArray[np.bool_]


def allowed_folder(environment: Mapping[str, str]) -> Path | None:
    """Read which folder's files a client may name.

    Parameters
    ----------
    environment : Mapping of str to str
        The process's; ``ISTHMUS_SERVE_IMAGES`` names the folder.

    Returns
    -------
    Path or None
        Absolute; None: no file is read.

    Raises
    ------
    ConfigError
        If it is no folder.
    """
    text = environment.get(IMAGES_VARIABLE, "").strip()
    if not text:
        return None
    folder = Path(text)
    if not (folder.is_absolute() and folder.is_dir()):
        raise ConfigError(
            f"{IMAGES_VARIABLE} must name an existing folder by its absolute path, got {text!r}. "
            "Correct it, or unset it: then clients must send images along."
        )
    return folder.resolve()


def read_subject(
    row: Mapping[str, Any], number: int, model: ServedModel, images: Path | None
) -> SubjectRequest:
    """Read one row of a request.

    Parameters
    ----------
    row : Mapping of str to Any
        Values by column.
    number : int
        The row's, from 0, for messages.
    model : ServedModel
        Which modalities there are, and what an image must be.
    images : Path or None
        Folder whose files may be named.

    Returns
    -------
    SubjectRequest
        Checked.

    Raises
    ------
    RequestRefused
        If an image is missing that the model cannot do without, or cannot be used.
    """
    record = model.record
    known = {PARTICIPANT, *record.modalities}
    where = f"row {number}"
    strange = sorted(str(column) for column in set(row) - known)
    if strange:
        raise RequestRefused(
            f"{where}: the columns must be {', '.join(record.modalities)}, and perhaps "
            f"{PARTICIPANT}, but there is {strange[0]!r}. Correct or drop it."
        )
    sent = {name: row.get(name) for name in record.modalities if not _is_null(row.get(name))}
    _require_modalities(sent, record, where)
    arrays = {name: value for name, value in sent.items() if isinstance(value, list | np.ndarray)}
    x_MDHW = np.zeros((len(record.modalities), *record.grid), dtype=np.float32)
    with tempfile.TemporaryDirectory(prefix="isthmus-request-") as beside:
        files = {
            # A modality may be named like a path.
            name: _file(value, f"{where}, {name}", Path(beside) / f"image-{m}", images)
            for m, (name, value) in enumerate(sent.items())
            if name not in arrays
        }
        for name, path in files.items():
            x_MDHW[record.modalities.index(name)] = _image(path, name, model, where)
    for name, value in arrays.items():
        x_MDHW[record.modalities.index(name)] = _array(value, record, f"{where}, {name}")
    given_M = np.array([name in sent for name in record.modalities])
    return SubjectRequest(_participant(row.get(PARTICIPANT), where), x_MDHW, given_M)


def inline(voxels_DHW: npt.NDArray[Any], affine: npt.NDArray[np.float64]) -> str:
    """Write an image as requests and answers carry it.

    Parameters
    ----------
    voxels_DHW : ndarray, shape (d, h, w)
        Values.
    affine : ndarray of float64, shape (4, 4)
        From voxel indices to mm.

    Returns
    -------
    str
        ``data:application/gzip;base64,`` and a ``.nii.gz`` file.
    """
    # No time and no name goes into it: the same image is the same text.
    packed = gzip.compress(nib.Nifti1Image(voxels_DHW, affine).to_bytes(), mtime=0)
    return f"{_DATA_URI}application/gzip{_MARK}{base64.b64encode(packed).decode('ascii')}"


def blank_request(record: BundleRecord) -> dict[str, str]:
    """Make a row that the model answers: ramps in place of images, which are nobody's brain.

    Parameters
    ----------
    record : BundleRecord
        The model's.

    Returns
    -------
    dict of str to str
        Values by column.
    """
    ramp_DHW = np.broadcast_to(
        np.arange(1, record.grid[0] + 1, dtype=np.int16)[:, None, None], record.grid
    )
    image = inline(ramp_DHW, record.space.affine)
    return {**dict.fromkeys(record.modalities, image), PARTICIPANT: "example"}


def require_size(n_rows: int) -> None:
    """Refuse a request with no rows, or with more than are answered at once.

    Parameters
    ----------
    n_rows : int
        Rows of the request.

    Raises
    ------
    RequestRefused
        If there are none or too many.
    """
    if not 1 <= n_rows <= MOST_ROWS:
        raise RequestRefused(
            f"A request must have 1 to {MOST_ROWS} rows, got {n_rows}. Send several, or use "
            "`isthmus embed` for a cohort."
        )


def _require_modalities(sent: Mapping[str, Any], record: BundleRecord, where: str) -> None:
    """Refuse a subject without the images that the model needs."""
    lacking = [name for name in record.modalities if name not in sent]
    if not lacking or (sent and record.accepts_missing):
        return
    needs = "at least one image" if record.accepts_missing else "an image of every modality"
    raise RequestRefused(
        f"{where}: must have {needs} ({', '.join(record.modalities)}), but has none of "
        f"{', '.join(lacking)}."
    )


def _is_null(value: Any) -> bool:
    """Whether a value stands for an image that was not sent: JSON's null, or a table's gap."""
    return value is None or (isinstance(value, float) and np.isnan(value))


def _participant(value: Any, where: str) -> str | None:
    """Read what the client calls the subject."""
    if _is_null(value):
        return None
    if not isinstance(value, str):
        raise RequestRefused(f"{where}, {PARTICIPANT}: must be a string, got {_cut(value)}.")
    return value


def _file(value: Any, where: str, beside: Path, images: Path | None) -> Path:
    """Find or write the file that a string stands for."""
    if not isinstance(value, str):
        raise RequestRefused(
            f"{where}: must be a string (base64 of a NIfTI file, or a path) or nested lists of "
            f"numbers, got {_cut(value)}."
        )
    if value.startswith(_DATA_URI):
        content = _decoded(value, where)
        file = beside.with_name(f"{beside.name}.nii{'.gz' if content[:2] == _GZIP else ''}")
        file.write_bytes(content)
        return file
    if images is None:
        raise RequestRefused(
            f"{where}: images must be sent along, as data:application/gzip;base64,... or as "
            f"nested lists: this server reads no files. Whoever runs it can allow a folder with "
            f"{IMAGES_VARIABLE}."
        )
    return _confined(value, where, images)


def _decoded(value: str, where: str) -> bytes:
    """Decode a data URI."""
    if len(value) > MOST_BYTES:
        raise RequestRefused(
            f"{where}: an image must be sent in at most {MOST_BYTES} characters, got {len(value)}."
        )
    head, mark, text = value.partition(_MARK)
    if not mark:
        raise RequestRefused(
            f"{where}: must be data:application/gzip;base64, and the base64 of a .nii.gz file, "
            f"got {_cut(value)}."
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestRefused(
            f"{where}: must be valid base64 after {head}{mark} ({error})."
        ) from None


def _confined(value: str, where: str, images: Path) -> Path:
    """Resolve a path that a client names, within the allowed folder."""
    if len(value) > _PATH_LENGTH:
        raise RequestRefused(f"{where}: a path must have at most {_PATH_LENGTH} characters.")
    inside = value
    if Path(value).is_absolute() and Path(value).is_relative_to(images):
        inside = Path(value).relative_to(images).as_posix()
    try:
        path = confine(images, inside)
    except CohortError:
        raise RequestRefused(
            f"{where}: a file must lie within the folder that this server reads, by its path from "
            f"there, without '..' and without a link out of it; {_cut(value)} does not."
        ) from None
    try:
        # A pipe would keep the server waiting.
        is_file = path.is_file()
    except OSError:
        is_file = False
    if not is_file:
        raise RequestRefused(f"{where}: there must be a file {_cut(value)}, but there is none.")
    return path


def _image(path: Path, name: str, model: ServedModel, where: str) -> npt.NDArray[np.float32]:
    """Read one NIfTI file by the rules of the store, after a look at the size it declares."""
    try:
        declared = read_header(path).declared_bytes
        if declared <= MOST_BYTES:
            read_MDHW = read_volumes({name: path}, (name,), model.image_rules)
            return np.asarray(read_MDHW[0])
    except IsthmusError as error:
        # The system names a file that it cannot open by its whole path.
        said = str(error).replace(f"{path.parent}/", "")
        raise RequestRefused(f"{where}, {name}: {said}") from None
    raise RequestRefused(
        f"{where}, {name}: an image must take at most {MOST_BYTES} bytes uncompressed, but its "
        f"header declares {declared}."
    )


def _array(
    value: Sequence[Any] | npt.NDArray[Any], record: BundleRecord, where: str
) -> npt.NDArray[np.float32]:
    """Read nested lists as an image that is on the model's grid already."""
    must = f"{where}: nested lists must be {show_grid(record.grid)} finite numbers"
    try:
        with np.errstate(over="ignore"):
            read_DHW = np.asarray(value, dtype=np.float64).astype(np.float32)
    except (OverflowError, TypeError, ValueError):
        raise RequestRefused(f"{must}, but they are ragged or hold something else.") from None
    if read_DHW.shape != record.grid:
        raise RequestRefused(f"{must}, got {show_grid(read_DHW.shape) or 'one number'}.")
    finite = np.isfinite(read_DHW)
    if not finite.all():
        raise RequestRefused(f"{must}, but {int((~finite).sum())} are not finite or too large.")
    if record.rules.storage_dtype == "float16":
        with np.errstate(over="ignore"):
            read_DHW = read_DHW.astype(np.float16).astype(np.float32)
        if not np.isfinite(read_DHW).all():
            raise RequestRefused(f"{must} within +-65504, as the model was trained on them.")
    if read_DHW.min() == read_DHW.max():
        raise RequestRefused(f"{where}: an image must not be constant, but is {read_DHW.min():g}.")
    return read_DHW


def _cut(value: Any) -> str:
    """Show the beginning of what was sent."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
