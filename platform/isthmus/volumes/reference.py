"""The cohort's space and mask: declared, or found from what most images are."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil

from isthmus.cohort.images import confine
from isthmus.config.load import Experiment
from isthmus.core.digest import digest_array, digest_file
from isthmus.core.errors import ConfigError, ImageError
from isthmus.volumes.layout import write_settings
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.nifti import read_header, read_image
from isthmus.volumes.sources import ImageSource, is_there
from isthmus.volumes.space import Space, derive_space, mismatch, resample, show_grid
from isthmus.volumes.stored_mask import LostMaskError, read_mask
from isthmus.volumes.stored_settings import StoreSettings

_LOG = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]
_KEPT = "missing_modalities"


def declared_settings(experiment: Experiment) -> dict[str, Any]:
    """List the settings that decide what is stored.

    Parameters
    ----------
    experiment : Experiment
        The whole experiment; normalisation is no part of the store.

    Returns
    -------
    dict
        JSON-serialisable; the mask is there by its content's digest.

    Raises
    ------
    ImageError
        If a mask is declared and not there.
    """
    volumes = experiment.config.volumes.model_dump(mode="json", exclude={"normalisation"})
    mask = _mask_path(experiment)
    cohort = experiment.config.cohort
    # Named where it is not the default alone: stores that were made before it stay what they are.
    kept = {} if cohort.missing_modalities == "exclude" else {_KEPT: cohort.missing_modalities}
    return {
        "modalities": sorted(cohort.modalities),
        "mask": digest_file(mask) if mask else None,
        **kept,
        **volumes,
    }


def resolve_settings(
    experiment: Experiment, sources: Sequence[ImageSource]
) -> tuple[StoreSettings, Mask | None]:
    """Decide on which grid, and how oriented, every image must be.

    Parameters
    ----------
    experiment : Experiment
        With `cohort.mask`, `volumes.grid`, `volumes.voxel_size_mm` and `volumes.resample`.
    sources : sequence of ImageSource
        All images; where no mask is declared, their headers are read.

    Returns
    -------
    settings : StoreSettings
        Grid and affine of the mask, where one is declared; or else of most images, the first one
        winning a tie; laid out anew where another grid or voxel size is asked for and images are
        resampled.
    mask_DHW : ndarray of bool or None
        The mask on that grid.

    Raises
    ------
    ConfigError
        If no image has the declared grid and none may be resampled to it.
    ImageError
        If the mask cannot be used, or no image has a readable header.
    ResourceError
        If reading the mask would take more memory than is free.
    """
    volumes = experiment.config.volumes
    path = _mask_path(experiment)
    mask_DHW: Mask | None = None
    if path is not None:
        source, mask_DHW = _read_mask(path)
        reference = f"the mask {experiment.config.cohort.mask}"
        if volumes.grid not in (None, source.grid) and not volumes.resample:
            raise ConfigError(
                f"volumes.grid must be that of {reference}, {show_grid(source.grid)}, unless "
                f"volumes.resample is true, got {show_grid(volumes.grid or ())}."
            )
    else:
        wanted = None if volumes.resample else volumes.grid
        source, reference = _commonest([_header_space(item) for item in sources], wanted)
    target = source
    if volumes.resample and (volumes.voxel_size_mm or volumes.grid not in (None, source.grid)):
        target = derive_space(source, volumes.grid, volumes.voxel_size_mm)
        reference += ", resampled"
    if mask_DHW is not None and mismatch(source, target) is not None:
        mask_DHW = resample(mask_DHW.astype(np.float32), source, target, order=0) > 0
        _require_some(mask_DHW, f"{path}: on the grid {show_grid(target.grid)}")
    affine = tuple(tuple(float(value) for value in row) for row in target.affine)
    modalities = experiment.config.cohort.modalities
    declared = declared_settings(experiment)
    return StoreSettings(declared, modalities, target.grid, affine, reference), mask_DHW


def mend_mask(
    location: StoreLocation,
    made: StoreSettings,
    experiment: Experiment,
    sources: Sequence[ImageSource],
) -> None:
    """Make a store's mask anew where it is lost, of the file that it was made of.

    Parameters
    ----------
    location : StoreLocation
        The store, which this process may write.
    made : StoreSettings
        What the store was made with.
    experiment : Experiment
        With the same settings, as `require_same` says.
    sources : sequence of ImageSource
        All images.

    Raises
    ------
    LostMaskError
        If what is made now is not what was stored.
    ImageError, ResourceError
        As `resolve_settings`.
    """
    if made.declared["mask"] is None:
        return
    try:
        read_mask(location, made)
    except LostMaskError:
        now, mask_DHW = resolve_settings(experiment, sources)
        if mask_DHW is None or (now.grid, now.affine) != (made.grid, made.affine):
            raise
        if made.mask_digest not in (None, digest_array(mask_DHW)):
            raise
        write_settings(location, made, mask_DHW)
        _LOG.warning("%s: the mask was lost or damaged, and is made anew", location.url)


def require_same(made: StoreSettings, experiment: Experiment, url: str) -> None:
    """Refuse an experiment whose store was made with other settings.

    Parameters
    ----------
    made : StoreSettings
        What the store was made with.
    experiment : Experiment
        What is asked for now.
    url : str
        The store, for the message.

    Raises
    ------
    ConfigError
        If they differ; the message names each setting.
    """
    asked, differing = declared_settings(experiment), []
    for name in sorted(set(asked) | set(made.declared)):
        default = "exclude" if name == _KEPT else None
        was, now = made.declared.get(name, default), asked.get(name, default)
        if was != now:
            group = "cohort" if name in ("modalities", "mask", _KEPT) else "volumes"
            shown = "another file" if name == "mask" and was and now else f"{was!r}, is {now!r}"
            differing.append(f"{group}.{name} was {shown}")
    if differing:
        raise ConfigError(
            f"The store {url} was made with other settings: {'; '.join(differing)}. Set them "
            "back, or set another execution.store and run isthmus ingest."
        )


def _mask_path(experiment: Experiment) -> Path | None:
    """Find the declared mask's file, which must exist."""
    declared = experiment.config.cohort.mask
    if declared is None:
        return None
    path = confine(experiment.cohort_root, declared)
    if not is_there(path):
        raise ImageError(f"cohort.mask must be a file in the cohort's folder, got {declared!r}.")
    return path


