"""Many arms: any false claim among all of them is rare, and what is planted is found."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chi2
from simulated_ablation import labelled_scores, plan_of, scores_of
from simulated_scores import (
    N_FOLDS,
    N_SUBJECTS,
    RATIO,
    decide,
    draw_folds,
    equicorrelated,
    n_families_with,
    null_factor,
    ridge_errors,
)

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.stratification.stability import adjusted_rand
from isthmus.study.ablation.agreement import agreement_findings
from isthmus.study.ablation.contrasts import decide_family
from isthmus.study.ablation.paired import pair
from isthmus.study.ablation.records import Comparison
from isthmus.study.inference.ranks import friedman
from isthmus.study.inference.resampled_t import resampled_t
from isthmus.study.inference.verdict import Rule

ALPHA, N_ARMS, N_COHORT = 0.05, 15, 200
RULE = Rule("minimize", ALPHA)
MODALITIES = ("T1w", "FA", "NDI", "JAC")
SIGNAL, NOISE = "FA", "JAC"
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[..., int]


@pytest.mark.parametrize("source", ["equicorrelated", "learner"])
def test_any_false_claim_over_fifteen_arms_is_rare(
    source: str, acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(1000)
    rng = np.random.default_rng([70, len(source)])
    if source == "learner":
        scores = null_factor(rng, n, 2, n_inputs=3, n_arms=N_ARMS)
    else:
        scores = equicorrelated(rng, n, N_ARMS, 10)
    _, high = acceptance(n, ALPHA)
    found = decide(scores, RULE)
    assert show(n_families_with(found, "better", "worse"), n, ALPHA, "Holm") <= high
    alone = sum(any(one.p_value < ALPHA for one in family) for family in found)
    naive = show(alone, n, ALPHA, "each on its own")
    assert source == "learner" or naive > high


def test_any_false_claim_is_rare_beside_true_effects(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    """Half of the arms truly differ; Holm's level rises as they are found, no further."""
    n = simulations(1000)
    scores = equicorrelated(np.random.default_rng(71), n, N_ARMS, 10)
    scores[:, 1:8] -= 12.0
    found = [family[7:] for family in decide(scores, RULE)]
    _, high = acceptance(n, ALPHA)
    assert show(n_families_with(found, "better", "worse"), n, ALPHA) <= high
    assert n_families_with([family[:7] for family in decide(scores, RULE)], "better") == n


