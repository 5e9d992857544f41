"""Stability against matched nulls, and replication against permuted phenotypes, mean what they say.

No strata and no association: both p-values reject as often as they may. Strata that are there, or
an association that is, are found.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import RobustnessReport, Variables, stratify
from isthmus.stratification.partition import Partition

ALPHA = 0.05


def settings(n_matched_nulls: int, n_draws: int = 5) -> StratificationConfig:
    """The smallest job that has p-values."""
    return StratificationConfig(
        n_permutations=99,
        targets=("factor",),
        robustness={
            "n_draws": n_draws,
            "n_null_draws": 5,
            "n_null_phenotypes": 99,
            "n_matched_nulls": n_matched_nulls,
        },
    )


def cloud(rng: np.random.Generator, n: int, n_columns: int, twins: float) -> np.ndarray:
    """One Gaussian of falling spectrum; consecutive pairs correlate by `twins`."""
    shared = np.repeat(rng.standard_normal((n // 2, n_columns)), 2, axis=0)
    own = rng.standard_normal((n, n_columns))
    lengths = 1.0 / np.sqrt(1.0 + np.arange(n_columns))
    mixing = np.linalg.qr(rng.standard_normal((n_columns, n_columns)))[0]
    return (np.sqrt(twins) * shared + np.sqrt(1.0 - twins) * own) * lengths @ mixing


def planted(rng: np.random.Generator, stratum: np.ndarray, twins: float) -> np.ndarray:
    """Strata apart in every one of six columns."""
    centres = 3.0 * rng.standard_normal((int(stratum.max()) + 1, 6))
    return cloud(rng, len(stratum), 6, twins) + centres[stratum]


def run(
    values: np.ndarray, phenotype: np.ndarray, config: StratificationConfig, seed: int
) -> RobustnessReport:
    """The job on pairs of twins."""
    ids = tuple(f"s{i:03d}" for i in range(len(values)))
    frame = pd.DataFrame(
        {"score": phenotype, "family": [f"f{i // 2}" for i in range(len(values))]},
        index=pd.Index(ids, name="participant_id"),
    )
    table = EmbeddingTable("e", ids, values, ("validation",) * len(ids))
    people = Participants(frame, group_by="family")
    return stratify(table, people, config, Variables(("score",)), seed)


@pytest.mark.parametrize(
    ("n_columns", "twins"), [(6, 0.0), (120, 0.0), (6, 0.8)], ids=["low", "high", "twins"]
)
def test_a_cloud_without_strata_is_called_stable_as_often_as_it_may_be(
    n_columns: int,
    twins: float,
    simulations: Callable[[int], int],
    acceptance: Callable[[int, float], tuple[int, int]],
    show: Callable[[int, int, float], int],
    record: Callable[..., None],
) -> None:
    n_simulations = simulations(60)
    nulls = []
    for simulation in range(n_simulations):
        rng = np.random.default_rng([1, n_columns, int(10 * twins), simulation])
        values = cloud(rng, 60, n_columns, twins)
        report = run(values, rng.standard_normal(60), settings(19), simulation)
        if isinstance(report.strata, Partition):
            nulls.append(report.robustness.matched_null)
    tested = [null for null in nulls if null.p_value is not None]
    assert len(tested) > n_simulations / 2
    record(
        f"null_stability_{n_columns}_columns_twins_{twins}",
        p_values=[null.p_value for null in tested],
        observed=[null.observed for null in tested],
        null_mean=[null.null_mean for null in tested],
    )
    count = show(sum(null.p_value <= ALPHA for null in tested), len(tested), ALPHA)
    assert count <= acceptance(len(tested), ALPHA)[1]


def test_strata_that_are_there_are_more_stable_than_a_cloud_without() -> None:
    found = 0
    for simulation in range(10):
        rng = np.random.default_rng([2, simulation])
        values = planted(rng, np.repeat([0, 1, 2], 20), 0.5)
        report = run(values, rng.standard_normal(60), settings(19), simulation)
        assert isinstance(report.strata, Partition)
        found += report.robustness.matched_null.p_value <= ALPHA
    assert found >= 9


def test_unrelated_phenotypes_replicate_as_often_as_they_may(
    simulations: Callable[[int], int],
    acceptance: Callable[[int, float], tuple[int, int]],
    show: Callable[[int, int, float], int],
    record: Callable[..., None],
) -> None:
    """Twins share strata and scores, strata are real, and nothing relates the two."""
    n_simulations = simulations(80)
    p_values, rates = [], []
    for simulation in range(n_simulations):
        rng = np.random.default_rng([3, simulation])
        values = planted(rng, np.repeat(rng.permutation(30) % 3, 2), 0.9)
        score = np.repeat(rng.standard_normal(30), 2) + 0.3 * rng.standard_normal(60)
        report = run(values, score, settings(19, n_draws=20), simulation)
        replication = report.replication("factor", "factor_1")
        p_values.append(replication.p_rate)
        rates.append((replication.rate, replication.null_rate, replication.null_rate_high))
    rate, null_rate, high = np.transpose(rates)
    record("replication_null", rate=rate, null_rate_high=high, p_values=p_values)
    count = show(sum(p <= ALPHA for p in p_values), n_simulations, ALPHA)
    assert count <= acceptance(n_simulations, ALPHA)[1]
    assert rate.mean() == pytest.approx(null_rate.mean(), abs=0.05)


def test_a_planted_association_comes_back() -> None:
    robust = 0
    for simulation in range(10):
        rng = np.random.default_rng([4, simulation])
        stratum = np.repeat([0, 1, 2], 20)
        values = planted(rng, stratum, 0.5)
        report = run(values, stratum + rng.standard_normal(60), settings(19, 20), simulation)
        robust += report.family("factor").associations[0].verdict == "robust"
    assert robust >= 9
