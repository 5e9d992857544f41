import dataclasses
import warnings

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from isthmus.config.stratification import Clusterer, StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.partition import (
    DegeneratePartition,
    NonConvergence,
    Partition,
    StrataOutcome,
)
from isthmus.stratification.strata import find_strata


def settings(**affinity: object) -> StratificationConfig:
    return StratificationConfig(affinity_propagation=affinity)


def ids(n: int) -> tuple[str, ...]:
    return tuple(f"sub-{i:03d}" for i in range(n))


def strata(values: np.ndarray, config: StratificationConfig, seed: int = 0) -> StrataOutcome:
    """Cluster subjects, each a family alone."""
    names = ids(len(values))
    return find_strata(make_cloud(values, config, seed), names, names, config, seed)


def test_planted_clouds_are_found(
    table: EmbeddingTable, truth: np.ndarray, config: StratificationConfig
) -> None:
    found = strata(table.values, config)
    assert isinstance(found, Partition)
    assert adjusted_rand_score(truth, found.labels) == 1.0
    assert found.sizes == (20, 20, 20)
    points = make_cloud(table.values, config, 0).points_ND
    assert found.silhouette == pytest.approx(silhouette_score(points, found.labels), abs=1e-6)
    row = {name: i for i, name in enumerate(found.participant_ids)}
    assert [found.labels[row[name]] for name in found.exemplar_ids] == [0, 1, 2]
    (taken,) = [point for point in found.sweep if point.chosen]
    assert (taken.setting, taken.silhouette) == (found.setting, found.silhouette)
    assert (found.clusterer, found.n_assigned) == ("affinity_propagation", 0)


@pytest.mark.parametrize(
    ("clusterer", "given", "setting"),
    [
        ("affinity_propagation", {"affinity_propagation": {"preference": -30.0}}, -30.0),
        ("kmeans", {"n_strata": 3}, 3.0),
        ("gaussian_mixture", {"n_strata": 3}, 3.0),
        ("ward", {"n_strata": 3}, 3.0),
        ("hdbscan", {"min_cluster_size": 8}, 8.0),
    ],
)
def test_a_setting_that_is_given_is_taken(
    clusterer: Clusterer,
    given: dict[str, object],
    setting: float,
    table: EmbeddingTable,
    truth: np.ndarray,
) -> None:
    found = strata(table.values, StratificationConfig(clusterer=clusterer, **given))
    assert isinstance(found, Partition)
    assert adjusted_rand_score(truth, found.labels) == 1.0
    assert (found.clusterer, found.setting, found.sweep) == (clusterer, setting, ())
    assert found.silhouette is not None


@pytest.mark.parametrize("clusterer", ["kmeans", "gaussian_mixture", "ward"])
def test_numbers_of_strata_are_swept(
    clusterer: Clusterer, table: EmbeddingTable, truth: np.ndarray
) -> None:
    found = strata(table.values, StratificationConfig(clusterer=clusterer, max_strata=6))
    assert isinstance(found, Partition)
    assert adjusted_rand_score(truth, found.labels) == 1.0
    assert found.setting == 3.0
    assert [point.setting for point in found.sweep] == [2.0, 3.0, 4.0, 5.0, 6.0]


def test_landmarks_stand_for_the_others(table: EmbeddingTable, truth: np.ndarray) -> None:
    found = strata(table.values, settings(landmarks=50))
    assert isinstance(found, Partition)
    assert adjusted_rand_score(truth, found.labels) == 1.0
    assert found.n_assigned == 10


def test_strata_are_numbered_by_size_then_by_exemplar() -> None:
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1, 2], [5, 20, 10])
    found = strata(20.0 * np.eye(3)[truth] + rng.standard_normal((35, 3)), settings())
    assert isinstance(found, Partition)
    assert found.sizes == (20, 10, 5)
    assert [found.labels.count(k) for k in range(3)] == [20, 10, 5]
    apart = 20.0 * np.eye(3)[np.repeat([2, 0, 1], 10)] + rng.standard_normal((30, 3))
    for seed in range(4):
        config = StratificationConfig(clusterer="kmeans", n_strata=3)
        equal = strata(apart, config, seed)
        assert isinstance(equal, Partition)
        assert equal.sizes == (10, 10, 10)
        assert list(equal.exemplar_ids) == sorted(equal.exemplar_ids)


def test_dropped_columns_are_counted(table: EmbeddingTable) -> None:
    padded = np.column_stack([np.full(60, 0.1), table.values, np.zeros(60)])
    found, plain = strata(padded, settings()), strata(table.values, settings())
    assert isinstance(found, Partition)
    assert (found.n_columns, found.n_dropped_columns) == (10, 2)
    assert dataclasses.replace(found, n_columns=8, n_dropped_columns=0) == plain


def test_preferences_are_recorded_and_lower_ones_give_fewer_strata() -> None:
    values = np.random.default_rng(3).standard_normal((80, 2))
    pairs = make_cloud(values, settings(), 0).similarity_LL[np.triu_indices(80, k=1)]
    numbers = {}
    for preference, expected in [
        ("median", np.median(pairs)),
        ("minimum", pairs.min()),
        (-500.0, -500.0),
    ]:
        found = strata(values, settings(preference=preference))
        assert not isinstance(found, NonConvergence)
        assert found.setting == pytest.approx(expected)
        numbers[preference] = len(found.sizes)
    assert numbers["median"] > numbers["minimum"] >= numbers[-500.0]


