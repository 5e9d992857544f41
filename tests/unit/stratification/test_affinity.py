import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.cluster import AffinityPropagation
from sklearn.metrics import adjusted_rand_score, euclidean_distances

from isthmus.stratification.affinity import Propagation, propagate, settle
from isthmus.stratification.cloud import similarity

ROUNDS = {"max_iterations": 400, "convergence_iterations": 30}


def cloud_of(rng: np.random.Generator, n: int, d: int, spread: float) -> np.ndarray:
    """Six clouds, as far apart as `spread` says."""
    centres = spread * rng.standard_normal((6, d))
    return rng.standard_normal((n, d)) + centres[rng.integers(0, 6, n)]


def library(
    similarities: np.ndarray, preference: float, damping: float
) -> tuple[AffinityPropagation, bool]:
    """Ask scikit-learn, and whether it converged."""
    model = AffinityPropagation(
        affinity="precomputed",
        damping=damping,
        preference=preference,
        max_iter=ROUNDS["max_iterations"],
        convergence_iter=ROUNDS["convergence_iterations"],
        random_state=0,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(similarities.copy())
    return model, not caught


def with_its_jitter(similarities: np.ndarray, preference: float) -> np.ndarray:
    """Do to a matrix what scikit-learn does before its first round."""
    matrix = similarities.copy()
    np.fill_diagonal(matrix, preference)
    noise = np.random.RandomState(0).standard_normal(matrix.shape)
    return matrix + (np.finfo(float).eps * matrix + 100 * np.finfo(float).tiny) * noise


def test_it_is_the_library_s_algorithm_round_for_round() -> None:
    # Given the same jitter, even messages that are chaotic at a damping of 0.5 agree: the sums are
    # the same sums in the same order.
    rng = np.random.default_rng(0)
    n_converged = 0
    for damping in (0.5, 0.5, 0.7, 0.9) * 7:
        d = int(rng.choice([2, 8, 50]))
        points = cloud_of(rng, int(rng.integers(20, 110)), d, rng.uniform(0, 3))
        exact = -euclidean_distances(points, squared=True)
        preference = float(np.median(exact)) * 2 ** rng.uniform(0, 6)
        model, converged = library(exact, preference, damping)
        found = settle(with_its_jitter(exact, preference), damping, **ROUNDS)
        assert found.converged == converged
        assert found.n_iterations == model.n_iter_
        if converged:
            n_converged += 1
            assert found.labels_M.tolist() == model.labels_.tolist()
            assert found.exemplars_K.tolist() == model.cluster_centers_indices_.tolist()
    assert 10 < n_converged < 28  # both outcomes were compared


@pytest.mark.parametrize("precision", [np.float64, np.float32])
@pytest.mark.parametrize(("d", "spread"), [(2, 0.0), (2, 3.0), (50, 0.0), (50, 1.0)])
def test_draws_are_cut_as_the_library_cuts_their_embeddings(
    d: int, spread: float, precision: type[np.floating[Any]]
) -> None:
    rng = np.random.default_rng(d)
    points = cloud_of(rng, 300, d, spread)
    whole = similarity(points).astype(precision)
    for factor in (1.0, 8.0, 64.0):
        rows = np.sort(rng.choice(300, 190, replace=False))
        preference = float(np.median(whole)) * factor
        found = propagate(whole, rows, preference, damping=0.9, **ROUNDS)
        model, converged = library(
            -euclidean_distances(points[rows], squared=True), preference, damping=0.9
        )
        assert found.converged
        assert converged
        assert found.n_iterations == model.n_iter_
        assert adjusted_rand_score(found.labels_M, model.labels_) == 1.0


def test_rows_alone_are_clustered() -> None:
    rng = np.random.default_rng(1)
    whole = similarity(cloud_of(rng, 120, 5, 3.0))
    rows = np.sort(rng.choice(120, 70, replace=False))
    poisoned = np.full_like(whole, -1e30)
    poisoned[np.ix_(rows, rows)] = whole[np.ix_(rows, rows)]
    np.fill_diagonal(poisoned, 1e30)
    found, same = (
        propagate(matrix, rows, -200.0, damping=0.9, **ROUNDS) for matrix in (whole, poisoned)
    )
    assert found.labels_M.tolist() == same.labels_M.tolist()
    assert len(found.exemplars_K) > 1
    assert found.labels_M[found.exemplars_K].tolist() == list(range(len(found.exemplars_K)))


@pytest.mark.parametrize("m", [3, 63, 64, 65, 127, 129])
def test_widths_that_do_not_fill_the_vector_registers(m: int) -> None:
    points = cloud_of(np.random.default_rng(m), m, 3, 5.0)
    exact = -euclidean_distances(points, squared=True)
    preference = 1.5 * float(exact.min())
    found = settle(with_its_jitter(exact, preference), 0.9, **ROUNDS)
    model, converged = library(exact, preference, 0.9)
    assert found.converged == converged
    assert found.labels_M.tolist() == model.labels_.tolist()


def test_equally_similar_rows_are_one_stratum_or_as_many() -> None:
    equal = np.full((5, 5), -4.0, dtype=np.float32)
    together = propagate(equal, np.arange(5), -5.0, damping=0.9, **ROUNDS)
    apart = propagate(equal, np.arange(5), -3.0, damping=0.9, **ROUNDS)
    assert together.converged
    assert (together.n_iterations, together.labels_M.tolist()) == (0, [0] * 5)
    assert together.exemplars_K.tolist() == [0]
    assert apart.labels_M.tolist() == apart.exemplars_K.tolist() == [0, 1, 2, 3, 4]
    for part in (np.array([1, 3]), np.array([2])):
        alone = propagate(equal, part, -5.0, damping=0.9, **ROUNDS)
        assert alone.labels_M.tolist() == [0] * len(part)


@pytest.mark.parametrize(
    ("preference", "rounds"),
    [
        (-50.0, 31 - 1),  # settled perhaps, but not yet known to be
        (-1e6, 3),  # nobody is an exemplar as yet
    ],
)
def test_giving_up_leaves_no_labels(preference: float, rounds: int) -> None:
    whole = similarity(cloud_of(np.random.default_rng(2), 40, 2, 5.0))
    found = propagate(
        whole,
        np.arange(40),
        preference,
        damping=0.9,
        max_iterations=rounds,
        convergence_iterations=30,
    )
    assert not found.converged
    assert found.n_iterations == rounds
    assert found.labels_M.tolist() == [-1] * 40
    assert found.exemplars_K.size == 0


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_exact_symmetry_is_broken(precision: type[np.floating[Any]]) -> None:
    angles = np.arange(8) * np.pi / 4
    ring = similarity(np.column_stack([np.cos(angles), np.sin(angles)])).astype(precision)
    ring = np.round(ring, 3)
    found = propagate(ring, np.arange(8), -1.0, damping=0.9, **ROUNDS)
    assert found.converged
    assert len(found.exemplars_K) == 2
    # Left as they are, all would be exemplars or none, round after round.
    np.fill_diagonal(ring, -1.0)
    assert not settle(ring, 0.9, **ROUNDS).converged


@pytest.mark.parametrize("precision", [np.float64, np.float32])
def test_identical_twins_share_a_stratum_the_same_way_every_time(
    precision: type[np.floating[Any]],
) -> None:
    rng = np.random.default_rng(3)
    points = np.repeat(cloud_of(rng, 60, 4, 4.0), 2, axis=0)  # everybody is there twice
    whole = similarity(points).astype(precision)
    preference = float(np.median(whole)) * 4

    def cluster(rows: np.ndarray) -> Propagation:
        return propagate(whole, rows, preference, damping=0.9, **ROUNDS)

    found = cluster(np.arange(120))
    assert found.converged
    assert 1 < len(found.exemplars_K) < 20
    assert found.labels_M[::2].tolist() == found.labels_M[1::2].tolist()
    assert cluster(np.arange(120)).labels_M.tolist() == found.labels_M.tolist()
    rows = np.sort(rng.choice(120, 75, replace=False))
    drawn = cluster(rows)
    assert drawn.converged
    twin_of = rows // 2
    for twins in (np.flatnonzero(twin_of == name) for name in np.unique(twin_of)):
        assert len(set(drawn.labels_M[twins].tolist())) == 1
