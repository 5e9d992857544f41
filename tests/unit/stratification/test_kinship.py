"""With kinship known, families and members move among their like only."""

import numpy as np
import pytest

from isthmus.stratification.permutation import plan_permutations

#            0     1     2     3     4      5      6      7      8      9
FAMILIES = ["a", "a", "b", "b", "c", "c", "d", "d", "d", "e", "e", "e"]
KINSHIP = ["MZ", "MZ", "MZ", "MZ", "sib", "sib", "MZ", "sib", "MZ", "sib", "MZ", "MZ"]


@pytest.mark.parametrize("n_wanted", [50, 10**6])
def test_only_the_like_are_exchanged(n_wanted: int) -> None:
    plan = plan_permutations(FAMILIES, n_wanted, seed=3, kinship=KINSHIP)
    rows = np.concatenate(list(plan.chunks(20)))
    kinship, families = np.array(KINSHIP), np.array(FAMILIES)
    for row in rows:
        assert sorted(row) == list(range(12))
        np.testing.assert_array_equal(kinship[row], kinship)
        for family in "abcde":
            assert len(set(families[row[families == family]])) == 1
    assert set(families[rows[:, 4]]) == {"c"}
    assert set(families[rows[:, 0]]) == {"a", "b"}
    assert set(rows[:, 7]) == {7, 9}


def test_the_count_knows_the_kinds() -> None:
    # two alike pairs of twins, one pair of siblings, two trios of two twins and a sibling
    plan = plan_permutations(FAMILIES, 10**6, seed=0, kinship=KINSHIP)
    assert plan.n_available == (2 * 2**2) * 2 * (2 * 2**2)
    assert plan.enumerated
    rows = np.concatenate(list(plan.chunks(1000)))
    assert len({tuple(row) for row in rows}) == plan.n_available - 1


def test_one_kind_is_no_kind() -> None:
    alike = plan_permutations(FAMILIES, 100, seed=0, kinship=["MZ"] * 12)
    assert alike.n_available == plan_permutations(FAMILIES, 100, seed=0).n_available


def test_shuffling_many_families_keeps_kinds() -> None:
    families = [f"f{i // 3}" for i in range(90)]
    kinship = ["MZ", "MZ", "sib"] * 15 + ["sib"] * 45
    plan = plan_permutations(families, 200, seed=0, kinship=kinship)
    assert plan.n_available is None
    rows = np.concatenate(list(plan.chunks(64)))
    assert (np.array(kinship)[rows] == np.array(kinship)).all()
    moved = (rows[:, :45] // 3 != np.arange(45) // 3).mean()
    assert moved == pytest.approx(14 / 15, abs=0.02)