def _read_mask(path: Path) -> tuple[Space, Mask]:
    """Read a mask: what is finite and not zero."""
    image = read_image(path, psutil.virtual_memory().available)
    mask_DHW = np.isfinite(image.voxels_DHW) & (image.voxels_DHW != 0)
    _require_some(mask_DHW, str(path))
    return image.header.space, mask_DHW


def _require_some(mask_DHW: Mask, what: str) -> None:
    """Refuse an empty mask."""
    if not mask_DHW.any():
        raise ImageError(f"{what}: a mask must have voxels that are not zero, got none.")


def _header_space(source: ImageSource) -> Space | None:
    """Read the space of an image, where its header can be read."""
    if source.path is None or not is_there(source.path):
        return None
    try:
        return read_header(source.path).space
    except ImageError:
        return None


def _commonest(
    found: Sequence[Space | None], grid: tuple[int, int, int] | None
) -> tuple[Space, str]:
    """Find the space that most headers share, of the declared grid where one is declared."""
    spaces = [space for space in found if space is not None]
    if not spaces:
        raise ImageError(
            "At least one image must have a readable header, and none has: check cohort.images "
            "and that the files are NIfTI."
        )
    counted: list[tuple[Space, int]] = []
    for space in spaces:
        if grid is not None and space.grid != grid:
            continue
        for place, (known, times) in enumerate(counted):
            if mismatch(space, known) is None:
                counted[place] = (known, times + 1)
                break
        else:
            counted.append((space, 1))
    if not counted:
        seen = sorted({show_grid(space.grid) for space in spaces})
        raise ConfigError(
            f"volumes.grid is {show_grid(grid or ())}, but no image has it (they have "
            f"{', '.join(seen[:5])}). Correct it, or set volumes.resample: true."
        )
    best, times = max(counted, key=lambda item: item[1])
    return best, f"{times} of {len(spaces)} images"
