"""The clusterers: some rows of a cloud in, labels or a typed failure out.

Shape suffixes: M rows that are clustered, R columns of the points, K strata found.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.cluster.hierarchy import linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from isthmus.config.stratification import Clusterer, StratificationConfig
from isthmus.core.seeds import derive_seed
from isthmus.stratification.affinity import propagate
from isthmus.stratification.cloud import Cloud

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_KMEANS_STARTS = 5
_MIXTURE_ROUNDS = 300


@dataclass(frozen=True, eq=False)
class Clustering:
    """Strata of some rows.

    Attributes
    ----------
    labels_M : ndarray of int, shape (m,)
        Stratum of each row, from 0, none left empty.
    exemplars_K : ndarray of int, shape (k,)
        Position among the rows of the one that stands for each stratum: the exemplar of affinity
        propagation, else the member nearest to the stratum's mean.
    n_assigned : int
        Rows that the clusterer left out and that joined their nearest stratum.
    """

    labels_M: IndexArray
    exemplars_K: IndexArray
    n_assigned: int = 0


@dataclass(frozen=True)
class Failure:
    """No strata came of it.

    Attributes
    ----------
    reason : str
        What happened, and what to try.
    n_iterations : int
        Rounds after which the clusterer gave up; 0 where it could not begin.
    """

    reason: str
    n_iterations: int


def recluster(
    cloud: Cloud, rows_M: IndexArray, setting: float, config: StratificationConfig, seed: int
) -> Clustering | Failure:
    """Cluster some rows of a cloud, as all of them would be.

    Parameters
    ----------
    cloud : Cloud
        The points.
    rows_M : ndarray of int, shape (m,)
        Rising positions of the rows to cluster, at least two.
    setting : float
        Preference that all rows together are given (affinity propagation), smallest stratum
        (hdbscan), or number of strata.
    config : StratificationConfig
        `clusterer` and its settings are read.
    seed : int
        Seed of the starts of k-means and of the Gaussian mixture. The others use none.

    Returns
    -------
    Clustering or Failure
        A function of the arguments alone.

    Notes
    -----
    Affinity propagation gives a draw the preference of `share_preference`, so that a draw is not
    cut more coarsely, or more finely, than the whole for its size alone.

    Cost, for m rows of r columns: affinity propagation O(m^2) a round, some hundred rounds;
    k-means and Gaussian mixture O(m r k) a round; Ward's method O(m^2); HDBSCAN O(m^2 r) at worst.
    """
    return _CLUSTERERS[config.clusterer](cloud, rows_M, setting, config, seed)


def share_preference(cloud: Cloud, preference: float, n_drawn: int) -> float:
    """Find the preference that cuts a draw as finely as the whole.

    Parameters
    ----------
    cloud : Cloud
        The whole.
    preference : float
        Its preference.
    n_drawn : int
        (Landmark) rows drawn.

    Returns
    -------
    float
        Between the preference and the similarity of nearest neighbours; the preference itself
        where all are drawn.

    Notes
    -----
    An exemplar more costs the preference p, saves its own similarity to another exemplar, about
    that of nearest neighbours s, and raises the similarity of those who join it. With a share q of
    the subjects, these gains shrink to q of what they were. So the price must, too:

    .. math:: p_q - s = q (p - s)

    Scaling p alone would do where p is far below all similarities. But in many dimensions
    all similarities are alike, and ``q p`` may be above them all: everybody an exemplar.
    """
    share = n_drawn / len(cloud.similarity_LL)
    if share == 1.0:
        return preference
    return share * preference + (1.0 - share) * cloud.nearest_similarity


def assign_to_nearest(points_MR: FloatArray, centres_KR: FloatArray) -> IndexArray:
    """Find the nearest centre of each point.

    Parameters
    ----------
    points_MR : ndarray, shape (m, r)
        Points.
    centres_KR : ndarray, shape (k, r)
        Centres.

    Returns
    -------
    ndarray of int, shape (m,)
        Positions among the centres; the first of equals.

    Examples
    --------
    >>> assign_to_nearest(np.array([[0.2], [3.1]]), np.array([[0.0], [3.0]]))
    array([0, 1])
    """
    squares_K = np.einsum("kr,kr->k", centres_KR, centres_KR)
    nearest: IndexArray = (squares_K - 2.0 * (points_MR @ centres_KR.T)).argmin(axis=1)
    return nearest


def _affinity_propagation(
    cloud: Cloud, rows_M: IndexArray, setting: float, config: StratificationConfig, seed: int
) -> Clustering | Failure:
    """Propagate among the landmarks drawn; the other rows join their nearest exemplar."""
    settings = config.affinity_propagation
    if cloud.landmarks is None:
        drawn, places = rows_M, np.arange(len(rows_M))
    else:
        _, drawn, places = np.intersect1d(
            cloud.landmarks, rows_M, assume_unique=True, return_indices=True
        )
    if len(drawn) < 2:
        return Failure(f"{len(drawn)} landmarks were drawn; two are needed.", 0)
    found = propagate(
        cloud.similarity_LL,
        drawn,
        share_preference(cloud, setting, len(drawn)),
        damping=settings.damping,
        max_iterations=settings.max_iterations,
        convergence_iterations=settings.convergence_iterations,
    )
    if not found.converged:
        return Failure(
            f"Affinity propagation did not settle in {settings.max_iterations} rounds. Raise "
            "stratification.affinity_propagation.damping or max_iterations.",
            found.n_iterations,
        )
    exemplars_K = places[found.exemplars_K]
    if cloud.landmarks is None:
        return Clustering(found.labels_M, exemplars_K)
    points_MR = cloud.points_ND[rows_M]
    labels_M = assign_to_nearest(points_MR, points_MR[exemplars_K])
    labels_M[places] = found.labels_M
    return Clustering(labels_M, exemplars_K, len(rows_M) - len(drawn))


def _kmeans(
    cloud: Cloud, rows_M: IndexArray, setting: float, config: StratificationConfig, seed: int
) -> Clustering | Failure:
    """Run k-means from several seeded starts."""
    if failure := _too_many(setting, rows_M):
        return failure
    points_MR = cloud.points_ND[rows_M]
    with warnings.catch_warnings():
        # Fewer distinct points than strata: the strata that come back are those there are.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = KMeans(int(setting), n_init=_KMEANS_STARTS, random_state=_state(seed)).fit(
            points_MR
        )
    return _clustering(points_MR, fitted.labels_)


def _gaussian_mixture(
    cloud: Cloud, rows_M: IndexArray, setting: float, config: StratificationConfig, seed: int
) -> Clustering | Failure:
    """Fit Gaussians with diagonal covariances; each row goes to its most probable one."""
    if failure := _too_many(setting, rows_M):
        return failure
    points_MR = cloud.points_ND[rows_M]
    model = GaussianMixture(
        int(setting),
        covariance_type="diag",
        max_iter=_MIXTURE_ROUNDS,
        random_state=_state(seed),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # asked of the model instead
        labels_M = model.fit_predict(points_MR)
    if not model.converged_:
        return Failure(
            f"The Gaussian mixture did not settle in {_MIXTURE_ROUNDS} rounds. Set "
            "stratification.pca_components, or fewer stratification.n_strata.",
            _MIXTURE_ROUNDS,
        )
    return _clustering(points_MR, labels_M)


def _ward(
    cloud: Cloud, rows_M: IndexArray, setting: float, config: StratificationConfig, seed: int
) -> Clustering | Failure:
    """Merge by Ward's criterion until as many strata are left as wanted."""
    if failure := _too_many(setting, rows_M):
        return failure
    points_MR = cloud.points_ND[rows_M]
    if cloud.landmarks is None:
        squared_MM = -cloud.similarity_LL[np.ix_(rows_M, rows_M)].astype(np.float64)
        distances = np.sqrt(squareform(squared_MM, checks=False))
    else:
        distances = pdist(points_MR)
    merges = linkage(distances, "ward")
    m = len(rows_M)
    kept = merges[: m - int(setting), :2].astype(np.intp)
    # Node m + i of the tree is merge i; what the first merges connect is one stratum.
    parents = np.repeat(np.arange(m, m + len(kept)), 2)
    edges = coo_array((np.ones(parents.size), (kept.ravel(), parents)), shape=(2 * m, 2 * m))
    return _clustering(points_MR, connected_components(edges, directed=False)[1][:m])


