import warnings

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.strata import (
    DegeneratePartition,
    NonConvergence,
    Partition,
    find_strata,
    similarity,
    standardise,
)


def settings(**affinity: object) -> StratificationConfig:
    return StratificationConfig(affinity_propagation=affinity)


def ids(n: int) -> tuple[str, ...]:
    return tuple(f"sub-{i:03d}" for i in range(n))


def test_planted_clouds_are_found(
    table: EmbeddingTable, truth: np.ndarray, config: StratificationConfig
) -> None:
    found = find_strata(table.values, table.participant_ids, config)
    assert isinstance(found, Partition)
    assert adjusted_rand_score(truth, found.labels) == 1.0
    assert found.sizes == (20, 20, 20)
    assert found.silhouette is not None
    assert found.silhouette > 0.3
    row = {name: i for i, name in enumerate(found.participant_ids)}
    assert [found.labels[row[name]] for name in found.exemplar_ids] == [0, 1, 2]


def test_strata_are_numbered_by_size() -> None:
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], [5, 20, 10])
    values = 20.0 * np.eye(3)[truth] + rng.standard_normal((35, 3))
    found = find_strata(values, ids(35), StratificationConfig())
    assert isinstance(found, Partition)
    assert found.sizes == (20, 10, 5)
    assert [found.labels.count(k) for k in range(3)] == [20, 10, 5]


def test_columns_without_variance_are_dropped_and_counted(
    table: EmbeddingTable, config: StratificationConfig
) -> None:
    n = len(table.participant_ids)
    rounding = 1000.0 + np.float32(1e-4) * np.arange(n) / n
    padded = np.column_stack([np.full(n, 0.1), table.values, np.zeros(n), rounding])
    found = find_strata(padded, table.participant_ids, config)
    plain = find_strata(table.values, table.participant_ids, config)
    assert isinstance(found, Partition)
    assert isinstance(plain, Partition)
    assert (found.n_columns, found.n_dropped_columns) == (11, 3)
    assert found.labels == plain.labels
    assert plain.n_dropped_columns == 0


def test_standardised_columns_have_unit_variance() -> None:
    values = np.random.default_rng(0).normal(3.0, [1e-3, 1.0, 1e4], (50, 3))
    standardised, n_dropped = standardise(values)
    assert n_dropped == 0
    np.testing.assert_allclose(standardised.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(standardised.std(axis=0), 1.0)


def test_similarity_is_the_negative_squared_distance() -> None:
    points = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    expected = [[0.0, -25.0, -1.0], [-25.0, 0.0, -18.0], [-1.0, -18.0, 0.0]]
    np.testing.assert_allclose(similarity(points), expected)


def test_preferences_are_recorded_and_lower_ones_give_fewer_strata() -> None:
    values = np.random.default_rng(3).standard_normal((80, 2))
    pairs = similarity(standardise(values)[0])[np.triu_indices(80, k=1)]
    numbers = {}
    for preference, expected in [
        ("median", np.median(pairs)),
        ("minimum", pairs.min()),
        (-500.0, -500.0),
    ]:
        found = find_strata(values, ids(80), settings(preference=preference))
        assert not isinstance(found, NonConvergence)
        assert found.preference == pytest.approx(expected)
        numbers[preference] = len(found.sizes)
    assert numbers["median"] > numbers["minimum"] >= numbers[-500.0]


@pytest.mark.parametrize("rounds", [1, 5])
def test_non_convergence_is_typed_and_silent(table: EmbeddingTable, rounds: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_strata(
            table.values, table.participant_ids, settings(max_iterations=rounds, damping=0.5)
        )
    assert isinstance(found, NonConvergence)
    assert found.n_iterations == rounds
    assert "max_iterations" in found.reason
    assert not hasattr(found, "labels")


def test_one_stratum_is_degenerate(table: EmbeddingTable) -> None:
    found = find_strata(table.values, table.participant_ids, settings(preference=-1e5))
    assert isinstance(found, DegeneratePartition)
    assert found.sizes == (60,)
    assert found.silhouette is None
    assert "one stratum" in found.reason


def test_a_stratum_of_one_is_degenerate_and_can_be_looked_at(table: EmbeddingTable) -> None:
    values = np.vstack([table.values, np.full(8, 100.0)])
    found = find_strata(values, (*table.participant_ids, "sub-far"), settings(preference=-40.0))
    assert isinstance(found, DegeneratePartition)
    assert found.sizes[-1] == 1
    assert found.exemplar_ids[-1] == "sub-far"
    assert len(found.labels) == 61
    assert "1 of" in found.reason


def test_a_collapsed_encoder_is_degenerate() -> None:
    found = find_strata(np.full((20, 4), 0.3), ids(20), StratificationConfig())
    assert isinstance(found, DegeneratePartition)
    assert found.n_dropped_columns == 4
    assert found.preference is None
    assert "collapsed" in found.reason


def test_equidistant_subjects_are_degenerate() -> None:
    found = find_strata(np.eye(12), ids(12), settings(preference="median"))
    assert isinstance(found, DegeneratePartition)
    assert "equally similar" in found.reason


def test_too_few_subjects_and_nan_are_errors() -> None:
    values = np.random.default_rng(0).standard_normal((12, 3))
    with pytest.raises(StratificationError, match="at least 10 subjects, got 9"):
        find_strata(values[:9], ids(9), StratificationConfig())
    values[3, 1] = np.nan
    with pytest.raises(StratificationError, match="finite"):
        find_strata(values, ids(12), StratificationConfig())


def test_pca_reduces_and_refuses_what_there_is_not(table: EmbeddingTable) -> None:
    few = find_strata(table.values, table.participant_ids, StratificationConfig(pca_components=2))
    assert isinstance(few, Partition)
    with pytest.raises(StratificationError, match=r"pca_components must be at most 8.*got 9"):
        find_strata(table.values, table.participant_ids, StratificationConfig(pca_components=9))
