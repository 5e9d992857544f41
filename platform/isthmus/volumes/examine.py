"""The verdict on one image: everything that must hold before it is stored."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus.core.digest import digest_file
from isthmus.core.errors import ImageError
from isthmus.volumes.nifti import Image, NotReadError, read_image
from isthmus.volumes.sources import ImageSource, is_there
from isthmus.volumes.space import Space, mismatch, resample, show_grid
from isthmus.volumes.verdict import ImageVerdict

_MOST_RATIO = 32


@dataclass(frozen=True, eq=False)
class Rules:
    """What each image of a cohort must be.

    Attributes
    ----------
    space : Space
        The cohort's grid and affine.
    mask_DHW : ndarray of bool or None
        The cohort's mask on that grid, where one is declared.
    resample : bool
        Resample images on another grid, else refuse them.
    min_finite_share, min_mask_coverage : float
        Least shares, in [0, 1].
    dtype : {"float32", "float16"}
        How volumes are stored.
    keep_incomplete : bool
        Keep subjects without an image of every modality.
    """

    space: Space
    mask_DHW: npt.NDArray[np.bool_] | None
    resample: bool
    min_finite_share: float
    min_mask_coverage: float
    dtype: Literal["float32", "float16"]
    keep_incomplete: bool = False


def examine_image(
    source: ImageSource, rules: Rules, memory_limit_bytes: int | None = None
) -> tuple[ImageVerdict, npt.NDArray[Any] | None]:
    """Read one image, check it, and bring it into the form in which it is stored.

    Parameters
    ----------
    source : ImageSource
        Which image.
    rules : Rules
        What it must be.
    memory_limit_bytes : int, optional
        Memory that reading it may take.

    Returns
    -------
    verdict : ImageVerdict
        With the reason when it cannot be used; no image raises an error. Without a digest where
        the bytes could not be had.
    voxels_DHW : ndarray of rules.dtype or None
        On the cohort's grid, all finite; None unless accepted.

    Raises
    ------
    TooLargeError
        If reading would take more memory than that: no verdict on the image.
    """
    verdict = ImageVerdict(source.participant_id, source.modality, source.shown, "accepted")
    if source.path is None:
        reason = f"modality {source.modality} is missing: the manifest names no file."
        return replace(verdict, verdict="missing", reason=reason), None
    if not is_there(source.path):
        reason = f"modality {source.modality} is missing or not readable: {source.shown}."
        what: Literal["missing", "refused"] = "missing" if source.is_missing else "refused"
        return replace(verdict, verdict=what, reason=reason), None
    try:
        image = read_image(source.path, memory_limit_bytes)
    except NotReadError as error:
        return replace(verdict, verdict="refused", reason=str(error)), None
    except ImageError as error:
        sha256 = _digest(source.path)
        return replace(verdict, verdict="refused", reason=str(error), sha256=sha256), None
    verdict = _described(verdict, image)
    name = source.path.name
    try:
        _require_values(image.voxels_DHW, name, rules.min_finite_share)
        voxels_DHW, resampled = _on_grid(image, name, rules)
        verdict = replace(verdict, resampled=resampled)
        if rules.mask_DHW is not None:
            coverage = float(np.mean(voxels_DHW[rules.mask_DHW] != 0))
            verdict = replace(verdict, mask_coverage=coverage)
            _require_coverage(coverage, name, rules.min_mask_coverage)
        return verdict, _stored(voxels_DHW, name, rules.dtype)
    except ImageError as error:
        return replace(verdict, verdict="refused", reason=str(error)), None


def _digest(path: Path) -> str | None:
    """Digest a file that is no image; None where the file system fails."""
    try:
        return digest_file(path)
    except OSError:
        return None


def _described(verdict: ImageVerdict, image: Image) -> ImageVerdict:
    """Add what the file holds, good or bad."""
    finite = np.isfinite(image.voxels_DHW)
    values = image.voxels_DHW[finite]
    return replace(
        verdict,
        grid=show_grid(image.header.space.grid),
        voxel_size_mm=show_grid(image.header.space.voxel_size_mm),
        dtype=image.header.dtype.name,
        minimum=float(values.min()) if values.size else None,
        maximum=float(values.max()) if values.size else None,
        finite_share=float(finite.mean()),
        sha256=image.sha256,
    )


def _require_values(voxels_DHW: npt.NDArray[np.float32], name: str, min_share: float) -> None:
    """Refuse an image without finite values, with too few of them, or with one value only."""
    finite = np.isfinite(voxels_DHW)
    share = float(finite.mean())
    if share == 0.0:
        raise ImageError(f"{name}: must hold finite values, got none (all NaN or infinite).")
    if share < min_share:
        raise ImageError(
            f"{name}: at least {min_share:g} of the voxels must be finite, got {share:.6g}; repair "
            "the image, or lower volumes.min_finite_share (the others become 0)."
        )
    _require_variation(voxels_DHW[finite], name, "")


def _require_variation(values: npt.NDArray[Any], name: str, when: str) -> None:
    """Refuse values that are all the same."""
    lowest, highest = values.min(), values.max()
    if lowest == highest:
        raise ImageError(f"{name}: must not be constant, but{when} every voxel is {lowest:g}.")


def _on_grid(image: Image, name: str, rules: Rules) -> tuple[npt.NDArray[np.float32], bool]:
    """Finite values in the cohort's space, and whether that took resampling."""
    finite_DHW = np.where(np.isfinite(image.voxels_DHW), image.voxels_DHW, np.float32(0))
    differs = mismatch(image.header.space, rules.space)
    if differs is None:
        return finite_DHW, False
    if not rules.resample:
        raise ImageError(
            f"{name}: {differs}; set volumes.resample: true to resample it to the cohort's grid."
        )
    _require_comparable_voxels(image.header.space, name, rules.space)
    moved_DHW = resample(finite_DHW, image.header.space, rules.space)
    _require_variation(moved_DHW, name, " on the cohort's grid")
    return moved_DHW, True