def test_it_is_a_function_of_its_arguments(table: EmbeddingTable) -> None:
    noise = np.random.default_rng(5).standard_normal((60, 8))
    for clusterer in ("affinity_propagation", "kmeans", "gaussian_mixture", "ward", "hdbscan"):
        config = StratificationConfig(clusterer=clusterer, max_strata=6)
        assert strata(noise, config, seed=1) == strata(noise, config, seed=1)


def test_rows_that_are_out_of_order_are_refused(table: EmbeddingTable) -> None:
    cloud = make_cloud(table.values, settings(), 0)
    names = ids(60)
    with pytest.raises(StratificationError, match="rising order"):
        find_strata(cloud, names[::-1], names, settings(), 0)
    with pytest.raises(StratificationError, match="rising order"):
        find_strata(cloud, (names[0], *names[:-1]), names, settings(), 0)
    with pytest.raises(StratificationError, match="59 ids and 60 families"):
        find_strata(cloud, names[1:], names, settings(), 0)


@pytest.mark.parametrize("rounds", [1, 5])
def test_non_convergence_is_typed_and_silent(table: EmbeddingTable, rounds: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = strata(
            table.values, settings(preference="median", max_iterations=rounds, damping=0.5)
        )
        swept = strata(table.values, settings(max_iterations=rounds, damping=0.5))
    for outcome in (found, swept):
        assert isinstance(outcome, NonConvergence)
        assert outcome.n_iterations == rounds
        assert "max_iterations" in outcome.reason
        assert not hasattr(outcome, "labels")
    assert found.sweep == ()
    assert {point.outcome for point in swept.sweep} == {"non_convergence"}


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        (settings(preference=-1e5), "Raise stratification.affinity_propagation.preference"),
        (
            StratificationConfig(clusterer="hdbscan", min_cluster_size=55),
            "Lower stratification.min_cluster_size",
        ),
    ],
)
def test_one_stratum_is_degenerate(
    table: EmbeddingTable, config: StratificationConfig, hint: str
) -> None:
    found = strata(table.values, config)
    assert isinstance(found, DegeneratePartition)
    assert found.sizes == (60,)
    assert found.silhouette is None
    assert "one stratum" in found.reason
    assert hint in found.reason


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        (settings(preference=-40.0), "Lower stratification.affinity_propagation.preference"),
        (StratificationConfig(clusterer="ward", n_strata=3), "Lower stratification.n_strata"),
    ],
)
def test_a_stratum_of_one_is_degenerate_and_can_be_looked_at(
    table: EmbeddingTable, config: StratificationConfig, hint: str
) -> None:
    values = np.vstack([table.values, np.full(8, 100.0)])
    found = strata(values, config)
    assert isinstance(found, DegeneratePartition)
    assert found.sizes[-1] == 1
    assert found.exemplar_ids[-1] == "sub-060"
    assert len(found.labels) == 61
    assert "1 of" in found.reason
    assert hint in found.reason


def test_a_sweep_that_finds_nothing_is_degenerate(table: EmbeddingTable) -> None:
    values = np.vstack([table.values, np.full(8, 1e5)])
    found = strata(values, StratificationConfig(clusterer="ward", max_strata=4))
    assert isinstance(found, DegeneratePartition)
    assert "no partition into 2 to 4 strata" in found.reason
    assert len(found.sizes) == 2  # the fewest of what was tried
    assert len(found.sweep) == 3
    assert not any(point.chosen for point in found.sweep)


def test_a_sweep_keeps_to_the_most_strata_allowed() -> None:
    line = np.repeat(np.arange(12.0), 5)[:, None] * 100.0
    values = line + np.random.default_rng(0).standard_normal((60, 1))
    found = strata(values, StratificationConfig(clusterer="kmeans", max_strata=20))
    assert isinstance(found, Partition)
    assert len(found.sizes) == 12
    few = strata(values, StratificationConfig(clusterer="kmeans", max_strata=3))
    assert isinstance(few, Partition)
    assert len(few.sizes) <= 3


def test_a_collapsed_encoder_is_degenerate() -> None:
    for clusterer in ("affinity_propagation", "kmeans"):
        found = strata(np.full((20, 4), 0.3), StratificationConfig(clusterer=clusterer))
        assert isinstance(found, DegeneratePartition)
        assert found.n_dropped_columns == 4
        assert found.setting is None
        assert found.sizes == (20,)
        assert "collapsed" in found.reason


def test_equidistant_subjects_are_degenerate() -> None:
    for clusterer in ("affinity_propagation", "ward"):
        found = strata(np.eye(12), StratificationConfig(clusterer=clusterer))
        assert isinstance(found, DegeneratePartition)
        assert "equally similar" in found.reason
    almost = np.eye(12)
    almost[0, 1] = 0.1
    assert "equally similar" not in getattr(strata(almost, settings()), "reason", "")


def test_settings_that_the_cohort_cannot_meet_are_errors() -> None:
    values = np.random.default_rng(0).standard_normal((12, 3))
    with pytest.raises(StratificationError, match=r"n_strata must be at most 11.*got 12"):
        strata(values, StratificationConfig(clusterer="ward", n_strata=12))
    with pytest.raises(StratificationError, match=r"min_cluster_size must be at most 12.*got 13"):
        strata(values, StratificationConfig(clusterer="hdbscan", min_cluster_size=13))
    config = settings()
    cloud = make_cloud(values, config, 0)
    families = ["clan"] * 7 + ["a", "b", "c", "d", "e"]
    with pytest.raises(StratificationError, match="family clan holds 7 of 12"):
        find_strata(cloud, ids(12), families, config, 0)
    ignored = StratificationConfig(blocks="none")
    assert find_strata(cloud, ids(12), families, ignored, 0).participant_ids == ids(12)
