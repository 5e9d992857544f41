"""Dimensions of a space: what they take, in which order they are asked, and which of them."""

import math
from collections.abc import Mapping
from typing import Any

from isthmus.config.search_space import WHOLE, Categorical, Dimension, IntRange, SearchSpace
from isthmus.core.errors import ConfigError


def same_value(one: Any, other: Any) -> bool:
    """Compare two values of a setting.

    Parameters
    ----------
    one, other : Any
        As `plain_value` writes them.

    Returns
    -------
    bool
        True, 1 and 1.0 are three values; numbers that need not be whole are compared up to
        rounding; a list and a tuple of the same values are the same.

    Examples
    --------
    >>> same_value(True, 1), same_value(0.1 + 0.2, 0.3), same_value([5, 6, 5], (5, 6, 5))
    (False, True, True)
    """
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_value, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9)
    return type(one) is type(other) and bool(one == other)


def can_take(dimension: Dimension, value: Any) -> bool:
    """Say whether a value lies within a dimension.

    Parameters
    ----------
    dimension : Categorical, IntRange or FloatRange
        The dimension.
    value : Any
        As `plain_value` writes it.

    Returns
    -------
    bool
        Whether it is one of the choices, or within the bounds and on the grid of steps.

    Examples
    --------
    >>> can_take(IntRange(low=1, high=9, step=2), 3), can_take(IntRange(low=1, high=9, step=2), 4)
    (True, False)
    """
    if isinstance(dimension, Categorical):
        return any(same_value(value, choice) for choice in dimension.choices)
    if type(value) is not (int if isinstance(dimension, IntRange) else float):
        return False
    if dimension.step is None or not math.isfinite(value):
        return bool(dimension.low <= value <= dimension.high)
    # counted in steps, for three steps of 0.1 are a little more than 0.3
    n_steps, last = ((x - dimension.low) / dimension.step for x in (value, dimension.high))
    return abs(n_steps - round(n_steps)) <= WHOLE and 0 <= round(n_steps) <= round(last)


def ordered_dimensions(space: SearchSpace) -> tuple[tuple[str, Dimension], ...]:
    """Put each dimension after those that its `when` names; otherwise as they are declared.

    Parameters
    ----------
    space : SearchSpace
        As `load_space` gives it.

    Returns
    -------
    tuple of (str, dimension)
        Path and dimension.

    Raises
    ------
    ConfigError
        If dimensions wait for each other, or for one that is not declared.
    """
    placed: dict[str, Dimension] = {}

    def place(path: str, waiting: tuple[str, ...]) -> None:
        if path in waiting:
            circle = " -> ".join([*waiting[waiting.index(path) :], path])
            raise ConfigError(f"space: no dimension can wait for itself, got when: {circle}.")
        if path not in space.space:
            raise ConfigError(f"space.{waiting[-1]}.when: {path}: no dimension of this space.")
        for parent in space.space[path].when:
            place(parent, (*waiting, path))
        placed.setdefault(path, space.space[path])

    for path in space.space:
        place(path, ())
    return tuple(placed.items())


def is_asked(dimension: Dimension, point: Mapping[str, Any]) -> bool:
    """Say whether a dimension is asked at a point.

    Parameters
    ----------
    dimension : Categorical, IntRange or FloatRange
        The dimension.
    point : Mapping of str to Any
        Values of the dimensions before it; one that was not asked itself is absent.

    Returns
    -------
    bool
        Whether everything that its `when` names is there and has a value that is listed.

    Examples
    --------
    >>> dropout = Categorical(choices=(0.1, 0.2), when={"model.skips": ["all", "deep"]})
    >>> is_asked(dropout, {"model.skips": "deep"}), is_asked(dropout, {"model.skips": "none"})
    (True, False)
    """
    return all(
        path in point and _is_among(point[path], wanted) for path, wanted in dimension.when.items()
    )


def values_of_condition(wanted: Any) -> list[Any]:
    """List the values that a condition names.

    Parameters
    ----------
    wanted : Any
        Right-hand side of a path in a ``when``.

    Returns
    -------
    list
        A list as it is, which `load_space` makes of every condition; else the value alone.
    """
    return list(wanted) if isinstance(wanted, list | tuple) else [wanted]


def said(dimension: Dimension) -> str:
    """Put into words what a dimension can take.

    Parameters
    ----------
    dimension : Categorical, IntRange or FloatRange
        The dimension.

    Returns
    -------
    str
        Such as ``2 to 8 by 2`` or ``a, b``.

    Examples
    --------
    >>> said(IntRange(low=2, high=8, step=2)), said(Categorical(choices=(True, None, [5, 6, 5])))
    ('2 to 8 by 2', 'true, null, [5, 6, 5]')
    """
    if isinstance(dimension, Categorical):
        return ", ".join(map(_said_value, dimension.choices))
    text = f"{_said_value(dimension.low)} to {_said_value(dimension.high)}"
    if dimension.log:
        return f"{text}, log"
    by = dimension.step if isinstance(dimension.step, float) or dimension.step != 1 else None
    return text if by is None else f"{text} by {_said_value(by)}"


def said_condition(dimension: Dimension) -> str:
    """Put into words when a dimension is asked.

    Parameters
    ----------
    dimension : Categorical, IntRange or FloatRange
        The dimension.

    Returns
    -------
    str
        Such as ``model.skips: all or deep``; empty where it always is.
    """
    return "; ".join(
        f"{path}: {' or '.join(map(_said_value, values_of_condition(wanted)))}"
        for path, wanted in dimension.when.items()
    )


def _said_value(value: Any) -> str:
    """Write a value as it would stand in a file."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_said_value, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    words = {True: "true", False: "false", None: "null"}
    return words[value] if value is None or isinstance(value, bool) else f"{value}"


def _is_among(value: Any, wanted: Any) -> bool:
    """Compare a value with one that is wanted, or with each of a list."""
    return any(same_value(value, one) for one in (wanted, *values_of_condition(wanted)))
