"""Strata that lie apart are found to be more stable than a cloud without; how far apart decides.

The same runs say how often a phenotype that differs between the strata is found again.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import Variables, stratify

ALPHA = 0.05
N = 60
N_COLUMNS = 6
IDS = tuple(f"sub-{i:02d}" for i in range(N))
STRATUM = np.repeat([0, 1, 2], N // 3)
CONFIG = StratificationConfig.model_validate(
    {
        "targets": ["factor"],
        "n_permutations": 199,
        "robustness": {
            "n_draws": 20,
            "n_null_draws": 5,
            "n_null_phenotypes": 99,
            "n_matched_nulls": 39,
        },
    }
)


def cohort(distance: float, simulation: int) -> tuple[EmbeddingTable, Participants]:
    """Three strata of twins at the corners of a triangle; a phenotype 1 deviation apart."""
    rng = np.random.default_rng([71, simulation])
    shared = np.repeat(rng.standard_normal((N // 2, N_COLUMNS)), 2, axis=0)
    values = np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.standard_normal((N, N_COLUMNS))
    # Corners of an equilateral triangle of side `distance`, in the first three columns.
    values[np.arange(N), STRATUM] += distance / np.sqrt(2)
    frame = pd.DataFrame(
        {
            "score": STRATUM + rng.standard_normal(N),
            "family": [f"fam-{i // 2}" for i in range(N)],
        },
        index=pd.Index(IDS, name="participant_id"),
    )
    rotation = np.linalg.qr(rng.standard_normal((N_COLUMNS, N_COLUMNS)))[0]
    table = EmbeddingTable("simulated", IDS, values @ rotation, ("validation",) * N)
    return table, Participants(frame, group_by="family")


@pytest.mark.parametrize(
    ("distance", "fewest", "most"), [(2.0, 0.0, 0.4), (4.0, 0.25, 0.85), (6.0, 0.75, 1.0)]
)
def test_stability_and_replication_grow_with_the_distance_of_strata(
    distance: float,
    fewest: float,
    most: float,
    simulations: Callable[[int], int],
    record: Callable[..., None],
) -> None:
    n = min(simulations(16), 100)
    nulls, found = [], []
    for simulation in range(n):
        report = stratify(*cohort(distance, simulation), CONFIG, Variables(("score",)), simulation)
        replication = report.replication("factor", "factor_1")
        assert report.robustness is not None
        assert replication is not None
        nulls.append(report.robustness.matched_null)
        found.append(replication)
    p_values = np.array([1.0 if null.p_value is None else null.p_value for null in nulls])
    n_found = int((p_values <= ALPHA).sum())
    record(
        f"planted_{distance:g}",
        distance=distance,
        count=n_found,
        n=n,
        alpha=ALPHA,
        observed=[null.observed for null in nulls],
        null_mean=[null.null_mean for null in nulls],
        rate=[replication.rate for replication in found],
        null_rate_high=[replication.null_rate_high for replication in found],
        floor=CONFIG.robustness.min_replication_rate,
    )
    rate = np.mean([replication.rate for replication in found])
    print(f"\nstrata {distance:g} apart: more stable in {n_found} of {n}; mean rate {rate:.2f}")
    assert fewest * n <= n_found <= most * n
