"""Brain-like volumes in several contrasts, painted from a few anatomical parameters.

Legend of shapes: D left-right, H back-front, W down-up (voxels); A, B, C control points along them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from isthmus.cohort.phantom_people import LATENTS
from isthmus.core.seeds import generator

Volume = npt.NDArray[np.float64]
Grid = tuple[int, int, int]

FOLDS, SHAPE, SHADING = (13, 15, 13), (4, 5, 4), (3, 3, 3)
"""Control points of the random fields: sulci, regional volume, and the coil's shading."""

_TISSUES = ("fluid", "cortex", "deep_grey", "white", "lesion")
_RECIPES = {
    "T1w": (0.22, 0.62, 0.74, 1.00, 0.70),
    "T2w": (1.20, 0.66, 0.58, 0.45, 0.85),
    "FLAIR": (0.15, 0.80, 0.74, 0.62, 1.25),
    "FA": (0.05, 0.14, 0.22, 0.50, 0.25),
    "NDI": (0.04, 0.38, 0.48, 0.66, 0.40),
    "GM": (0.00, 1.00, 1.00, 0.00, 0.00),
    "WM": (0.00, 0.00, 0.00, 1.00, 0.60),
}
# About the distance at which the fold field's size reaches one, from its gradient.
_FOLD_REACH = 0.11
_MICROSTRUCTURE = {"FA", "NDI"}


@dataclass(frozen=True)
class Anatomy:
    """One brain.

    Attributes
    ----------
    tissues : dict of str to ndarray, shape (D, H, W)
        Shares in [0, 1] of fluid, cortex, deep grey, white matter and lesion; together 1.
    tract : ndarray, shape (D, H, W)
        How much fibres run one way, in [0, 1].
    expansion : ndarray, shape (D, H, W)
        Logarithm of the local volume relative to the template.
    integrity : float
        Factor of diffusion contrasts in white matter, around 1.
    contrast : float
        Factor of the cortex's intensity, around 1.
    """

    tissues: dict[str, Volume]
    tract: Volume
    expansion: Volume
    integrity: float
    contrast: float


@lru_cache(maxsize=4)
def brain_mask(grid: Grid) -> npt.NDArray[np.bool_]:
    """Give the template's brain, which every image of the phantom is cut to.

    Parameters
    ----------
    grid : tuple of int
        (D, H, W).

    Returns
    -------
    ndarray of bool, shape (D, H, W)
        True within.
    """
    mask: npt.NDArray[np.bool_] = _depth(grid, 1.0) > 0
    mask.setflags(write=False)
    return mask


def smooth_field(control_ABC: Volume, grid: Grid) -> Volume:
    """Spread random control points over a grid.

    Parameters
    ----------
    control_ABC : ndarray, shape (A, B, C)
        Independent standard normal values, evenly spaced.
    grid : tuple of int
        (D, H, W).

    Returns
    -------
    ndarray, shape (D, H, W)
        A Gaussian field of unit variance, correlated over about the control points' distance.
    """
    weights = [_weights(n, k) for n, k in zip(grid, control_ABC.shape, strict=True)]
    field: Volume = np.einsum("abc,da,hb,wc->dhw", control_ABC, *weights, optimize=True)
    return field


