import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from isthmus.config.stratification import Clusterer, StratificationConfig
from isthmus.core.seeds import derive_seed
from isthmus.stratification import silhouette as silhouettes
from isthmus.stratification.cloud import Cloud, make_cloud, similarity
from isthmus.stratification.clusterers import Clustering, recluster
from isthmus.stratification.resampling import draw_rows
from isthmus.stratification.silhouette import measure_distances, silhouette
from isthmus.stratification.sweep import (
    MARGIN,
    N_DRAWS,
    N_PREFERENCES,
    Tried,
    preferences,
    summarise_pairs,
    sweep,
    to_points,
)

Swept = tuple[Tried | None, tuple[Tried, ...]]


def planted(n: int, k: int, spread: float, d: int = 5, seed: int = 0) -> np.ndarray:
    """Make k clouds of about the same size."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) + spread * rng.standard_normal((k, d))[np.arange(n) % k]


def corners(n: int, k: int) -> np.ndarray:
    """Make k clouds of about the same size, each as far from all others."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 5)) + 12.0 * np.eye(k, 5)[np.arange(n) % k]


def run(values: np.ndarray, seed: int = 0, **settings: object) -> tuple[Cloud, Swept]:
    config = StratificationConfig(**settings)
    cloud = make_cloud(values, config, seed)
    families = [i // 2 for i in range(cloud.n)]
    distances = measure_distances(cloud, seed)
    return cloud, sweep(cloud, families, distances, config, seed)


def labels_of(one: Tried) -> np.ndarray:
    assert isinstance(one.outcome, Clustering)
    return one.outcome.labels_M


def test_preferences_fall_from_the_median_to_that_of_one_stratum() -> None:
    cloud = make_cloud(planted(60, 3, 2.0), StratificationConfig(), 0)
    found = np.array(preferences(cloud.similarity_LL))
    pairs = cloud.similarity_LL[np.triu_indices(60, k=1)]
    assert len(found) == N_PREFERENCES
    assert found[0] == pytest.approx(np.median(pairs))
    assert found[-1] == pytest.approx(60 * np.median(pairs))
    np.testing.assert_allclose(found[1:] / found[:-1], found[1] / found[0])
    assert found[-1] < pairs.min() < found[0]
    assert summarise_pairs(cloud.similarity_LL, "minimum") == pairs.min()


def test_preferences_of_mostly_identical_subjects_are_not_zero() -> None:
    values = np.concatenate([np.zeros(50), [1.0, 2.0, 4.0]])[:, None]
    found = preferences(similarity(values))
    assert found[0] < 0
    assert found[-1] < found[0]


@pytest.mark.parametrize(
    "clusterer", ["affinity_propagation", "kmeans", "gaussian_mixture", "ward"]
)
def test_the_planted_number_is_found(clusterer: Clusterer) -> None:
    _, (chosen, tried) = run(corners(120, 4), clusterer=clusterer, max_strata=8)
    assert chosen is not None
    assert adjusted_rand_score(np.arange(120) % 4, labels_of(chosen)) == 1.0
    assert sum(one is chosen for one in tried) == 1


def test_the_rule_is_what_is_documented() -> None:
    n_told_apart = 0
    for seed, spread in enumerate([0.0, 0.6, 0.9, 1.2, 2.0, 0.3]):
        cloud, (chosen, tried) = run(planted(90, 4, spread, seed=seed), max_strata=9)
        assert chosen is not None
        eligible = [one for one in tried if one.silhouette is not None]
        for one in tried:
            if isinstance(one.outcome, Clustering):
                sizes = np.bincount(one.outcome.labels_M)
                able = 2 <= len(sizes) <= 9 and sizes.min() > 1
                assert (one.silhouette is not None) == able
        for one in eligible:
            expected = silhouette_score(cloud.points_ND, labels_of(one))
            assert one.silhouette == pytest.approx(expected, abs=1e-6)
        best = max(one.silhouette for one in eligible)
        close = [one for one in eligible if one.silhouette >= best - MARGIN * abs(best)]
        assert chosen in close
        compared = [one for one in tried if one.stability is not None]
        assert all(one in close for one in compared)
        if compared:
            n_told_apart += 1
            assert chosen.stability == max(one.stability for one in compared)
        else:
            assert len({tuple(labels_of(one)) for one in close}) == 1
    assert 0 < n_told_apart < 6


def test_stability_is_the_mean_agreement_of_draws() -> None:
    values = planted(90, 4, 0.9, seed=2)
    config = StratificationConfig(max_strata=9)
    cloud, (_, tried) = run(values, seed=3, max_strata=9)
    compared = [one for one in tried if one.stability is not None]
    assert compared
    families = [i // 2 for i in range(90)]
    for one in compared:
        agreement = []
        for number in range(N_DRAWS):
            rows = draw_rows(families, config.robustness, derive_seed(3, "sweep"), number)
            drawn = recluster(cloud, rows, one.setting, config, 0)
            assert isinstance(drawn, Clustering)
            agreement.append(adjusted_rand_score(labels_of(one)[rows], drawn.labels_M))
        assert one.stability == pytest.approx(np.mean(agreement))


def test_the_middle_of_settings_with_one_partition_is_taken() -> None:
    _, (chosen, tried) = run(planted(80, 3, 12.0))
    assert chosen is not None
    same = [
        i
        for i, one in enumerate(tried)
        if isinstance(one.outcome, Clustering)
        and adjusted_rand_score(labels_of(one), labels_of(chosen)) == 1.0
    ]
    assert len(same) > 2
    assert tried.index(chosen) == same[len(same) // 2]


def test_equally_stable_candidates_go_to_fewer_strata(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.stratification.sweep.MARGIN", 10.0)
    # Far apart and small: every number of strata up to the planted one comes back in every draw.
    values = np.repeat([[0.0], [1.0], [100.0], [101.0]], 20, axis=0)
    values += 1e-3 * np.random.default_rng(0).standard_normal((80, 1))
    _, (chosen, tried) = run(values, clusterer="ward", max_strata=4)
    perfect = [one for one in tried if one.stability == 1.0]
    assert len(perfect) > 1
    assert chosen is not None
    assert len(np.unique(labels_of(chosen))) == 2


def test_it_stops_where_two_strata_are_left() -> None:
    _, (chosen, tried) = run(planted(100, 2, 10.0))
    assert chosen is not None
    assert len(tried) < N_PREFERENCES
    counts = [len(np.unique(labels_of(one))) for one in tried]
    assert counts[-1] == 2
    assert all(count > 2 for count in counts[:-1])


def test_numbers_of_strata_are_bounded_by_the_limit_and_the_subjects() -> None:
    values = planted(12, 2, 4.0)
    for limit, expected in ((5, range(2, 6)), (20, range(2, 12))):
        _, (_, tried) = run(values, clusterer="ward", max_strata=limit)
        assert [one.setting for one in tried] == list(expected)


def test_a_sweep_may_find_nothing() -> None:
    far = np.vstack([planted(30, 1, 0.0), np.full((1, 5), 1e4)])
    _, (chosen, tried) = run(far, clusterer="ward", max_strata=3)
    assert chosen is None
    points = to_points(tried, chosen)
    assert [point.outcome for point in points] == ["degenerate_partition"] * 2
    assert [point.smallest for point in points] == [1, 1]
    assert not any(point.chosen for point in points)
    _, (chosen, tried) = run(
        planted(40, 2, 3.0), affinity_propagation={"max_iterations": 4}, max_strata=5
    )
    assert chosen is None
    assert len(tried) == N_PREFERENCES
    assert {point.outcome for point in to_points(tried, None)} == {"non_convergence"}


def test_the_record_says_what_was_chosen() -> None:
    _, (chosen, tried) = run(corners(120, 4), max_strata=8)
    points = to_points(tried, chosen)
    assert [point.setting for point in points] == [one.setting for one in tried]
    (taken,) = [point for point in points if point.chosen]
    assert chosen is not None
    assert (taken.setting, taken.n_strata, taken.smallest) == (chosen.setting, 4, 30)
    assert taken.outcome == "partition"


def test_large_cohorts_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = make_cloud(planted(400, 3, 3.0), StratificationConfig(), 0)
    labels = np.arange(400) % 3
    whole = silhouette(measure_distances(cloud, 0), labels)
    assert whole == pytest.approx(silhouette_score(cloud.points_ND, labels), abs=1e-6)
    monkeypatch.setattr(silhouettes, "MOST_SUBJECTS", 150)
    sampled = measure_distances(cloud, 1)
    assert sampled.distances_MM.shape == (150, 150)
    assert (np.diff(sampled.rows_M) > 0).all()
    found = silhouette(sampled, labels)
    rows = sampled.rows_M
    assert found == pytest.approx(silhouette_score(cloud.points_ND[rows], labels[rows]), abs=1e-6)
    assert not np.array_equal(measure_distances(cloud, 2).rows_M, rows)


def test_silhouettes_of_a_kind_that_has_none() -> None:
    cloud = make_cloud(planted(20, 2, 3.0), StratificationConfig(), 0)
    distances = measure_distances(cloud, 0)
    assert silhouette(distances, np.zeros(20, dtype=np.intp)) is None
    assert silhouette(distances, np.arange(20)) is None
    lonely = np.zeros(20, dtype=np.intp)
    lonely[3] = 7  # numbering may have gaps
    expected = silhouette_score(cloud.points_ND, lonely)
    assert silhouette(distances, lonely) == pytest.approx(expected, abs=1e-6)


def test_silhouettes_with_landmarks_are_over_everybody() -> None:
    values = planted(200, 3, 3.0)
    config = StratificationConfig(affinity_propagation={"landmarks": 60})
    cloud = make_cloud(values, config, 0)
    assert measure_distances(cloud, 0).distances_MM.shape == (200, 200)
