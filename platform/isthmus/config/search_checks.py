"""What must hold of a space beyond the form of each part of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.paths import did_you_mean
from isthmus.config.search_metrics import ALIASES, why_not_sought
from isthmus.config.search_paths import plain_value, why_not_a_range, why_not_varied
from isthmus.config.search_points import (
    can_take,
    ordered_dimensions,
    said,
    said_condition,
    same_value,
)
from isthmus.config.search_size import never_asked
from isthmus.config.search_space import (
    Categorical,
    Dimension,
    FloatRange,
    ObjectiveConfig,
    SearchSpace,
)
from isthmus.core.errors import ConfigError


def checked_dimensions(
    dimensions: Mapping[str, Dimension],
) -> tuple[dict[str, Dimension], list[str]]:
    """Check paths, values and conditions, and write values as their settings have them.

    Parameters
    ----------
    dimensions : Mapping of str to dimension
        As they were read.

    Returns
    -------
    dimensions : dict of str to dimension
        Values in their settings' types; each condition a list of values.
    misses : list of str
        What is wrong, each with its place.
    """
    misses = [f"space.{path}: {reason}" for path in dimensions if (reason := why_not_varied(path))]
    if misses:
        return {}, misses
    plain: dict[str, Dimension] = {}
    for path, dimension in dimensions.items():
        try:
            plain[path] = _with_plain_values(path, dimension)
        except ConfigError as error:
            misses.append(str(error))
    if misses:
        return {}, misses
    done: dict[str, Dimension] = {}
    for path, dimension in plain.items():
        try:
            when = {other: _condition(path, other, plain) for other in dimension.when}
            done[path] = dimension.model_copy(update={"when": when})
        except ConfigError as error:
            misses.append(str(error))
    if not misses:
        misses = list(_contradictions(done))
    return done, misses


def checked_objectives(
    objectives: tuple[ObjectiveConfig, ...], experiment: ExperimentConfig | None
) -> tuple[tuple[ObjectiveConfig, ...], list[str]]:
    """Check what is sought, and write metrics by their full names.

    Parameters
    ----------
    objectives : tuple of ObjectiveConfig
        As they were read.
    experiment : ExperimentConfig or None
        With it: whether its trials will have the metrics.

    Returns
    -------
    objectives : tuple of ObjectiveConfig
        By full names.
    misses : list of str
        What is wrong, each with its place.
    """
    misses: list[str] = []
    done: dict[str, ObjectiveConfig] = {}
    for number, objective in enumerate(objectives):
        place = f"objectives.{number}.metric"
        reason = why_not_sought(objective.metric, experiment)
        if reason is not None:
            misses.append(f"{place}: {reason}{'' if reason.endswith('?') else '.'}")
            continue
        metric = ALIASES.get(objective.metric, objective.metric)
        if metric in done:
            misses.append(f"{place}: each metric can be sought once, got {metric!r} again.")
        done[metric] = objective.model_copy(update={"metric": metric})
    return tuple(done.values()), misses


def sampler_misses(space: SearchSpace) -> Iterator[str]:
    """Yield what a sampler cannot do with a space.

    Parameters
    ----------
    space : SearchSpace
        With checked dimensions.

    Yields
    ------
    str
        What is wrong, with its place.
    """
    kind = space.sampler.kind
    if kind == "cmaes":
        if len(space.objectives) > 1:
            yield (
                f"sampler.kind: cmaes seeks one objective, got {len(space.objectives)}; use "
                "nsga2, tpe or multivariate_tpe, or leave objectives out."
            )
        always = [d for d in space.space.values() if not isinstance(d, Categorical) and not d.when]
        if all(dimension.low == dimension.high for dimension in always):
            yield (
                "sampler.kind: cmaes needs an int or float dimension that is always asked and has "
                "more than one value, got none; use tpe, multivariate_tpe or random."
            )
    if kind == "grid":
        for path, dimension in space.space.items():
            if isinstance(dimension, FloatRange) and _continuous(dimension):
                yield (
                    f"space.{path}: a grid needs choices, an int, or a float with a step, got a "
                    f"float from {said(dimension)}; give it a step, or choices, or use another "
                    "sampler."
                )


def scheduler_misses(space: SearchSpace, experiment: ExperimentConfig | None) -> Iterator[str]:
    """Yield what a scheduler cannot do with an experiment.

    Parameters
    ----------
    space : SearchSpace
        With checked dimensions.
    experiment : ExperimentConfig or None
        None: nothing is known of folds and epochs, so nothing is yielded.

    Yields
    ------
    str
        What is wrong, with its place.
    """
    scheduler = space.scheduler
    if scheduler.kind == "none" or experiment is None:
        return
    if scheduler.unit == "epoch":
        if experiment.training.early_stopping.monitor_share == 0.0:
            yield (
                "scheduler.unit: epoch compares trials by monitor_mse and needs subjects to "
                "watch, but training.early_stopping.monitor_share is 0: held-out subjects are "
                "never looked at while training. Set it above 0, or use unit: fold."
            )
        epochs = _fewest_epochs(space, experiment)
        if scheduler.grace > epochs:
            yield (
                f"scheduler.grace: must be at most the {epochs} epochs that a trial may have "
                f"(training.epochs), got {scheduler.grace}."
            )
        return
    folds = experiment.cross_validation
    if folds.split_file is not None:
        return  # the file decides how many there are
    if folds.method == "hold_out":
        yield (
            "scheduler.unit: fold compares trials on their first folds and needs at least 2, but "
            "cross_validation.method is hold_out, which has one. Use k_fold, or unit: epoch, or "
            "kind: none."
        )
    elif scheduler.grace >= folds.n_folds:
        yield (
            f"scheduler.grace: must be less than the {folds.n_folds} folds of a trial "
            f"(cross_validation.n_folds), or nothing could be stopped, got {scheduler.grace}."
        )


def _with_plain_values(path: str, dimension: Dimension) -> Dimension:
    """Check the values of a dimension against its setting."""
    place = f"space.{path}"
    if isinstance(dimension, Categorical):
        choices: list[Any] = []
        for number, choice in enumerate(dimension.choices):
            value = plain_value(path, choice, f"{place}.choices.{number}")
            if any(same_value(value, other) for other in choices):
                raise ConfigError(
                    f"{place}.choices: each value must be there once, got {value!r} again."
                )
            choices.append(value)
        return dimension.model_copy(update={"choices": tuple(choices)})
    reason = why_not_a_range(path, dimension)
    if reason is not None:
        raise ConfigError(f"{place}: {reason}.")
    bounds = {
        name: plain_value(path, getattr(dimension, name), f"{place}.{name}")
        for name in ("low", "high")
    }
    return dimension.model_copy(update=bounds)


def _condition(path: str, other: str, dimensions: Mapping[str, Dimension]) -> list[Any]:
    """Check one condition; list the values that meet it."""
    place = f"space.{path}.when.{other}"
    wanted = dimensions[path].when[other]
    if other not in dimensions:
        hint = did_you_mean(other, dimensions)
        raise ConfigError(
            f"{place}: must be another dimension of this space, for the experiment's own settings "
            f"are the same in every trial.{hint}"
        )
    parent = dimensions[other]
    if isinstance(parent, FloatRange) and _continuous(parent):
        raise ConfigError(
            f"{place}: a condition must name values, and {other} has none to name: it is "
            f"continuous ({said(parent)}). Give it a step, or choices."
        )
    whole = _taken(other, parent, wanted)
    if not isinstance(wanted, list | tuple):
        if whole is None:
            raise _not_taken(place, other, parent, wanted)
        return whole
    each = [_taken(other, parent, value) for value in wanted]
    if whole is not None and any(each):
        raise ConfigError(
            f"{place}: {wanted!r} is itself a value and also a list of values; write "
            f"[{wanted!r}] for the one, and more than one list for the other."
        )
    if whole is not None:
        return whole
    if not wanted:
        raise ConfigError(f"{place}: must name at least one value, got none.")
    for value, found in zip(wanted, each, strict=True):
        if found is None:
            raise _not_taken(place, other, parent, value)
    return [value for found in each if found for value in found]


def _taken(path: str, dimension: Dimension, value: Any) -> list[Any] | None:
    """Return the value as the setting has it, in a list; None if it is none of the dimension's."""
    try:
        plain = plain_value(path, value, path)
    except ConfigError:
        return None
    return [plain] if can_take(dimension, plain) else None


