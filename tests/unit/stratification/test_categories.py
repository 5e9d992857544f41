"""Chi-squared and Cramer's V, against scipy and against every arrangement there is."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chi2_contingency
from scipy.stats.contingency import association as contingency_association

from isthmus.core.errors import StratificationError
from isthmus.stratification import association
from isthmus.stratification.categories import (
    associate_category,
    category_columns,
    chi_squared,
    cramers_v,
)
from isthmus.stratification.confounds import confound_basis
from isthmus.stratification.permutation import plan_permutations

N = 50
RNG = np.random.default_rng(0)
CODES = RNG.choice(3, N, p=[0.6, 0.3, 0.1])
LABELS = RNG.integers(0, 4, N)
PLAN = plan_permutations(None, 199, seed=0, n_subjects=N)
AGE = RNG.uniform(20, 80, (N, 1))


def one_hot(codes: np.ndarray, n_categories: int = 3) -> np.ndarray:
    return np.eye(n_categories)[codes]


def table(codes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Count by the definition."""
    return np.array(
        [[((labels == k) & (codes == c)).sum() for c in np.unique(codes)] for k in set(labels)]
    )


def test_equals_scipy() -> None:
    test = associate_category(one_hot(CODES), LABELS, PLAN)
    counts = table(CODES, LABELS)
    expected = chi2_contingency(counts, correction=False)
    assert test.statistic[0] == pytest.approx(expected.statistic, abs=1e-10)
    assert test.p_chi2[0] == pytest.approx(expected.pvalue)
    assert test.effect_size[0] == pytest.approx(contingency_association(counts, method="cramer"))


def test_null_statistics_are_those_of_the_permuted_categories() -> None:
    test = associate_category(one_hot(CODES), LABELS, PLAN)
    rows = np.concatenate(list(PLAN.chunks(50)))
    for b in (0, 17, 198):
        expected = chi2_contingency(table(CODES[rows[b]], LABELS), correction=False).statistic
        assert test.null[b, 0] == pytest.approx(expected)
    reached = (test.null[:, 0] >= test.statistic[0] - 1e-9).sum()
    assert test.p_permutation[0] == pytest.approx((1 + reached) / 200)


@pytest.mark.parametrize(
    ("codes", "labels"),
    [
        ([0, 0, 1, 1, 1], [0, 0, 1, 1, 0]),
        ([0, 1, 2, 2, 1, 0], [3, 3, 5, 5, 5, 9]),
        ([0, 0, 0, 0, 1, 1, 0], [0, 1, 0, 1, 1, 1, 0]),
    ],
)
def test_p_is_the_share_of_all_arrangements_up_to_seven_subjects(
    codes: list[int], labels: list[int]
) -> None:
    plan = plan_permutations(None, 9999, seed=0, n_subjects=len(codes))
    assert plan.enumerated

    def x2(arranged: tuple[int, ...]) -> float:
        counts = table(np.array(arranged), np.array(labels))
        return float(chi2_contingency(counts, correction=False).statistic)

    # Every distinct arrangement comes from equally many of the n! permutations.
    observed = x2(tuple(codes))
    expected = np.mean([x2(a) >= observed - 1e-9 for a in set(permutations(codes))])
    test = associate_category(one_hot(np.array(codes)), np.array(labels), plan)
    assert test.p_permutation[0] == pytest.approx(expected)


def test_freedman_lane_by_its_definition() -> None:
    test = associate_category(one_hot(CODES), LABELS, PLAN, AGE)
    design = np.column_stack([np.ones(N), AGE])
    hat = design @ np.linalg.pinv(design)
    scaled = one_hot(CODES) / np.sqrt(one_hot(CODES).mean(axis=0))
    fitted, residual = hat @ scaled, scaled - hat @ scaled
    rows = np.concatenate(list(PLAN.chunks(50)))

    def between(left: np.ndarray) -> float:
        return sum(
            (k == LABELS).sum() * (left[k == LABELS].mean(axis=0) ** 2).sum() for k in range(4)
        )

    assert test.statistic[0] == pytest.approx(between(residual))
    for b in (0, 100):
        permuted = fitted + residual[rows[b]]
        assert test.null[b, 0] == pytest.approx(between(permuted - hat @ permuted))


def test_the_sum_of_squares_of_scaled_indicators_is_chi_squared() -> None:
    constant = category_columns(one_hot(CODES), confound_basis(np.ones((N, 1))))
    sums = np.array([constant[k == LABELS].sum(axis=0) for k in range(4)])[np.newaxis]
    counts = np.bincount(LABELS)
    expected = chi2_contingency(table(CODES, LABELS), correction=False).statistic
    assert chi_squared(sums, counts, residual=True)[0] == pytest.approx(expected)


def test_v_is_one_for_strata_that_are_the_categories_and_no_more_with_confounds() -> None:
    codes = np.repeat([0, 1, 2], 20)
    plan = plan_permutations(None, 19, seed=0, n_subjects=60)
    assert associate_category(one_hot(codes), codes, plan).effect_size[0] == pytest.approx(1.0)
    confounds = RNG.standard_normal((60, 5))
    with_confounds = associate_category(one_hot(codes), codes, plan, confounds).effect_size[0]
    assert 0.8 < with_confounds < 1.0
    assert cramers_v(np.array([12.0]), 48, 2, 5)[0] == pytest.approx(0.5)


@pytest.mark.parametrize("confounds", [None, AGE])
def test_chunks_have_no_influence(
    monkeypatch: pytest.MonkeyPatch, confounds: np.ndarray | None
) -> None:
    whole = associate_category(one_hot(CODES), LABELS, PLAN, confounds)
    monkeypatch.setattr(association, "_CHUNK_BYTES", 8 * N * 3 * 7)
    pieces = associate_category(one_hot(CODES), LABELS, PLAN, confounds)
    np.testing.assert_allclose(pieces.null, whole.null, rtol=1e-12)
    np.testing.assert_array_equal(pieces.p_permutation, whole.p_permutation)


@pytest.mark.parametrize(
    ("codes", "labels", "confounds"),
    [
        (np.zeros(N, dtype=int), LABELS, None),
        (np.zeros(N, dtype=int), LABELS, AGE),
        (CODES, np.zeros(N, dtype=int), None),
        (CODES, np.zeros(N, dtype=int), AGE),
        (CODES, LABELS, np.eye(3)[CODES]),
    ],
)
def test_what_cannot_be_tested_is_nan(
    codes: np.ndarray, labels: np.ndarray, confounds: np.ndarray | None
) -> None:
    test = associate_category(one_hot(codes), labels, PLAN, confounds)
    for numbers in (test.statistic, test.effect_size, test.p_permutation, test.p_chi2):
        assert np.isnan(numbers).all()


def test_without_a_permutation_there_is_no_test() -> None:
    alone = plan_permutations(["a", "b", "b"], 99, seed=0, kinship=["x", "y", "z"])
    assert alone.n_permutations == 0
    test = associate_category(np.eye(2)[[0, 1, 1]], np.array([0, 1, 1]), alone)
    assert np.isnan(test.p_permutation[0])
    assert test.null.shape == (0, 1)


def test_categories_that_nobody_has_are_passed_over() -> None:
    plain = associate_category(one_hot(CODES), LABELS, PLAN)
    wider = associate_category(one_hot(CODES, 6), LABELS, PLAN)
    assert wider.p_chi2[0] == plain.p_chi2[0]
    assert wider.effect_size[0] == plain.effect_size[0]


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(StratificationError, match="labels must be of the same subjects"):
        associate_category(one_hot(CODES)[:30], LABELS, PLAN)
