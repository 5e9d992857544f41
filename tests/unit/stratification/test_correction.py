import numpy as np
import pytest
from statsmodels.stats.multitest import fdrcorrection, multipletests

from isthmus.stratification.correction import false_discovery_rate, holm, max_t, permutation_p


@pytest.mark.parametrize(("method", "kind"), [("fdr_bh", "indep"), ("fdr_by", "negcorr")])
def test_equals_statsmodels_where_all_are_testable(method: str, kind: str) -> None:
    p = np.random.default_rng(0).uniform(size=40) ** 2
    np.testing.assert_allclose(false_discovery_rate(p, method), fdrcorrection(p, method=kind)[1])


def test_untestable_ones_are_left_out_of_the_family() -> None:
    p = np.array([0.01, np.nan, 0.02, 0.9, np.nan])
    q = false_discovery_rate(p)
    np.testing.assert_array_equal(np.isnan(q), np.isnan(p))
    np.testing.assert_allclose(q[~np.isnan(q)], [0.03, 0.03, 0.9])


def test_nothing_testable_gives_nothing() -> None:
    assert np.isnan(false_discovery_rate(np.full(3, np.nan))).all()
    assert np.isnan(max_t(np.full(3, np.nan), np.zeros((9, 3)))).all()


def test_permutation_p_counts_ties_and_is_never_zero() -> None:
    null = np.array([[1.0], [2.0], [3.0], [2.0 - 1e-13]])
    assert permutation_p(np.array([2.0]), null) == pytest.approx([4 / 5])
    assert permutation_p(np.array([9.0]), null) == pytest.approx([1 / 5])


def test_max_t_steps_down() -> None:
    null = np.random.default_rng(1).gamma(1.0, size=(499, 4))
    observed = np.array([1.0, 6.0, np.nan, 3.0])
    adjusted = max_t(observed, null)
    kept = null[:, [0, 1, 3]]
    first = (1 + (kept.max(axis=1) >= 6.0).sum()) / 500
    second = (1 + (kept[:, [0, 2]].max(axis=1) >= 3.0).sum()) / 500
    third = (1 + (kept[:, 0] >= 1.0).sum()) / 500
    np.testing.assert_allclose(adjusted[[1, 3, 0]], np.maximum.accumulate([first, second, third]))
    assert np.isnan(adjusted[2])


def test_max_t_is_no_smaller_than_the_single_p_and_monotone() -> None:
    rng = np.random.default_rng(2)
    null, observed = rng.gamma(1.0, size=(199, 6)), rng.gamma(2.0, size=6)
    adjusted = max_t(observed, null)
    assert (adjusted >= permutation_p(observed, null) - 1e-12).all()
    assert (np.diff(adjusted[np.argsort(-observed)]) >= 0).all()


def test_holm_by_its_definition_and_untestable_ones_left_out() -> None:
    adjusted = holm(np.array([0.03, np.nan, 0.01, 0.5, 0.02]))
    # Smallest times four, next times three, and so on, never falling, never above one.
    np.testing.assert_allclose(adjusted, [0.06, np.nan, 0.04, 0.5, 0.06])
    assert np.isnan(holm(np.full(2, np.nan))).all()


def test_holm_lies_between_bonferroni_and_the_plain_p_and_equals_statsmodels() -> None:
    p = np.random.default_rng(5).uniform(size=30) ** 3
    assert (holm(p) <= np.minimum(30 * p, 1.0) + 1e-15).all()
    assert (holm(p) >= p).all()
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
