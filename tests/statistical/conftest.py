"""What the simulations share: how many rejections an honest test may show."""

from collections.abc import Callable

import pytest
from scipy.stats import binom

FALSE_ALARM = 1e-4


@pytest.fixture
def acceptance() -> Callable[[int, float], tuple[int, int]]:
    """Give the exact binomial region of rejections among n simulations at level alpha.

    A test of exactly that level leaves it, on either side together, with chance at most 1e-4.
    """

    def region(n_simulations: int, alpha: float) -> tuple[int, int]:
        low, high = binom.interval(1 - FALSE_ALARM, n_simulations, alpha)
        return int(low), int(high)

    return region
