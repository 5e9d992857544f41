"""What the simulations share: how many there are, and how many rejections an honest test may show.

``ISTHMUS_SIMULATIONS=3000 pytest tests/statistical -s --timeout 0`` runs more of them, and prints
each count; docs/statistics.md quotes such a run.
"""

import os
from collections.abc import Callable

import pytest
from scipy.stats import binom

FALSE_ALARM = 1e-4


@pytest.fixture
def simulations() -> Callable[[int], int]:
    """Give the number of simulations: the test's own unless ISTHMUS_SIMULATIONS names another."""

    def number(of_the_test: int) -> int:
        return int(os.environ.get("ISTHMUS_SIMULATIONS", of_the_test))

    return number


@pytest.fixture
def acceptance() -> Callable[[int, float], tuple[int, int]]:
    """Give the exact binomial region of rejections among n simulations at level alpha.

    A test of exactly that level leaves it, on either side together, with chance at most 1e-4.
    """

    def region(n_simulations: int, alpha: float) -> tuple[int, int]:
        low, high = binom.interval(1 - FALSE_ALARM, n_simulations, alpha)
        return int(low), int(high)

    return region


@pytest.fixture
def show(
    request: pytest.FixtureRequest, acceptance: Callable[[int, float], tuple[int, int]]
) -> Callable[[int, int, float], int]:
    """Print a count of rejections beside its region, and hand the count on."""

    def line(count: int, n_simulations: int, alpha: float) -> int:
        low, high = acceptance(n_simulations, alpha)
        share = f"{count / n_simulations:.1%}"
        print(f"\n{request.node.name}: {count} of {n_simulations} ({share}); {low} to {high}")
        return count

    return line
