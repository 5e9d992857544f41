"""The corrected resampled t-test against numbers worked out by hand and by other roads."""

import math

import numpy as np
import pytest
from scipy import stats

from isthmus.study.inference.resampled_t import (
    Constant,
    Identical,
    ResampledT,
    TooFewBlocks,
    mean_ratio,
    noncentrality,
    resampled_t,
)

DIFFERENCES = (0.02, -0.01, 0.05, 0.03, 0.01)


def estimated(values: tuple[float, ...] = DIFFERENCES, ratio: float = 0.25) -> ResampledT:
    found = resampled_t(values, ratio)
    assert isinstance(found, ResampledT)
    return found


def test_five_folds_by_hand() -> None:
    """Mean 0.02, squares of deviations 0.002, so s^2 = 0.0005; 0.0005 (1/5 + 1/4) = 0.000225."""
    found = estimated()
    assert found.mean == pytest.approx(0.02)
    assert found.deviation == pytest.approx(math.sqrt(0.0005))
    assert found.standard_error == pytest.approx(0.015)
    assert found.degrees_of_freedom == 4
    assert found.effect_size == pytest.approx(0.02 / math.sqrt(0.0005))
    assert found.p_value == pytest.approx(2 * stats.t.sf(4 / 3, 4))
    critical = 2.776445105
    assert found.interval(0.05) == pytest.approx((0.02 - critical * 0.015, 0.02 + critical * 0.015))


def test_it_is_the_t_test_of_k_folds_that_takes_them_to_correlate_one_kth() -> None:
    """t = mean / sqrt(s^2 (1/k + rho / (1 - rho))) with rho = 1/k: the same as n_test / n_train."""
    rho = 1 / 5
    spread = math.sqrt(0.0005 * (1 / 5 + rho / (1 - rho)))
    assert estimated().mean / estimated().standard_error == pytest.approx(0.02 / spread)


def test_without_overlap_it_is_the_paired_t_test() -> None:
    assert estimated(ratio=0.0).p_value == pytest.approx(stats.ttest_1samp(DIFFERENCES, 0).pvalue)
    low, high = stats.ttest_1samp(DIFFERENCES, 0).confidence_interval(0.9)
    assert estimated(ratio=0.0).interval(0.1) == pytest.approx((low, high))


def test_equivalence_is_the_larger_of_two_one_sided_tests() -> None:
    found = estimated()
    above = stats.t.sf((found.mean + 0.08) / found.standard_error, 4)
    below = stats.t.cdf((found.mean - 0.08) / found.standard_error, 4)
    assert found.equivalence_p_value(0.08) == pytest.approx(max(above, below))
    mirrored = estimated(tuple(-d for d in DIFFERENCES))
    assert mirrored.equivalence_p_value(0.08) == pytest.approx(found.equivalence_p_value(0.08))


@pytest.mark.parametrize("alpha", [0.05, 0.05 / 14, 0.05 / 105])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("df", [1, 4, 9, 49])
def test_the_smallest_resolvable_difference_has_its_power(
    df: int, power: float, alpha: float
) -> None:
    shift = noncentrality(df, alpha, power)
    critical = stats.t.isf(alpha / 2, df)
    assert stats.nct.sf(critical, df, shift) == pytest.approx(power, abs=1e-3)


def test_it_shrinks_with_alpha_and_grows_with_power() -> None:
    found = estimated()
    assert found.smallest_resolvable(0.05, 0.8) > found.smallest_resolvable(0.1, 0.8)
    assert found.smallest_resolvable(0.05, 0.8) > found.smallest_resolvable(0.05, 0.5)
    assert found.smallest_resolvable(0.05, 0.01) == 0.0


def test_more_blocks_leave_the_floor_of_overlap() -> None:
    """A thousand blocks: s^2 / J is gone, s^2 n_test / n_train stays."""
    values = tuple(float(v) for v in np.tile([-1.0, 1.0, 0.5], 400))
    found = estimated(values)
    assert found.standard_error / found.deviation == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ((), TooFewBlocks(0)),
        ((0.3,), TooFewBlocks(1)),
        ((0.0, 0.0, 0.0), Identical(3)),
        ((0.5, 0.5), Constant(2, 0.5)),
    ],
)
def test_degenerate_differences_have_types_of_their_own(
    values: tuple[float, ...], outcome: object
) -> None:
    assert resampled_t(values, 0.25) == outcome


def test_a_constant_that_rounding_blurs_is_constant() -> None:
    values = tuple((x + 0.1) - x for x in (0.3, 0.7, 1e3))
    assert len(set(values)) > 1
    assert isinstance(resampled_t(values, 0.25), Constant)


def test_unequal_folds_are_corrected_by_their_mean_ratio() -> None:
    assert mean_ratio([(80, 20), (60, 40)]) == pytest.approx((0.25 + 2 / 3) / 2)
