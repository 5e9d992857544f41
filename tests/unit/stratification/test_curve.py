"""The specification curve on statistics alone: by hand, and where there is little to judge."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.curve import judge_curve

CONFIG = StratificationConfig(alpha=0.1)
NAMES = ("one", "two", "three")


def statistics(n_arrangements: int = 40) -> np.ndarray:
    """Four correlated specifications, three targets, the first of them related."""
    rng = np.random.default_rng(0)
    common = rng.chisquare(2, (1, n_arrangements, 3))
    found = common + 0.5 * rng.chisquare(2, (4, n_arrangements, 3))
    found[:, 0, 0] += 25.0
    return found


def test_by_hand() -> None:
    found = statistics()
    effects = found / 60.0
    curve = judge_curve(NAMES, found, effects, CONFIG)
    n_significant = np.zeros((40, 3))
    for d in range(4):
        for a in range(40):
            p = [(found[d, :, f] >= found[d, a, f]).mean() for f in range(3)]
            q = multipletests(p, method="fdr_bh")[1]
            n_significant[a] += q <= 0.1
            if a == 0:
                assert curve.p_DF[d] == pytest.approx(p)
                assert curve.q_DF[d] == pytest.approx(q)
    median = np.median(effects, axis=0)
    for f, survival in enumerate(curve.survivals):
        higher = n_significant[:, f] > n_significant[0, f]
        level = n_significant[:, f] == n_significant[0, f]
        reached = higher | (level & (median[:, f] >= median[0, f]))
        assert survival.p_value == pytest.approx(reached.mean())
        assert survival.share == n_significant[0, f] / 4
        assert survival.null_share == pytest.approx(n_significant[1:, f].mean() / 4)
        assert survival.effect_median == pytest.approx(median[0, f])
    assert curve.survivals[0].share == 1.0
    assert curve.survivals[0].p_value == pytest.approx(1 / 40)
    assert min(survival.p_value for survival in curve.survivals[1:]) > 0.05


def test_a_failed_specification_counts_as_not_significant() -> None:
    found = statistics()
    found[1] = np.nan
    curve = judge_curve(NAMES, found, found / 60.0, CONFIG)
    first = curve.survivals[0]
    assert (first.n_specifications, first.n_usable, first.share) == (4, 3, 0.75)
    assert first.effect_median == pytest.approx(np.median(found[[0, 2, 3], 0, 0]) / 60.0)
    assert np.isnan(curve.p_DF[1]).all()
    assert not np.isnan(curve.p_DF[[0, 2, 3]]).any()


def test_an_arrangement_without_a_statistic_shows_nothing() -> None:
    found = statistics()
    found[2, 5, 0] = np.nan
    found[3, 0, 1] = np.nan
    curve = judge_curve(NAMES, found, found / 60.0, CONFIG)
    assert curve.p_DF[2, 0] == pytest.approx(1 / 40)
    assert np.isnan([curve.p_DF[3, 1], curve.q_DF[3, 1], curve.effects_DF[3, 1]]).all()
    assert [survival.n_usable for survival in curve.survivals] == [4, 4, 4]


def test_permutations_are_judged_where_the_observed_one_has_no_statistic() -> None:
    found = statistics()
    found[:, 0, 1] = np.nan
    found[:, 5, 1] = 500.0
    second = judge_curve(NAMES, found, found / 600.0, CONFIG).survivals[1]
    assert (second.share, second.p_value) == (0.0, 1.0)
    assert second.null_share >= 1 / 39


def test_nothing_was_usable() -> None:
    found = np.full((4, 40, 3), np.nan)
    survival = judge_curve(NAMES, found, found, CONFIG).survivals[0]
    assert (survival.share, survival.p_value, survival.effect_median) == (0.0, 1.0, None)


def test_without_permutations_nothing_is_tested() -> None:
    found = statistics()[:, :1]
    curve = judge_curve(NAMES, found, found / 60.0, CONFIG)
    assert curve.n_permutations == 0
    assert np.isnan(curve.p_DF).all()
    assert {(s.n_usable, s.share, s.null_share, s.p_value) for s in curve.survivals} == {
        (0, 0.0, 0.0, 1.0)
    }
