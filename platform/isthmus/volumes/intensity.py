"""Intensity normalisation to [0, 1], fitted on the training subjects one at a time.

Shapes: M modalities, grid D, H, W.
"""

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from isthmus.config.experiment import NormalisationConfig
from isthmus.core.digest import digest_array, digest_of
from isthmus.core.errors import ConfigError, ImageError
from isthmus.core.files import write_atomically
from isthmus.volumes.enough import fewest_subjects, require_enough_images
from isthmus.volumes.percentile import pooled_percentiles
from isthmus.volumes.store import VolumeStore

# As the published code has it. In float32 it only keeps 0 / 0 from being NaN.
_EPSILON = np.float32(1e-20)
_Z_BOUND = np.float32(5)
_PERCENTS = (1.0, 99.0)
_NO_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
_ARRAYS = ("low_MDHW", "high_MDHW", "mask_DHW")

Volumes = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Method = Literal["voxelwise_minmax", "subject_zscore", "robust_percentile", "global_minmax"]
Passes = Callable[[Sequence[str]], Iterator[Volumes]]


@dataclass(frozen=True, eq=False)
class Normaliser:
    """A fitted map from image units to [0, 1], and back.

    Attributes
    ----------
    method : str
        As in `volumes.normalisation.method`.
    modalities : tuple of str
        Order of the first axis of all volumes.
    clip : bool
        Clip what leaves [0, 1].
    leaky : bool
        Held-out subjects are among the fitted: label every number so made.
    fitted_ids : tuple of str
        Sorted participant_ids it was fitted on; one without an image of a modality has no say in
        that modality.
    low_MDHW, high_MDHW : ndarray, float32, shape (M, D, H, W) or (M, 1, 1, 1)
        What becomes 0 and 1, in image units (in standard deviations for `subject_zscore`).
    mask_DHW : ndarray of bool
        The store's mask, or else voxels that are non-zero (in any of the modalities) in at least
        half of the fitted subjects.

    Notes
    -----
    - `voxelwise_minmax`: ``(x - low) / (high - low + 1e-20)`` at each voxel, ``low`` and ``high``
      over the fitted subjects; 0 where they are equal. All voxels, in the mask or not.
    - `global_minmax`, `robust_percentile`: the same with one ``low`` and ``high`` a modality, over
      the in-mask values of all fitted subjects: smallest and largest, or 1st and 99th percentile.
    - `subject_zscore`: ``((x - mean) / sd + 5) / 10``, mean and sd over the subject's own mask.

    The last three are 0 outside the mask, where brain-masked images have nothing to say.
    """

    method: Method
    modalities: tuple[str, ...]
    clip: bool
    leaky: bool
    fitted_ids: tuple[str, ...]
    low_MDHW: Volumes
    high_MDHW: Volumes
    mask_DHW: Mask

    @property
    def digest(self) -> str:
        """Digest of all of it."""
        arrays = {name: digest_array(getattr(self, name)) for name in _ARRAYS}
        return digest_of({**self._header(), **arrays})

    def apply(self, x_MDHW: Volumes, out_MDHW: Volumes | None = None) -> Volumes:
        """Normalise a subject.

        Parameters
        ----------
        x_MDHW : ndarray, float32, shape (M, D, H, W)
            Image units, in the order of `modalities`; NaN throughout where there is no image.
        out_MDHW : ndarray, float32, shape (M, D, H, W), optional
            Where the result is written; none given: into new memory.

        Returns
        -------
        ndarray, float32, shape (M, D, H, W)
            In [0, 1] where `clip` is set; NaN throughout where there is no image.

        Raises
        ------
        ImageError
            If the shape is another, or a subject to be z-scored is constant in the mask.
        """
        self._require_shape(x_MDHW)
        # In place: each pass over memory costs every subject of every epoch.
        y_MDHW = np.empty(x_MDHW.shape, np.float32) if out_MDHW is None else out_MDHW
        scaled_MDHW = x_MDHW
        if self.method == "subject_zscore":
            mean_M111, sd_M111 = self._moments(x_MDHW)
            scaled_MDHW = np.divide(np.subtract(x_MDHW, mean_M111, out=y_MDHW), sd_M111, out=y_MDHW)
        np.subtract(scaled_MDHW, self.low_MDHW, out=y_MDHW)
        y_MDHW /= self._divisor
        np.copyto(y_MDHW, np.float32(0), where=self._left_out)
        if self.clip:
            np.clip(y_MDHW, 0.0, 1.0, out=y_MDHW)
        for x_DHW, y_DHW in zip(x_MDHW, y_MDHW, strict=True):
            if np.isnan(x_DHW.flat[0]) and np.isnan(x_DHW).all():  # one voxel mostly tells
                y_DHW[:] = np.nan
        return y_MDHW

    def invert(self, y_MDHW: Volumes, x_MDHW: Volumes) -> Volumes:
        """Bring normalised volumes, such as a reconstruction, back to image units.

        Parameters
        ----------
        y_MDHW : ndarray, float32, shape (M, D, H, W)
            Normalised.
        x_MDHW : ndarray, float32, shape (M, D, H, W)
            The same subject's original, in image units: its mean and sd undo `subject_zscore`.

        Returns
        -------
        ndarray, float32, shape (M, D, H, W)
            Image units. Where nothing was kept it is what all fitted subjects have there
            (`voxelwise_minmax`), or 0 outside the mask (the other methods); clipped values come
            back as the bound.

        Raises
        ------
        ImageError
            As `apply`.
        """
        self._require_shape(y_MDHW)
        self._require_shape(x_MDHW)
        back_MDHW = y_MDHW * (self.high_MDHW - self.low_MDHW) + self.low_MDHW
        if self.method == "subject_zscore":
            mean_M111, sd_M111 = self._moments(x_MDHW)
            back_MDHW = back_MDHW * sd_M111 + mean_M111
        if self.method != "voxelwise_minmax":
            back_MDHW = np.where(self.mask_DHW, back_MDHW, np.float32(0))
        return back_MDHW.astype(np.float32, copy=False)

    def save(self, path: Path) -> None:
        """Write to a file, atomically, without pickle.

        Parameters
        ----------
        path : Path
            An ``.npz`` file to make or replace.
        """
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS}
        header = np.array(json.dumps(self._header()))
        write_atomically(path, lambda file: np.savez_compressed(file, header=header, **arrays))

    def _header(self) -> dict[str, Any]:
        """All but the arrays."""
        return {
            "method": self.method,
            "modalities": list(self.modalities),
            "clip": self.clip,
            "leaky": self.leaky,
            "fitted_ids": list(self.fitted_ids),
        }

    def _require_shape(self, x_MDHW: Volumes) -> None:
        """Refuse volumes of another shape."""
        shape = (len(self.modalities), *self.mask_DHW.shape)
        if x_MDHW.shape != shape:
            raise ImageError(
                f"Volumes to normalise must have the shape {shape}, one for each of "
                f"{list(self.modalities)} on the store's grid, got {x_MDHW.shape}."
            )

    @cached_property
    def _divisor(self) -> Volumes:
        """What values are divided by."""
        return self.high_MDHW - self.low_MDHW + _EPSILON

    @cached_property
    def _left_out(self) -> Mask:
        """Where 0 stands whatever the image holds: shape (M, D, H, W) or (1, D, H, W)."""
        voxelwise = self.method == "voxelwise_minmax"
        return ~(self.high_MDHW > self.low_MDHW) if voxelwise else ~self.mask_DHW[None]

    def _moments(self, x_MDHW: Volumes) -> tuple[Volumes, Volumes]:
        """Mean and standard deviation of each modality over the mask, shape (M, 1, 1, 1)."""
        inside_MV = np.array([x_DHW[self.mask_DHW] for x_DHW in x_MDHW], np.float64)
        sd_M = inside_MV.std(axis=1)
        if not sd_M.all():
            flat = [name for name, sd in zip(self.modalities, sd_M, strict=True) if sd == 0]
            raise ImageError(f"A subject to be z-scored must vary in the mask, {flat} does not.")
        found_2M = np.stack([inside_MV.mean(axis=1), sd_M]).astype(np.float32)
        return found_2M[0].reshape(-1, 1, 1, 1), found_2M[1].reshape(-1, 1, 1, 1)


