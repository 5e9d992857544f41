import math
from itertools import permutations

import numpy as np
import pytest

from isthmus.core.errors import StratificationError
from isthmus.stratification.permutation import PermutationPlan, plan_permutations


def drawn(plan: PermutationPlan, n_rows: int = 100) -> np.ndarray:
    return np.concatenate(list(plan.chunks(n_rows)))


def respects(row: np.ndarray, families: list[str]) -> bool:
    """Whether each family receives one whole family of its size."""
    given = np.array(families)
    for family in set(families):
        sources = set(given[row[given == family]])
        if len(sources) != 1 or families.count(sources.pop()) != families.count(family):
            return False
    return True


FAMILIES = ["a", "b", "a", "c", "d", "d", "e", "f", "f", "f", "g", "c"]
MANY = [f"pair-{i // 2}" for i in range(60)] + [f"alone-{i}" for i in range(40)]


@pytest.mark.parametrize("families", [FAMILIES, MANY])
def test_families_stay_whole_and_move_among_their_size(families: list[str]) -> None:
    rows = drawn(plan_permutations(families, 300, seed=0))
    assert all(sorted(row) == list(range(len(families))) for row in rows)
    assert all(respects(row, families) for row in rows)


def test_members_and_families_both_move() -> None:
    rows = drawn(plan_permutations(MANY, 300, seed=0))
    own_family = rows[:, :60] // 2 == np.arange(60) // 2
    swapped = rows[:, 0:60:2] % 2 == 1
    assert own_family.mean() == pytest.approx(1 / 30, abs=0.01)
    assert swapped.mean() == pytest.approx(0.5, abs=0.03)


def test_free_permutations_ignore_families() -> None:
    rows = drawn(plan_permutations(None, 200, seed=0, n_subjects=12))
    assert not all(respects(row, FAMILIES) for row in rows)
    assert plan_permutations(None, 200, 0, n_subjects=12).n_available == math.factorial(12)


def test_the_count_of_distinct_permutations() -> None:
    # One trio, three pairs, three singletons... and their members' orders.
    families = ["t"] * 3 + ["p", "p", "q", "q", "r", "r", "x", "y", "z"]
    plan = plan_permutations(families, 10, seed=0)
    assert plan.n_available == 6 * (math.factorial(3) * 2**3) * math.factorial(3)
    assert plan.log10_available == pytest.approx(math.log10(plan.n_available))
    assert plan.n_families == 7
    assert not plan.enumerated


def test_large_counts_are_logarithms() -> None:
    plan = plan_permutations([str(i) for i in range(1000)], 10, seed=0)
    assert plan.n_available is None
    assert plan.log10_available == pytest.approx(2567.6, abs=0.1)


def test_few_permutations_are_enumerated_once_each() -> None:
    plan = plan_permutations(["a", "a", "b", "b", "c"], 9999, seed=0)
    rows = drawn(plan, n_rows=3)
    expected = {
        row
        for row in permutations(range(5))
        if respects(np.array(row), ["a", "a", "b", "b", "c"]) and row != tuple(range(5))
    }
    assert plan.enumerated
    assert len(rows) == plan.n_permutations == len(expected) == 7
    assert {tuple(row) for row in rows.tolist()} == expected


def test_draws_among_few_never_repeat() -> None:
    plan = plan_permutations(None, 119 - 1, seed=0, n_subjects=5)
    rows = drawn(plan)
    assert not plan.enumerated
    assert len({tuple(row) for row in rows.tolist()}) == 118


@pytest.mark.parametrize("families", [FAMILIES, MANY])
def test_the_identity_is_never_drawn(families: list[str]) -> None:
    rows = drawn(plan_permutations(families, 500, seed=2))
    assert not (rows == np.arange(len(families))).all(axis=1).any()


@pytest.mark.parametrize("families", [FAMILIES, MANY])
def test_draws_depend_on_the_seed_and_not_on_the_chunk(families: list[str]) -> None:
    plan = plan_permutations(families, 50, seed=3)
    np.testing.assert_array_equal(drawn(plan, 7), drawn(plan, 50))
    assert (drawn(plan) != drawn(plan_permutations(families, 50, seed=4))).any()


def test_draws_with_kinship_do_not_depend_on_the_chunk() -> None:
    families = [f"fam-{i // 4}" for i in range(80)]
    plan = plan_permutations(families, 50, seed=3, kinship=["MZ", "MZ", "sib", "sib"] * 20)
    np.testing.assert_array_equal(drawn(plan, 7), drawn(plan, 50))
    twins, siblings = drawn(plan)[:, 0::4] % 4, drawn(plan)[:, 2::4] % 4
    assert twins.mean() == pytest.approx(0.5, abs=0.1)
    # Members of one kind are shuffled apart from those of another.
    assert np.corrcoef(twins.ravel(), siblings.ravel())[0, 1] == pytest.approx(0, abs=0.15)


def test_kinship_of_other_subjects_is_an_error() -> None:
    with pytest.raises(StratificationError, match="same subjects, got 2 and 3"):
        plan_permutations(["a", "a"], 10, seed=0, kinship=["MZ", "MZ", "MZ"])


def test_no_subjects_is_an_error() -> None:
    with pytest.raises(StratificationError, match="at least one subject"):
        plan_permutations([], 10, seed=0)
