import warnings

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import HDBSCAN, AffinityPropagation, AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from isthmus.config.stratification import Clusterer, StratificationConfig
from isthmus.stratification import clusterers
from isthmus.stratification.cloud import Cloud, make_cloud
from isthmus.stratification.clusterers import (
    Clustering,
    Failure,
    assign_to_nearest,
    recluster,
    share_preference,
)

ALL: tuple[Clusterer, ...] = (
    "affinity_propagation",
    "kmeans",
    "gaussian_mixture",
    "ward",
    "hdbscan",
)
# For the planted clouds: a preference, a smallest stratum, a number of strata.
SETTINGS = {"affinity_propagation": -100.0, "hdbscan": 8.0}
N = 150
TRUTH = np.repeat([0, 1, 2], N // 3)


def planted(spread: float = 8.0, **settings: object) -> tuple[Cloud, StratificationConfig]:
    """Three clouds in six columns."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((N, 6)) + spread * rng.standard_normal((3, 6))[TRUTH]
    config = StratificationConfig(**settings)
    return make_cloud(values, config, seed=0), config


def strata(
    cloud: Cloud, rows: np.ndarray, setting: float, config: StratificationConfig, seed: int = 0
) -> Clustering:
    found = recluster(cloud, rows, setting, config, seed)
    assert isinstance(found, Clustering)
    return found


def draw(n: int = 95) -> np.ndarray:
    return np.sort(np.random.default_rng(1).choice(N, n, replace=False))


@pytest.mark.parametrize("clusterer", ALL)
def test_planted_clouds_are_found_in_a_draw(clusterer: Clusterer) -> None:
    cloud, config = planted(clusterer=clusterer)
    rows = draw()
    found = strata(cloud, rows, SETTINGS.get(clusterer, 3.0), config)
    assert found.labels_M.shape == (95,)
    assert adjusted_rand_score(TRUTH[rows], found.labels_M) == 1.0
    # An exemplar stands for its own stratum.
    assert found.labels_M[found.exemplars_K].tolist() == [0, 1, 2]
    again = strata(cloud, rows, SETTINGS.get(clusterer, 3.0), config)
    assert again.labels_M.tolist() == found.labels_M.tolist()
    assert again.exemplars_K.tolist() == found.exemplars_K.tolist()


@pytest.mark.parametrize("clusterer", [name for name in ALL if name != "affinity_propagation"])
def test_the_member_nearest_to_the_mean_stands_for_a_stratum(clusterer: Clusterer) -> None:
    cloud, config = planted(clusterer=clusterer)
    rows = draw()
    found = strata(cloud, rows, SETTINGS.get(clusterer, 3.0), config)
    points = cloud.points_ND[rows]
    for k, exemplar in enumerate(found.exemplars_K):
        members = np.flatnonzero(found.labels_M == k)
        offsets = np.linalg.norm(points[members] - points[members].mean(axis=0), axis=1)
        assert exemplar == members[offsets.argmin()]


@pytest.mark.parametrize("clusterer", ["kmeans", "gaussian_mixture"])
def test_seeds_matter_where_there_are_starts(clusterer: Clusterer) -> None:
    cloud, config = planted(spread=0.0, clusterer=clusterer)
    found = {tuple(strata(cloud, draw(), 9.0, config, seed).labels_M) for seed in range(5)}
    assert len(found) > 1


def test_a_draw_is_given_its_share_of_the_preference() -> None:
    cloud, config = planted(spread=0.5)
    rows = draw()
    points = cloud.points_ND
    gaps = squareform(pdist(points, "sqeuclidean"))
    np.fill_diagonal(gaps, np.inf)
    nearest = -gaps.min(axis=1).mean()
    assert cloud.nearest_similarity == pytest.approx(nearest, rel=1e-6)
    preference = nearest + 95 / 150 * (-60.0 - nearest)
    assert share_preference(cloud, -60.0, 95) == pytest.approx(preference)
    assert share_preference(cloud, -60.0, 150) == -60.0
    model = AffinityPropagation(
        damping=0.9, preference=preference, max_iter=1000, convergence_iter=30, random_state=0
    ).fit(points[rows])
    found = strata(cloud, rows, -60.0, config)
    assert len(found.exemplars_K) > 3
    assert adjusted_rand_score(model.labels_, found.labels_M) == 1.0


@pytest.mark.parametrize(("d", "factor"), [(2, 1.0), (2, 8.0), (10, 2.0), (400, 1.0), (400, 1.5)])
def test_draws_are_cut_as_finely_as_the_whole(d: int, factor: float) -> None:
    # A preference that is not shared cuts draws too coarsely; one that is scaled alone makes
    # everybody an exemplar in many dimensions, where no two similarities differ by as much.
    rng = np.random.default_rng(d)
    config = StratificationConfig()
    cloud = make_cloud(rng.standard_normal((400, d)), config, 0)
    setting = factor * float(np.median(cloud.similarity_LL))
    whole = len(strata(cloud, np.arange(400), setting, config).exemplars_K)
    draws = [np.sort(rng.choice(400, 253, replace=False)) for _ in range(5)]
    counts = [len(strata(cloud, rows, setting, config).exemplars_K) for rows in draws]
    assert np.mean(counts) == pytest.approx(whole, rel=0.15)


def test_whoever_is_no_landmark_joins_the_nearest_exemplar() -> None:
    cloud, config = planted(spread=2.0, affinity_propagation={"landmarks": 60})
    rows = draw()
    found = strata(cloud, rows, -30.0, config)
    assert cloud.landmarks is not None
    is_landmark = np.isin(rows, cloud.landmarks)
    assert found.n_assigned == (~is_landmark).sum()
    assert is_landmark[found.exemplars_K].all()
    points = cloud.points_ND[rows]
    gaps = np.linalg.norm(points[:, None] - points[found.exemplars_K], axis=2)
    np.testing.assert_array_equal(found.labels_M, gaps.argmin(axis=1))
    alone = Cloud(cloud.points_ND[cloud.landmarks], cloud.n_columns, 0)
    drawn = np.flatnonzero(np.isin(cloud.landmarks, rows))
    same = strata(alone, drawn, -30.0, config)
    assert found.labels_M[is_landmark].tolist() == same.labels_M.tolist()


def test_twins_that_are_both_exemplars_keep_a_stratum_each() -> None:
    values = np.repeat(np.random.default_rng(0).standard_normal((40, 3)), 2, axis=0)
    config = StratificationConfig(affinity_propagation={"landmarks": 60})
    cloud = make_cloud(values, config, 0)
    found = strata(cloud, np.arange(80), 1.0, config)  # above all similarities
    assert len(found.exemplars_K) == 60
    assert (np.bincount(found.labels_M, minlength=60) > 0).all()


def test_draws_with_too_few_for_the_setting_fail() -> None:
    cloud, config = planted(affinity_propagation={"landmarks": 60})
    assert cloud.landmarks is not None
    others = np.setdiff1d(np.arange(N), cloud.landmarks)
    for rows, count in ((others, 0), (np.sort(np.append(others, cloud.landmarks[7])), 1)):
        failed = recluster(cloud, rows, -30.0, config, 0)
        assert isinstance(failed, Failure)
        assert f"{count} landmarks were drawn" in failed.reason
    for clusterer in ("kmeans", "gaussian_mixture", "ward", "hdbscan"):
        cloud, config = planted(clusterer=clusterer)
        failed = recluster(cloud, np.arange(5), 6.0, config, 0)
        assert isinstance(failed, Failure)
        assert "5 rows" in failed.reason


def test_what_does_not_settle_is_a_failure_and_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud, config = planted(affinity_propagation={"max_iterations": 5})
    monkeypatch.setattr(clusterers, "_MIXTURE_ROUNDS", 1)
    mixture_cloud, mixture = planted(spread=0.0, clusterer="gaussian_mixture")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failed = recluster(cloud, draw(), -30.0, config, 0)
        mixed = recluster(mixture_cloud, draw(), 5.0, mixture, 0)
    assert isinstance(failed, Failure)
    assert failed.n_iterations == 5
    assert "max_iterations" in failed.reason
    assert isinstance(mixed, Failure)
    assert mixed.n_iterations == 1
    assert "pca_components" in mixed.reason


def test_ward_cuts_its_tree_as_the_library_does() -> None:
    cloud, config = planted(spread=0.5, clusterer="ward")
    landmarks_are_none_of_its_business = Cloud(cloud.points_ND, 6, 0, np.arange(60))
    rows = draw()
    for k in (2, 5, 17, 94, 95):
        expected = AgglomerativeClustering(k).fit_predict(cloud.points_ND[rows])
        for same in (cloud, landmarks_are_none_of_its_business):
            found = strata(same, rows, float(k), config)
            assert adjusted_rand_score(expected, found.labels_M) == 1.0


def test_noise_joins_the_nearest_stratum_and_is_counted() -> None:
    cloud, config = planted(spread=2.5, clusterer="hdbscan")
    rows = draw()
    raw = HDBSCAN(min_cluster_size=8, copy=True).fit(cloud.points_ND[rows]).labels_
    found = strata(cloud, rows, 8.0, config)
    noise = raw < 0
    assert 0 < found.n_assigned == noise.sum() < 95
    assert adjusted_rand_score(raw[~noise], found.labels_M[~noise]) == 1.0
    points = cloud.points_ND[rows]
    means = np.stack([points[raw == k].mean(axis=0) for k in range(raw.max() + 1)])
    nearest = np.linalg.norm(points[noise][:, None] - means, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(found.labels_M[noise], nearest)


def test_nothing_but_noise_is_one_stratum() -> None:
    cloud, config = planted(spread=0.0, clusterer="hdbscan")
    found = strata(cloud, draw(), 8.0, config)
    assert found.labels_M.tolist() == [0] * 95
    assert found.n_assigned == 95
    assert len(found.exemplars_K) == 1


def test_copies_of_few_points_leave_no_stratum_empty() -> None:
    values = np.repeat(np.random.default_rng(0).standard_normal((3, 4)), 10, axis=0)
    for clusterer in ("kmeans", "gaussian_mixture"):
        config = StratificationConfig(clusterer=clusterer)
        cloud = make_cloud(values, config, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = strata(cloud, np.arange(30), 5.0, config)
        sizes = np.bincount(found.labels_M)
        assert (sizes > 0).all()
        assert len(sizes) == len(found.exemplars_K)
        assert adjusted_rand_score(np.repeat([0, 1, 2], 10), found.labels_M) > 0.7


def test_the_first_of_equally_near_centres_is_taken() -> None:
    centres = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]])
    points = np.array([[1.0, 1.0], [1.0, 0.0], [0.1, 1.9]])
    assert assign_to_nearest(points, centres).tolist() == [0, 0, 2]