def _not_taken(place: str, other: str, parent: Dimension, value: Any) -> ConfigError:
    """Say that a condition can never hold."""
    hint = ""
    if isinstance(parent, Categorical) and isinstance(value, str):
        hint = did_you_mean(value, {c: None for c in parent.choices if isinstance(c, str)})
    return ConfigError(
        f"{place}: must be among what {other} takes ({said(parent)}), got {value!r}.{hint}"
    )


def _contradictions(dimensions: Mapping[str, Dimension]) -> Iterator[str]:
    """Yield conditions that go round in a circle or never hold together."""
    space = SearchSpace.model_construct(space=dict(dimensions))
    try:
        ordered_dimensions(space)
    except ConfigError as error:
        yield str(error)
        return
    for path in never_asked(space):
        yield (
            f"space.{path}.when: must hold at some point, but what it names is not asked, or not "
            f"together, where it would hold ({said_condition(dimensions[path])})."
        )


def _continuous(dimension: FloatRange) -> bool:
    """Tell a float that has no list of values."""
    return dimension.step is None and dimension.low < dimension.high


def _fewest_epochs(space: SearchSpace, experiment: ExperimentConfig) -> int:
    """Find the fewest epochs that a trial may have."""
    dimension = space.space.get("training.epochs")
    if dimension is None:
        return experiment.training.epochs
    if isinstance(dimension, Categorical):
        return int(min(dimension.choices))
    return int(dimension.low)
