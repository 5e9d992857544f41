"""Says dimensions and points in Optuna's words, and its answers in ours."""

import json
import warnings
from collections.abc import Mapping
from typing import Any

from isthmus.config.search_points import can_take, is_asked, ordered_dimensions, same_value
from isthmus.config.search_space import Categorical, Dimension, SearchSpace
from isthmus.core.errors import ConfigError


def ask_point(trial: Any, space: SearchSpace) -> dict[str, Any]:
    """Ask for the value of each dimension that those before it leave open.

    Parameters
    ----------
    trial : optuna.trial.Trial
        Who is asked.
    space : SearchSpace
        Dimensions.

    Returns
    -------
    dict
        The point: values by path, as the space has them.
    """
    point: dict[str, Any] = {}
    with warnings.catch_warnings():
        # Optuna compares the digits of bounds and steps where the space compares the numbers.
        warnings.filterwarnings("ignore", "The distribution is specified by", UserWarning)
        for path, dimension in ordered_dimensions(space):
            if is_asked(dimension, point):
                point[path] = _suggest(trial, path, dimension)
    return point


def encoded_point(space: SearchSpace, point: Mapping[str, Any]) -> dict[str, Any]:
    """Write a point in the values that Optuna holds.

    Parameters
    ----------
    space : SearchSpace
        Dimensions.
    point : Mapping of str to Any
        Values by path; some may be missing.

    Returns
    -------
    dict
        For `optuna.study.Study.enqueue_trial`.

    Raises
    ------
    ConfigError
        If a path is no dimension, or a value is none of its dimension.
    """
    encoded: dict[str, Any] = {}
    for path, value in point.items():
        dimension = space.space.get(path)
        if dimension is None:
            raise ConfigError(
                f"try_first: {path} must be a dimension of the space, which has "
                f"{', '.join(space.space)}."
            )
        if not can_take(dimension, value):
            raise ConfigError(
                f"try_first: {path} must be a value of its dimension, got {value!r}. "
                "Correct the point, or widen the dimension."
            )
        if isinstance(dimension, Categorical):
            index = next(i for i, one in enumerate(dimension.choices) if same_value(value, one))
            value = _choices(dimension)[index]
        encoded[path] = value
    return encoded


def _suggest(trial: Any, path: str, dimension: Dimension) -> Any:
    """Ask Optuna for one value."""
    if isinstance(dimension, Categorical):
        choices = _choices(dimension)
        return dimension.choices[choices.index(trial.suggest_categorical(path, choices))]
    ask = trial.suggest_int if dimension.kind == "int" else trial.suggest_float
    return ask(path, dimension.low, dimension.high, step=dimension.step, log=dimension.log)


def _choices(dimension: Categorical) -> tuple[Any, ...]:
    """Write choices as text where Optuna cannot hold them, or could not tell 1, 1.0 and true."""
    texts = tuple(json.dumps(one, separators=(",", ":")) for one in dimension.choices)
    plain = all(isinstance(one, bool | int | float | str | None) for one in dimension.choices)
    if plain and len(set(dimension.choices)) == len(set(texts)):
        return dimension.choices
    return texts
