"""What must hold of an ablation beyond the form of each part of it."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

from isthmus.config.ablation.design import (
    AblationConfig,
    ContrastConfig,
    FactorConfig,
    LevelConfig,
    SubsetsConfig,
)
from isthmus.config.ablation.directions import full_name, natural_direction, why_not_compared
from isthmus.config.ablation.fraction import crossed_factors, fraction_misses, resolution_misses
from isthmus.config.ablation.levels import always_set, levels_of, touched
from isthmus.config.ablation.paths import why_not_ablated, why_not_in_common
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.paths import did_you_mean
from isthmus.config.search_paths import plain_value, why_not_a_range
from isthmus.config.search_points import same_value
from isthmus.config.search_space import FloatRange, IntRange
from isthmus.core.errors import ConfigError

MOST_ARMS = 1000
MODALITIES = "model.modalities"


def checked_factors(
    factors: Mapping[str, FactorConfig],
) -> tuple[dict[str, FactorConfig], list[str]]:
    """Check paths, values and levels, and write values as their settings have them.

    Parameters
    ----------
    factors : Mapping of str to FactorConfig
        As they were read.

    Returns
    -------
    factors : dict of str to FactorConfig
        Values in their settings' types.
    misses : list of str
        What is wrong, each with its place.
    """
    done: dict[str, FactorConfig] = {}
    misses: list[str] = []
    for name, factor in factors.items():
        try:
            done[name] = _checked(name, factor)
        except ConfigError as error:
            misses.append(str(error))
    return done, misses


def checked_settings(settings: Mapping[str, Any], place: str) -> tuple[dict[str, Any], list[str]]:
    """Check what all arms have in common.

    Parameters
    ----------
    settings : Mapping of str to Any
        Values by dotted path.
    place : str
        Where they stand.

    Returns
    -------
    settings : dict of str to Any
        Values in their settings' types.
    misses : list of str
        What is wrong, each with its place.
    """
    done: dict[str, Any] = {}
    misses: list[str] = []
    for path, value in settings.items():
        where = f"{place}.{path}" if place else path
        reason = why_not_in_common(path)
        if reason is not None:
            misses.append(f"{where}: {reason}")
            continue
        try:
            done[path] = plain_value(path, value, where)
        except ConfigError as error:
            misses.append(str(error))
    return done, misses


def checked_contrasts(
    contrasts: tuple[ContrastConfig, ...], experiment: ExperimentConfig | None
) -> tuple[tuple[ContrastConfig, ...], list[str]]:
    """Check what arms are compared by, and write metrics by their full names.

    Parameters
    ----------
    contrasts : tuple of ContrastConfig
        As they were read.
    experiment : ExperimentConfig or None
        With it: whether its trials will have the metrics.

    Returns
    -------
    contrasts : tuple of ContrastConfig
        By full names.
    misses : list of str
        What is wrong, each with its place.
    """
    done: dict[str, ContrastConfig] = {}
    misses: list[str] = []
    for number, contrast in enumerate(contrasts):
        place = f"contrasts.{number}"
        reason = why_not_compared(contrast.metric, experiment)
        if reason is not None:
            misses.append(f"{place}.metric: {reason}{'' if reason.endswith('?') else '.'}")
            continue
        metric = full_name(contrast.metric)
        if metric in done:
            misses.append(f"{place}.metric: each metric is compared once, got {metric!r} again.")
        better = natural_direction(metric)
        if better is not None and contrast.direction not in (better, "either"):
            misses.append(
                f"{place}.direction: must be {better} or either for {metric}, got "
                f"{contrast.direction!r}: verdicts would call the worse arm better."
            )
        done[metric] = contrast.model_copy(update={"metric": metric})
    return tuple(done.values()), misses


def contradictions(ablation: AblationConfig) -> Iterator[str]:
    """Yield parts of an ablation that would overrule each other.

    Parameters
    ----------
    ablation : AblationConfig
        With checked factors and settings.

    Yields
    ------
    str
        What is wrong, with its place.
    """
    owner: dict[str, str] = {}
    for name, factor in ablation.factors.items():
        for path in touched(name, factor):
            if path in owner:
                yield (
                    f"factors.{name}: must vary other settings than the other factors, but "
                    f"{path} is varied by {owner[path]} too; make one factor of both."
                )
            owner[path] = name
        for path in always_set(name, factor):
            if path in ablation.settings:
                yield (
                    f"settings.{path}: would be ignored, for every level of {name} sets it; leave "
                    "it out."
                )
    if ablation.design == "factorial":
        misses = list(fraction_misses(ablation))
        yield from misses or resolution_misses(ablation)
        crossed = crossed_factors(ablation)
        n_arms = prod(len(levels_of(name, ablation.factors[name])) for name in crossed)
        if n_arms > MOST_ARMS:
            yield (
                f"factors: must make at most {MOST_ARMS:,} arms, got {n_arms:,}; use a fraction, "
                "one_factor_out or fewer levels."
            )


def modality_misses(ablation: AblationConfig, experiment: ExperimentConfig) -> Iterator[str]:
    """Yield modalities that an experiment does not have.

    Parameters
    ----------
    ablation : AblationConfig
        With checked factors and settings.
    experiment : ExperimentConfig
        What is studied, with the settings that all arms have in common.

    Yields
    ------
    str
        What is wrong, with its place.
    """
    cohort, fused = experiment.cohort.modalities, experiment.fused_modalities
    for name, factor in ablation.factors.items():
        for level in levels_of(name, factor):
            labels = level.settings.get(MODALITIES) or ()
            yield from _unknown(f"factors.{name}: {level.name}", labels, cohort)
    if ablation.design != "modality_subsets":
        return
    if len(fused) < 2:
        yield f"design: modality_subsets needs at least 2 fused modalities, got {list(fused)}."
    if 2 ** len(fused) - 1 > MOST_ARMS and ablation.subsets == SubsetsConfig():
        yield (
            f"subsets: must be given, for {len(fused)} modalities have more than {MOST_ARMS:,} "
            "subsets, got none."
        )
    large = [size for size in ablation.subsets.sizes or () if size > len(fused)]
    if large:
        yield f"subsets.sizes: must be at most {len(fused)}, the fused modalities, got {large[0]}."
    for number, labels in enumerate(ablation.subsets.listed or ()):
        yield from _unknown(f"subsets.listed.{number}", labels, fused)


def _unknown(place: str, labels: Any, known: tuple[str, ...]) -> Iterator[str]:
    """Yield labels that there are none of."""
    for label in labels:
        if label not in known:
            hint = did_you_mean(label, dict.fromkeys(known))
            yield f"{place}: must be among the modalities {list(known)}, got {label!r}.{hint}"


def _checked(name: str, factor: FactorConfig) -> FactorConfig:
    """Check one factor."""
    place = f"factors.{name}"
    if factor.levels is None:
        reason = why_not_ablated(name)
        if reason is not None:
            raise ConfigError(f"{place}: {reason}")
    if factor.values is not None:
        values: list[Any] = []
        for number, value in enumerate(factor.values):
            plain = plain_value(name, value, f"{place}.values.{number}")
            if any(same_value(plain, other) for other in values):
                raise ConfigError(f"{place}.values: each must be there once, got {plain!r} again.")
            values.append(plain)
        factor = factor.model_copy(update={"values": tuple(values)})
    if factor.scales is not None and not _is_number(name):
        raise ConfigError(f"{place}.scales: must be of a number, which {name} is not; use values.")
    if factor.levels is not None:
        levels = {
            called: _checked_level(f"{place}.levels.{called}", level)
            for called, level in factor.levels.items()
        }
        factor = factor.model_copy(update={"levels": levels})
        _require_different(place, levels)
        _require_matches(place, levels)
    names = [level.name for level in levels_of(name, factor)]
    if factor.reference is not None and factor.reference not in names:
        hint = did_you_mean(factor.reference, dict.fromkeys(names))
        raise ConfigError(
            f"{place}.reference: must be one of the levels {names}, got {factor.reference!r}.{hint}"
        )
    return factor


def _checked_level(place: str, level: LevelConfig) -> LevelConfig:
    """Check one level's settings."""
    settings: dict[str, Any] = {}
    for path, value in level.settings.items():
        reason = why_not_ablated(path)
        if reason is not None:
            raise ConfigError(f"{place}.settings.{path}: {reason}")
        settings[path] = plain_value(path, value, f"{place}.settings.{path}")
    if level.match is not None:
        vary = level.match.vary
        reason = why_not_ablated(vary)
        if reason is None and not vary.startswith("model."):
            reason = "must be a setting of the model, for its size is to be met."
        if reason is None and why_not_a_range(vary, IntRange(low=1, high=1)) is not None:
            reason = "must be a whole number, for it is solved for."
        if reason is None and vary in settings:
            reason = f"would overrule {place}.settings.{vary}; leave one of them out."
        if reason is not None:
            raise ConfigError(f"{place}.match.vary: {vary}: {reason}")
    return level.model_copy(update={"settings": settings})


