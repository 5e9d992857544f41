"""The cloud of subjects that is clustered: standardised points, and their similarities once.

Shape suffixes: N subjects, D columns of the embedding, K columns with variance, R principal
components, L landmarks (all subjects where there are none), M rows asked for.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.core.seeds import generator
from isthmus.stratification.checks import (
    require_components,
    require_landmarks,
    require_subjects,
)

FloatArray = npt.NDArray[np.float64]
SimilarityArray = npt.NDArray[np.float64] | npt.NDArray[np.float32]
IndexArray = npt.NDArray[np.intp]

# Encoders compute in float32: a spread below its rounding is no variance but noise, and
# standardising would blow it up to the size of every other column.
_SPREAD_TOLERANCE = 1e-6
# Of the largest eigenvalue: what is below is the rounding of a direction that is not there.
_RANK_TOLERANCE = 1e-12
_BLOCK_ROWS = 1024
# Rows up to which similarities stay float64. Beyond, half the memory and half the time of affinity
# propagation are worth a partition in some hundreds that comes out otherwise.
MOST_EXACT = 4096


@dataclass(frozen=True, eq=False)
class Cloud:
    """One encoder's subjects as points, ready to be clustered whole or in part.

    Parameters
    ----------
    points_ND : ndarray of float64, shape (n, r)
        Coordinates, centred; from `make_cloud` they are principal components in falling order of
        variance. No columns where the embedding has no variance at all.
    n_columns, n_dropped_columns : int
        Columns of the embedding, and those without variance that were left out.
    landmarks : ndarray of int, shape (l,), or None
        Rising rows whose similarities affinity propagation works on; None for all rows.

    Notes
    -----
    A pickled cloud leaves its similarities behind; whoever unpickles it computes them once, when
    they are first asked for.
    """

    points_ND: FloatArray
    n_columns: int
    n_dropped_columns: int
    landmarks: IndexArray | None = None

    @property
    def n(self) -> int:
        """Subjects."""
        return len(self.points_ND)

    @cached_property
    def similarity_LL(self) -> SimilarityArray:  # noqa: N802
        """Similarities among the landmarks, (l, l); see `similarity`."""
        rows = slice(None) if self.landmarks is None else self.landmarks
        similarity_LL = similarity(self.points_ND[rows])
        similarity_LL.setflags(write=False)
        return similarity_LL

    @cached_property
    def nearest_similarity(self) -> float:
        """Mean over the landmarks of the similarity to the nearest other one."""
        n_landmarks = len(self.similarity_LL)
        nearest_L = np.empty(n_landmarks)
        for start in range(0, n_landmarks, _BLOCK_ROWS):
            block = self.similarity_LL[start : start + _BLOCK_ROWS].copy()
            places = np.arange(len(block))
            block[places, start + places] = -np.inf
            nearest_L[start : start + _BLOCK_ROWS] = block.max(axis=1)
        return float(nearest_L.mean())

    def __getstate__(self) -> dict[str, Any]:
        """Leave the similarities behind: they are larger than the points that they come from."""
        return {name: value for name, value in self.__dict__.items() if name != "similarity_LL"}


def make_cloud(values_ND: FloatArray, config: StratificationConfig, seed: int) -> Cloud:
    """Standardise an embedding, rotate it to principal components, keep the first if asked.

    Parameters
    ----------
    values_ND : ndarray of float64, shape (n, d)
        One encoder's embeddings, finite. Rows are in the order of the participants' ids, so that
        the draw of landmarks and the breaking of exact ties do not depend on how a table came.
    config : StratificationConfig
        `pca_components`, `clusterer` and `affinity_propagation.landmarks` are read.
    seed : int
        Seed of the draw of landmarks.

    Returns
    -------
    Cloud
        Its distances are those of the standardised embedding, unless `pca_components` cut some
        off.

    Raises
    ------
    StratificationError
        With fewer than 10 subjects, values that are not finite, more principal components than
        there are subjects or columns, or as many landmarks as subjects.

    Notes
    -----
    Because columns are standardised, rotating the raw embedding changes the cloud. A full set of
    principal components leaves distances as they are: affinity propagation, k-means, Ward's method
    and HDBSCAN see only these; a Gaussian mixture with diagonal covariances sees the axes too, and
    these are the natural ones. The rotation costs O(n d min(n, d)), and later work on the points
    costs O(r), r at most n - 1, instead of O(d).
    """
    n, n_columns = values_ND.shape
    require_subjects(n, config)
    if not np.isfinite(values_ND).all():
        raise StratificationError("Embeddings must be finite, got NaN or infinity.")
    points_ND, n_dropped = standardise(np.asarray(values_ND, dtype=np.float64))
    if n_dropped < n_columns:
        require_components(config, *points_ND.shape)
        points_ND = principal_components(points_ND)[:, : config.pca_components]
    landmarks = None
    wanted = config.affinity_propagation.landmarks
    if config.clusterer == "affinity_propagation" and wanted is not None:
        require_landmarks(config, n)
        drawn = generator(seed, "landmarks").choice(n, wanted, replace=False)
        landmarks = np.sort(drawn).astype(np.intp)
    return Cloud(np.ascontiguousarray(points_ND), n_columns, n_dropped, landmarks)


def standardise(values_ND: FloatArray) -> tuple[FloatArray, int]:
    """Give every column mean 0 and variance 1, leaving out those without variance.

    Parameters
    ----------
    values_ND : ndarray, shape (n, d)
        Finite embeddings.

    Returns
    -------
    standardised : ndarray, shape (n, d - n_dropped)
        In the order of the columns.
    n_dropped : int
        Columns whose standard deviation is at most 1e-6 of their largest magnitude (float32
        rounding) or zero.

    Examples
    --------
    >>> standardised, n_dropped = standardise(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> standardised.ravel(), n_dropped
    (array([-1.,  1.]), 1)
    """
    scaling = fit_scaling(values_ND)
    return scaling.apply(values_ND), int((~scaling.kept_D).sum())


@dataclass(frozen=True, eq=False)
class Scaling:
    """What standardising some subjects did to each column, to be done to others.

    Attributes
    ----------
    kept_D : ndarray of bool, shape (d,)
        Columns with variance.
    mean_K, scale_K : ndarray of float64, shape (k,)
        Of these columns: mean, and standard deviation (of the population, without n - 1).
    """

    kept_D: npt.NDArray[np.bool_]
    mean_K: FloatArray
    scale_K: FloatArray

    def apply(self, values_MD: FloatArray) -> FloatArray:
        """Standardise subjects by the mean and the spread of those that were fitted.

        Parameters
        ----------
        values_MD : ndarray, shape (m, d)
            Finite embeddings by the same encoder.

        Returns
        -------
        ndarray, shape (m, k)
            In the order of the columns.
        """
        standardised: FloatArray = (values_MD[:, self.kept_D] - self.mean_K) / self.scale_K
        return standardised


def fit_scaling(values_ND: FloatArray) -> Scaling:
    """Find the mean and the spread of every column that has one; see `standardise`.

    Parameters
    ----------
    values_ND : ndarray, shape (n, d)
        Finite embeddings.

    Returns
    -------
    Scaling
        Without the columns that `standardise` drops.
    """
    spread = values_ND.std(axis=0)
    kept = spread > _SPREAD_TOLERANCE * np.abs(values_ND).max(axis=0)
    return Scaling(kept, values_ND[:, kept].mean(axis=0), spread[kept])


def principal_components(points_ND: FloatArray) -> FloatArray:
    """Rotate centred points to all of their principal components.

    Parameters
    ----------
    points_ND : ndarray, shape (n, d)
        Centred, with some variance.

    Returns
    -------
    ndarray, shape (n, r)
        Scores in falling order of variance; directions with less than 1e-12 of the largest
        variance are left out, so r is at most min(n - 1, d). Distances are unchanged. The score
        of largest magnitude in each column is positive.

    Notes
    -----
    From the smaller of the two products ``X' X`` and ``X X'``: its eigenvectors V give ``X V``,
    and those of the latter, U, give ``U sqrt(lambda)``.
    """
    n, d = points_ND.shape
    wide = d > n
    product = points_ND @ points_ND.T if wide else points_ND.T @ points_ND
    values, vectors = eigh(product, overwrite_a=True, check_finite=False)
    values, vectors = values[::-1], vectors[:, ::-1]
    n_kept = min(int((values > _RANK_TOLERANCE * values[0]).sum()), n - 1)
    values, vectors = values[:n_kept], vectors[:, :n_kept]
    scores: FloatArray = vectors * np.sqrt(values) if wide else points_ND @ vectors
    largest = scores[np.abs(scores).argmax(axis=0), np.arange(n_kept)]
    return np.ascontiguousarray(scores * np.where(largest < 0, -1.0, 1.0))


def principal_axes(points_ND: FloatArray, scores_NR: FloatArray) -> FloatArray:
    """Find the directions that principal components are the coordinates along.

    Parameters
    ----------
    points_ND : ndarray, shape (n, d)
        Centred, as `principal_components` was given them.
    scores_NR : ndarray, shape (n, r)
        What it returned, all columns or the first.

    Returns
    -------
    ndarray, shape (d, r)
        Orthonormal columns V with ``scores = points V``, which gives other subjects their scores.

    Notes
    -----
    Of ``X V = S``, with V the eigenvectors of ``X' X``, follows ``X' S = V diag(lambda)``.
    """
    axes: FloatArray = points_ND.T @ scores_NR / np.einsum("nr,nr->r", scores_NR, scores_NR)
    return axes


def similarity(points_MD: FloatArray) -> SimilarityArray:
    """Compute negative squared Euclidean distances.

    Parameters
    ----------
    points_MD : ndarray of float64, shape (m, r)
        Points.

    Returns
    -------
    ndarray of float64, or of float32 with more than 4,096 rows, shape (m, m)
        Exactly symmetric, zero on the diagonal, never positive.

    Notes
    -----
    Computed in float64 in blocks of 1,024 rows and rounded at most once: m^2 r multiplications, and
    8 m^2 bytes (4 m^2 of float32) beside a few blocks.

    Examples
    --------
    >>> similarity(np.array([[0.0, 0.0], [3.0, 4.0]]))
    array([[  0., -25.],
           [-25.,   0.]])
    """
    m = len(points_MD)
    squares_M = np.einsum("mr,mr->m", points_MD, points_MD)
    similarity_MM: SimilarityArray
    if m > MOST_EXACT:
        similarity_MM = np.empty((m, m), dtype=np.float32)
    else:
        similarity_MM = np.empty((m, m), dtype=np.float64)
    starts = range(0, m, _BLOCK_ROWS)
    for a in starts:
        rows = slice(a, a + _BLOCK_ROWS)
        for b in (start for start in starts if start >= a):
            columns = slice(b, b + _BLOCK_ROWS)
            block = 2.0 * (points_MD[rows] @ points_MD[columns].T)
            block -= squares_M[rows, None] + squares_M[columns]
            np.minimum(block, 0.0, out=block)
            if a == b:
                block = np.triu(block, 1)
                block += block.T
            similarity_MM[rows, columns] = block
            similarity_MM[columns, rows] = block.T
    similarity_MM += 0.0  # -0.0 to 0.0
    return similarity_MM
