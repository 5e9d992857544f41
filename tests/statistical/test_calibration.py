"""Under a null the test rejects as often as it says, families or not; the naive one does not.

B = 199 permutations make 0.05 an attainable level exactly: p takes the values 1/200 ... 200/200.
"""

from collections.abc import Callable

import numpy as np
import pytest

from isthmus.stratification.association import associate
from isthmus.stratification.permutation import plan_permutations

ALPHA = 0.05
N_SIMULATIONS = 400
N_PERMUTATIONS = 199
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[[int, int, float], int]


def twins(rng: np.random.Generator) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Families, strata that follow them, and a phenotype that relatives share; no association.

    24 pairs of twins and 16 singletons; twins always share the stratum and correlate 0.9.
    """
    family_of = np.repeat(np.arange(40), [2] * 24 + [1] * 16)
    strata = rng.integers(0, 3, 40)[family_of]
    shared = rng.standard_normal(40)[family_of]
    scores = np.sqrt(0.9) * shared + np.sqrt(0.1) * rng.standard_normal(len(family_of))
    return [f"fam-{k}" for k in family_of], strata, scores[:, None]


def p_values(blocks: bool, n_simulations: int) -> np.ndarray:
    """Test each of many cohorts."""
    found = []
    for simulation in range(n_simulations):
        families, strata, scores = twins(np.random.default_rng([11, simulation]))
        plan = plan_permutations(
            families if blocks else None, N_PERMUTATIONS, simulation, n_subjects=len(families)
        )
        found.append(associate(scores, strata, plan).p_permutation[0])
    return np.array(found)


def test_with_families_as_blocks_the_level_is_kept(
    acceptance: Region, simulations: Number, show: Show, record: Callable[..., None]
) -> None:
    n = simulations(N_SIMULATIONS)
    low, high = acceptance(n, ALPHA)
    found = p_values(True, n)
    record("null_families_as_blocks", p_values=found, alpha=ALPHA)
    assert low <= show(int((found <= ALPHA).sum()), n, ALPHA) <= high


def test_without_blocks_the_level_is_visibly_broken(
    acceptance: Region, simulations: Number, show: Show, record: Callable[..., None]
) -> None:
    n = simulations(N_SIMULATIONS)
    _, high = acceptance(n, ALPHA)
    found = p_values(False, n)
    record("null_blocks_none", p_values=found, alpha=ALPHA)
    naive = show(int((found <= ALPHA).sum()), n, ALPHA)
    assert naive > high
    assert naive >= 2 * ALPHA * n


def test_unrelated_subjects_free_permutation_and_ties(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    count, n = 0, simulations(N_SIMULATIONS)
    for simulation in range(n):
        rng = np.random.default_rng([12, simulation])
        scores = rng.integers(0, 6, (45, 1)).astype(float)
        plan = plan_permutations(None, N_PERMUTATIONS, simulation, n_subjects=45)
        count += associate(scores, rng.integers(0, 4, 45), plan).p_permutation[0] <= ALPHA
    low, high = acceptance(n, ALPHA)
    assert low <= show(int(count), n, ALPHA) <= high


def test_p_values_are_uniform_with_blocks() -> None:
    """The whole distribution: the mean of 400 uniform values has standard error 0.0144."""
    values = []
    for simulation in range(N_SIMULATIONS):
        families, strata, scores = twins(np.random.default_rng([13, simulation]))
        plan = plan_permutations(families, N_PERMUTATIONS, simulation)
        values.append(associate(scores, strata, plan).p_permutation[0])
    assert np.mean(values) == pytest.approx(0.5, abs=4 * 0.0144)
    assert np.var(values) == pytest.approx(1 / 12, abs=0.02)


def test_power_floor_at_a_planted_effect() -> None:
    """An effect of half a standard deviation between neighbouring strata, relatives kept whole."""
    found = 0
    for simulation in range(100):
        rng = np.random.default_rng([14, simulation])
        families, strata, scores = twins(rng)
        plan = plan_permutations(families, N_PERMUTATIONS, simulation)
        planted = scores + 0.75 * strata[:, None]
        found += associate(planted, strata, plan).p_permutation[0] <= ALPHA
    assert found >= 80
