"""What the simulations share: how many there are, and how many rejections an honest test may show.

``ISTHMUS_SIMULATIONS=3000 pytest tests/statistical -s --timeout 0`` runs more of them, and prints
each count; docs/statistics.md quotes such a run. With ``ISTHMUS_CALIBRATION=<folder>`` the counts
and p-values are written there, and ``tests/statistical/calibration_figures.py`` draws them.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from isthmus.core.files import write_json

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
def record(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Keep what a simulation found for the figures, one file a name; else do nothing.

    ``record("families_as_blocks", p_values=p, alpha=0.05)``
    """
    folder = os.environ.get("ISTHMUS_CALIBRATION")

    def keep(name: str, **found: Any) -> None:
        if folder is None:
            return
        plain = {
            key: np.asarray(value).tolist() if isinstance(value, np.ndarray | np.generic) else value
            for key, value in found.items()
        }
        write_json(
            Path(folder) / f"{name}.json",
            {"module": request.path.stem, "test": request.node.name, **plain},
        )

    return keep


@pytest.fixture
def show(
    request: pytest.FixtureRequest,
    acceptance: Callable[[int, float], tuple[int, int]],
    record: Callable[..., None],
) -> Callable[..., int]:
    """Print a count of rejections beside its region, keep it, and hand the count on.

    A test that shows several counts gives each a label.
    """
    shown: set[str] = set()

    def line(count: int, n_simulations: int, alpha: float, label: str = "") -> int:
        assert label not in shown, "each count that a test shows needs a label of its own"
        shown.add(label)
        low, high = acceptance(n_simulations, alpha)
        share = f"{count / n_simulations:.1%}"
        title = f"{request.node.name}: {label}" if label else request.node.name
        print(f"\n{title}: {count} of {n_simulations} ({share}); {low} to {high}")
        name = "".join(c if c.isalnum() else "_" for c in f"count_{request.path.stem}_{title}")
        record(name, title=title, count=int(count), n=n_simulations, alpha=alpha)
        return count

    return line