def build_anatomy(
    latents: Sequence[float], folds_ABC: Volume, shape_ABC: Volume, grid: Grid
) -> Anatomy:
    """Shape one brain.

    Parameters
    ----------
    latents : sequence of float, length 8
        In standard deviations, in the order of `LATENTS`.
    folds_ABC : ndarray, shape (13, 15, 13)
        Control points of the individual part of the sulcal pattern.
    shape_ABC : ndarray, shape (4, 5, 4)
        Control points of the regional volume.
    grid : tuple of int
        (D, H, W).

    Returns
    -------
    Anatomy
        On that grid.

    Notes
    -----
    A sulcus runs where a smooth random field is zero: it is a gap in the tissue down to a depth
    below the surface, and cortex follows surface and gaps as a ribbon of even thickness.
    Latents enter through tanh, so that no subject leaves the range of brains.
    """
    value = dict(zip(LATENTS, 3.0 * np.tanh(np.asarray(latents) / 3.0), strict=True))
    blur = 1.8 / sum(grid)
    x, y, z = _coordinates(grid)
    individual = smooth_field(folds_ABC, grid)
    pattern = (_template_folds(grid) + 0.3 * individual) / np.hypot(1.0, 0.3)
    regional = smooth_field(shape_ABC, grid)
    depth = _depth(grid, 1.0 + 0.01 * value["brain_width"]) + 0.005 * regional
    gap = 0.012 + 0.006 * value["sulcal_width"]
    beside = _FOLD_REACH * np.abs(pattern) - gap
    folia = 0.05 * (1 + np.cos(42.0 * (z + 0.3 * y))) * (y < -0.25)
    sulci = np.maximum(beside, depth - 0.26)
    sulci = np.where(z > -0.42, sulci, depth - folia)
    fissure = np.maximum(np.abs(x) - 1.2 * gap, 0.30 - 0.50 * y**2 - z)
    below_pia = np.minimum(np.minimum(depth, sulci), fissure)
    thickness = 0.075 + 0.011 * value["cortical_thickness"]
    tissue = _step(below_pia, blur)
    inner = _step(below_pia - thickness, blur) + _brainstem(grid, blur)
    inner = np.minimum(inner, 1.0)
    ventricles = _ventricles(grid, value["ventricle_size"], blur)
    deep = _deep_grey(grid, value["deep_grey_size"], blur)
    spots = smooth_field(folds_ABC[::-1], grid) - 2.8 + 0.45 * value["lesion_load"]
    near = np.exp(-((_ventricle_radius(grid, 1.35) - 1.0) ** 2) / 0.08)
    lesion = _step(spots + 1.2 * near, 0.2) * inner
    white = inner * (1 - ventricles) * (1 - deep)
    tissues = {
        "fluid": (1 - tissue) * (1 - ventricles) + ventricles,
        "cortex": np.clip(tissue - inner, 0.0, 1.0) * (1 - ventricles),
        "deep_grey": inner * deep * (1 - ventricles),
        "white": white * (1 - lesion),
        "lesion": white * lesion,
    }
    total = sum(tissues.values())
    tissues = {name: share / total for name, share in tissues.items()}
    growth = 0.20 * value["ventricle_size"] * np.exp(-(_ventricle_radius(grid, 1.6) ** 2))
    atrophy = -0.05 * value["sulcal_width"] + 0.05 * value["cortical_thickness"]
    expansion = 0.08 * regional + growth + atrophy * np.exp(-((depth / 0.15) ** 2))
    return Anatomy(
        tissues,
        _tract(grid),
        expansion,
        float(1.0 + 0.07 * value["white_matter_integrity"]),
        float(1.0 + 0.025 * value["cortical_contrast"]),
    )


def paint(anatomy: Anatomy, modality: str) -> Volume:
    """Give a brain the look of a modality.

    Parameters
    ----------
    anatomy : Anatomy
        The brain.
    modality : str
        T1w, T2w, FLAIR, FA, NDI, JAC, GM or WM, or any other label.

    Returns
    -------
    ndarray, shape (D, H, W)
        Intensities without noise, not yet cut to the brain; JAC is a logarithm around 0.
    """
    if modality == "JAC":
        return anatomy.expansion
    weights = dict(zip(_TISSUES, _RECIPES.get(modality) or _invented(modality), strict=True))
    weights["cortex"] *= anatomy.contrast
    image = np.zeros_like(anatomy.tract)
    for tissue, share in anatomy.tissues.items():
        image += weights[tissue] * share
    if modality in _MICROSTRUCTURE:
        gain = 0.9 if modality == "FA" else 0.25
        directed = anatomy.integrity * (1 + gain * (anatomy.tract - 0.3))
        image += weights["white"] * anatomy.tissues["white"] * (directed - 1)
    elif modality in {"GM", "WM"}:
        image *= np.exp(anatomy.expansion)
    return image


def _invented(label: str) -> tuple[float, ...]:
    """Tissue weights of a modality without a recipe, a function of its label."""
    return tuple(generator(0, "phantom", "contrast", label).uniform(0.1, 1.1, len(_TISSUES)))


def _step(value: Volume, blur: float) -> Volume:
    """Rise from 0 to 1 over about four blurs around zero: a voxel's share of tissue."""
    share: Volume = 0.5 * (1.0 + np.tanh(value / (2.0 * blur)))
    return share


@lru_cache(maxsize=4)
def _coordinates(grid: Grid) -> tuple[Volume, Volume, Volume]:
    """Open mesh from -1 to 1: left to right, back to front, down to up."""
    axes = [(np.arange(n) + 0.5) / n * 2 - 1 for n in grid]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    return x, y, z


@lru_cache(maxsize=32)
def _weights(n_voxels: int, n_control: int) -> Volume:
    """Gaussian weights of control points on voxels, so that the field's variance is one."""
    voxels = (np.arange(n_voxels) + 0.5) / n_voxels * 2 - 1
    control = np.linspace(-1.1, 1.1, n_control)
    width = 0.65 * (control[1] - control[0])
    weights = np.exp(-0.5 * ((voxels[:, None] - control) / width) ** 2)
    unit: Volume = weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return unit


