"""Loading a search space: file, then overrides; each miss named with its place."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.file_overrides import raise_misses, read_overridden
from isthmus.config.paths import settings_paths
from isthmus.config.search_checks import (
    checked_dimensions,
    checked_objectives,
    sampler_misses,
    scheduler_misses,
)
from isthmus.config.search_first import checked_first, first_points
from isthmus.config.search_space import (
    Categorical,
    FloatRange,
    IntRange,
    ObjectiveConfig,
    SearchSpace,
)
from isthmus.core.errors import ConfigError

_OPTION = "--space-set"


def is_space(content: Mapping[str, Any]) -> bool:
    """Tell a search space from an experiment.

    Parameters
    ----------
    content : Mapping
        As read from a file.

    Returns
    -------
    bool
        Whether it has dimensions.
    """
    return "space" in content


def load_space(
    path: Path, experiment: ExperimentConfig | None = None, overrides: Sequence[str] = ()
) -> SearchSpace:
    """Read a search space and check every path and value in it.

    Parameters
    ----------
    path : Path
        The space's YAML.
    experiment : ExperimentConfig, optional
        What is to be searched; with it, objectives, scheduler and first points are checked
        against its folds, epochs, modalities and settings too.
    overrides : sequence of str
        ``dotted.path=value`` into the space, the value in YAML: ``budget.n_trials=3``,
        ``space.model.depth.high=4``.

    Returns
    -------
    SearchSpace
        Values in their settings' own types, each condition as a list of the values that meet it,
        metrics by their full names.

    Raises
    ------
    ConfigError
        If the file cannot be read, or anything in it cannot be searched; a line for each miss.
    """
    source = str(path)
    space = read_overridden(path, SearchSpace, _known, overrides, _OPTION)
    dimensions, misses = checked_dimensions(space.space)
    raise_misses(misses, source)
    space = space.model_copy(update={"space": dimensions})
    first, misses_of_first = checked_first(space)
    objectives, misses_of_objectives = checked_objectives(space.objectives, experiment)
    space = space.model_copy(update={"try_first": first, "objectives": objectives})
    misses = [*misses_of_first, *misses_of_objectives, *sampler_misses(space)]
    misses += scheduler_misses(space, experiment)
    raise_misses(misses, source)
    if experiment is not None:
        try:
            first_points(space, experiment)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
    return space


def _known(content: Mapping[str, Any]) -> dict[str, tuple[str | int, ...]]:
    """List all dotted paths into a space, with the keys that they stand for."""
    known: dict[str, tuple[str | int, ...]] = {
        path: tuple(path.split(".")) for path in settings_paths(SearchSpace)
    }
    space, objectives = content.get("space"), content.get("objectives")
    for path in space if isinstance(space, Mapping) else ():
        known[f"space.{path}"] = ("space", path)
        known |= {f"space.{path}.{name}": ("space", path, name) for name in _dimension_fields()}
    for number in range(len(objectives) if isinstance(objectives, list) else 0):
        for name in ObjectiveConfig.model_fields:
            known[f"objectives.{number}.{name}"] = ("objectives", number, name)
    return known


def _dimension_fields() -> Iterator[str]:
    """Yield the names that any kind of dimension has, each once."""
    yield from dict.fromkeys(n for k in (Categorical, IntRange, FloatRange) for n in k.model_fields)
