"""Agreement of partitions, whole and stratum by stratum."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score

from isthmus.stratification.stability import (
    adjusted_rand,
    best_match_jaccard,
    compare_partitions,
    summarise_stability,
)


def test_indices_are_those_of_the_library_and_blind_to_numbering() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 80), rng.integers(0, 3, 80)
    ari, ami = compare_partitions(a, b)
    assert ari == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
    assert ami == adjusted_mutual_info_score(a, b)
    assert compare_partitions((a + 1) % 4, b) == pytest.approx((ari, ami))


@pytest.mark.parametrize(("n_a", "n_b"), [(1, 1), (1, 3), (30, 30), (30, 1), (4, 9)])
def test_the_adjusted_rand_index_of_extremes_is_the_library_s(n_a: int, n_b: int) -> None:
    rng = np.random.default_rng(n_a)
    a = rng.permutation(30) if n_a == 30 else rng.integers(0, n_a, 30) + 5
    b = rng.permutation(30) if n_b == 30 else rng.integers(0, n_b, 30)
    assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)


def test_the_best_match_is_found_by_sets() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        whole, drawn = rng.integers(0, 5, 40), rng.integers(0, 6, 40) + 3
        expected = []
        for k in range(5):
            mine = set(np.flatnonzero(whole == k))
            others = [set(np.flatnonzero(drawn == j)) for j in set(drawn.tolist())]
            expected.append(max(len(mine & o) / len(mine | o) for o in others) if mine else np.nan)
        np.testing.assert_allclose(best_match_jaccard(whole, drawn, 5), expected)


def test_a_stratum_of_which_a_draw_has_nobody_says_nothing() -> None:
    jaccard = best_match_jaccard(np.array([0, 0, 2]), np.array([0, 0, 1]), 3)
    np.testing.assert_array_equal(jaccard, [1.0, np.nan, 1.0])


def test_failed_draws_count_as_zero_and_trust_follows_hennig() -> None:
    jaccard = np.array(
        [[1.0, 0.7, 0.5, np.nan], [0.8, 0.7, 0.5, np.nan], [0.0, 0.0, np.nan, np.nan]]
    )
    jaccard[2, :3] = [0.75, 0.6, 0.0]
    n_strata = np.array([4, 4, 0])
    found = summarise_stability(
        np.array([0.9, 0.6, 0.0]),
        np.array([0.8, 0.7, 0.0]),
        jaccard,
        n_strata,
        np.array([9, 8, 9]),
        (5, 4, 3, 2),
    )
    assert (found.n_draws, found.n_failed) == (3, 1)
    assert found.ari_mean == pytest.approx(0.5)
    assert [s.trust for s in found.strata] == [
        "stable",
        "doubtful",
        "not_to_be_trusted",
        "not_to_be_trusted",
    ]
    assert [s.n_draws for s in found.strata] == [3, 3, 3, 0]
    assert found.strata[3].jaccard is None
    assert found.strata[0].jaccard_low <= found.strata[0].jaccard <= found.strata[0].jaccard_high
