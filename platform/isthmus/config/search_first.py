"""The points that a search begins with: presets, and points that are written out."""

from collections.abc import Mapping
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import preset_names, resolve
from isthmus.config.paths import did_you_mean, settings_paths
from isthmus.config.search_paths import plain_value
from isthmus.config.search_points import (
    can_take,
    is_asked,
    ordered_dimensions,
    said,
    said_condition,
    same_value,
)
from isthmus.config.search_space import SearchSpace
from isthmus.core.errors import ConfigError

First = tuple[str | dict[str, Any], ...]

_ANY_COHORT = {"images": "{participant_id}_{modality}.nii.gz", "modalities": ["T1w"]}


def checked_first(space: SearchSpace) -> tuple[First, list[str]]:
    """Check the points to begin with, as far as that needs no experiment.

    Parameters
    ----------
    space : SearchSpace
        With checked dimensions.

    Returns
    -------
    first : tuple of str or dict
        Values in their settings' types.
    misses : list of str
        What is wrong, each with its place.
    """
    done: list[str | dict[str, Any]] = []
    misses: list[str] = []
    for number, first in enumerate(space.try_first):
        place = f"try_first.{number}"
        try:
            if isinstance(first, str):
                _require_preset(space, first, place)
                done.append(first)
            else:
                done.append(_named_point(space, first, place))
        except ConfigError as error:
            misses.append(str(error))
    return tuple(done), misses


def first_points(space: SearchSpace, experiment: ExperimentConfig) -> tuple[dict[str, Any], ...]:
    """Write out the points to begin with.

    Parameters
    ----------
    space : SearchSpace
        As `load_space` gives it.
    experiment : ExperimentConfig
        Gives what a point does not name. A preset names every setting, if only by its default.

    Returns
    -------
    tuple of dict
        A value for every dimension that is asked there, in the order of `ordered_dimensions`.

    Raises
    ------
    ConfigError
        If a value lies outside of its dimension, a point names a dimension that is not asked
        there, or two points are the same.
    """
    settings = experiment.model_dump(mode="json")
    points: list[dict[str, Any]] = []
    for number, first in enumerate(space.try_first):
        place = f"try_first.{number}"
        point = (
            point_of_preset(space, first, place)
            if isinstance(first, str)
            else _point(space, first, settings, place, "the experiment")
        )
        twin = next((n for n, other in enumerate(points) if _same_point(point, other)), None)
        if twin is not None:
            raise ConfigError(
                f"{place}: must be another point than try_first.{twin}, got {first!r} "
                f"after {space.try_first[twin]!r}, which are the same in this space; leave one out."
            )
        points.append(point)
    return tuple(points)


def point_of_preset(space: SearchSpace, name: str, place: str) -> dict[str, Any]:
    """Find the point of a space where a preset lies.

    Parameters
    ----------
    space : SearchSpace
        As `load_space` gives it.
    name : str
        One of `preset_names`.
    place : str
        Where it is named, for the message.

    Returns
    -------
    dict
        A value for every dimension that is asked there. What the preset does not name has its
        default.

    Raises
    ------
    ConfigError
        If it lies outside of a dimension.
    """
    settings = resolve({"preset": name, "cohort": _ANY_COHORT}).model_dump(mode="json")
    return _point(space, {}, settings, place, f"preset {name!r}")


def _point(
    space: SearchSpace,
    named: Mapping[str, Any],
    settings: Mapping[str, Any],
    place: str,
    source: str,
) -> dict[str, Any]:
    """Write out one point: what is named, and from settings what is not."""
    point: dict[str, Any] = {}
    for path, dimension in ordered_dimensions(space):
        if not is_asked(dimension, point):
            continue
        value = named[path] if path in named else _leaf(settings, path)
        if not can_take(dimension, value):
            origin = "" if path in named else f", from {source}"
            raise ConfigError(
                f"{place}: {path} must lie within its dimension ({said(dimension)}), got "
                f"{value!r}{origin}. Widen space.{path}, or begin with another point."
            )
        point[path] = value
    for path in named:
        if path not in point:
            condition = said_condition(space.space[path])
            raise ConfigError(
                f"{place}: {path} would be ignored, for at this point its condition does not hold "
                f"(when: {condition}); leave it out."
            )
    return point


def _require_preset(space: SearchSpace, name: str, place: str) -> None:
    """Refuse a preset that there is not, or that lies outside of the space."""
    known = preset_names()
    if name not in known:
        hint = did_you_mean(name, dict.fromkeys(known))
        raise ConfigError(f"{place}: must be one of the presets {list(known)}, got {name!r}.{hint}")
    point_of_preset(space, name, place)


def _named_point(space: SearchSpace, named: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Check the values of a point that is written out."""
    point: dict[str, Any] = {}
    for path, value in named.items():
        where = f"{place}.{path}"
        dimension = space.space.get(path)
        if dimension is None:
            hint = did_you_mean(path, space.space)
            if path in settings_paths():
                hint = " Add it to the space, or set it in the experiment."
            raise ConfigError(f"{where}: no dimension of this space.{hint}")
        plain = plain_value(path, value, where)
        if not can_take(dimension, plain):
            raise ConfigError(
                f"{where}: must lie within its dimension ({said(dimension)}), got {value!r}."
            )
        point[path] = plain
    for path in point:
        dimension = space.space[path]
        known = {other: wanted for other, wanted in dimension.when.items() if other in point}
        if not is_asked(dimension.model_copy(update={"when": known}), point):
            raise ConfigError(
                f"{place}.{path}: would be ignored, for at this point its condition does not hold "
                f"(when: {said_condition(dimension)}); leave it out."
            )
    return point


def _same_point(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Compare two points."""
    return one.keys() == other.keys() and all(same_value(one[p], other[p]) for p in one)


def _leaf(settings: Mapping[str, Any], path: str) -> Any:
    """Read a nested setting by its path."""
    value: Any = settings
    for name in path.split("."):
        value = value[name]
    return value
