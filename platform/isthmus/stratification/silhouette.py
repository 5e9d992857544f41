"""Silhouettes: how separate strata are in the space that was clustered.

Shape suffixes: N subjects, M of them sampled, K strata.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.core.seeds import generator
from isthmus.stratification.cloud import Cloud, SimilarityArray, similarity

IndexArray = npt.NDArray[np.intp]

MOST_SUBJECTS = 5000


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances among the subjects that silhouettes are taken over.

    Attributes
    ----------
    rows_M : ndarray of int, shape (m,)
        Rising rows of the cloud.
    distances_MM : ndarray, shape (m, m)
        Euclidean, in the precision of `similarity`.
    """

    rows_M: IndexArray
    distances_MM: SimilarityArray


def measure_distances(cloud: Cloud, seed: int) -> Distances:
    """Compute the distances that the silhouettes of a cloud's partitions need.

    Parameters
    ----------
    cloud : Cloud
        Points.
    seed : int
        Seed of the sample.

    Returns
    -------
    Distances
        Among all subjects, or among a sample of 5,000 where there are more.
    """
    if cloud.n > MOST_SUBJECTS:
        drawn = generator(seed, "silhouette").choice(cloud.n, MOST_SUBJECTS, replace=False)
        rows_M = np.sort(drawn).astype(np.intp)
        return Distances(rows_M, np.sqrt(-similarity(cloud.points_ND[rows_M])))
    whole = cloud.similarity_LL if cloud.landmarks is None else similarity(cloud.points_ND)
    return Distances(np.arange(cloud.n), np.sqrt(-whole))


def silhouette(distances: Distances, labels_N: IndexArray) -> float | None:
    """Average the silhouette [1]_ of the subjects.

    Parameters
    ----------
    distances : Distances
        From `measure_distances`.
    labels_N : ndarray of int, shape (n,)
        Stratum of every subject of the cloud.

    Returns
    -------
    float or None
        In [-1, 1]; None unless there are at least two strata, and fewer strata than subjects,
        among those whose distances were measured.

    Notes
    -----
    With a the mean distance of a subject to the others of its stratum, and b the smallest mean
    distance to another stratum, ``(b - a) / max(a, b)``; 0 for a subject alone in its stratum. All
    sums are one product of the distances with K indicators: m^2 K multiplications.

    References
    ----------
    .. [1] Rousseeuw (1987), J. Comput. Appl. Math. 20, 53-65.
    """
    _, labels_M, sizes_K = np.unique(
        labels_N[distances.rows_M], return_inverse=True, return_counts=True
    )
    m, n_strata = len(labels_M), len(sizes_K)
    if not 1 < n_strata < m:
        return None
    places = np.arange(m)
    indicators_MK = np.zeros((m, n_strata), dtype=distances.distances_MM.dtype)
    indicators_MK[places, labels_M] = 1.0
    sums_MK = (distances.distances_MM @ indicators_MK).astype(np.float64)
    own_M = sums_MK[places, labels_M] / np.maximum(sizes_K[labels_M] - 1, 1)
    means_MK = sums_MK / sizes_K
    means_MK[places, labels_M] = np.inf
    other_M = means_MK.min(axis=1)
    larger_M = np.maximum(own_M, other_M)
    # Copies of one point are no distance from anything: neither separate nor mixed.
    widths_M = np.divide(other_M - own_M, larger_M, out=np.zeros(m), where=larger_M > 0)
    widths_M[sizes_K[labels_M] == 1] = 0.0
    return float(widths_M.mean())
