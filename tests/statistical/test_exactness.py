"""Where every permutation can be run, p is the share of them, found here by another road."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kruskal
from statsmodels.stats.multitest import multipletests

from isthmus.stratification.association import associate
from isthmus.stratification.correction import false_discovery_rate
from isthmus.stratification.permutation import plan_permutations


def h_of(scores: np.ndarray, labels: np.ndarray) -> float:
    return float(kruskal(*(scores[labels == k] for k in np.unique(labels))).statistic)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        ([2.1, 0.3, 5.0, 4.4], [0, 0, 1, 1]),
        ([1.0, 2.0, 2.0, 3.0, 3.0, 3.5], [0, 0, 1, 1, 2, 2]),
        ([0.1, 0.2, 0.9, 0.4, 0.8, 0.7, 0.6], [0, 0, 1, 0, 1, 1, 0]),
    ],
)
def test_free_permutations_up_to_seven_subjects(scores: list[float], labels: list[int]) -> None:
    score, label = np.array(scores), np.array(labels)
    plan = plan_permutations(None, 9999, seed=0, n_subjects=len(score))
    observed = h_of(score, label)
    # Every distinct labelling comes from equally many of the n! permutations.
    null = [h_of(score, np.array(labelling)) for labelling in set(permutations(labels))]
    expected = np.mean([h >= observed - 1e-9 for h in null])
    assert plan.enumerated
    assert associate(score[:, None], label, plan).p_permutation[0] == pytest.approx(expected)


def test_permutations_within_and_between_families() -> None:
    families = ["a", "a", "b", "b", "c", "c", "d"]
    label = np.array([0, 0, 0, 1, 1, 1, 1])
    score = np.array([0.1, 0.4, 0.3, 0.9, 0.8, 1.2, 0.7])
    pairs = [(0, 1), (2, 3), (4, 5)]
    observed, null = h_of(score, label), []
    for order in permutations(pairs):
        for swaps in np.ndindex(2, 2, 2):
            row = [
                *(pair[(i + s) % 2] for pair, s in zip(order, swaps, strict=True) for i in (0, 1)),
                6,
            ]
            null.append(h_of(score[row], label))
    assert len(null) == 48
    expected = np.mean([h >= observed - 1e-9 for h in null])
    plan = plan_permutations(families, 9999, seed=0)
    assert associate(score[:, None], label, plan).p_permutation[0] == pytest.approx(expected)


def test_sampling_approaches_the_enumerated_value() -> None:
    rng = np.random.default_rng(3)
    score, label = rng.standard_normal((8, 1)), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    exact = plan_permutations(None, 50_000, seed=0, n_subjects=8)
    sampled = plan_permutations(None, 9_999, seed=0, n_subjects=8)
    assert (exact.enumerated, sampled.enumerated) == (True, False)
    p_exact = associate(score, label, exact).p_permutation[0]
    p_sampled = associate(score, label, sampled).p_permutation[0]
    assert p_sampled == pytest.approx(p_exact, abs=0.02)


def test_chi2_p_approaches_the_permutation_p_for_unrelated_subjects() -> None:
    rng = np.random.default_rng(5)
    scores, labels = rng.standard_normal((300, 5)), rng.integers(0, 3, 300)
    plan = plan_permutations(None, 9_999, seed=0, n_subjects=300)
    test = associate(scores, labels, plan)
    np.testing.assert_allclose(test.p_permutation, test.p_chi2, atol=0.025)


def test_benjamini_hochberg_equals_statsmodels() -> None:
    p = np.random.default_rng(4).uniform(size=200) ** 3
    for method in ("fdr_bh", "fdr_by"):
        expected = multipletests(p, 0.05, method=method)
        q = false_discovery_rate(p, method)
        np.testing.assert_array_equal(q, expected[1])
        np.testing.assert_array_equal(q <= 0.05, expected[0])
