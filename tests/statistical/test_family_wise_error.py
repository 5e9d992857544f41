"""Over many correlated factors with no association, max-T errs in at most alpha of cohorts."""

from collections.abc import Callable

import numpy as np

from isthmus.stratification.association import AssociationTest, associate
from isthmus.stratification.correction import false_discovery_rate, max_t
from isthmus.stratification.permutation import plan_permutations

ALPHA = 0.05
N_SIMULATIONS = 300
N_FACTORS = 8
Region = Callable[[int, float], tuple[int, int]]
Number = Callable[[int], int]
Show = Callable[..., int]


def cohort(simulation: int, n_planted: int = 0) -> AssociationTest:
    """Test 8 correlated factors on 30 pairs of twins; the first few may carry an effect."""
    rng = np.random.default_rng([31, simulation])
    family_of = np.repeat(np.arange(30), 2)
    strata = rng.integers(0, 3, 30)[family_of]
    common = rng.standard_normal((30, 1))[family_of]
    scores = common + rng.standard_normal((30, N_FACTORS))[family_of]
    scores += 0.5 * rng.standard_normal(scores.shape)
    scores[:, :n_planted] += 3.0 * strata[:, None]
    return associate(scores, strata, plan_permutations(family_of.tolist(), 199, simulation))


def any_rejection(p_F: np.ndarray) -> bool:
    return bool((p_F <= ALPHA).any())


def test_max_t_keeps_the_family_wise_level_and_plain_p_does_not(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    n, adjusted, plain = simulations(N_SIMULATIONS), 0, 0
    for simulation in range(n):
        test = cohort(simulation)
        adjusted += any_rejection(max_t(test.statistic, test.null))
        plain += any_rejection(test.p_permutation)
    low, high = acceptance(n, ALPHA)
    assert low <= show(adjusted, n, ALPHA, "max-T") <= high
    assert show(plain, n, ALPHA, "plain p") > high


def test_max_t_keeps_it_among_true_effects(
    acceptance: Region, simulations: Number, show: Show
) -> None:
    """Strong control: stepping past two true effects gives the six nulls no more room."""
    n, false_alarms, found = simulations(N_SIMULATIONS), 0, 0
    for simulation in range(n):
        test = cohort(simulation, n_planted=2)
        adjusted = max_t(test.statistic, test.null)
        false_alarms += any_rejection(adjusted[2:])
        found += any_rejection(adjusted[:2])
    _, high = acceptance(n, ALPHA)
    assert show(false_alarms, n, ALPHA) <= high
    assert found > 0.9 * n


def test_false_discovery_rate_is_bounded_among_true_effects(acceptance: Region) -> None:
    shares = []
    for simulation in range(N_SIMULATIONS):
        rejected = false_discovery_rate(cohort(simulation, n_planted=2).p_permutation) <= ALPHA
        shares.append(rejected[2:].sum() / max(1, rejected.sum()))
    # Each share is in [0, 1], so its mean exceeds 0.05 by 4.5 standard errors only by a fault.
    assert np.mean(shares) <= ALPHA + 4.5 * np.std(shares) / np.sqrt(N_SIMULATIONS)
