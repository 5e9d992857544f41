"""Paired differences of a comparison: the same folds, and the modalities that both sides have."""

from dataclasses import dataclass, replace
from typing import Literal

from isthmus.study.ablation.records import Comparison
from isthmus.study.ablation.scores import Scores, is_mean_over_modalities

# A difference below this share of the scores that it is between is their rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Paired:
    """A comparison with all its scores.

    Attributes
    ----------
    differences : tuple of float
        One a block; blocks with the same subjects are averaged.
    mean, reference_mean : float or None
        Of the two sides; None for an interaction.
    level : float
        Mean of the reference sides, weighted by the size of their weights: what a relative margin
        is a share of.
    modalities : tuple of str
        Averaged; empty where the metric has none or pairs differ in them.
    """

    differences: tuple[float, ...]
    mean: float | None
    reference_mean: float | None
    level: float
    modalities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unpaired:
    """A comparison that cannot be made.

    Attributes
    ----------
    verdict : {"unpaired", "undefined"}
        An arm lacks folds; or there are no numbers to compare.
    reason : str
        Which, and why.
    """

    verdict: Literal["unpaired", "undefined"]
    reason: str


def pair(
    scores: Scores, comparison: Comparison, metric: str, modalities: tuple[str, ...] | None = None
) -> Paired | Unpaired:
    """Subtract the two sides of a comparison, block by block.

    Parameters
    ----------
    scores : Scores
        All arms' folds.
    comparison : Comparison
        Pairs of arms with their weights.
    metric : str
        A trial's metric.
    modalities : tuple of str, optional
        Of a mean over modalities: those to average, for all pairs. By default each pair is
        compared on all that its two arms share.

    Returns
    -------
    Paired or Unpaired
        Whole or not at all: means over other folds, or of other modalities, are not compared.
    """
    not_whole = unpaired(scores, comparison)
    if not_whole is not None:
        return not_whole
    n_blocks = len(scores.blocks)
    sides = [[0.0] * n_blocks, [0.0] * n_blocks]
    level = largest = total = 0.0
    averaged: set[tuple[str, ...]] = set()
    for arm, reference, weight in comparison.pairs:
        common: tuple[str, ...] = ()
        if is_mean_over_modalities(metric):
            common = modalities or scores.shared(arm, reference)
            if not common:
                return Unpaired("undefined", _nothing_shared(scores, arm, reference, metric))
        averaged.add(common)
        for side, name in enumerate((arm, reference)):
            column = scores.column(name, metric, common)
            values = [value for value in column if value is not None]
            if len(values) < n_blocks:
                return Unpaired("undefined", why_no_number(scores, name, metric, len(values)))
            sides[side] = [
                so_far + weight * value for so_far, value in zip(sides[side], values, strict=True)
            ]
            largest = max(largest, *(abs(weight * value) for value in values))
            level += abs(weight) * side * sum(values) / n_blocks
        total += abs(weight)
    found = tuple(a - b for a, b in zip(*sides, strict=True))
    exact = tuple(d if abs(d) > _ROUNDING * largest else 0.0 for d in found)
    of_one_kind = comparison.kind != "interaction"
    return Paired(
        differences=scores.pooled(exact),
        mean=sum(sides[0]) / n_blocks if of_one_kind else None,
        reference_mean=sum(sides[1]) / n_blocks if of_one_kind else None,
        level=level / total,
        modalities=averaged.pop() if len(averaged) == 1 else (),
    )


def without_failed(scores: Scores, comparison: Comparison) -> Comparison:
    """Leave pairs with a failed arm out of an average that means something without them.

    Parameters
    ----------
    scores : Scores
        Which arms failed.
    comparison : Comparison
        Pairs of arms.

    Returns
    -------
    Comparison
        Of a modality, or of a main effect whose pairs differ in one factor each: over the pairs
        that are left, all with one weight. The same as it came where no arm failed, where no pair
        would be left, and of all others: in a fraction effects cancel over all arms alone, and an
        interaction is no average of pairs.

    Notes
    -----
    Each pair is a paired comparison of its own, and the average is over what else an arm has. With
    fewer pairs it is over fewer such settings, which is another quantity than that of an effect
    with all of them, and must be said. An arm that is still to come leaves nothing out: otherwise
    an effect would be tested early, over whichever arms happen to be done.
    """
    averaged = comparison.kind in ("modality", "main_effect")
    left = [pair for pair in comparison.pairs if not scores.failed & set(pair[:2])]
    if not averaged or not left or not all(_differ_in_one(scores, *p[:2]) for p in left):
        return comparison
    whole = sum(weight for *_, weight in left)
    pairs = tuple((arm, reference, weight / whole) for arm, reference, weight in left)
    return comparison if len(left) == len(comparison.pairs) else replace(comparison, pairs=pairs)


def _differ_in_one(scores: Scores, arm: str, reference: str) -> bool:
    """Tell whether two arms are at the same level of all factors but one."""
    one, other = scores.arm(arm).levels, scores.arm(reference).levels
    return sum(one.get(name) != other.get(name) for name in {*one, *other}) == 1


def unpaired(scores: Scores, comparison: Comparison) -> Unpaired | None:
    """Say why a comparison cannot be made, whatever the metric.

    Parameters
    ----------
    scores : Scores
        All arms' folds.
    comparison : Comparison
        Pairs of arms.

    Returns
    -------
    Unpaired or None
        Of the first arm that lacks folds, or where all its pairs are an experiment and itself.
    """
    for arm in dict.fromkeys(name for *names, _ in comparison.pairs for name in names):
        if scores.lacking[arm]:
            return Unpaired("unpaired", scores.lacking[arm])
    runs = scores.plan.runs_of
    if all(runs(arm) == runs(reference) for arm, reference, _ in comparison.pairs):
        arm, reference, _ = comparison.pairs[0]
        reason = f"{arm} and {reference} are the same experiment: there is nothing to compare."
        return Unpaired("undefined", reason)
    return None


def why_no_number(scores: Scores, arm: str, metric: str, n_there: int) -> str:
    """Say where an arm has no score.

    Parameters
    ----------
    scores : Scores
        All arms' folds.
    arm : str
        Its name.
    metric : str
        A trial's metric.
    n_there : int
        Blocks with a number.

    Returns
    -------
    str
        A sentence.
    """
    name, slash, modality = metric.partition("/")
    if slash and is_mean_over_modalities(name) and modality not in scores.arm(arm).modalities:
        return f"{arm} does not fuse {modality}, so it has no {metric}."
    n_blocks = len(scores.blocks)
    return f"{arm} has no {metric} in {n_blocks - n_there} of {n_blocks} blocks."


def _nothing_shared(scores: Scores, arm: str, reference: str, metric: str) -> str:
    """Say what two arms fuse."""
    fused = [f"{name} fuses {', '.join(scores.arm(name).modalities)}" for name in (arm, reference)]
    return f"{metric} is compared on modalities that both have: {fused[0]}, {fused[1]}."
