"""What comes in from outside: NIfTI files and arrays, checked before anything computes on them.

Legend: M modality, D H W the grid.
"""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from isthmus.core.errors import ImageError
from isthmus.promotion.bundle.record import BundleRecord
from isthmus.volumes.examine import Rules, examine_image
from isthmus.volumes.sources import ImageSource
from isthmus.volumes.space import show_grid

FloatArray = npt.NDArray[np.float32]
Given = npt.NDArray[np.bool_]


def read_volumes(
    paths: Mapping[str, str | Path], modalities: Sequence[str], rules: Rules
) -> FloatArray:
    """Read a subject's files by a store's rules; see `ServedModel.read_images`.

    Parameters
    ----------
    paths : Mapping of str to path
        A file by modality.
    modalities : sequence of str
        The model's.
    rules : Rules
        What an image must be; `keep_incomplete` says whether one may lack.

    Returns
    -------
    ndarray of float32, shape (M, D, H, W)
        Image units; NaN throughout where no file is named.

    Raises
    ------
    ImageError
        As `ServedModel.read_images`.
    ResourceError
        If reading a file would take more memory than is free.
    """
    for name in paths:
        if name not in modalities:
            near = difflib.get_close_matches(name, modalities, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ImageError(
                f"Images must be of the model's modalities, {', '.join(modalities)}, got "
                f"{name!r}.{hint}"
            )
    given_M = np.array([name in paths for name in modalities], dtype=np.bool_)
    _require_given(given_M, modalities, rules.keep_incomplete)
    x_MDHW = np.full((len(modalities), *rules.space.grid), np.nan, dtype=np.float32)
    for m, name in enumerate(modalities):
        if given_M[m]:
            path = Path(paths[name])
            source = ImageSource("", name, path, path.name, promised=True)
            verdict, voxels_DHW = examine_image(source, rules, psutil.virtual_memory().available)
            if voxels_DHW is None:
                raise ImageError(f"The {name} image cannot be used: {verdict.reason}")
            x_MDHW[m] = voxels_DHW
    return x_MDHW


def checked_volumes(
    x_MDHW: npt.ArrayLike, given_M: npt.ArrayLike | None, record: BundleRecord
) -> tuple[FloatArray, Given]:
    """Check a subject's volumes; see `ServedModel.predict`.

    Parameters
    ----------
    x_MDHW : array of numbers, shape (M, D, H, W)
        Image units.
    given_M : array of bool, shape (M,), or None
        Which are given; None: all that are not NaN throughout.
    record : BundleRecord
        What the model takes.

    Returns
    -------
    x : ndarray of float32, shape (M, D, H, W)
        The given volumes, finite; NaN throughout where one is not given.
    given : ndarray of bool, shape (M,)
        At least one.

    Raises
    ------
    ImageError
        As `ServedModel.predict`.
    """
    volumes_MDHW = _numbers(x_MDHW, record)
    modalities = record.modalities
    mask_M: Given
    if given_M is None:
        mask_M = np.asarray(~np.isnan(volumes_MDHW).all(axis=(1, 2, 3)), dtype=np.bool_)
    else:
        mask_M = np.asarray(given_M)
        if mask_M.dtype != np.bool_ or mask_M.shape != (len(modalities),):
            raise ImageError(
                f"The mask of given images must be of bool, one for each of "
                f"{', '.join(modalities)}, got {mask_M.dtype} of shape {mask_M.shape}."
            )
    _require_given(mask_M, modalities, record.accepts_missing)
    for m in np.flatnonzero(mask_M):
        n_bad = int(np.count_nonzero(~np.isfinite(volumes_MDHW[m])))
        if n_bad:
            raise ImageError(
                f"The {modalities[m]} volume must be finite, got {n_bad} of "
                f"{volumes_MDHW[m].size} voxels that are NaN or infinite (or beyond float32)."
            )
    if not mask_M.all():
        volumes_MDHW = np.where(mask_M[:, None, None, None], volumes_MDHW, np.float32(np.nan))
    return volumes_MDHW, mask_M


def _numbers(x_MDHW: npt.ArrayLike, record: BundleRecord) -> FloatArray:
    """Make float32 of what came, which must have the model's shape."""
    wanted = (len(record.modalities), *record.grid)
    try:
        found = np.asarray(x_MDHW)
    except ValueError:  # nested lists of unequal lengths
        raise ImageError(f"Volumes must be an array of shape {wanted}, got none.") from None
    if found.dtype.kind not in "iuf":
        raise ImageError(f"Volumes must hold real numbers, got {found.dtype}.")
    if found.shape != wanted:
        raise ImageError(
            f"Volumes must have shape {wanted}: {', '.join(record.modalities)} on the grid "
            f"{show_grid(record.grid)}, got {found.shape}. Images on another grid are read with "
            "read_images, which follows the rules of the cohort's store."
        )
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(found, dtype=np.float32)


def _require_given(given_M: Given, modalities: Sequence[str], accepts_missing: bool) -> None:
    """Refuse a subject who lacks an image that the model needs."""
    lacking = [name for name, given in zip(modalities, given_M, strict=True) if not given]
    if not given_M.any():
        raise ImageError(f"At least one of {', '.join(modalities)} must be given, got none.")
    if lacking and not accepts_missing:
        raise ImageError(
            f"Every one of {', '.join(modalities)} must be given, got none of "
            f"{', '.join(lacking)}: this model was not trained to do without (it takes a fusion "
            "that accepts missing images, with cohort.missing_modalities: keep or "
            "training.modality_dropout)."
        )
