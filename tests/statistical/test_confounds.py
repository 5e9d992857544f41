"""An effect that is only age must vanish when age is declared, and the level must be kept."""

from collections.abc import Callable

import numpy as np

from isthmus.stratification.association import associate
from isthmus.stratification.permutation import plan_permutations

ALPHA = 0.05
N_SIMULATIONS = 300
N_PERMUTATIONS = 199
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[[int, int, float], int]


def only_age(simulation: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """30 pairs of twins: strata follow age, the score follows age and the family, no more."""
    rng = np.random.default_rng([21, simulation])
    family_of = np.repeat(np.arange(30), 2)
    age = rng.uniform(20, 80, 30)[family_of]
    sex = rng.integers(0, 2, 60).astype(float)
    strata = np.digitize(age + 10 * rng.standard_normal(30)[family_of], [40, 60])
    shared = rng.standard_normal(30)[family_of]
    noise = np.sqrt(0.7) * shared + np.sqrt(0.3) * rng.standard_normal(60)
    scores = 0.08 * age + 0.5 * sex + noise
    return [f"fam-{k}" for k in family_of], strata, scores[:, None], np.column_stack([age, sex])


def p_values(declared: bool, n_simulations: int) -> np.ndarray:
    """Test each of many cohorts."""
    found = []
    for simulation in range(n_simulations):
        families, strata, scores, confounds = only_age(simulation)
        plan = plan_permutations(families, N_PERMUTATIONS, simulation)
        test = associate(scores, strata, plan, confounds if declared else None)
        found.append(test.p_permutation[0])
    return np.array(found)


def test_undeclared_age_looks_like_strata(
    simulations: Number, show: Show, record: Callable[..., None]
) -> None:
    n = simulations(N_SIMULATIONS)
    found = p_values(False, n)
    record("null_confound_undeclared", p_values=found, alpha=ALPHA)
    assert show(int((found <= ALPHA).sum()), n, ALPHA) > 0.9 * n


def test_declared_age_is_no_finding_and_the_level_is_kept(
    acceptance: Region, simulations: Number, show: Show, record: Callable[..., None]
) -> None:
    n = simulations(N_SIMULATIONS)
    low, high = acceptance(n, ALPHA)
    found = p_values(True, n)
    record("null_confound_declared", p_values=found, alpha=ALPHA)
    assert low <= show(int((found <= ALPHA).sum()), n, ALPHA) <= high


def test_an_effect_beyond_age_is_still_found() -> None:
    found = 0
    for simulation in range(60):
        families, strata, scores, confounds = only_age(simulation)
        plan = plan_permutations(families, N_PERMUTATIONS, simulation)
        beyond = scores + 2.0 * (strata == 1)[:, None]
        found += associate(beyond, strata, plan, confounds).p_permutation[0] <= ALPHA
    assert found >= 48
