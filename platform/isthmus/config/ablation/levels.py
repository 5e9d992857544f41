"""Levels of a factor by name, and which settings they touch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from isthmus.config.ablation.design import AblationConfig, Design, FactorConfig, MatchConfig
from isthmus.config.search_points import said
from isthmus.config.search_space import Categorical


@dataclass(frozen=True)
class Level:
    """One level of a factor.

    Attributes
    ----------
    name : str
        Unique within the factor.
    settings : Mapping of str to Any
        Values by dotted path; empty: as the baseline has them.
    scale : float or None
        Multiple of the baseline's value of the setting that the factor is named by.
    match : MatchConfig or None
        Another level whose size is to be met.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    scale: float | None = None
    match: MatchConfig | None = None


def levels_of(name: str, factor: FactorConfig) -> tuple[Level, ...]:
    """List a factor's levels.

    Parameters
    ----------
    name : str
        The factor's.
    factor : FactorConfig
        As it was read.

    Returns
    -------
    tuple of Level
        As they are declared. A value is named as a file would have it, a scale ``x0.5``.

    Examples
    --------
    >>> factor = FactorConfig(hypothesis="It matters.", values=(True, None, [5, 6, 5]))
    >>> [level.name for level in levels_of("model.kernel_size", factor)]
    ['true', 'null', '[5, 6, 5]']
    """
    if factor.levels is not None:
        return tuple(
            Level(called, level.settings, None, level.match)
            for called, level in factor.levels.items()
        )
    if factor.scales is not None:
        return tuple(Level(f"x{scale:g}", scale=scale) for scale in factor.scales)
    return tuple(
        Level(said(Categorical(choices=(value,))), {name: value}) for value in factor.values or ()
    )


def reference_of(design: Design, name: str, factor: FactorConfig) -> str:
    """Name the level that the baseline is at.

    Parameters
    ----------
    design : str
        Of the ablation.
    name : str
        The factor's.
    factor : FactorConfig
        As it was read.

    Returns
    -------
    str
        The reference that is declared; else the first level, and the last of ``one_factor_in``.
    """
    if factor.reference is not None:
        return factor.reference
    levels = levels_of(name, factor)
    return levels[-1 if design == "one_factor_in" else 0].name


def touched(name: str, factor: FactorConfig) -> tuple[str, ...]:
    """List the settings that a factor's levels set, scale or solve.

    Parameters
    ----------
    name : str
        The factor's.
    factor : FactorConfig
        As it was read.

    Returns
    -------
    tuple of str
        Dotted paths, each once.
    """
    paths: dict[str, None] = {}
    for level in levels_of(name, factor):
        paths |= dict.fromkeys(level.settings)
        if level.scale is not None:
            paths[name] = None
        if level.match is not None:
            paths[level.match.vary] = None
    return tuple(paths)


def always_set(name: str, factor: FactorConfig) -> tuple[str, ...]:
    """List the settings whose value in the baseline no level uses.

    Parameters
    ----------
    name : str
        The factor's.
    factor : FactorConfig
        As it was read.

    Returns
    -------
    tuple of str
        Dotted paths that every level sets or solves.
    """
    levels = levels_of(name, factor)
    return tuple(
        path
        for path in touched(name, factor)
        if all(
            path in level.settings or (level.match is not None and level.match.vary == path)
            for level in levels
        )
    )


def is_two_level(ablation: AblationConfig, name: str) -> bool:
    """Say whether a factor has just two levels.

    Parameters
    ----------
    ablation : AblationConfig
        With the factor.
    name : str
        The factor's.

    Returns
    -------
    bool
        Whether an interaction with it is one difference.
    """
    return len(levels_of(name, ablation.factors[name])) == 2
