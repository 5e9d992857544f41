"""From levels to settings: scaled values, and settings solved for so that sizes are met."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from isthmus.config.ablation.design import AblationConfig, MatchConfig
from isthmus.config.ablation.levels import Level, levels_of
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.laid_over import laid_over
from isthmus.config.search_paths import plain_value
from isthmus.core.errors import ConfigError
from isthmus.model.description import ModelDescription

NEAR = 1.25
"""A size that is further off than this ratio, which is 0.8 the other way, is not called matched."""
_WORDS = {"parameters": "parameters", "multiply_accumulates": "multiply-accumulates"}
# Twice as far at each step, so that the range of any whole number is passed in few of them.
_MOST_STEPS = 32

Describe = Callable[[ExperimentConfig], ModelDescription]


class Settling:
    """Turns levels into settings.

    Parameters
    ----------
    ablation : AblationConfig
        As `load_ablation` gives it.
    config : ExperimentConfig
        The experiment.
    in_common : Mapping of str to Any
        What the baseline lays over it, by dotted path.
    describe : callable
        Gives the size of an experiment's model, on the cohort's grid.
    """

    def __init__(
        self,
        ablation: AblationConfig,
        config: ExperimentConfig,
        in_common: Mapping[str, Any],
        describe: Describe,
    ) -> None:
        self._factors = {
            name: {level.name: level for level in levels_of(name, factor)}
            for name, factor in ablation.factors.items()
        }
        self._config = config
        self._in_common = in_common
        self._describe = describe

    def settle(self, levels: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Find the settings of a combination of levels.

        Parameters
        ----------
        levels : Mapping of str to str
            Name of each factor's level.

        Returns
        -------
        settings : dict of str to Any
            By dotted path, to be laid over experiment and baseline.
        notes : tuple of str
            How closely sizes were met, what was rounded.

        Raises
        ------
        ConfigError
            If a value cannot be scaled, or no model of the wanted size can be built.
        """
        settings: dict[str, Any] = {}
        notes: list[str] = []
        matches: list[tuple[str, Level, MatchConfig]] = []
        for name, called in levels.items():
            level = self._factors[name][called]
            settings |= level.settings
            if level.scale is not None:
                settings[name], said = self._scaled(name, level.scale)
                notes += said
            if level.match is not None:
                matches.append((name, level, level.match))
        for name, level, match in matches:
            settings[match.vary], said = self._met(levels, settings, name, level, match)
            notes += said
        return settings, tuple(notes)

    def _scaled(self, path: str, scale: float) -> tuple[Any, list[str]]:
        """Scale the baseline's value."""
        value: Any = self._in_common.get(path)
        if path not in self._in_common:
            value = self._config.model_dump(mode="json")
            for part in path.split("."):
                value = value[part]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(
                f"factors.{path}.scales: must be of a number, but the baseline has {value!r}; use "
                "values."
            )
        scaled = value * scale
        if isinstance(value, float):
            return plain_value(path, scaled, f"factors.{path}"), []
        whole = math.floor(scaled + 0.5)
        said = [] if math.isclose(whole, scaled) else [f"{path} {scaled:g} rounded to {whole}"]
        return plain_value(path, whole, f"factors.{path}"), said

    def _met(
        self,
        levels: Mapping[str, str],
        settings: Mapping[str, Any],
        name: str,
        level: Level,
        match: MatchConfig,
    ) -> tuple[int, list[str]]:
        """Find the value that comes closest to the size of another level."""
        theirs, _ = self.settle({**levels, name: match.level})
        wanted = self._size(theirs, match)
        start = _leaf(self._resolved(settings), match.vary)
        sizes: dict[int, int | None] = {}

        def size(value: int) -> int | None:
            if value not in sizes:
                try:
                    sizes[value] = self._size({**settings, match.vary: value}, match)
                except ConfigError:
                    sizes[value] = None  # no such setting, or no such model
            return sizes[value]

        best = nearest(start, wanted, size)
        attained = None if best is None else size(best)
        if best is None or attained is None:
            raise ConfigError(
                f"factors.{name}.levels.{level.name}.match: no model can be built with "
                f"{match.vary} near {start}, so that the {_WORDS[match.by]} of {match.level} "
                "cannot be met."
            )
        ratio = attained / wanted
        of = f"{attained:,} {_WORDS[match.by]}, {ratio:.2f} of {match.level}'s"
        said = f"{match.vary} {best}: {of}"
        if max(ratio, 1 / ratio) > NEAR:
            said += "; this is the nearest that can be built, and the sizes are NOT matched"
        return best, [said]

    def _size(self, settings: Mapping[str, Any], match: MatchConfig) -> int:
        """Measure what is to be met."""
        description = self._describe(self._resolved(settings))
        if match.by == "parameters":
            return description.parameters.total
        return description.multiply_accumulates

    def _resolved(self, settings: Mapping[str, Any]) -> ExperimentConfig:
        """Lay settings over the baseline."""
        return laid_over(self._config, {**self._in_common, **settings}, "this arm")


def nearest(start: int, wanted: int, size: Callable[[int], int | None]) -> int | None:
    """Find the whole number whose size is nearest in ratio, of sizes that grow with it.

    Parameters
    ----------
    start : int
        Where to begin.
    wanted : int
        The size to come close to.
    size : callable
        Size at a number; None where there is none.

    Returns
    -------
    int or None
        None if there is no size at any number that was tried.

    Notes
    -----
    Bracketed by steps that double and then halved: about 2 log2(distance) sizes. A number without
    a size is taken for too large above the start and too small below, so that a hole in the range
    makes the result less near, and never wrong: the ratio that was attained is told.

    Examples
    --------
    >>> nearest(2, 1000, lambda value: value**2 if value > 0 else None)
    32
    """
    known: dict[int, int] = {}

    def is_small(value: int) -> bool:
        found = size(value)
        if found is None:
            return value < start
        known[value] = found
        return found < wanted

    direction = 1 if is_small(start) else -1
    inside, step = start, direction
    for _ in range(_MOST_STEPS):
        outside = inside + step
        if is_small(outside) != (direction > 0):
            break
        inside, step = outside, 2 * step
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        if is_small(middle) == (direction > 0):
            inside = middle
        else:
            outside = middle
    return min(known, key=lambda value: abs(math.log(known[value] / wanted)), default=None)


def _leaf(config: ExperimentConfig, path: str) -> int:
    """Read a whole number by its path."""
    value: Any = config
    for part in path.split("."):
        value = getattr(value, part)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"match.vary: {path} must be a whole number here, got {value!r}.")
    return value