def fit_normaliser(
    store: VolumeStore, ids: Sequence[str], modalities: Sequence[str], config: NormalisationConfig
) -> Normaliser:
    """Fit the normalisation on some subjects, holding one of them in memory at a time.

    Parameters
    ----------
    store : VolumeStore
        Where they are.
    ids : sequence of str
        Whom to fit on: the training fold; everybody when `leaky`, which is then recorded.
    modalities : sequence of str
        Which volumes, in order.
    config : NormalisationConfig
        Method, clipping and leakiness.

    Returns
    -------
    Normaliser
        The same whatever the order of `ids`.

    Raises
    ------
    ConfigError
        If `ids` or `modalities` are empty or repeat, or a voxelwise fit has fewer than two
        subjects, or any fit none, with an image of some modality.
    ImageError
        If a subject is not in the store, or there is nothing to scale by.
    """
    least = fewest_subjects(config)
    if len(set(ids)) != len(ids) or len(ids) < least:
        raise ConfigError(
            f"Normalisation by {config.method} must be fitted on at least {least} subjects, each "
            f"once, got {len(ids)} of which {len(set(ids))} differ."
        )
    if not modalities or len(set(modalities)) != len(modalities):
        raise ConfigError(f"Modalities must be named, each once, got {list(modalities)}.")
    names, ordered = tuple(modalities), tuple(sorted(ids))
    require_enough_images(store, ordered, names, config)

    def passes(wanted: Sequence[str]) -> Iterator[Volumes]:
        """Read every subject once more who has any of these; NaN is what one lacks."""
        having = (name for name in ordered if store.known(name, wanted).any())
        return (store.read(participant_id, wanted) for participant_id in having)

    mask_DHW = store.mask_DHW
    if mask_DHW is None:
        mask_DHW = _common_mask(passes(names), len(ordered))
    if not mask_DHW.any():
        raise ImageError(
            f"{store.url}: no voxel is non-zero in at least half of the {len(ordered)} subjects; "
            "are the images aligned? Declare cohort.mask."
        )
    low_MDHW, high_MDHW = _bounds(config.method, passes, mask_DHW, names)
    return Normaliser(
        config.method, names, config.clip, config.leaky, ordered, low_MDHW, high_MDHW, mask_DHW
    )