def _require_different(place: str, levels: Mapping[str, LevelConfig]) -> None:
    """Refuse two levels that are the same."""
    seen: dict[str, LevelConfig] = {}
    for name, level in levels.items():
        for other, its in seen.items():
            same = level.settings.keys() == its.settings.keys() and all(
                same_value(level.settings[path], its.settings[path]) for path in level.settings
            )
            if same and level.match == its.match:
                raise ConfigError(f"{place}.levels.{name}: must differ from {other}, got the same.")
        seen[name] = level


def _require_matches(place: str, levels: Mapping[str, LevelConfig]) -> None:
    """Refuse sizes that are met with none, with their own, or in a circle."""
    for name, level in levels.items():
        where = f"{place}.levels.{name}.match.level"
        path, at = [name], level
        while at.match is not None:
            target = at.match.level
            if target not in levels:
                if at is level:
                    hint = did_you_mean(target, levels)
                    raise ConfigError(
                        f"{where}: must be another level {list(levels)}, got {target!r}.{hint}"
                    )
                break
            if target in path:
                circle = " -> ".join([*path, target])
                raise ConfigError(f"{where}: no level can be met by itself, got {circle}.")
            path.append(target)
            at = levels[target]


def _is_number(path: str) -> bool:
    """Say whether a setting can be a number."""
    ranges = (IntRange(low=1, high=1), FloatRange(low=1.0, high=1.0))
    return any(why_not_a_range(path, one) is None for one in ranges)