def _hdbscan(
    cloud: Cloud, rows_M: IndexArray, setting: float, config: StratificationConfig, seed: int
) -> Clustering | Failure:
    """Find dense strata; what is called noise joins the nearest mean, or makes one stratum."""
    points_MR = cloud.points_ND[rows_M]
    if setting > len(rows_M):
        return Failure(f"{len(rows_M)} rows cannot hold a stratum of {int(setting)}.", 0)
    labels_M = HDBSCAN(min_cluster_size=int(setting), copy=True).fit(points_MR).labels_
    noise_M = labels_M < 0
    n_noise = int(noise_M.sum())
    if n_noise == len(rows_M):
        labels_M = np.zeros(len(rows_M), dtype=np.intp)
    elif n_noise:
        labels_M[noise_M] = assign_to_nearest(
            points_MR[noise_M], _means(points_MR[~noise_M], labels_M[~noise_M])
        )
    return _clustering(points_MR, labels_M, n_noise)


_CLUSTERERS: Mapping[
    Clusterer,
    Callable[[Cloud, IndexArray, float, StratificationConfig, int], Clustering | Failure],
] = {
    "affinity_propagation": _affinity_propagation,
    "kmeans": _kmeans,
    "gaussian_mixture": _gaussian_mixture,
    "ward": _ward,
    "hdbscan": _hdbscan,
}


def _too_many(setting: float, rows_M: IndexArray) -> Failure | None:
    """Say that there are fewer rows than strata wanted."""
    if setting <= len(rows_M):
        return None
    return Failure(f"{len(rows_M)} rows cannot make {int(setting)} strata.", 0)


def _state(seed: int) -> int:
    """Make a seed that scikit-learn takes."""
    return derive_seed(seed, "clusterer") % 2**32


def _means(points_MR: FloatArray, labels_M: IndexArray) -> FloatArray:
    """Average the members of each stratum, (k, r)."""
    sizes_K = np.bincount(labels_M)
    members = coo_array((np.ones(len(labels_M)), (labels_M, np.arange(len(labels_M)))))
    means: FloatArray = (members.tocsr() @ points_MR) / sizes_K[:, None]
    return means


def _clustering(points_MR: FloatArray, labels_M: IndexArray, n_assigned: int = 0) -> Clustering:
    """Close gaps in the numbering, and name the member nearest to each stratum's mean."""
    _, labels = np.unique(labels_M, return_inverse=True)
    offsets_MR = points_MR - _means(points_MR, labels)[labels]
    distances_M = np.einsum("mr,mr->m", offsets_MR, offsets_MR)
    order = np.lexsort((distances_M, labels))
    first = np.searchsorted(labels[order], np.arange(labels.max() + 1))
    return Clustering(labels.astype(np.intp), order[first].astype(np.intp), n_assigned)