@pytest.mark.parametrize(("n_arms", "n_blocks"), [(7, 5), (7, 10), (15, 10)])
def test_arms_that_are_alike_are_seldom_called_different_by_their_ranks(
    n_arms: int, n_blocks: int, acceptance: Region, simulations: Number, show: Show
) -> None:
    """Friedman's chi-square takes folds to be independent, and calls many of them different."""
    n = simulations(1000)
    scores = equicorrelated(np.random.default_rng([74, n_arms, n_blocks]), n, n_arms, n_blocks)
    _, high = acceptance(n, ALPHA)
    found = [friedman(of_study.T, False, RATIO) for of_study in scores]
    assert show(sum(one.p_value < ALPHA for one in found), n, ALPHA, "corrected") <= high
    naive = sum(chi2.sf(one.statistic, n_arms - 1) < ALPHA for one in found)
    assert show(naive, n, ALPHA, "Friedman's chi-square") > 3 * high
    scores[:, : n_arms // 2] -= 12.0
    apart = [friedman(of_study.T, False, RATIO).p_value for of_study in scores]
    power = sum(p < ALPHA for p in apart)
    assert show(power, n, ALPHA, "half of the arms far from the others") > 0.99 * n


def subset_errors(rng: np.random.Generator, n_studies: int) -> dict[tuple[str, ...], np.ndarray]:
    """Errors in telling a target from each of 15 sets of modalities, of which one carries it."""
    held_out = draw_folds(rng, n_studies, 2, N_COHORT)
    x = {name: rng.standard_normal((n_studies, N_COHORT, 3)) for name in MODALITIES}
    y = x[SIGNAL].sum(axis=2) + rng.standard_normal((n_studies, N_COHORT))
    return {
        subset: ridge_errors(np.concatenate([x[name] for name in subset], axis=2), y, held_out)
        for size in range(1, 5)
        for subset in combinations(MODALITIES, size)
    }


def of_adding(modality: str) -> Comparison:
    """Over all sets it can be added to."""
    others = [name for name in MODALITIES if name != modality]
    bare = [s for size in range(1, 4) for s in combinations(others, size)]
    pairs = tuple(
        ("+".join(m for m in MODALITIES if m in {*s, modality}), "+".join(s), 1 / len(bare))
        for s in bare
    )
    return Comparison(f"adding {modality}", "modality", pairs, modality)


def test_the_modality_that_carries_the_signal_is_told_from_noise() -> None:
    """100 studies of 15 arms: the planted modality is found, the others are never praised."""
    errors = subset_errors(np.random.default_rng(72), 100)
    asked = ContrastConfig(metric="probe_age.mae/embedding", direction="minimize")
    arms = {"+".join(subset): subset for subset in errors}
    plan = plan_of(arms, "+".join(MODALITIES), n_seeds=2, n_folds=N_FOLDS)
    found = {name: [] for name in MODALITIES}
    for study in range(100):
        values = {"+".join(subset): of_arm[study] for subset, of_arm in errors.items()}
        scores = scores_of(plan, asked.metric, values, N_COHORT)
        candidates = [(of_adding(m), pair(scores, of_adding(m), asked.metric)) for m in MODALITIES]
        for contrast in decide_family(scores, candidates, asked, InferenceConfig()):
            found[contrast.comparison.factor].append(contrast.verdict)
    assert found[SIGNAL].count("better") >= 95
    for name in MODALITIES:
        if name != SIGNAL:
            assert found[name].count("better") == 0
    subsets = [s for s in errors if s != MODALITIES]
    lost = dict.fromkeys(subsets, 0)
    for study in range(100):
        of_study = np.stack([errors[s][study] for s in (MODALITIES, *subsets)])
        (family,) = decide(of_study[None], RULE)
        for subset, judgement in zip(subsets, family, strict=True):
            lost[subset] += judgement.decision == "worse"
    without = [lost[s] for s in subsets if SIGNAL not in s]
    assert min(without) >= 90
    assert max(lost[s] for s in subsets if SIGNAL in s) <= 5


def partitions(
    rng: np.random.Generator, n_blocks: int, own: float, of_block: np.ndarray, truth: np.ndarray
) -> list[np.ndarray]:
    """Strata of each block: the truth, what the block's training subjects do to it, and noise."""
    found = []
    for j in range(n_blocks):
        noisy = rng.random(truth.size) < own
        found.append(np.where(noisy, rng.integers(0, 4, truth.size), of_block[j]))
    return found


@pytest.mark.parametrize("changed", [0.0, 0.6])
def test_strata_that_no_arm_changes_are_not_said_to_be_changed(
    changed: float, acceptance: Region, show: Show
) -> None:
    """Training subjects move the strata too, alike in arm and baseline: that is no change."""
    n, n_blocks = (60 if changed else 300), 10
    plan = plan_of({"full": ("T1w",), "arm": ("T1w",)}, "full", 2, N_FOLDS)
    asked = ContrastConfig(metric="strata_agreement", direction="either")
    verdicts, same_block = [], 0
    for study in range(n):
        rng = np.random.default_rng([73, study])
        truth = rng.integers(0, 4, N_SUBJECTS)
        moved = rng.random((n_blocks, N_SUBJECTS)) < 0.3
        of_block = np.where(moved, rng.integers(0, 4, moved.shape), truth)
        baseline = partitions(rng, n_blocks, 0.2, of_block, truth)
        arm = partitions(rng, n_blocks, 0.2 + changed, of_block, truth)
        scores = labelled_scores(plan, {"full": baseline, "arm": arm})
        finding = agreement_findings(scores, asked, InferenceConfig(), is_primary=True)
        verdicts.append(finding.contrasts[0].verdict)
        retrained = np.array(finding.arms[0].values, dtype=float)
        at_home = np.array([adjusted_rand(a, b) for a, b in zip(arm, baseline, strict=True)])
        same_block += resampled_t(at_home - retrained, RATIO).p_value < ALPHA
    _, high = acceptance(n, ALPHA)
    if changed:
        assert verdicts.count("lower") >= 0.99 * n
        return
    assert show(n - verdicts.count("not_resolvable"), n, ALPHA, "other blocks") <= high
    assert show(int(same_block), n, ALPHA, "the same block against other blocks") > n / 2
