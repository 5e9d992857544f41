"""Loading an ablation: file, then overrides; each miss named with its place."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from isthmus.config.ablation.checks import (
    checked_contrasts,
    checked_factors,
    checked_settings,
    contradictions,
    modality_misses,
)
from isthmus.config.ablation.design import (
    AblationConfig,
    ContrastConfig,
    FactorConfig,
    LevelConfig,
    MatchConfig,
)
from isthmus.config.ablation.levels import always_set
from isthmus.config.ablation.paths import ablated_paths, why_not_in_common
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.file_overrides import raise_misses, read_overridden
from isthmus.config.laid_over import laid_over
from isthmus.config.load import read_yaml
from isthmus.config.paths import flatten, settings_paths

OPTION = "--ablation-set"
Keys = tuple[str | int, ...]
# What decides which metrics there are; the rest may hold only together with an arm's levels.
_DECIDES_METRICS = ("controls.", "stratification.", "model.modalities")


def is_ablation(content: Mapping[str, Any]) -> bool:
    """Tell an ablation from an experiment and from a search space.

    Parameters
    ----------
    content : Mapping
        As read from a file.

    Returns
    -------
    bool
        Whether it has a design.
    """
    return "design" in content


def load_ablation(
    path: Path, experiment: ExperimentConfig | None = None, overrides: Sequence[str] = ()
) -> AblationConfig:
    """Read an ablation and check every path and value in it.

    Parameters
    ----------
    path : Path
        The ablation's YAML.
    experiment : ExperimentConfig, optional
        What is ablated; with it, metrics and modalities are checked against it too.
    overrides : sequence of str
        ``dotted.path=value`` into the ablation, the value in YAML: ``n_seeds=3``,
        ``factors.model.skips.values=[all, none]``, ``settings.training.epochs=20``.

    Returns
    -------
    AblationConfig
        Values in their settings' own types, metrics by their full names. The settings of a
        baseline's file are among `settings`, and the file is no longer named: what comes back is
        whole, wherever it is kept.

    Raises
    ------
    ConfigError
        If the file cannot be read, or anything in it cannot be asked; a line for each miss.
    """
    source = str(path)
    ablation = read_overridden(path, AblationConfig, _known, overrides, OPTION)
    factors, misses = checked_factors(ablation.factors)
    settings, misses_of_settings = checked_settings(ablation.settings, "settings")
    raise_misses([*misses, *misses_of_settings], source)
    ablation = ablation.model_copy(update={"factors": factors, "settings": settings})
    raise_misses(list(contradictions(ablation)), source)
    ablation = _with_baseline_file(ablation, path)
    if experiment is not None:
        experiment = _in_common(experiment, ablation, source)
    contrasts, misses = checked_contrasts(ablation.contrasts, experiment)
    if experiment is not None:
        misses += modality_misses(ablation, experiment)
    raise_misses(misses, source)
    return ablation.model_copy(update={"contrasts": contrasts})


def _with_baseline_file(ablation: AblationConfig, path: Path) -> AblationConfig:
    """Lay the settings in common over those of the baseline's file, and forget the file."""
    if ablation.baseline.file is None:
        return ablation
    file = path.resolve().parent / ablation.baseline.file
    below, misses = checked_settings(flatten(read_yaml(file)), "")
    raise_misses(misses, str(file))
    overruled = {p for name, factor in ablation.factors.items() for p in always_set(name, factor)}
    kept = {path: value for path, value in below.items() if path not in overruled}
    baseline = ablation.baseline.model_copy(update={"file": None})
    return ablation.model_copy(
        update={"settings": {**kept, **ablation.settings}, "baseline": baseline}
    )


def _in_common(
    experiment: ExperimentConfig, ablation: AblationConfig, source: str
) -> ExperimentConfig:
    """Lay over the experiment what decides which metrics there are."""
    deciding = {p: v for p, v in ablation.settings.items() if p.startswith(_DECIDES_METRICS)}
    return laid_over(experiment, deciding, f"{source}: settings")


def _known(content: Mapping[str, Any]) -> dict[str, Keys]:
    """List all dotted paths into an ablation, with the keys that they stand for."""
    known: dict[str, Keys] = {
        path: tuple(path.split(".")) for path in settings_paths(AblationConfig)
    }
    known |= {
        f"settings.{path}": ("settings", path)
        for path in settings_paths()
        if path in ablated_paths() or why_not_in_common(path) is None
    }
    factors, contrasts = content.get("factors"), content.get("contrasts")
    for name, factor in factors.items() if isinstance(factors, Mapping) else ():
        known |= _of_factor(str(name), factor)
    for number in range(len(contrasts) if isinstance(contrasts, list) else 0):
        known[f"contrasts.{number}"] = ("contrasts", number)
        known |= _fields(ContrastConfig, ("contrasts", number))
    return known


def _of_factor(name: str, factor: Any) -> dict[str, Keys]:
    """List the paths into one factor."""
    keys: Keys = ("factors", name)
    known = {f"factors.{name}": keys, **_fields(FactorConfig, keys)}
    levels = factor.get("levels") if isinstance(factor, Mapping) else None
    for level in levels if isinstance(levels, Mapping) else ():
        own: Keys = (*keys, "levels", str(level))
        known |= _fields(LevelConfig, own)
        known |= _fields(MatchConfig, (*own, "match"))
        known |= {
            _dotted((*own, "settings", path)): (*own, "settings", path) for path in ablated_paths()
        }
    return known


def _fields(group: type[BaseModel], keys: Keys) -> dict[str, Keys]:
    """List the paths of a group's settings below some keys."""
    return {_dotted((*keys, name)): (*keys, name) for name in group.model_fields}


def _dotted(keys: Keys) -> str:
    """Write keys as a path."""
    return ".".join(map(str, keys))