def load_normaliser(path: Path) -> Normaliser:
    """Read a normaliser that `Normaliser.save` wrote.

    Parameters
    ----------
    path : Path
        The ``.npz`` file; nothing in it is unpickled.

    Returns
    -------
    Normaliser
        With the digest it was saved with.

    Raises
    ------
    ConfigError
        If the file is missing or something else.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            header = json.loads(str(content["header"]))
            low_MDHW, high_MDHW, mask_DHW = (content[name] for name in _ARRAYS)
        for name in ("modalities", "fitted_ids"):
            header[name] = tuple(header[name])
        return Normaliser(**header, low_MDHW=low_MDHW, high_MDHW=high_MDHW, mask_DHW=mask_DHW)
    except (OSError, ValueError, KeyError, TypeError, *_NO_ARCHIVE) as error:
        raise ConfigError(f"{path}: must be a saved normaliser, got: {error}.") from None


def _common_mask(volumes: Iterator[Volumes], n_subjects: int) -> Mask:
    """Voxels that are non-zero in at least half of the subjects."""
    n_nonzero_DHW = sum(
        (np.nan_to_num(x_MDHW) != 0).any(axis=0).astype(np.int32) for x_MDHW in volumes
    )
    mask_DHW: Mask = 2 * np.asarray(n_nonzero_DHW) >= n_subjects
    return mask_DHW


def _bounds(
    method: Method, passes: Passes, mask_DHW: Mask, modalities: tuple[str, ...]
) -> tuple[Volumes, Volumes]:
    """Find what becomes 0 and what becomes 1."""
    shape = (len(modalities), 1, 1, 1)
    if method == "subject_zscore":
        return np.full(shape, -_Z_BOUND), np.full(shape, _Z_BOUND)
    if method == "robust_percentile":
        found = np.array([_percentiles(passes, mask_DHW, name) for name in modalities], np.float32)
        low, high = found.T.reshape(2, *shape)
    else:
        low, high = _extremes(passes(modalities), mask_DHW if method == "global_minmax" else None)
    if method != "voxelwise_minmax":
        flat = [name for name, same in zip(modalities, (low == high).ravel(), strict=True) if same]
        if flat:
            raise ImageError(
                f"Normalisation by {method} must have a range to scale by, but in the mask {flat} "
                f"is {low.ravel().tolist()} throughout; use volumes.normalisation.method: "
                "voxelwise_minmax or correct the mask."
            )
    return low, high


def _extremes(volumes: Iterator[Volumes], mask_DHW: Mask | None) -> tuple[Volumes, Volumes]:
    """Smallest and largest over subjects: at each voxel, or over the mask when one is given."""
    low: Volumes = np.array(np.inf, dtype=np.float32)
    high: Volumes = np.array(-np.inf, dtype=np.float32)
    for x_MDHW in volumes:
        if mask_DHW is not None:
            x_MDHW = x_MDHW[:, mask_DHW]
            lowest, highest = x_MDHW.min(axis=1), x_MDHW.max(axis=1)
        else:
            lowest, highest = x_MDHW, x_MDHW
        low, high = np.fmin(low, lowest), np.fmax(high, highest)  # past what is NaN, not there
    if mask_DHW is None:
        return low, high
    return low.reshape(-1, 1, 1, 1), high.reshape(-1, 1, 1, 1)


def _percentiles(passes: Passes, mask_DHW: Mask, modality: str) -> tuple[float, ...]:
    """1st and 99th percentile of one modality's in-mask values over all subjects."""
    return pooled_percentiles(
        lambda: (x_MDHW[0][mask_DHW] for x_MDHW in passes((modality,))), _PERCENTS
    )
