import pickle
import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.cloud import make_cloud, principal_components, similarity, standardise

CONFIG = StratificationConfig()


def embeddings(n: int, d: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + rng.standard_normal(d)


@pytest.mark.parametrize(("n", "d"), [(40, 7), (40, 40), (40, 90)])
def test_distances_are_those_of_the_standardised_embedding(n: int, d: int) -> None:
    values = embeddings(n, d)
    cloud = make_cloud(values, CONFIG, seed=0)
    assert cloud.points_ND.shape == (n, min(n - 1, d))
    assert (cloud.n, cloud.n_columns, cloud.n_dropped_columns) == (n, d, 0)
    expected = -cdist(*[standardise(values)[0]] * 2, "sqeuclidean")
    np.testing.assert_allclose(cloud.similarity_LL, expected, rtol=1e-9, atol=1e-9 * d)
    # Principal components: uncorrelated, the largest variance first.
    product = cloud.points_ND.T @ cloud.points_ND
    np.testing.assert_allclose(product, np.diag(np.diag(product)), atol=1e-9 * product.max())
    assert (np.diff(np.diag(product)) <= 1e-9 * product.max()).all()


@pytest.mark.parametrize(("n", "d"), [(30, 12), (30, 80)])
def test_components_are_those_of_the_library_but_for_signs(n: int, d: int) -> None:
    centred = embeddings(n, d) - embeddings(n, d).mean(axis=0)
    found = principal_components(centred)
    expected = PCA(found.shape[1], svd_solver="full").fit_transform(centred)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-6 * np.abs(found).max())
    assert (found[np.abs(found).argmax(axis=0), range(found.shape[1])] > 0).all()


def test_components_asked_for_are_the_first() -> None:
    values = embeddings(40, 90)
    whole = make_cloud(values, CONFIG, 0)
    few = make_cloud(values, StratificationConfig(pca_components=5), 0)
    np.testing.assert_array_equal(few.points_ND, whole.points_ND[:, :5])
    with pytest.raises(StratificationError, match=r"pca_components must be at most 40.*got 41"):
        make_cloud(values, StratificationConfig(pca_components=41), 0)


def test_rank_counts_and_not_columns() -> None:
    rng = np.random.default_rng(0)
    flat = rng.standard_normal((50, 3)) @ rng.standard_normal((3, 20))
    assert make_cloud(flat, CONFIG, 0).points_ND.shape == (50, 3)


def test_columns_without_variance_are_dropped_and_counted() -> None:
    n, values = 60, embeddings(60, 8)
    rounding = 1000.0 + np.float32(1e-4) * np.arange(n) / n
    padded = np.column_stack([np.full(n, 0.1), values, np.zeros(n), rounding])
    cloud = make_cloud(padded, CONFIG, 0)
    assert (cloud.n_columns, cloud.n_dropped_columns) == (11, 3)
    np.testing.assert_array_equal(cloud.points_ND, make_cloud(values, CONFIG, 0).points_ND)
    collapsed = make_cloud(np.full((20, 4), 0.3), StratificationConfig(pca_components=2), 0)
    assert collapsed.points_ND.shape == (20, 0)
    assert (collapsed.n, collapsed.n_dropped_columns) == (20, 4)


def test_standardised_columns_have_unit_variance() -> None:
    values = np.random.default_rng(0).normal(3.0, [1e-3, 1.0, 1e4], (50, 3))
    standardised, n_dropped = standardise(values)
    assert n_dropped == 0
    np.testing.assert_allclose(standardised.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(standardised.std(axis=0), 1.0)


@pytest.mark.parametrize("n", [3, 1023, 1024, 1100])
def test_similarity_is_symmetric_and_never_positive(n: int) -> None:
    points = np.random.default_rng(n).standard_normal((n, 4)) + 100.0
    points[-1] = points[0]  # identical twins, in different blocks
    found = similarity(points)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, found.T)
    assert not np.diag(found).any()
    assert not np.signbit(np.diag(found)).any()
    assert (found <= 0).all()
    np.testing.assert_allclose(found, -cdist(points, points, "sqeuclidean"), 1e-9, 1e-9)
    assert found[0, -1] == pytest.approx(0.0, abs=1e-9)


def test_points_far_from_the_origin_are_not_pushed_apart_beyond_nothing() -> None:
    points = 1e4 + np.repeat(np.random.default_rng(0).standard_normal((200, 6)), 2, axis=0)
    found = similarity(points)
    assert (found <= 0).all()  # copies, where rounding leaves either sign
    np.testing.assert_allclose(found, -cdist(points, points, "sqeuclidean"), 1e-6, 1e-5)


def test_many_rows_are_rounded_once_to_half_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).standard_normal((300, 4))
    exact = similarity(points)
    monkeypatch.setattr("isthmus.stratification.cloud.MOST_EXACT", 299)
    rounded = similarity(points)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded, exact.astype(np.float32))


def test_similarity_holds_one_matrix_and_a_few_blocks() -> None:
    n = 5000
    points = np.random.default_rng(0).standard_normal((n, 3))
    tracemalloc.start()
    similarity(points)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * n**2 + 5 * 8 * 1024**2 < 8 * n**2


def test_similarities_are_computed_once_and_not_pickled() -> None:
    cloud = make_cloud(embeddings(80, 5), CONFIG, 0)
    before = len(pickle.dumps(cloud))
    first = cloud.similarity_LL
    assert cloud.similarity_LL is first
    assert not first.flags.writeable
    assert len(pickle.dumps(cloud)) == before
    again = pickle.loads(pickle.dumps(cloud))
    np.testing.assert_array_equal(again.similarity_LL, first)
    assert again.n_columns == 5


def test_landmarks_are_a_seeded_draw_for_affinity_propagation_alone() -> None:
    values = embeddings(300, 4)

    def landmarks(seed: int, **settings: object) -> np.ndarray | None:
        config = StratificationConfig(affinity_propagation={"landmarks": 60}, **settings)
        cloud = make_cloud(values, config, seed)
        if cloud.landmarks is not None:
            rows = cloud.points_ND[cloud.landmarks]
            np.testing.assert_array_equal(cloud.similarity_LL, similarity(rows))
        return cloud.landmarks

    first = landmarks(1)
    assert first is not None
    assert len(first) == 60
    assert (np.diff(first) > 0).all()
    np.testing.assert_array_equal(landmarks(1), first)
    assert not np.array_equal(landmarks(2), first)
    assert landmarks(1, clusterer="kmeans") is None
    with pytest.raises(StratificationError, match=r"landmarks must be fewer.*\(60\), got 60"):
        make_cloud(
            values[:60], StratificationConfig(affinity_propagation={"landmarks": 60}), seed=0
        )


def test_too_few_subjects_and_nan_are_errors() -> None:
    values = embeddings(12, 3)
    with pytest.raises(StratificationError, match="at least 10 subjects, got 9"):
        make_cloud(values[:9], CONFIG, 0)
    values[3, 1] = np.nan
    with pytest.raises(StratificationError, match="finite"):
        make_cloud(values, CONFIG, 0)
