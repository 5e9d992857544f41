"""A grid of voxels and where it lies in the world: comparing, deriving and resampling."""

from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
from nibabel.affines import apply_affine
from nibabel.processing import resample_from_to
from scipy import ndimage

from isthmus.core.errors import ConfigError

# Two affines are one when no corner of the grid moves by more than this share of a voxel: headers
# written by different tools differ by rounding, a real shift is never this small.
_TOLERANCE_VOXELS = 0.01
_FWHM_PER_SIGMA = 2.3548200450309493
_MAX_EDGE = 1024

Grid = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Space:
    """A grid and its affine.

    Attributes
    ----------
    grid : tuple of int
        Voxels along each axis (D, H, W).
    affine : ndarray, float64, shape (4, 4)
        From voxel indices to millimetres.
    """

    grid: Grid
    affine: npt.NDArray[np.float64]

    @property
    def voxel_size_mm(self) -> tuple[float, float, float]:
        """Edges of one voxel in mm."""
        edges = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(edges[0]), float(edges[1]), float(edges[2])

    @property
    def orientation(self) -> str:
        """Where the axes point, such as ``RAS``."""
        return "".join(str(code) for code in nib.aff2axcodes(self.affine))


def mismatch(space: Space, reference: Space) -> str | None:
    """Say in what a space differs from the reference.

    Parameters
    ----------
    space, reference : Space
        What is given, and what it must be.

    Returns
    -------
    str or None
        A clause such as ``"grid must be 4x4x4, got 5x4x4"``; None when they are one space: the same
        grid, and no corner of it further than 0.01 voxel from where it must be.
    """
    if space.grid != reference.grid:
        return f"grid must be {show_grid(reference.grid)}, got {show_grid(space.grid)}"
    moved = _corners(space) - _corners(reference)
    furthest_mm = float(np.linalg.norm(moved, axis=1).max())
    if furthest_mm <= _TOLERANCE_VOXELS * min(reference.voxel_size_mm):
        return None
    clause = f"affine must be the cohort's, but corners of the grid lie {furthest_mm:.3g} mm away"
    if space.orientation != reference.orientation:
        clause += f" (axes must be {reference.orientation}, got {space.orientation})"
    return clause


def derive_space(
    source: Space, grid: Grid | None, voxel_size_mm: tuple[float, float, float] | None
) -> Space:
    """Lay another grid over the same field of view, about the same centre.

    Parameters
    ----------
    source : Space
        What the field of view, centre and axes are taken from.
    grid : tuple of int or None
        Voxels wanted; None: as many as cover the field of view.
    voxel_size_mm : tuple of float or None
        Voxel edges wanted in mm; None: those with which `grid` spans the field of view.

    Returns
    -------
    Space
        The new space; `source` itself when nothing is wanted.

    Raises
    ------
    ConfigError
        If the voxel size is not positive or makes a grid of fewer than 4 or more than 1024 voxels
        along an axis.
    """
    if grid is None and voxel_size_mm is None:
        return source
    extent_mm = np.array(source.grid) * source.voxel_size_mm
    if voxel_size_mm is not None and min(voxel_size_mm) <= 0:
        raise ConfigError(f"volumes.voxel_size_mm must be positive, got {list(voxel_size_mm)}.")
    if grid is None:
        edges = np.ceil(extent_mm / np.array(voxel_size_mm) - 1e-6).astype(int)
        grid = (int(edges[0]), int(edges[1]), int(edges[2]))
        if min(grid) < 4 or max(grid) > _MAX_EDGE:
            raise ConfigError(
                f"volumes.voxel_size_mm must make a grid of 4 to {_MAX_EDGE} voxels along each "
                f"axis, but {list(voxel_size_mm or ())} makes {show_grid(grid)}; "
                "set volumes.grid too, or other edges."
            )
    edges_mm = extent_mm / np.array(grid) if voxel_size_mm is None else np.array(voxel_size_mm)
    affine = np.eye(4)
    affine[:3, :3] = source.affine[:3, :3] / np.array(source.voxel_size_mm) * edges_mm
    centre_mm = apply_affine(source.affine, (np.array(source.grid) - 1) / 2)
    affine[:3, 3] = centre_mm - affine[:3, :3] @ ((np.array(grid) - 1) / 2)
    return Space(grid, affine)


def resample(
    voxels_DHW: npt.NDArray[np.float32], source: Space, target: Space, order: int = 1
) -> npt.NDArray[np.float32]:
    """Resample a volume to another space.

    Parameters
    ----------
    voxels_DHW : ndarray, float32, shape source.grid
        Finite values.
    source, target : Space
        Where the values lie, and where they are wanted.
    order : int, default 1
        Degree of the spline; 0 keeps labels, 1 never overshoots.

    Returns
    -------
    ndarray, float32, shape target.grid
        Values at the target's voxels, 0 outside the source.

    Notes
    -----
    Where the target is coarser, the source is first smoothed (not for order 0), or fine structure
    would alias: along each source axis by a Gaussian of FWHM ``sqrt(r**2 - 1)`` source voxels,
    ``r`` being the target's voxel edge over the source's [1]_.

    References
    ----------
    .. [1] Cardoso et al., "Scale factor point spread function matching: beyond aliasing in image
       resampling", MICCAI 2015, doi:10.1007/978-3-319-24571-3_81.
    """
    if order > 0:
        sigma = _antialias_sigma(source, target)
        if sigma.max() > 0:
            voxels_DHW = ndimage.gaussian_filter(voxels_DHW, sigma)
    image: Any = nib.Nifti1Image(voxels_DHW, source.affine)
    moved = resample_from_to(image, (target.grid, target.affine), order=order, cval=0.0)
    return np.ascontiguousarray(moved.dataobj, dtype=np.float32)


def show_grid(edges: tuple[float, ...]) -> str:
    """Write edges as ``64x80x64``.

    Parameters
    ----------
    edges : tuple of number
        Voxels, or mm, along each axis.

    Returns
    -------
    str
        The edges with ``x`` between them.

    Examples
    --------
    >>> show_grid((64, 80, 64))
    '64x80x64'
    """
    return "x".join(f"{edge:.6g}" for edge in edges)


def _corners(space: Space) -> npt.NDArray[np.float64]:
    """World coordinates of the grid's eight corner voxels, shape (8, 3), in mm."""
    indices = np.array(np.meshgrid(*[(0, edge - 1) for edge in space.grid])).reshape(3, -1).T
    corners: npt.NDArray[np.float64] = apply_affine(space.affine, indices)
    return corners


def _antialias_sigma(source: Space, target: Space) -> npt.NDArray[np.float64]:
    """Gaussian sigma along each source axis, in source voxels."""
    directions = source.affine[:3, :3] / np.array(source.voxel_size_mm)
    voxels_per_mm = np.linalg.norm(np.linalg.inv(target.affine[:3, :3]) @ directions, axis=0)
    ratio = 1.0 / voxels_per_mm / np.array(source.voxel_size_mm)
    sigma: npt.NDArray[np.float64] = np.sqrt(np.maximum(ratio**2 - 1.0, 0.0)) / _FWHM_PER_SIGMA
    return np.where(sigma < 0.05, 0.0, sigma)
