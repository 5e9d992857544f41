"""What was found out about each image, and the table of it."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True)
class ImageVerdict:
    """The verdict on one image.

    Attributes
    ----------
    participant_id, modality : str
        Whose image of what.
    path : str
        Its file, from the cohort's folder; empty when the manifest names none.
    verdict : {"accepted", "refused", "missing"}
        Whether it can be used.
    reason : str
        Why not; empty when accepted.
    grid : str or None
        Voxels as they came, such as ``64x80x64``.
    voxel_size_mm : str or None
        Voxel edges as they came, in mm.
    dtype : str or None
        Stored type in the file.
    minimum, maximum : float or None
        Over finite values, scaled, before any resampling; image units.
    finite_share : float or None
        Share of finite voxels, in [0, 1].
    mask_coverage : float or None
        Share of the cohort's mask with non-zero values, in [0, 1]; None without a declared mask.
    resampled : bool
        Whether it was brought to the cohort's grid.
    sha256 : str or None
        Digest of the file's bytes.
    """

    participant_id: str
    modality: str
    path: str
    verdict: Literal["accepted", "refused", "missing"]
    reason: str = ""
    grid: str | None = None
    voxel_size_mm: str | None = None
    dtype: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    finite_share: float | None = None
    mask_coverage: float | None = None
    resampled: bool = False
    sha256: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the verdict as JSON-serialisable values."""
        return asdict(self)


def verdict_table(verdicts: Iterable[ImageVerdict]) -> str:
    r"""Lay verdicts out as tab-separated values.

    Parameters
    ----------
    verdicts : iterable of ImageVerdict
        In the order wanted.

    Returns
    -------
    str
        A header line, then a line an image; ``n/a`` where nothing is known, as in BIDS.

    Examples
    --------
    >>> table = verdict_table([ImageVerdict("sub-1", "T1w", "a.nii", "missing", "no file")])
    >>> table.splitlines()[1].split("\t")[:6]
    ['sub-1', 'T1w', 'a.nii', 'missing', 'no file', 'n/a']
    """
    names = [field.name for field in fields(ImageVerdict)]
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(names)
    for verdict in verdicts:
        writer.writerow([_cell(getattr(verdict, name)) for name in names])
    return text.getvalue()


def _cell(value: Any) -> str:
    """One cell: no tabs or line breaks, six digits for a float."""
    if value is None or value == "":
        return "n/a"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split())