def _require_comparable_voxels(space: Space, name: str, cohort: Space) -> None:
    """Refuse voxels of another order of size, which a header in another unit declares."""
    ratio = np.array(space.voxel_size_mm) / np.array(cohort.voxel_size_mm)
    if ratio.max() > _MOST_RATIO or ratio.min() < 1 / _MOST_RATIO:
        raise ImageError(
            f"{name}: voxel edges must be within {_MOST_RATIO} times the cohort's, "
            f"{show_grid(cohort.voxel_size_mm)} mm, either way, got "
            f"{show_grid(space.voxel_size_mm)} mm; mend the header, whose unit is the millimetre."
        )


def _require_coverage(coverage: float, name: str, least: float) -> None:
    """Refuse an image that leaves too much of the mask empty."""
    if not coverage >= least:  # so that of NaN too
        raise ImageError(
            f"{name}: at least {least:g} of the cohort's mask must have non-zero values, got "
            f"{coverage:.3g}; it is not aligned or not whole (volumes.min_mask_coverage)."
        )


def _stored(
    voxels_DHW: npt.NDArray[np.float32], name: str, dtype: Literal["float32", "float16"]
) -> npt.NDArray[Any]:
    """Cast to the stored precision, refusing what it cannot hold."""
    if dtype == "float32":
        return np.ascontiguousarray(voxels_DHW)
    with np.errstate(over="ignore"):
        small_DHW = np.ascontiguousarray(voxels_DHW, dtype=np.float16)
    if not np.isfinite(small_DHW).all():
        raise ImageError(
            f"{name}: values must lie within +-65504 to be stored as float16, got up to "
            f"{np.abs(voxels_DHW).max():g}; set volumes.storage_dtype: float32."
        )
    _require_variation(small_DHW, name, " stored as float16")
    return small_DHW
