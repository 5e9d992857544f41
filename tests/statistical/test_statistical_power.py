"""An effect of a stated size is found often enough, among relatives, given age, in categories.

Power is a property of this design (24 pairs of twins, 16 others, three strata), and falls with
how alike relatives are: twins in one stratum with one score are little more than one subject.
"""

from collections.abc import Callable

import numpy as np
import pytest

from isthmus.stratification.association import associate
from isthmus.stratification.categories import associate_category
from isthmus.stratification.permutation import plan_permutations

ALPHA = 0.05
N_SIMULATIONS = 200
N_PERMUTATIONS = 199
FAMILY_OF = np.repeat(np.arange(40), [2] * 24 + [1] * 16)
FAMILIES = [f"fam-{k}" for k in FAMILY_OF]
N = len(FAMILIES)
# Distance of neighbouring strata: standard deviations of a score, half the log odds of a category.
EFFECTS = (0.0, 0.25, 0.5, 0.75, 1.0)
LIKENESS = 0.5
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Draw = tuple[np.ndarray, np.ndarray]


def relatives(rng: np.random.Generator) -> Draw:
    """Strata that twins share, and a standard normal trait in which they correlate 0.5."""
    strata = rng.integers(0, 3, 40)[FAMILY_OF]
    shared, own = rng.standard_normal(40)[FAMILY_OF], rng.standard_normal(N)
    return strata, np.sqrt(LIKENESS) * shared + np.sqrt(1 - LIKENESS) * own


def p_of_score(simulation: int, effect: float) -> float:
    """A score that differs by `effect` standard deviations between neighbouring strata."""
    strata, noise = relatives(np.random.default_rng([51, simulation]))
    plan = plan_permutations(FAMILIES, N_PERMUTATIONS, simulation)
    return float(associate((noise + effect * strata)[:, None], strata, plan).p_permutation[0])


def p_of_score_given_age(simulation: int, effect: float) -> float:
    """The same score, which age moves too, as it moves who is in which stratum."""
    rng = np.random.default_rng([52, simulation])
    _, noise = relatives(rng)
    age = rng.uniform(20, 80, 40)[FAMILY_OF]
    strata = np.digitize(age + 25 * rng.standard_normal(40)[FAMILY_OF], [35, 65])
    scores = noise + 0.05 * age + effect * strata
    plan = plan_permutations(FAMILIES, N_PERMUTATIONS, simulation)
    return float(associate(scores[:, None], strata, plan, age[:, None]).p_permutation[0])


def p_of_category(simulation: int, effect: float) -> float:
    """Two categories whose log odds differ by 2 x `effect` between neighbouring strata."""
    strata, noise = relatives(np.random.default_rng([53, simulation]))
    # A logistic threshold on a standard normal trait: 1.7 is the usual scale between the two.
    category = (1.7 * noise + 2 * effect * (strata - 1) > 0).astype(int)
    plan = plan_permutations(FAMILIES, N_PERMUTATIONS, simulation)
    return float(associate_category(np.eye(2)[category], strata, plan).p_permutation[0])


@pytest.mark.parametrize(
    ("name", "p_of", "floor"),
    [
        ("power_factor", p_of_score, 0.95),
        ("power_factor_given_age", p_of_score_given_age, 0.85),
        ("power_category", p_of_category, 0.9),
    ],
)
def test_power_rises_from_the_level_to_a_floor(
    name: str,
    p_of: Callable[[int, float], float],
    floor: float,
    acceptance: Region,
    simulations: Number,
    record: Callable[..., None],
) -> None:
    n = simulations(N_SIMULATIONS)
    counts = []
    for effect in EFFECTS:
        # The same draws at each size of the effect.
        p_values = np.array([p_of(simulation, effect) for simulation in range(n)])
        assert not np.isnan(p_values).any()
        counts.append(int((p_values <= ALPHA).sum()))
    record(name, effects=list(EFFECTS), counts=counts, n=n, alpha=ALPHA)
    print(f"\n{name}: {counts} of {n} at {EFFECTS}")
    low, high = acceptance(n, ALPHA)
    assert low <= counts[0] <= high
    assert min(np.diff(counts)) > -0.02 * n
    assert counts[-1] >= floor * n
