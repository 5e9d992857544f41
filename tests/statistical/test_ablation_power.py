"""Effects are found as often as promised, and equivalence is claimed no more often than allowed."""

from collections.abc import Callable

import numpy as np
import pytest
from simulated_scores import (
    RATIO,
    decide,
    equicorrelated,
    expected_error,
    n_families_with,
)

from isthmus.study.inference.multiplicity import level_at_worst
from isthmus.study.inference.resampled_t import noncentrality, resampled_t
from isthmus.study.inference.verdict import Rule

ALPHA = 0.05
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[..., int]


@pytest.mark.parametrize("n_blocks", [5, 10])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_smallest_resolvable_difference_is_found_with_its_power(
    n_blocks: int, power: float, acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(2000)
    scores = equicorrelated(np.random.default_rng([60, n_blocks, int(100 * power)]), n, 2, n_blocks)
    scores[:, 1] -= noncentrality(n_blocks - 1, ALPHA, power) * expected_error(n_blocks)
    low, high = acceptance(n, power)
    found = decide(scores, Rule("minimize", ALPHA, power))
    assert low <= show(n_families_with(found, "better"), n, power) <= high
    assert n_families_with(found, "worse") <= 0.001 * n


def test_in_a_family_it_is_found_with_its_power_at_worst(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    """One arm of 14 has an effect; Holm leaves it little more than alpha / 14."""
    n, n_arms, power = simulations(2000), 14, 0.8
    scores = equicorrelated(np.random.default_rng(61), n, n_arms + 1, 10)
    level = level_at_worst(ALPHA, n_arms, "holm")
    scores[:, 1] -= noncentrality(9, level, power) * expected_error(10)
    found = decide(scores, Rule("minimize", ALPHA, power))
    low, high = acceptance(n, power)
    count = show(sum(family[0].decision == "better" for family in found), n, power)
    assert low <= count <= high + 0.02 * n


def test_what_is_said_of_the_smallest_difference_is_right_on_average() -> None:
    """It follows from the spread in the study at hand, which is unbiased squared."""
    scores = equicorrelated(np.random.default_rng(62), 2000, 2, 10)
    said = [judgement.smallest_resolvable for (judgement,) in decide(scores, Rule("minimize"))]
    true = noncentrality(9, ALPHA, 0.8) * expected_error(10)
    assert np.sqrt(np.mean(np.square(said))) == pytest.approx(true, rel=0.02)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_equivalence_is_rarely_claimed_of_a_difference_at_the_margin(
    side: float, acceptance: Region, simulations: Number, show: Show
) -> None:
    """Far from the other bound one of the two one-sided tests is the whole test: exactly alpha."""
    n, margin = simulations(2000), 12.0
    scores = equicorrelated(np.random.default_rng([63, int(side > 0)]), n, 2, 10)
    scores[:, 1] += side * margin
    low, high = acceptance(n, ALPHA)
    found = decide(scores, Rule("minimize", ALPHA), margin)
    assert low <= show(n_families_with(found, "equivalent"), n, ALPHA) <= high


def test_in_a_family_any_false_equivalence_is_as_rare(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n, margin = simulations(1000), 12.0
    scores = equicorrelated(np.random.default_rng(64), n, 15, 10)
    scores[:, 1:] += margin
    _, high = acceptance(n, ALPHA)
    found = decide(scores, Rule("minimize", ALPHA), margin)
    assert show(n_families_with(found, "equivalent"), n, ALPHA, "corrected") <= high
    alone = sum(any(one.equivalence_p_value < ALPHA for one in family) for family in found)
    assert show(alone, n, ALPHA, "each on its own") > high


def test_equal_arms_are_called_equivalent_once_the_margin_is_wide() -> None:
    scores = equicorrelated(np.random.default_rng(65), 500, 2, 10)
    wide = decide(scores, Rule("minimize", ALPHA), 4.5 * expected_error(10))
    narrow = decide(scores, Rule("minimize", ALPHA), 0.5 * expected_error(10))
    assert n_families_with(wide, "equivalent") >= 0.9 * 500
    assert n_families_with(narrow, "equivalent") <= 0.02 * 500


def test_equivalence_is_where_the_ninety_percent_interval_lies_within_the_margin() -> None:
    scores = equicorrelated(np.random.default_rng(66), 300, 2, 10)
    margin = 2.5 * expected_error(10)
    found = decide(scores, Rule("minimize", ALPHA), margin)
    for of_study, (judgement,) in zip(scores, found, strict=True):
        low, high = resampled_t(of_study[1] - of_study[0], RATIO).interval(2 * ALPHA)
        within = -margin < low and high < margin
        assert (judgement.decision == "equivalent") == within
