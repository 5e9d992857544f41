"""What a volume store was made with, and whether ``store.json`` can be what isthmus wrote."""

import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError
from isthmus.volumes.space import Space

SCHEMA_VERSION = 1
# More have no image either.
_MOST_VOXELS = 2**31


@dataclass(frozen=True)
class StoreSettings:
    """What every image of a store was made to be.

    Attributes
    ----------
    declared : Mapping
        The settings as the experiment has them, and the mask file's digest.
    modalities : tuple of str
        Order of the array's second axis.
    grid : tuple of int
        D, H, W.
    affine : tuple of tuple of float
        4 x 4, from voxel indices to mm.
    reference : str
        Where grid and affine came from.
    mask_digest : str or None
        Digest of the mask on the grid; None without one, and for stores of the time before it was
        kept.
    """

    declared: Mapping[str, Any]
    modalities: tuple[str, ...]
    grid: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    reference: str
    mask_digest: str | None = None

    @property
    def space(self) -> Space:
        """Grid and affine."""
        return Space(self.grid, np.array(self.affine, dtype=np.float64))

    @property
    def digest(self) -> str:
        """Digest of everything but where the grid came from, and the mask's own digest."""
        return digest_of(
            {
                "declared": dict(self.declared),
                "modalities": list(self.modalities),
                "grid": list(self.grid),
                "affine": [list(row) for row in self.affine],
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Give the content of ``store.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "declared": dict(self.declared),
            "modalities": list(self.modalities),
            "grid": list(self.grid),
            "affine": [list(row) for row in self.affine],
            "reference": self.reference,
            "mask_digest": self.mask_digest,
            "digest": self.digest,
        }


def parse_settings(content: Any, place: str) -> StoreSettings:
    """Make settings of what ``store.json`` holds.

    Parameters
    ----------
    content : Any
        What was read from it.
    place : str
        Where it is, for the message.

    Returns
    -------
    StoreSettings
        As `StoreSettings.to_json` gave them.

    Raises
    ------
    ConfigError
        If another version of isthmus wrote it, or something else did.
    """
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        raise ConfigError(
            f"{place}: must have schema_version {SCHEMA_VERSION}. Another version of isthmus wrote "
            "it; set another execution.store."
        )
    for name, holds in _FORMS.items():
        if not holds(content.get(name)):
            raise _damaged(place, f"{name} is {reprlib.repr(content.get(name))}")
    for name, holds in _DECLARED_FORMS.items():
        if not holds(content["declared"].get(name)):
            raise _damaged(place, f"declared.{name} is {content['declared'].get(name)!r:.60}")
    depth, height, width = content["grid"]
    settings = StoreSettings(
        content["declared"],
        tuple(content["modalities"]),
        (depth, height, width),
        tuple(tuple(float(value) for value in row) for row in content["affine"]),
        content["reference"],
        content.get("mask_digest"),
    )
    try:
        settings.digest  # noqa: B018 - of numbers that are none there is no digest
    except (ValueError, RecursionError) as error:
        raise _damaged(place, f"it has no digest ({error})") from None
    return settings


def _damaged(place: str, why: str) -> ConfigError:
    """Say that a file is not what isthmus wrote."""
    return ConfigError(
        f"{place}: must be as isthmus ingest wrote it, but {why}. Remove the store and ingest "
        "again."
    )


def _is_grid(value: Any) -> bool:
    """Tell three numbers of voxels."""
    if not (isinstance(value, list) and len(value) == 3):
        return False
    return all(type(edge) is int and edge > 0 for edge in value) and (
        math.prod(value) <= _MOST_VOXELS
    )


def _is_affine(value: Any) -> bool:
    """Tell a matrix of 4 x 4 that can be inverted."""
    if not (isinstance(value, list) and len(value) == 4):
        return False
    if not all(isinstance(row, list) and len(row) == 4 for row in value):
        return False
    if not all(_is_number(entry) for row in value for entry in row):
        return False
    with np.errstate(all="ignore"):
        determinant = float(np.linalg.det(np.array(value, dtype=np.float64)))
    return math.isfinite(determinant) and determinant != 0.0


def _is_number(value: Any) -> bool:
    """Tell a finite number that fits a float."""
    return type(value) in (int, float) and abs(value) < 1e300


def _are_names(value: Any) -> bool:
    """Tell a list of names, each there once."""
    if not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        return False
    return 0 < len(value) == len(set(value))


def _is_share(value: Any) -> bool:
    """Tell a number in [0, 1]."""
    return type(value) in (int, float) and 0 <= value <= 1


def _is_text(value: Any) -> bool:
    """Tell text."""
    return isinstance(value, str)


def _is_optional_text(value: Any) -> bool:
    """Tell text, or that there is none."""
    return value is None or isinstance(value, str)


_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "declared": lambda value: isinstance(value, dict),
    "modalities": _are_names,
    "grid": _is_grid,
    "affine": _is_affine,
    "reference": _is_text,
    "mask_digest": _is_optional_text,
}
_DECLARED_FORMS: Mapping[str, Callable[[Any], bool]] = {
    "mask": _is_optional_text,
    "resample": lambda value: isinstance(value, bool),
    "min_finite_share": _is_share,
    "min_mask_coverage": _is_share,
    "storage_dtype": lambda value: value in ("float32", "float16"),
    # Stores of the time before there was a choice left it out.
    "missing_modalities": lambda value: value in (None, "exclude", "keep"),
}
