"""Categories and phenotypes with gaps: the level is kept with families as blocks, and not without.

B = 199 permutations make 0.05 an attainable level exactly: p takes the values 1/200 ... 200/200.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import norm

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification import families_of_tests
from isthmus.stratification.categories import associate_category
from isthmus.stratification.factors import NoFactors
from isthmus.stratification.partition import Partition
from isthmus.stratification.permutation import plan_permutations
from isthmus.stratification.targets import make_groups
from isthmus.stratification.variables import Variables

ALPHA = 0.05
N_SIMULATIONS = 400
N_PERMUTATIONS = 199
N_FAMILIES = 40
FAMILY_OF = np.repeat(np.arange(N_FAMILIES), [2] * 24 + [1] * 16)
N = len(FAMILY_OF)
IDS = tuple(f"sub-{i:03d}" for i in range(N))
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[..., int]


def likeness(rng: np.random.Generator, n_columns: int) -> np.ndarray:
    """Normal values that twins share to nine tenths of their variance."""
    shared = rng.standard_normal((N_FAMILIES, n_columns))[FAMILY_OF]
    return np.sqrt(0.9) * shared + np.sqrt(0.1) * rng.standard_normal((N, n_columns))


def category_rejections(blocks: bool, n_simulations: int) -> int:
    """Count p <= alpha; strata and a category of three levels follow families, not each other."""
    count = 0
    for simulation in range(n_simulations):
        rng = np.random.default_rng([17, simulation])
        strata = rng.integers(0, 3, N_FAMILIES)[FAMILY_OF]
        codes = np.digitize(likeness(rng, 1)[:, 0], [-0.3, 1.0])
        families = FAMILY_OF.tolist() if blocks else None
        plan = plan_permutations(families, N_PERMUTATIONS, simulation, n_subjects=N)
        test = associate_category(np.eye(3)[codes], strata, plan)
        count += test.p_permutation[0] <= ALPHA
    return int(count)


def test_categories_with_families_as_blocks_keep_the_level(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(N_SIMULATIONS)
    low, high = acceptance(n, ALPHA)
    assert low <= show(category_rejections(True, n), n, ALPHA) <= high


def test_categories_without_blocks_visibly_break_it(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(N_SIMULATIONS)
    assert show(category_rejections(False, n), n, ALPHA) > acceptance(n, ALPHA)[1]


def category_and_age(simulation: int, steep: bool, declared: bool) -> float:
    """Test a category that follows age, as strata do, and the family; no more.

    The categories' shares are straight lines in age; or, where steep, steps.
    """
    rng = np.random.default_rng([18, simulation])
    age = rng.uniform(20, 80, N_FAMILIES)[FAMILY_OF]
    strata = np.digitize(age + 10 * rng.standard_normal(N_FAMILIES)[FAMILY_OF], [40, 60])
    normal = likeness(rng, 1)[:, 0]
    if steep:
        codes = np.digitize(0.06 * (age - 50) + normal, [-0.5, 1.0])
    else:
        first = 0.05 + 0.7 * (age - 20) / 60
        uniform = norm.cdf(normal)
        codes = (uniform > first).astype(int) + (uniform > first + 0.2)
    plan = plan_permutations(FAMILY_OF.tolist(), N_PERMUTATIONS, simulation)
    confounds = age[:, np.newaxis] if declared else None
    return float(associate_category(np.eye(3)[codes], strata, plan, confounds).p_permutation[0])


def age_rejections(n_simulations: int, steep: bool, declared: bool) -> int:
    """Count p <= alpha."""
    p_values = [category_and_age(number, steep, declared) for number in range(n_simulations)]
    return sum(p_value <= ALPHA for p_value in p_values)


def test_a_category_that_is_only_age_vanishes_when_age_is_declared(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(N_SIMULATIONS)
    low, high = acceptance(n, ALPHA)
    assert show(age_rejections(n, False, False), n, ALPHA, "undeclared") > 5 * high
    assert low <= show(age_rejections(n, False, True), n, ALPHA, "declared") <= high


def test_of_a_category_that_steps_with_age_a_part_is_left(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    """What a regression cannot do, being a straight line: docs/statistics.md says so."""
    n = simulations(N_SIMULATIONS)
    undeclared = show(age_rejections(n, True, False), n, ALPHA, "undeclared")
    declared = show(age_rejections(n, True, True), n, ALPHA, "declared")
    assert acceptance(n, ALPHA)[1] < declared < undeclared / 3


def phenotypes_with_gaps(simulation: int, blocks: bool) -> tuple[float, float]:
    """Test a phenotype with gaps and a whole one, through the job's own path.

    Who has a gap depends on the stratum and on the family, not on the value.
    """
    rng = np.random.default_rng([19, simulation])
    strata = rng.integers(0, 3, N_FAMILIES)[FAMILY_OF]
    values = likeness(rng, 2)
    gap = rng.random(N) < np.array([0.1, 0.3, 0.4])[strata]
    values[gap, 0] = np.nan
    table = pd.DataFrame(values, columns=["gappy", "whole"], index=list(IDS))
    table["family"] = [f"fam-{k}" for k in FAMILY_OF]
    people = Participants(table, "family", digest="simulated")
    config = StratificationConfig(
        targets=("phenotype",),
        n_permutations=N_PERMUTATIONS,
        blocks="families" if blocks else "none",
    )
    variables = Variables(("gappy", "whole"))
    groups = make_groups(NoFactors((), "none wanted"), people, IDS, config, variables)
    sizes = tuple(np.bincount(strata, minlength=3).tolist())
    labels = tuple(strata.tolist())
    partition = Partition(IDS, labels, IDS[:3], sizes, 2, 0, "kmeans", 3.0, (), 0, None)
    (family,) = families_of_tests.test_targets(groups, partition, config, simulation)
    gappy, _ = family.associations
    assert gappy.p_permutation is not None
    assert gappy.tested is not None
    assert gappy.tested.n_subjects == N - gap.sum()
    strict = min(row.p_family_wise or 1.0 for row in family.associations)
    return gappy.p_permutation, strict


def test_a_phenotype_with_gaps_keeps_the_level_and_holm_that_of_the_family(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(N_SIMULATIONS)
    low, high = acceptance(n, ALPHA)
    p_values = np.array([phenotypes_with_gaps(simulation, True) for simulation in range(n)])
    single, strict = (p_values <= ALPHA).sum(axis=0).tolist()
    assert low <= show(single, n, ALPHA, "one phenotype") <= high
    # Holm's bound is not attained, so only its upper side is a test.
    assert show(strict, n, ALPHA, "any, by Holm") <= high


def test_without_blocks_a_phenotype_with_gaps_breaks_it(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n = simulations(N_SIMULATIONS)
    naive = sum(phenotypes_with_gaps(simulation, False)[0] <= ALPHA for simulation in range(n))
    assert show(naive, n, ALPHA) > acceptance(n, ALPHA)[1]
