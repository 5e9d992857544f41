import numpy as np
import pytest
from scipy.stats import kruskal

from isthmus.core.errors import StratificationError
from isthmus.stratification import association
from isthmus.stratification.association import (
    associate,
    epsilon_squared,
)
from isthmus.stratification.permutation import plan_permutations

RNG = np.random.default_rng(0)
SCORES = np.column_stack([RNG.standard_normal(40), RNG.integers(0, 4, 40)]).astype(float)
LABELS = RNG.integers(0, 3, 40)
PLAN = plan_permutations(None, 199, seed=0, n_subjects=40)


def kruskal_wallis(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """H of each column, by another road."""
    return kruskal(*(scores[labels == k] for k in np.unique(labels))).statistic


def test_equals_scipy_with_and_without_ties() -> None:
    test = associate(SCORES, LABELS, PLAN)
    for k in range(2):
        expected = kruskal(*(SCORES[stratum == LABELS, k] for stratum in range(3)))
        assert test.statistic[k] == pytest.approx(expected.statistic)
        assert test.p_chi2[k] == pytest.approx(expected.pvalue)


def test_null_statistics_are_those_of_the_permuted_scores() -> None:
    test = associate(SCORES, LABELS, PLAN)
    rows = np.concatenate(list(PLAN.chunks(50)))
    for b in (0, 17, 198):
        np.testing.assert_allclose(test.null[b], kruskal_wallis(SCORES[rows[b]], LABELS))
    expected = (1 + (test.null >= test.statistic - 1e-9).sum(axis=0)) / 200
    np.testing.assert_allclose(test.p_permutation, expected)


def test_freedman_lane_by_its_definition() -> None:
    age = RNG.uniform(20, 80, (40, 1))
    test = associate(SCORES, LABELS, PLAN, age)
    design = np.column_stack([np.ones(40), age])
    hat = design @ np.linalg.pinv(design)
    y = SCORES[:, 0]
    fitted, residual = hat @ y, y - hat @ y
    rows = np.concatenate(list(PLAN.chunks(50)))
    for b in (0, 100):
        permuted = fitted + residual[rows[b]]
        left = (permuted - hat @ permuted)[:, None]
        assert test.null[b, 0] == pytest.approx(kruskal_wallis(left, LABELS)[0])
    assert test.statistic[0] == pytest.approx(kruskal_wallis(residual[:, None], LABELS)[0])


@pytest.mark.parametrize("confounds", [None, RNG.standard_normal((40, 2))])
def test_chunks_have_no_influence(
    monkeypatch: pytest.MonkeyPatch, confounds: np.ndarray | None
) -> None:
    whole = associate(SCORES, LABELS, PLAN, confounds)
    monkeypatch.setattr(association, "_CHUNK_BYTES", 8 * 40 * 2 * 7)
    assert association.chunk_rows(40, 2) == 7
    pieces = associate(SCORES, LABELS, PLAN, confounds)
    np.testing.assert_allclose(pieces.null, whole.null)
    np.testing.assert_array_equal(pieces.p_permutation, whole.p_permutation)


def test_epsilon_squared_is_one_for_perfect_separation() -> None:
    labels = np.repeat(np.arange(20), 2)
    scores = np.repeat(np.arange(20.0), 2)[:, None]
    assert epsilon_squared(kruskal_wallis(scores, labels), 40)[0] == pytest.approx(1.0)
    assert epsilon_squared(np.array([3.0]), 11)[0] == pytest.approx(3.0 * 12 / 120)


def test_a_constant_factor_is_nan_and_spoils_no_other() -> None:
    with_constant = np.column_stack([np.full(40, 2.5), SCORES])
    test = associate(with_constant, LABELS, PLAN)
    for numbers in (test.statistic, test.effect_size, test.p_permutation, test.p_chi2):
        assert np.isnan(numbers[0])
    np.testing.assert_array_equal(
        test.p_permutation[1:], associate(SCORES, LABELS, PLAN).p_permutation
    )


def test_a_factor_that_is_a_confound_is_nan() -> None:
    test = associate(SCORES, LABELS, PLAN, 3.0 * SCORES[:, :1] - 7.0)
    assert np.isnan(test.p_permutation[0])
    assert np.isfinite(test.p_permutation[1])


def test_residuals_equal_on_paper_are_ties() -> None:
    sex = np.repeat([0.0, 1.0], 20)[:, None]
    score = np.tile([0.1, 0.2, 0.7, 0.9], 10)[:, None] + 0.3 * sex
    labels = np.tile([0, 0, 1, 1, 1, 0, 0, 1], 5)
    within = score - np.array([score[:20].mean(), score[20:].mean()])[sex[:, 0].astype(int), None]
    expected = kruskal_wallis(within.round(6), labels)
    assert associate(score, labels, PLAN, sex).statistic == pytest.approx(expected)


def test_one_stratum_is_nan() -> None:
    assert np.isnan(associate(SCORES, np.zeros(40, dtype=int), PLAN).p_permutation).all()


def test_labels_may_skip_numbers() -> None:
    test = associate(SCORES, np.array([900, 3, 7])[LABELS], PLAN)
    plain = associate(SCORES, LABELS, PLAN)
    np.testing.assert_allclose(test.null, plain.null, rtol=1e-12)
    np.testing.assert_array_equal(test.p_permutation, plain.p_permutation)


@pytest.mark.parametrize(
    ("scores", "labels", "confounds", "message"),
    [
        (SCORES[:30], LABELS, None, "labels must be of the same subjects, got 30 and 40"),
        (SCORES[:30], LABELS[:30], None, "permutation plan"),
        (SCORES, LABELS, np.ones((3, 1)), "confounds must be of the same"),
        (np.where(SCORES > 2, np.nan, SCORES), LABELS, None, "Scores must be finite"),
        (SCORES, LABELS, np.full((40, 1), np.inf), "Confounds must be finite"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    scores: np.ndarray, labels: np.ndarray, confounds: np.ndarray | None, message: str
) -> None:
    with pytest.raises(StratificationError, match=message):
        associate(scores, labels, PLAN, confounds)
