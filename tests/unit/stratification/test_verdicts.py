"""Verdicts and the score: each condition alone can keep a finding from being robust."""

from dataclasses import replace

import numpy as np
import pytest

from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.replication import replications
from isthmus.stratification.robustness import Robustness
from isthmus.stratification.stability import summarise_stability
from isthmus.stratification.tested import Association, FamilyOfTests
from isthmus.stratification.verdicts import compare_with_nulls, judge, score

CONFIG = StratificationConfig()


def _tests(verdict: str = "significant_but_unstable") -> tuple[FamilyOfTests, ...]:
    association = Association("factor_1", "factor", verdict, None, 20.0, 0.3, 0.001, 0.001, 0.001)
    return (FamilyOfTests("factor", "max_t", (association,), 1, 0, 0),)


def _robustness(observed: float = 0.9, rate: float = 0.8, n_usable: int = 99) -> Robustness:
    rng = np.random.default_rng(0)
    null = np.where(np.arange(99) < n_usable, rng.uniform(0.3, 0.6, 99), np.nan)
    matched = compare_with_nulls(
        (observed, 0.5), null, null, np.where(np.isnan(null), 0, 3), 10, 0.2
    )
    statistics = rng.chisquare(2, (20, 500, 1))
    statistics[: int(20 * rate), 0] = 200.0
    statistics[int(20 * rate) :, 0] = 0.01
    found = replications("factor", ["factor_1"], statistics, np.full((20, 1), 0.3), CONFIG)
    stability = summarise_stability(
        np.full(20, observed),
        np.full(20, observed),
        np.full((20, 2), 0.9),
        np.full(20, 2),
        np.full(20, 30),
        (20, 10),
    )
    return Robustness(stability, matched, found)


def _judged(robustness: Robustness, config: StratificationConfig = CONFIG) -> Association:
    return judge(_tests(), robustness, config)[0].associations[0]


def test_all_conditions_met_is_robust() -> None:
    found = _judged(_robustness())
    assert (found.verdict, found.reason) == ("robust", None)


@pytest.mark.parametrize(
    ("robustness", "says"),
    [
        (_robustness(observed=0.45), "no more stable than those of a cloud without strata"),
        (_robustness(rate=0.3), "came back in 30% of the draws; 50% are asked for"),
        (_robustness(rate=0.0), "no more often than permuted phenotypes"),
        (_robustness(n_usable=18), "Only 18 of 99 matched nulls"),
    ],
)
def test_each_condition_alone_keeps_it_unstable(robustness: Robustness, says: str) -> None:
    found = _judged(robustness)
    assert found.verdict == "significant_but_unstable"
    assert says in str(found.reason)


def test_too_few_permutations_for_any_draw_to_be_significant_is_said() -> None:
    family = _tests()[0]
    wide = (replace(family, n_testable=30),)
    found = judge(wide, _robustness(), CONFIG)[0].associations[0]
    assert found.verdict == "significant_but_unstable"
    assert "n_null_phenotypes" in str(found.reason)


@pytest.mark.parametrize("verdict", ["not_significant", "untestable"])
def test_what_was_not_significant_stays_so(verdict: str) -> None:
    tests = _tests(verdict)
    assert judge(tests, _robustness(), CONFIG) == tests


def test_p_values_count_the_nulls_that_had_a_partition() -> None:
    ari = np.array([0.1] * 15 + [0.8] * 5 + [np.nan] * 10)
    found = compare_with_nulls((0.5, 0.1), ari, ari, np.where(np.isnan(ari), 0, 4), 10, 0.0)
    assert (found.n_nulls, found.n_failed) == (30, 10)
    assert found.p_value == pytest.approx(6 / 21)
    assert found.p_silhouette == 1.0
    assert found.excess == pytest.approx(0.5 - (15 * 0.1 + 5 * 0.8) / 20)
    none = compare_with_nulls(
        (0.5, 0.1), np.full(30, np.nan), np.full(30, np.nan), np.zeros(30), 10, 0.0
    )
    assert (none.p_value, none.null_mean, none.excess) == (None, None, None)


def test_the_score_is_the_geometric_mean_of_two_excesses() -> None:
    robustness = _robustness()
    found = score(_tests(), robustness)
    assert found is not None
    null, replication = robustness.matched_null, robustness.replications[0]
    assert found.stability == pytest.approx((0.9 - null.null_mean) / (1 - null.null_mean))
    expected = (replication.rate - replication.null_rate) / (1 - replication.null_rate)
    assert found.replication == pytest.approx(expected)
    assert found.value == pytest.approx(np.sqrt(found.stability * found.replication))


def test_the_score_is_zero_where_either_part_is_and_none_without_targets() -> None:
    assert score(_tests("not_significant"), _robustness()).value == 0.0
    assert score(_tests(), _robustness(observed=0.2)).value == 0.0
    assert score(_tests(), None).value == 0.0
    assert score((), _robustness()) is None
