"""How many points a space has, and whether its conditions can be met."""

import math
from typing import Any

from isthmus.config.search_points import (
    is_asked,
    ordered_dimensions,
    same_value,
    values_of_condition,
)
from isthmus.config.search_space import Categorical, Dimension, SearchSpace

_REST = object()


def size_of_grid(space: SearchSpace) -> int | None:
    """Count the distinct points of a space.

    Parameters
    ----------
    space : SearchSpace
        As `load_space` gives it.

    Returns
    -------
    int or None
        Points that differ only in a dimension that is not asked are one; None if a dimension is
        continuous.
    """
    counts = {path: _n_values(dimension) for path, dimension in space.space.items()}
    if None in counts.values():
        return None
    n_points = 1
    for component in _components(space):
        branches = _branches(space, component)
        n_points *= sum(
            math.prod(_n_behind(space, path, value) for path, value in branch.items())
            for branch in branches
        )
    return n_points


def never_asked(space: SearchSpace) -> tuple[str, ...]:
    """List the dimensions whose conditions contradict each other.

    Parameters
    ----------
    space : SearchSpace
        As `load_space` gives it.

    Returns
    -------
    tuple of str
        Paths that are asked at no point.
    """
    asked = {
        path
        for component in _components(space)
        for branch in _branches(space, component)
        for path in branch
    }
    return tuple(path for path in space.space if path not in asked)


def _components(space: SearchSpace) -> list[list[tuple[str, Dimension]]]:
    """Group the dimensions that conditions tie together; groups multiply."""
    groups: list[list[tuple[str, Dimension]]] = []
    for path, dimension in ordered_dimensions(space):
        tied = [group for group in groups if any(other in dimension.when for other, _ in group)]
        groups = [group for group in groups if group not in tied]
        groups.append([item for group in tied for item in group] + [(path, dimension)])
    order = {path: n for n, (path, _) in enumerate(ordered_dimensions(space))}
    return [sorted(group, key=lambda item: order[item[0]]) for group in groups]


def _branches(space: SearchSpace, component: list[tuple[str, Dimension]]) -> list[dict[str, Any]]:
    """List the combinations that conditions tell apart; `_REST` stands for all other values."""
    branches: list[dict[str, Any]] = [{}]
    for path, dimension in component:
        values = _named_in_conditions(space, path)
        if _n_values(dimension) != len(values):
            values = [*values, _REST]
        branches = [
            further
            for branch in branches
            for further in (
                [{**branch, path: value} for value in values]
                if is_asked(dimension, branch)
                else [branch]
            )
        ]
    return branches


def _n_behind(space: SearchSpace, path: str, value: Any) -> int:
    """Count the values that one of `_branches` stands for."""
    if value is not _REST:
        return 1
    return (_n_values(space.space[path]) or 1) - len(_named_in_conditions(space, path))


def _named_in_conditions(space: SearchSpace, path: str) -> list[Any]:
    """List the values of a dimension that any condition names, each once."""
    named: list[Any] = []
    for other in space.space.values():
        for value in values_of_condition(other.when.get(path, [])):
            if not any(same_value(value, known) for known in named):
                named.append(value)
    return named


def _n_values(dimension: Dimension) -> int | None:
    """Count what a dimension can take; None if it is continuous."""
    if isinstance(dimension, Categorical):
        return len(dimension.choices)
    if dimension.step is None:
        return 1 if dimension.low == dimension.high else None
    return round((dimension.high - dimension.low) / dimension.step) + 1
