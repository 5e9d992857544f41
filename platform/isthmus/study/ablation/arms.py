"""The arms that a design makes of its factors, before anything is known of a cohort."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.fraction import crossed_factors, derived_levels
from isthmus.config.ablation.levels import levels_of, reference_of
from isthmus.core.errors import ConfigError
from isthmus.study.ablation.records import Factor

MODALITIES = "model.modalities"
BASELINE = "baseline"


@dataclass(frozen=True)
class Draft:
    """An arm by its levels.

    Attributes
    ----------
    name : str
        Unique within the ablation.
    levels : Mapping of str to str
        Name of the level that each factor is at.
    settings : Mapping of str to Any
        What comes of no factor: the modalities of `modality_subsets`.
    """

    name: str
    levels: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)


def draft_arms(ablation: AblationConfig, fused: Sequence[str]) -> tuple[Draft, ...]:
    """List the arms of a design, the baseline first.

    Parameters
    ----------
    ablation : AblationConfig
        As `load_ablation` gives it.
    fused : sequence of str
        Modalities that the experiment fuses.

    Returns
    -------
    tuple of Draft
        With names of their own. Of one factor they are its levels' names; of several an arm says
        which factor is at which level; sets of modalities are joined by ``+``.

    Raises
    ------
    ConfigError
        If two arms would have the same name.
    """
    drafts = tuple(
        _subsets(ablation, fused) if ablation.design == "modality_subsets" else _crossed(ablation)
    )
    again = [name for name, n in Counter(draft.name for draft in drafts).items() if n > 1]
    if again:
        raise ConfigError(
            f"factors: arms must have names of their own, got {again[0]!r} twice; name the factors "
            "or their levels otherwise."
        )
    return drafts


def factors_of(ablation: AblationConfig, drafts: Sequence[Draft]) -> tuple[Factor, ...]:
    """List what an ablation varies, with what is expected of it.

    Parameters
    ----------
    ablation : AblationConfig
        As `load_ablation` gives it.
    drafts : sequence of Draft
        Its arms.

    Returns
    -------
    tuple of Factor
        As they are declared; of `modality_subsets` one, whose levels are the sets.
    """
    if ablation.design == "modality_subsets":
        names = tuple(draft.name for draft in drafts)
        return (Factor(MODALITIES, ablation.hypothesis or "", names, names[0]),)
    return tuple(
        Factor(
            name,
            factor.hypothesis,
            tuple(level.name for level in levels_of(name, factor)),
            reference_of(ablation.design, name, factor),
        )
        for name, factor in ablation.factors.items()
    )


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Shorten dotted names to their last part, where that is enough.

    Parameters
    ----------
    names : sequence of str
        Each once.

    Returns
    -------
    dict of str to str
        By name.

    Examples
    --------
    >>> short_names(["model.skips", "training.loss.kind"])
    {'model.skips': 'skips', 'training.loss.kind': 'kind'}
    """
    last = {name: name.rpartition(".")[2] or name for name in names}
    counts = Counter(last.values())
    return {name: short if counts[short] == 1 else name for name, short in last.items()}


def _subsets(ablation: AblationConfig, fused: Sequence[str]) -> Iterator[Draft]:
    """Yield sets of modalities, all of them first, then by size."""
    subsets = ablation.subsets
    if subsets.listed is not None:
        wanted = {frozenset(labels) for labels in subsets.listed}
    else:
        sizes = subsets.sizes or range(1, len(fused) + 1)
        wanted = {frozenset(some) for size in sizes for some in combinations(fused, size)}
    for size in range(len(fused), 0, -1):
        for some in combinations(fused, size):
            if size == len(fused) or frozenset(some) in wanted:
                name = "+".join(some)
                yield Draft(name, {MODALITIES: name}, {MODALITIES: list(some)})


def _crossed(ablation: AblationConfig) -> Iterator[Draft]:
    """Yield combinations of levels, all references first."""
    factors = ablation.factors
    references = {name: reference_of(ablation.design, name, f) for name, f in factors.items()}
    ordered = {
        name: sorted(
            (level.name for level in levels_of(name, factor)),
            key=lambda level, reference=references[name]: level != reference,  # type: ignore[misc]
        )
        for name, factor in factors.items()
    }
    if ablation.design == "factorial":
        crossed = crossed_factors(ablation)
        for levels in product(*(ordered[name] for name in crossed)):
            whole = derived_levels(ablation, dict(zip(crossed, levels, strict=True)))
            yield Draft(_name(whole), whole)
        return
    alone = len(factors) == 1
    yield Draft(_name(references) if alone else BASELINE, references)
    short = short_names(list(factors))
    for name in factors:
        for level in ordered[name][1:]:
            yield Draft(level if alone else f"{short[name]} {level}", {**references, name: level})


def _name(levels: Mapping[str, str]) -> str:
    """Name a combination."""
    if len(levels) == 1:
        return next(iter(levels.values()))
    short = short_names(list(levels))
    return ", ".join(f"{short[name]} {level}" for name, level in levels.items())
