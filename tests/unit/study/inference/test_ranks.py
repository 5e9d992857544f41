"""Ranks, Friedman's test, and the bars of a critical-difference diagram."""

import numpy as np
import pytest
from scipy.stats import f, friedmanchisquare, rankdata

from isthmus.study.inference.ranks import friedman, indistinct_groups

# AUC of four variants of C4.5 on 14 data sets: Demsar (2006), Table 6. Its ranks were made of
# more decimals than it prints: on the 13th data set the third variant is before the fourth.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
)


def test_the_worked_example_of_demsar() -> None:
    """Published: ranks 3.143, 2.000, 2.893, 1.964 and, without a correction for ties, 9.28."""
    found = friedman(DEMSAR, larger_is_better=True, test_train_ratio=0.0)
    assert found.average_ranks == pytest.approx((3.143, 2.000, 2.893, 1.964), abs=5e-4)
    squares = sum(rank**2 for rank in found.average_ranks)
    assert 12 * 14 / (4 * 5) * (squares - 4 * 25 / 4) == pytest.approx(9.28, abs=5e-3)
    expected = friedmanchisquare(*DEMSAR.T)
    assert found.statistic == pytest.approx(expected.statistic)
    # Iman and Davenport's F, 3.69 there of the 9.28 that ties are not corrected in
    uncorrected = 13 * 9.28 / (14 * 3 - 9.28)
    assert uncorrected == pytest.approx(3.69, abs=5e-3)
    statistic = 13 * found.statistic / (14 * 3 - found.statistic)
    assert found.p_value == pytest.approx(f.sf(statistic, 3, 39))
    assert found.n_blocks == 14


def test_direction_turns_the_ranks_round() -> None:
    up = friedman(DEMSAR, True, 0.25)
    down = friedman(DEMSAR, False, 0.25)
    assert up.p_value == pytest.approx(down.p_value)
    assert [a + b for a, b in zip(up.average_ranks, down.average_ranks, strict=True)] == [5.0] * 4
    assert up.statistic == pytest.approx(down.statistic)


def test_ties_everywhere_are_no_difference() -> None:
    found = friedman(np.ones((5, 3)), True, 0.25)
    assert (found.average_ranks, found.statistic, found.p_value) == ((2.0, 2.0, 2.0), 0.0, 1.0)


def test_without_overlap_it_is_an_analysis_of_variance_of_the_ranks() -> None:
    ranks = rankdata(DEMSAR, axis=1)
    effects = ranks.mean(axis=0) - 2.5
    between = 14 * (effects**2).sum() / 3
    within = ((ranks - 2.5 - effects) ** 2).sum() / (3 * 13)
    for ratio in (0.0, 0.25, 0.5):
        expected = f.sf(between / within / (1 + 14 * ratio), 3, 39)
        assert friedman(DEMSAR, True, ratio).p_value == pytest.approx(expected)


def test_blocks_that_all_rank_alike_have_a_finite_p() -> None:
    """It is smaller than with one change of places, and no smaller than that of few blocks."""
    alike = np.tile([1.0, 2.0, 3.0], (3, 1))
    changed = alike.copy()
    changed[0] = [2.0, 1.0, 3.0]
    p_alike, p_changed = (friedman(one, False, 0.5).p_value for one in (alike, changed))
    assert 0.05 < p_alike < p_changed
    assert friedman(np.tile([1.0, 2.0, 3.0], (10, 1)), False, 0.5).p_value < 0.01


@pytest.mark.parametrize(
    ("different", "groups"),
    [
        ([], (("a", "b", "c", "d"),)),
        (["ad"], (("a", "b", "c"), ("b", "c", "d"))),
        (["ab", "ac", "ad"], (("b", "c", "d"),)),
        (["ac", "bd", "ad"], (("a", "b"), ("b", "c"), ("c", "d"))),
        (["ab", "bc", "cd", "ac", "bd", "ad"], ()),
        (["bc"], (("a", "b"), ("c", "d"))),
    ],
)
def test_groups_are_the_longest_runs_without_a_difference(
    different: list[str], groups: tuple[tuple[str, ...], ...]
) -> None:
    assert indistinct_groups("abcd", [frozenset(pair) for pair in different]) == groups
