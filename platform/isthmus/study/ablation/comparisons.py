"""What an ablation compares: arms with the baseline, effects of factors and of modalities.

A comparison is a weighted sum of differences between arms, so that every one of them is paired
within a fold, whatever the design.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.fraction import Word, effect_word, word_of
from isthmus.config.ablation.levels import is_two_level, levels_of, reference_of
from isthmus.study.ablation.arms import MODALITIES, short_names
from isthmus.study.ablation.records import Arm, Comparison

Pairs = tuple[tuple[str, str, float], ...]


def comparisons_of(ablation: AblationConfig, arms: Sequence[Arm]) -> tuple[Comparison, ...]:
    """List the comparisons that a design allows.

    Parameters
    ----------
    ablation : AblationConfig
        As `load_ablation` gives it.
    arms : sequence of Arm
        All of them, the baseline first.

    Returns
    -------
    tuple of Comparison
        Each arm with the baseline; of a factorial of several factors also main effects and
        interactions; of sets of modalities also the effect of adding each one.

    Notes
    -----
    Arms that cannot be built, or are the same experiment as another, are in no pair. Where that
    leaves a full factorial without some pairs, the mean is over those that are left, which still
    differ in nothing else. Arms of a fraction differ in several factors at once, whose effects
    cancel only over all of its arms: there an effect that lacks one is left out.

    A main effect is the mean difference between a level and the reference. An interaction is the
    difference of one factor's differences: between its levels at the other factor's second level,
    less the same at its reference.
    """
    found = list(_with_the_baseline(arms))
    if ablation.design == "factorial" and len(ablation.factors) > 1:
        effects = _Effects(ablation, arms)
        found += [*effects.main(), *effects.interactions()]
    if ablation.design == "modality_subsets":
        found += _of_modalities(arms)
    return tuple(found)


def left_out(ablation: AblationConfig, arms: Sequence[Arm]) -> tuple[str, ...]:
    """Say which effects of a fraction cannot be estimated, because it lacks arms.

    Parameters
    ----------
    ablation : AblationConfig
        As `load_ablation` gives it.
    arms : sequence of Arm
        All of them.

    Returns
    -------
    tuple of str
        A sentence; none where all can be.
    """
    missing = [arm.name for arm in arms if not _usable(arm)]
    if not ablation.fraction or not missing:
        return ()
    return (
        "Main effects and interactions of two-level factors are left out: their arms differ in "
        f"several factors, which cancel over all arms alone, and {'; '.join(missing)} cannot be "
        "used.",
    )


def _usable(arm: Arm) -> bool:
    """Tell whether an arm can be in a pair."""
    return not arm.infeasible and arm.same_as is None


def _with_the_baseline(arms: Sequence[Arm]) -> Iterator[Comparison]:
    """Compare each arm with the baseline."""
    baseline = next(arm for arm in arms if arm.is_baseline)
    for arm in arms:
        if arm.is_baseline or not _usable(arm):
            continue
        varied = [name for name, level in arm.levels.items() if level != baseline.levels[name]]
        yield Comparison(
            f"{arm.name} against {baseline.name}",
            "arm",
            ((arm.name, baseline.name, 1.0),),
            ", ".join(varied),
        )


def _of_modalities(arms: Sequence[Arm]) -> Iterator[Comparison]:
    """Compare sets of modalities with and without one of them."""
    by_set = {frozenset(arm.modalities): arm for arm in arms if _usable(arm)}
    every = next(arm for arm in arms if arm.is_baseline).modalities
    for label in every:
        found = [
            (with_it.name, by_set[rest].name)
            for its, with_it in by_set.items()
            if label in its and (rest := its - {label}) in by_set
        ]
        if found:
            pairs = tuple((one, other, 1 / len(found)) for one, other in found)
            yield Comparison(f"adding {label}", "modality", pairs, f"{MODALITIES}: {label}")


class _Effects:
    """Effects of a factorial's factors."""

    def __init__(self, ablation: AblationConfig, arms: Sequence[Arm]) -> None:
        self._ablation = ablation
        self._by_levels = {frozenset(arm.levels.items()): arm for arm in arms}
        self._references = {
            name: reference_of(ablation.design, name, factor)
            for name, factor in ablation.factors.items()
        }
        self._short = short_names(list(ablation.factors))

    def main(self) -> Iterator[Comparison]:
        """Yield the effect of each level that is not the reference."""
        for name, factor in self._ablation.factors.items():
            reference = self._references[name]
            for level in (one.name for one in levels_of(name, factor) if one.name != reference):
                if self._is_confounded(name):
                    # +1 is the reference, and the effect is the other level less the reference
                    pairs = self._contrast(word_of(self._ablation, name), sign=-1, weight=1.0)
                else:
                    pairs = self._plain(name, level)
                if pairs:
                    called = f"{self._short[name]} {level} against {reference}, over all else"
                    yield Comparison(called, "main_effect", pairs, name)

    def interactions(self) -> Iterator[Comparison]:
        """Yield the interaction of each two two-level factors that is no other effect as well."""
        ablation = self._ablation
        two_level = [name for name in ablation.factors if is_two_level(ablation, name)]
        taken = {word_of(ablation, name) for name in two_level}
        for one, other in combinations(two_level, 2):
            word = effect_word(ablation, (one, other))
            if word in taken:
                continue  # the plan's aliases name it
            taken.add(word)
            pairs = (
                self._contrast(word, sign=1, weight=2.0)
                if ablation.fraction
                else self._quadruples(one, other)
            )
            if pairs:
                called = f"{self._short[one]} x {self._short[other]}"
                yield Comparison(called, "interaction", pairs, f"{one}, {other}")

    def _is_confounded(self, name: str) -> bool:
        """Tell whether a factor is varied in a fraction, never alone."""
        return bool(self._ablation.fraction) and is_two_level(self._ablation, name)

    def _plain(self, name: str, level: str) -> Pairs:
        """Pair arms that differ in one factor alone."""
        found = []
        for arm in self._by_levels.values():
            partner = self._at(arm, {name: self._references[name]})
            if arm.levels[name] == level and partner and _usable(arm) and _usable(partner):
                found.append((arm.name, partner.name))
        return tuple((one, other, 1 / len(found)) for one, other in found)

    def _quadruples(self, one: str, other: str) -> Pairs:
        """Take the difference of differences over all else."""
        found = []
        for arm in self._by_levels.values():
            both, single = {one: self._references[one]}, {other: self._references[other]}
            if any(arm.levels[name] == self._references[name] for name in (one, other)):
                continue
            rest = [self._at(arm, levels) for levels in (both, single, {**both, **single})]
            four = [arm, *(partner for partner in rest if partner is not None)]
            if len(four) == 4 and all(map(_usable, four)):
                found.append([partner.name for partner in four])
        share = 1 / max(1, len(found))
        return tuple(
            pair
            for away, without_one, without_other, neither in found
            for pair in ((away, without_one, share), (without_other, neither, -share))
        )

    def _contrast(self, word: Word, sign: int, weight: float) -> Pairs:
        """Pair arms on either side of a product of factors by changing one factor of it."""
        if not all(map(_usable, self._by_levels.values())):
            return ()
        flipped = min(word)
        found = []
        for arm in self._by_levels.values():
            n_away = sum(arm.levels[name] != self._references[name] for name in word)
            if (-1) ** n_away == sign:
                partner = self._flipped(arm, flipped)
                found.append((arm.name, partner.name))
        return tuple((one, other, weight / len(found)) for one, other in found)

    def _flipped(self, arm: Arm, name: str) -> Arm:
        """Find the arm with a crossed factor at its other level, and what follows from it."""
        levels = dict(arm.levels)
        follow = [n for n, others in self._ablation.fraction.items() if name in others]
        for changed in (name, *follow):
            both = [one.name for one in levels_of(changed, self._ablation.factors[changed])]
            levels[changed] = next(level for level in both if level != levels[changed])
        return self._by_levels[frozenset(levels.items())]

    def _at(self, arm: Arm, levels: dict[str, str]) -> Arm | None:
        """Find the arm that differs from another in some levels alone."""
        return self._by_levels.get(frozenset({**arm.levels, **levels}.items()))
