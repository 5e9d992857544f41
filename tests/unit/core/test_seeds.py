"""Named random streams: reproducible, and independent of each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from isthmus.core.seeds import derive_seed, generator

_names = st.lists(st.text(max_size=5) | st.integers(), max_size=3).map(tuple)


@given(st.integers(0, 2**32), _names)
def test_a_seed_is_a_function_of_its_arguments(seed: int, names: tuple[str | int, ...]) -> None:
    derived = derive_seed(seed, *names)
    assert derived == derive_seed(seed, *names)
    assert 0 <= derived < 2**63


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ((0, "fold", 1), (0, "fold", 2)),
        ((0, "fold", 1), (1, "fold", 1)),
        ((0, "fold", 1), (0, "fold", "1")),  # a number is not its text
        ((0, "ab", "c"), (0, "a", "bc")),
        ((0, "a"), (0, "a", "")),
        ((0, "a", "b"), (0, "b", "a")),
        ((0,), (0, 0)),
    ],
)
def test_different_names_give_different_streams(
    one: tuple[int, str | int], two: tuple[int, str | int]
) -> None:
    assert derive_seed(*one) != derive_seed(*two)


def test_seeds_do_not_change_over_time() -> None:
    assert derive_seed(0, "fold", 1) == 1673740656672588649


def test_each_generator_starts_anew_and_touches_no_global_state() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002  # the state that must not move
    one = generator(3, "mask").random(5)
    two = generator(3, "mask").random(5)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_streams_of_neighbouring_names_are_uncorrelated_and_uniform() -> None:
    draws = np.stack([generator(0, "subject", number).random(2000) for number in range(40)])
    correlations = np.corrcoef(draws)[np.triu_indices(40, 1)]
    # 780 correlations of standard error 1/sqrt(2000): beyond 5 of them has chance 4e-4 over all.
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)
    first = draws[:, 0]
    assert stats.kstest(first, "uniform").pvalue > 1e-3