def _radius(
    grid: Grid, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> Volume:
    """Distance from an ellipsoid's centre, 1 on its surface."""
    squares = [
        ((axis - middle) / radius) ** 2
        for axis, middle, radius in zip(_coordinates(grid), centre, radii, strict=True)
    ]
    distance: Volume = np.sqrt(squares[0] + squares[1] + squares[2])
    return distance


def _depth(grid: Grid, width: float) -> Volume:
    """Depth below the smooth surface of cerebrum, cerebellum and brainstem; negative outside."""
    x, _, _ = _coordinates(grid)
    cerebrum = 0.8 * (1 - _radius(grid, (0.0, 0.0, 0.14), (0.80 * width, 0.92, 0.76)))
    # The cerebrum is flat below: cut it by a soft plane that rises towards the front.
    _, y, z = _coordinates(grid)
    cerebrum = np.minimum(cerebrum, z + 0.42 - 0.10 * y + 0.25 * x**2)
    cerebellum = 0.4 * (1 - _radius(grid, (0.0, -0.48, -0.52), (0.56 * width, 0.38, 0.32)))
    stem = 0.2 * (1 - _radius(grid, (0.0, -0.14, -0.52), (0.20, 0.20, 0.38)))
    depth: Volume = np.maximum(np.maximum(cerebrum, cerebellum), stem)
    return depth


@lru_cache(maxsize=4)
def _template_folds(grid: Grid) -> Volume:
    """Sulcal pattern that all brains have in common, nearly mirrored between hemispheres."""
    control = generator(0, "phantom", "sulci").standard_normal(FOLDS)
    mirrored = (control + 0.9 * control[::-1]) / np.sqrt(1 + 0.9**2)
    mirrored[FOLDS[0] // 2] = control[FOLDS[0] // 2]
    return smooth_field(mirrored, grid)


def _ventricle_radius(grid: Grid, size: float) -> Volume:
    """Distance from the lateral ventricles' curved axes, 1 on a surface of that size."""
    x, y, z = _coordinates(grid)
    across = np.abs(x) - 0.075 - 0.30 * (y - 0.02) ** 2
    up = z - 0.21 + 0.45 * (y - 0.05) ** 2
    squares = (across / (0.055 * size)) ** 2 + (up / (0.10 * size)) ** 2 + ((y + 0.03) / 0.42) ** 2
    radius: Volume = np.sqrt(squares)
    return radius


def _ventricles(grid: Grid, size: float, blur: float) -> Volume:
    """Share of ventricular fluid: two lateral ventricles and a slit for the third."""
    growth = 1.0 + 0.16 * size
    lateral = 0.055 * growth * (1 - _ventricle_radius(grid, growth))
    third = _radius(grid, (0.0, -0.03, 0.02), (0.028 * growth, 0.17, 0.13))
    both: Volume = np.maximum(_step(lateral, blur), _step(0.05 * (1 - third), blur))
    return both


def _deep_grey(grid: Grid, size: float, blur: float) -> Volume:
    """Share of thalamus, caudate and putamen."""
    growth = 1.0 + 0.06 * size
    share: Volume = np.zeros(grid)
    for centre, radii in (
        ((0.13, -0.10, 0.02), (0.10, 0.15, 0.11)),
        ((0.17, 0.25, 0.12), (0.055, 0.14, 0.13)),
        ((0.31, 0.10, 0.00), (0.075, 0.21, 0.14)),
    ):
        grown = (radii[0] * growth, radii[1] * growth, radii[2] * growth)
        for side in (-1.0, 1.0):
            nucleus = _radius(grid, (side * centre[0], centre[1], centre[2]), grown)
            share = np.maximum(share, _step(0.1 * (1 - nucleus), blur))
    return share


def _brainstem(grid: Grid, blur: float) -> Volume:
    """Share of the brainstem, which has no cortex."""
    return _step(0.15 * (1 - _radius(grid, (0.0, -0.14, -0.52), (0.18, 0.18, 0.40))), blur)


@lru_cache(maxsize=4)
def _tract(grid: Grid) -> Volume:
    """Where fibres run one way: corpus callosum, internal capsules and smooth tracts."""
    x, y, z = _coordinates(grid)
    callosum = np.exp(-(((z - 0.34 + 0.55 * (y - 0.02) ** 2) / 0.07) ** 2) - (x / 0.35) ** 2)
    callosum = callosum * np.exp(-((y / 0.45) ** 6))
    capsule = np.exp(-(((np.abs(x) - 0.225 - 0.12 * np.maximum(z, 0)) / 0.05) ** 2))
    capsule = capsule * np.exp(-((y / 0.35) ** 2) - ((z - 0.05) / 0.35) ** 2)
    elsewhere = smooth_field(generator(0, "phantom", "tracts").standard_normal(FOLDS), grid)
    strands = np.clip(0.3 + 0.3 * elsewhere, 0.0, 1.0)
    tract: Volume = np.maximum(np.maximum(callosum, capsule), strands)
    return tract
