"""Fractions of a factorial: which combinations are run, and which effects that confounds.

Two-level factors are coded +1 at their reference and -1 at the other level. A factor of the
fraction is the product of others, so that the combination of all references, which is the baseline,
is always among those that are run.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.levels import levels_of, reference_of

Word = frozenset[str]
ROMAN = ("", "", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
LEAST_RESOLUTION = 3


def crossed_factors(ablation: AblationConfig) -> tuple[str, ...]:
    """List the factors of which all combinations are run.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial.

    Returns
    -------
    tuple of str
        All but those of the fraction.
    """
    return tuple(name for name in ablation.factors if name not in ablation.fraction)


def word_of(ablation: AblationConfig, factor: str) -> Word:
    """Write a two-level factor as a product of crossed ones.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial.
    factor : str
        Name of a two-level factor.

    Returns
    -------
    frozenset of str
        The factor itself, unless it is one of the fraction.
    """
    return frozenset(ablation.fraction.get(factor, (factor,)))


def derived_levels(ablation: AblationConfig, levels: Mapping[str, str]) -> dict[str, str]:
    """Add the levels of the fraction's factors to a combination of the crossed ones.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial.
    levels : Mapping of str to str
        Level of each crossed factor.

    Returns
    -------
    dict of str to str
        Level of each factor, as they are declared.
    """
    done: dict[str, str] = {}
    for name, factor in ablation.factors.items():
        if name not in ablation.fraction:
            done[name] = levels[name]
            continue
        n_away = sum(
            levels[other] != reference_of(ablation.design, other, ablation.factors[other])
            for other in ablation.fraction[name]
        )
        reference = reference_of(ablation.design, name, factor)
        away = next(one.name for one in levels_of(name, factor) if one.name != reference)
        done[name] = away if n_away % 2 else reference
    return done


def defining_words(generators: Mapping[str, Iterable[str]]) -> tuple[Word, ...]:
    """List the products of factors that are the same in every combination.

    Parameters
    ----------
    generators : Mapping of str to iterable of str
        Factor of the fraction, and those that it is the product of.

    Returns
    -------
    tuple of frozenset of str
        The defining relation without the identity; the shortest word's length is the resolution.

    Examples
    --------
    >>> [sorted(word) for word in defining_words({"d": ["a", "b", "c"]})]
    [['a', 'b', 'c', 'd']]
    """
    own = [frozenset(others) ^ {name} for name, others in generators.items()]
    words = []
    for n_words in range(1, len(own) + 1):
        for some in combinations(own, n_words):
            product: Word = frozenset()
            for word in some:
                product ^= word
            words.append(product)
    return tuple(words)


def resolution(ablation: AblationConfig) -> int | None:
    """Find the resolution of a fraction.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial.

    Returns
    -------
    int or None
        Length of the shortest defining word; None of a full factorial, which confounds nothing.
    """
    return min(map(len, defining_words(ablation.fraction)), default=None)


def aliased_effects(ablation: AblationConfig) -> tuple[tuple[Word, ...], ...]:
    """Group main effects and two-factor interactions that cannot be told apart.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial, of which only the two-level factors are looked at.

    Returns
    -------
    tuple of tuple of frozenset of str
        Groups of at least two effects, each the set of the one or two factors that it is of;
        main effects come first.
    """
    two_level = [n for n, f in ablation.factors.items() if len(levels_of(n, f)) == 2]
    effects = [frozenset([name]) for name in two_level]
    effects += [frozenset(pair) for pair in combinations(two_level, 2)]
    groups: dict[Word, list[Word]] = {}
    for effect in effects:
        groups.setdefault(effect_word(ablation, effect), []).append(effect)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def effect_word(ablation: AblationConfig, effect: Iterable[str]) -> Word:
    """Write an effect as the product of crossed factors that it is estimated by.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial.
    effect : iterable of str
        One factor, or the two of an interaction.

    Returns
    -------
    frozenset of str
        Effects with the same word are one contrast.
    """
    word: Word = frozenset()
    for name in effect:
        word ^= word_of(ablation, name)
    return word


def aliases_in_words(ablation: AblationConfig) -> tuple[str, ...]:
    """Say what a fraction confounds, up to interactions of two factors.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial.

    Returns
    -------
    tuple of str
        The resolution, then a sentence for each group of effects; none of a full factorial.
    """
    length = resolution(ablation)
    if length is None:
        return ()
    roman = ROMAN[length] if length < len(ROMAN) else str(length)
    order = list(ablation.factors)
    said = [
        f"A fraction of resolution {roman}: {2 ** len(ablation.fraction)} times fewer arms than "
        "all combinations."
    ]
    for group in aliased_effects(ablation):
        first, *others = (" x ".join(sorted(effect, key=order.index)) for effect in group)
        said.append(f"{first} cannot be told from {' or '.join(others)}.")
    return tuple(said)


def fraction_misses(ablation: AblationConfig) -> Iterable[str]:
    """Yield what is wrong with a fraction.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial whose factors are checked.

    Yields
    ------
    str
        What is wrong, with its place.
    """
    for name, others in ablation.fraction.items():
        place = f"fraction.{name}"
        unknown = [one for one in (name, *others) if one not in ablation.factors]
        if unknown:
            yield (
                f"{place}: must name factors of this ablation {list(ablation.factors)}, got "
                f"{unknown[0]!r}."
            )
            continue
        many = [n for n in (name, *others) if len(levels_of(n, ablation.factors[n])) != 2]
        if many:
            n_levels = len(levels_of(many[0], ablation.factors[many[0]]))
            yield f"{place}: must be of two-level factors, but {many[0]} has {n_levels} levels."
        if len(set(others)) < len(others) or len(others) < LEAST_RESOLUTION - 1:
            yield (
                f"{place}: must be the product of at least two other factors, each once, got "
                f"{list(others)}."
            )
        again = [other for other in others if other in ablation.fraction]
        if again:
            yield (
                f"{place}: must be the product of factors that are crossed, but {again[0]} is in "
                "the fraction itself; write out what it is the product of."
            )


def resolution_misses(ablation: AblationConfig) -> Iterable[str]:
    """Yield main effects that a fraction makes one with each other.

    Parameters
    ----------
    ablation : AblationConfig
        A factorial whose `fraction_misses` are none.

    Yields
    ------
    str
        What is wrong, with its place.
    """
    for word in defining_words(ablation.fraction):
        if len(word) < LEAST_RESOLUTION:
            yield (
                "fraction: must leave main effects apart, but those of "
                f"{' and '.join(sorted(word))} would be the same; make one of them the product of "
                "other factors."
            )
