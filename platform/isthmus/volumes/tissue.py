"""Grey and white matter from a T1-weighted image, for the contrast-to-noise ratio."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans

from isthmus.core.errors import ImageError
from isthmus.core.seeds import generator

_N_TISSUES = 3
# More voxels do not move the centres: their standard error is already far below one grey level.
_MAX_FITTED = 100_000
_START_QUANTILES = (1 / 6, 1 / 2, 5 / 6)


@dataclass(frozen=True, eq=False)
class TissueSplit:
    """Where the three tissues are.

    Attributes
    ----------
    csf_DHW, grey_DHW, white_DHW : ndarray of bool, shape (D, H, W)
        Disjoint; together the mask's voxels that are not zero.
    means : tuple of float
        Of CSF, grey and white matter, ascending, in image units.
    """

    csf_DHW: npt.NDArray[np.bool_]
    grey_DHW: npt.NDArray[np.bool_]
    white_DHW: npt.NDArray[np.bool_]
    means: tuple[float, float, float]


def split_tissue(
    t1w_DHW: npt.NDArray[np.floating], mask_DHW: npt.NDArray[np.bool_], seed: int = 0
) -> TissueSplit:
    """Split a T1-weighted image into CSF, grey and white matter by k-means on intensity.

    A rough split: it knows nothing of place, bias fields or partial volume, and it holds for
    T1 weighting alone, where CSF is darkest and white matter brightest. It is good enough to
    compare one image's contrast with its reconstruction's, on the same voxels.

    Parameters
    ----------
    t1w_DHW : ndarray, shape (D, H, W)
        Image units. Zero voxels of a brain-masked image are background and in no tissue.
    mask_DHW : ndarray of bool, shape (D, H, W)
        Brain.
    seed : int, default 0
        Chooses the 100,000 voxels that the centres are fitted on where there are more.

    Returns
    -------
    TissueSplit
        The same for the same arguments.

    Raises
    ------
    ImageError
        If the shapes differ, values are not finite, or there are no three groups of at least two
        voxels to be told apart.
    """
    if t1w_DHW.shape != mask_DHW.shape:
        raise ImageError(
            f"T1w and mask must have one shape, got {t1w_DHW.shape}, {mask_DHW.shape}."
        )
    inside_DHW = mask_DHW.astype(bool) & (t1w_DHW != 0)
    values = t1w_DHW[inside_DHW].astype(np.float64)
    if not np.isfinite(values).all():
        raise ImageError("A T1w must be finite within the mask to be split into tissues.")
    fitted = values
    if values.size > _MAX_FITTED:
        fitted = generator(seed, "tissue").choice(values, _MAX_FITTED, replace=False)
    distinct = np.unique(fitted)
    if distinct.size < _N_TISSUES:
        raise ImageError(
            f"A T1w must have at least {_N_TISSUES} different values within the mask to be split "
            f"into tissues, got {distinct.size} in {values.size} voxels."
        )
    start = np.quantile(distinct, _START_QUANTILES)[:, None]
    centres = np.sort(
        KMeans(_N_TISSUES, init=start, n_init=1).fit(fitted[:, None]).cluster_centers_[:, 0]
    )
    class_of = np.searchsorted((centres[:-1] + centres[1:]) / 2, values)
    if np.bincount(class_of, minlength=_N_TISSUES).min() < 2:
        raise ImageError("A T1w must have at least two voxels of each tissue within the mask.")
    labels_DHW = np.full(t1w_DHW.shape, -1, dtype=np.int8)
    labels_DHW[inside_DHW] = class_of
    means = [float(values[class_of == tissue].mean()) for tissue in range(_N_TISSUES)]
    return TissueSplit(
        labels_DHW == 0, labels_DHW == 1, labels_DHW == 2, (means[0], means[1], means[2])
    )
