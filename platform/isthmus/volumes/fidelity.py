"""How near a reconstruction is to its original: one modality, within the mask, in float64.

Throughout, x is the original, y the reconstruction, V the set of in-mask voxels. Differences in
image units need both in image units (`Normaliser.invert`); on normalised volumes the unit is the
normalised one. What is undefined is NaN, never 0: zero denominators give NaN, as each docstring
says. An empty mask, other shapes and values that are not finite are errors.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

# Wang et al. 2004: Gaussian window of sigma 1.5 voxels (11 across), K1 and K2.
_SSIM_SIGMA = 1.5
_SSIM_RADIUS = 5
_SSIM_K1, _SSIM_K2 = 0.01, 0.03


def mse(x_DHW: Array, y_DHW: Array, mask_DHW: Mask) -> float:
    """Compute the mean squared error.

    Parameters
    ----------
    x_DHW, y_DHW : ndarray, shape (D, H, W)
        Original and reconstruction.
    mask_DHW : ndarray of bool, shape (D, H, W)
        Voxels that count.

    Returns
    -------
    float
        ``mean over V of (x - y)**2``, in squared units of x; at least 0.

    Raises
    ------
    ValueError
        If the mask is empty, shapes differ, or a value in the mask is not finite.
    """
    x_V, y_V = _inside(mask_DHW, x_DHW, y_DHW)
    return float(np.mean((x_V - y_V) ** 2))


def rmse(x_DHW: Array, y_DHW: Array, mask_DHW: Mask) -> float:
    """Compute the root of the mean squared error.

    Parameters
    ----------
    x_DHW, y_DHW, mask_DHW : ndarray, shape (D, H, W)
        As for `mse`.

    Returns
    -------
    float
        ``sqrt(mse)``, in units of x; at least 0.

    Raises
    ------
    ValueError
        As `mse`.
    """
    return math.sqrt(mse(x_DHW, y_DHW, mask_DHW))


def mae(x_DHW: Array, y_DHW: Array, mask_DHW: Mask) -> float:
    """Compute the mean absolute error.

    Parameters
    ----------
    x_DHW, y_DHW, mask_DHW : ndarray, shape (D, H, W)
        As for `mse`.

    Returns
    -------
    float
        ``mean over V of |x - y|``, in units of x; at least 0.

    Raises
    ------
    ValueError
        As `mse`.
    """
    x_V, y_V = _inside(mask_DHW, x_DHW, y_DHW)
    return float(np.mean(np.abs(x_V - y_V)))


def psnr(x_DHW: Array, y_DHW: Array, mask_DHW: Mask, data_range: float) -> float:
    """Compute the peak signal-to-noise ratio.

    Parameters
    ----------
    x_DHW, y_DHW, mask_DHW : ndarray, shape (D, H, W)
        As for `mse`.
    data_range : float
        Largest minus smallest value that x could have: 1 for normalised volumes.

    Returns
    -------
    float
        ``10 log10(data_range**2 / mse)``, in dB; infinite for equal images.

    Raises
    ------
    ValueError
        As `mse`, and if `data_range` is not positive.
    """
    _require_range(data_range)
    error = mse(x_DHW, y_DHW, mask_DHW)
    return math.inf if error == 0.0 else 20 * math.log10(data_range) - 10 * math.log10(error)


def ssim(x_DHW: Array, y_DHW: Array, mask_DHW: Mask, data_range: float) -> float:
    """Compute the mean structural similarity in 3D.

    Parameters
    ----------
    x_DHW, y_DHW, mask_DHW : ndarray, shape (D, H, W)
        As for `mse`.
    data_range : float
        Largest minus smallest value that x could have: 1 for normalised volumes.

    Returns
    -------
    float
        Mean over V, without unit, in [-1, 1]; 1 for equal images.

    Raises
    ------
    ValueError
        As `mse`, and if `data_range` is not positive.

    Notes
    -----
    At each voxel ``(2 mx my + C1) (2 sxy + C2) / ((mx**2 + my**2 + C1) (sx**2 + sy**2 + C2))`` [1]_
    with ``C1 = (0.01 L)**2``, ``C2 = (0.03 L)**2`` and L the data range. Means m and population
    (co)variances s are weighted by a Gaussian of sigma 1.5 voxels, cut at 5, over those voxels of
    the window *that lie in the mask*, so that the background's perfect agreement raises nothing.

    References
    ----------
    .. [1] Wang et al., "Image quality assessment: from error visibility to structural similarity",
       IEEE Transactions on Image Processing 2004;13:600-612, doi:10.1109/TIP.2003.819861.
    """
    _require_range(data_range)
    _inside(mask_DHW, x_DHW, y_DHW)
    inside_DHW = mask_DHW.astype(bool)
    weight_DHW = inside_DHW.astype(np.float64)
    total_DHW = _window(weight_DHW)
    total_DHW[~inside_DHW] = 1.0

    def local_mean(values_DHW: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Average over the window's in-mask voxels."""
        return _window(values_DHW) / total_DHW

    # Centred first: variances are differences of squares, which an offset would cancel away.
    offset = float(np.mean(x_DHW[inside_DHW], dtype=np.float64))
    centred_x = np.where(inside_DHW, x_DHW.astype(np.float64) - offset, 0.0)
    centred_y = np.where(inside_DHW, y_DHW.astype(np.float64) - offset, 0.0)
    mean_x, mean_y = local_mean(centred_x), local_mean(centred_y)
    variance_x = np.maximum(local_mean(centred_x**2) - mean_x**2, 0.0)
    variance_y = np.maximum(local_mean(centred_y**2) - mean_y**2, 0.0)
    covariance = local_mean(centred_x * centred_y) - mean_x * mean_y
    mean_x, mean_y = mean_x + offset, mean_y + offset
    c1, c2 = (_SSIM_K1 * data_range) ** 2, (_SSIM_K2 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float(np.mean((luminance * structure)[inside_DHW]))


def normalised_difference(x_DHW: Array, y_DHW: Array, mask_DHW: Mask) -> float:
    """Compute the normalised difference.

    Parameters
    ----------
    x_DHW, y_DHW, mask_DHW : ndarray, shape (D, H, W)
        As for `mse`.

    Returns
    -------
    float
        ``sum over V of |x - y| / sum over V of |x|``, without unit; at least 0. NaN where x is 0
        all over V.

    Raises
    ------
    ValueError
        As `mse`.
    """
    x_V, y_V = _inside(mask_DHW, x_DHW, y_DHW)
    return _ratio(float(np.sum(np.abs(x_V - y_V))), float(np.sum(np.abs(x_V))))


def symmetric_difference(x_DHW: Array, y_DHW: Array, mask_DHW: Mask) -> float:
    """Compute the symmetric voxelwise difference.

    Parameters
    ----------
    x_DHW, y_DHW, mask_DHW : ndarray, shape (D, H, W)
        As for `mse`.

    Returns
    -------
    float
        ``mean over V of |x - y| / (|x| + |y|)``, without unit, in [0, 1]; a voxel where both are 0
        agrees and counts as 0.

    Raises
    ------
    ValueError
        As `mse`.
    """
    x_V, y_V = _inside(mask_DHW, x_DHW, y_DHW)
    size_V = np.abs(x_V) + np.abs(y_V)
    share_V = np.divide(np.abs(x_V - y_V), size_V, out=np.zeros_like(size_V), where=size_V > 0)
    return float(np.mean(share_V))


def cnr(x_DHW: Array, grey_DHW: Mask, white_DHW: Mask) -> float:
    """Compute the contrast-to-noise ratio between grey and white matter.

    Parameters
    ----------
    x_DHW : ndarray, shape (D, H, W)
        An image, in image units: voxelwise normalisation would take the contrast away.
    grey_DHW, white_DHW : ndarray of bool, shape (D, H, W)
        Where grey and white matter are (`tissue.split_tissue`).

    Returns
    -------
    float
        ``|mean_GM - mean_WM| / sqrt((var_GM + var_WM) / 2)``, without unit; at least 0. Population
        variances. NaN where both variances are 0.

    Raises
    ------
    ValueError
        As `mse`, for either tissue.
    """
    (grey_V,), (white_V,) = _inside(grey_DHW, x_DHW), _inside(white_DHW, x_DHW)
    contrast = abs(float(grey_V.mean()) - float(white_V.mean()))
    return _ratio(contrast, math.sqrt((float(grey_V.var()) + float(white_V.var())) / 2))


def cnr_ratio(x_DHW: Array, y_DHW: Array, grey_DHW: Mask, white_DHW: Mask) -> float:
    """Compare the reconstruction's contrast-to-noise ratio with the original's.

    Parameters
    ----------
    x_DHW, y_DHW : ndarray, shape (D, H, W)
        Original and reconstruction, in image units.
    grey_DHW, white_DHW : ndarray of bool, shape (D, H, W)
        Tissues of the original, used for both.

    Returns
    -------
    float
        ``cnr(y) / cnr(x)``, without unit; at least 0. 1: the contrast is kept; above 1 most often
        means that noise was smoothed away. NaN where either is undefined or the original's is 0.

    Raises
    ------
    ValueError
        As `cnr`.
    """
    return _ratio(cnr(y_DHW, grey_DHW, white_DHW), cnr(x_DHW, grey_DHW, white_DHW))


def _inside(mask_DHW: Mask, *images: Array) -> list[npt.NDArray[np.float64]]:
    """In-mask values of each image, checked."""
    shapes = [mask_DHW.shape, *(image.shape for image in images)]
    if len(set(shapes)) != 1:
        raise ValueError(f"mask and images must have one shape, got {shapes}")
    inside_DHW = mask_DHW.astype(bool)
    if not inside_DHW.any():
        raise ValueError("the mask must have voxels, got none")
    values = [image[inside_DHW].astype(np.float64) for image in images]
    if not all(np.isfinite(part).all() for part in values):
        raise ValueError("images must be finite within the mask")
    return values


def _require_range(data_range: float) -> None:
    """Refuse a range that nothing can be compared with."""
    if not (math.isfinite(data_range) and data_range > 0):
        raise ValueError(f"data_range must be positive, got {data_range}")


def _ratio(above: float, below: float) -> float:
    """Quotient; NaN over 0."""
    return above / below if below != 0 else math.nan


def _window(values_DHW: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sum weighted by the Gaussian window; nothing lies outside the grid."""
    summed: npt.NDArray[np.float64] = ndimage.gaussian_filter(
        values_DHW, _SSIM_SIGMA, mode="constant", cval=0.0, radius=_SSIM_RADIUS
    )
    return summed
