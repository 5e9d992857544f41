"""Replication rates: every arrangement of the phenotypes is judged as the observed one is."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.replication import arrangement_p, arrangement_q, replications


def test_p_is_the_share_of_arrangements_that_reach_it() -> None:
    statistics = np.random.default_rng(0).integers(0, 6, (3, 20, 2)).astype(float)
    p = arrangement_p(statistics)
    for d in range(3):
        for a in range(20):
            for f in range(2):
                reached = (statistics[d, :, f] >= statistics[d, a, f]).sum()
                assert p[d, a, f] == pytest.approx(reached / 20)


def test_rounding_does_not_tell_equal_statistics_apart() -> None:
    statistics = np.array([[[1.0], [1.0 + 1e-13], [0.5]]])
    np.testing.assert_allclose(arrangement_p(statistics)[0, :2, 0], 2 / 3)


def test_a_target_that_a_draw_cannot_test_is_left_out_of_its_correction() -> None:
    statistics = np.random.default_rng(1).chisquare(2, (2, 40, 3))
    statistics[1, :, 2] = np.nan
    statistics[0, 5, 0] = np.nan
    p = arrangement_p(statistics)
    assert np.isnan(p[1, :, 2]).all()
    assert p[0, 5, 0] == 1.0
    q = arrangement_q(p, "fdr_bh")
    np.testing.assert_allclose(q[0, 7], multipletests(p[0, 7], method="fdr_bh")[1])
    np.testing.assert_allclose(q[1, 7, :2], multipletests(p[1, 7, :2], method="fdr_bh")[1])
    by = arrangement_q(p, "fdr_by")
    np.testing.assert_allclose(by[0, 7], multipletests(p[0, 7], method="fdr_by")[1])


def test_rates_are_counted_over_all_draws_the_failed_too() -> None:
    rng = np.random.default_rng(2)
    statistics = rng.chisquare(2, (8, 200, 2))
    statistics[:6, 0, 0], statistics[6, 0, 0] = 100.0, 0.0
    statistics[7] = np.nan
    effects = np.where(np.isnan(statistics[:, 0]), np.nan, 0.25)
    strong, weak = replications(
        "factor", ["strong", "weak"], statistics, effects, StratificationConfig()
    )
    assert strong.rate == 6 / 8
    assert len(strong.null_rates) == 199
    assert strong.null_rate == pytest.approx(np.mean(strong.null_rates))
    assert strong.null_rate < 0.1
    assert strong.p_rate == 1 / 200
    assert weak.p_rate > 0.05
    assert strong.p_values[7] is None
    assert strong.effect_sizes[7] is None
    assert strong.p_median == pytest.approx(1 / 200)
    assert strong.p_high > 0.5
    assert strong.effect_median == 0.25
    assert strong.p_low <= strong.p_median <= strong.p_high


def test_no_usable_draw_gives_rates_of_zero_and_no_numbers() -> None:
    statistics = np.full((4, 20, 1), np.nan)
    (found,) = replications(
        "phenotype", ["x"], statistics, np.full((4, 1), np.nan), StratificationConfig()
    )
    assert (found.rate, found.null_rate, found.p_rate) == (0.0, 0.0, 1.0)
    assert found.p_median is None
    assert found.effect_high is None
