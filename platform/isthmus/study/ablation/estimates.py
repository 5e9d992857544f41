"""Arms one by one, and all of them ranked."""

from itertools import combinations

import numpy as np

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.study.ablation.contrasts import decide_family, ratio_of
from isthmus.study.ablation.findings import ArmEstimate, Ranking
from isthmus.study.ablation.paired import pair, why_no_number
from isthmus.study.ablation.records import Comparison
from isthmus.study.ablation.scores import Scores, is_mean_over_modalities
from isthmus.study.inference.ranks import friedman, indistinct_groups
from isthmus.study.inference.resampled_t import ResampledT, resampled_t

ALPHA_OF_ARMS = 0.05


def estimate_arms(scores: Scores, metric: str) -> tuple[ArmEstimate, ...]:
    """Average each arm's scores.

    Parameters
    ----------
    scores : Scores
        All arms' folds.
    metric : str
        A trial's metric; a mean over modalities is over all that the arm fuses.

    Returns
    -------
    tuple of ArmEstimate
        Of every arm that can be built, in the plan's order.
    """
    return tuple(
        estimate(scores, arm.name, scores.column(arm.name, metric), metric)
        for arm in scores.plan.arms
        if not arm.infeasible
    )


def estimate(
    scores: Scores, arm: str, values: tuple[float | None, ...], metric: str, why_not: str = ""
) -> ArmEstimate:
    """Average one arm's scores.

    Parameters
    ----------
    scores : Scores
        Blocks, and whether the arm is whole.
    arm : str
        Its name.
    values : tuple of (float or None)
        One a block.
    metric : str
        What they are of.
    why_not : str
        Why values are missing, where that is known.

    Returns
    -------
    ArmEstimate
        With a mean only where all values are there.
    """
    there = tuple(value for value in values if value is not None)
    if len(there) < len(values):
        why = scores.lacking[arm] or why_not or why_no_number(scores, arm, metric, len(there))
        return ArmEstimate(arm, values, None, None, None, why)
    found = resampled_t(scores.pooled(there), ratio_of(scores))
    low, high = found.interval(ALPHA_OF_ARMS) if isinstance(found, ResampledT) else (None, None)
    return ArmEstimate(arm, values, sum(there) / len(there), low, high)


def rank_arms(
    scores: Scores, asked: ContrastConfig, inference: InferenceConfig
) -> tuple[Ranking | None, str]:
    """Rank arms within blocks, and test each two of them.

    Parameters
    ----------
    scores : Scores
        All arms' folds.
    asked : ContrastConfig
        Metric and direction; of ``either``, the smallest value is ranked first.
    inference : InferenceConfig
        Level, power and correction.

    Returns
    -------
    ranking : Ranking or None
        Of the arms with a score in every block, each experiment once; `estimate_arms` says why
        another has none. A mean over modalities is taken over those that all of them fuse.
    why_not : str
        Why there is none; empty if there is one.
    """
    names = _whole(scores, asked.metric)
    if len(names) < 3:
        return None, f"Ranking needs three arms with all their scores, and there are {len(names)}."
    if len(scores.pools) < 2:
        return None, "Ranking needs two blocks or more, of different splits, and there is one."
    modalities: tuple[str, ...] = ()
    if is_mean_over_modalities(asked.metric):
        modalities = scores.shared(*names)
        if not modalities:
            return None, f"No modality is fused by all arms, so they have no {asked.metric} alike."
    columns = []
    for name in names:
        values = [v for v in scores.column(name, asked.metric, modalities) if v is not None]
        if len(values) < len(scores.blocks):
            return None, why_no_number(scores, name, asked.metric, len(values))
        columns.append(scores.pooled(tuple(values)))
    found = friedman(np.array(columns).T, asked.direction == "maximize", ratio_of(scores))
    comparisons = [
        # as in the comparisons with the baseline: the earlier arm is the reference
        Comparison(f"{b} against {a}", "pair", ((b, a, 1.0),))
        for a, b in combinations(names, 2)
    ]
    candidates = [(one, pair(scores, one, asked.metric, modalities or None)) for one in comparisons]
    pairs = decide_family(scores, candidates, asked, inference)
    order = sorted(range(len(names)), key=lambda i: found.average_ranks[i])
    arms = tuple(names[i] for i in order)
    different = {
        frozenset(one.comparison.pairs[0][:2])
        for one in pairs
        if one.p_value_adjusted is not None and one.p_value_adjusted < inference.alpha
    }
    ranking = Ranking(
        arms=arms,
        average_ranks=tuple(found.average_ranks[i] for i in order),
        statistic=found.statistic,
        p_value=found.p_value,
        n_blocks=found.n_blocks,
        pairs=pairs,
        groups=indistinct_groups(arms, different),
    )
    return ranking, ""


def _whole(scores: Scores, metric: str) -> list[str]:
    """List arms with all scores, each experiment once."""
    return [
        arm.name
        for arm in scores.plan.arms
        if arm.same_as is None
        and not scores.lacking[arm.name]
        and None not in scores.column(arm.name, metric)
    ]
