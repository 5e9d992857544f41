"""Affinity propagation on a similarity matrix.

Shape suffixes: N subjects of the matrix, M rows that are clustered, K exemplars.
"""

from dataclasses import dataclass

import numpy as np

from isthmus.stratification.messages import (
    IndexArray,
    Matrix,
    all_equal,
    exchange,
    gather,
    refine,
)

# About the rounding of a similarity, by the bytes that it takes.
_JITTER = {4: 2.0**-24, 8: 2.0**-51}


@dataclass(frozen=True, eq=False)
class Propagation:
    """What affinity propagation came to.

    Attributes
    ----------
    converged : bool
        Whether there were exemplars and they stayed the same long enough.
    n_iterations : int
        Rounds taken.
    exemplars_K : ndarray of int, shape (k,)
        Rising positions among the rows clustered; empty where it did not converge.
    labels_M : ndarray of int, shape (m,)
        Which of `exemplars_K` each row belongs to; -1 where it did not converge.
    """

    converged: bool
    n_iterations: int
    exemplars_K: IndexArray
    labels_M: IndexArray


def propagate(
    similarity_NN: Matrix,
    rows_M: IndexArray,
    preference: float,
    *,
    damping: float,
    max_iterations: int,
    convergence_iterations: int,
) -> Propagation:
    r"""Cluster some rows of a similarity matrix by affinity propagation [1]_.

    Parameters
    ----------
    similarity_NN : ndarray of float64 or float32, shape (n, n)
        Finite; the diagonal is not read. Messages have its precision.
    rows_M : ndarray of int, shape (m,)
        Rows, and columns, to cluster; at least one, each once.
    preference : float
        Self-similarity of each row.
    damping : float
        Share of each message that is kept, in [0.5, 1).
    max_iterations : int
        Rounds before giving up.
    convergence_iterations : int
        Rounds without a change of exemplars that count as converged.

    Returns
    -------
    Propagation
        A function of the arguments alone. Rows that are all equally similar are not propagated
        but made one stratum, or, where the preference is above that similarity, a stratum each.

    Notes
    -----
    With damping :math:`\lambda`, a round is

    .. math::

        r_{ik} &\leftarrow \lambda r_{ik} + (1 - \lambda)
            (s_{ik} - \max_{j \ne k} (a_{ij} + s_{ij})) \\
        a_{ik} &\leftarrow \lambda a_{ik} + (1 - \lambda)
            \min(0, r_{kk} + \sum_{j \notin \{i, k\}} \max(0, r_{jk})), \quad i \ne k \\
        a_{kk} &\leftarrow \lambda a_{kk} + (1 - \lambda) \sum_{j \ne k} \max(0, r_{jk})

    and k is an exemplar where :math:`a_{kk} + r_{kk} > 0`. Order of the updates, test of
    convergence and the last refinement of the exemplars are those of scikit-learn 1.9; in float64
    and given the same jitter, so is every bit. Messages can be chaotic, with little damping above
    all: then any rounding, scikit-learn's own random jitter too, changes what they settle on.

    Exact ties, as between identical twins or in a cluster of two, are broken by multiplying each
    similarity by ``1 + j u``, j about the rounding of a similarity and u in [-1, 1) a hash of the
    two rows: no random stream is used, and a draw sees a pair as the whole sees it.

    Memory is 24 m^2 bytes beside the matrix, 12 m^2 in float32; time is O(m^2) a round, on one
    thread, with Python's lock released.

    References
    ----------
    .. [1] Frey & Dueck (2007), Science 315, 972-976.

    Examples
    --------
    >>> points = np.array([0.0, 1.0, 2.0, 50.0, 51.0, 52.0])
    >>> similarity = -((points[:, None] - points) ** 2)
    >>> found = propagate(
    ...     similarity,
    ...     np.arange(6),
    ...     preference=-100.0,
    ...     damping=0.9,
    ...     max_iterations=200,
    ...     convergence_iterations=30,
    ... )
    >>> found.exemplars_K, found.labels_M
    (array([1, 4]), array([0, 0, 0, 1, 1, 1]))
    """
    m = len(rows_M)
    if m == 1 or all_equal(similarity_NN, rows_M):
        alone = m > 1 and preference > similarity_NN[rows_M[0], rows_M[1]]
        labels_M = np.arange(m) if alone else np.zeros(m, dtype=np.intp)
        return Propagation(True, 0, np.unique(labels_M), labels_M)
    work_MM = np.empty((m, m), dtype=similarity_NN.dtype)
    gather(similarity_NN, rows_M, preference, _JITTER[similarity_NN.dtype.itemsize], work_MM)
    return settle(work_MM, damping, max_iterations, convergence_iterations)


def settle(
    similarity_MM: Matrix, damping: float, max_iterations: int, convergence_iterations: int
) -> Propagation:
    """Propagate affinities in the precision of the matrix, ties and all.

    Parameters
    ----------
    similarity_MM : ndarray of float32 or float64, shape (m, m)
        Similarities, preferences on the diagonal.
    damping, max_iterations, convergence_iterations
        As in `propagate`.

    Returns
    -------
    Propagation
        In float64, and given the same jitter, that of scikit-learn to the last bit.
    """
    m = len(similarity_MM)
    n_iterations, is_exemplar_M = exchange(
        similarity_MM,
        np.zeros_like(similarity_MM),
        np.zeros_like(similarity_MM),
        np.array([damping, 1.0 - damping, 0.0, -np.inf], dtype=similarity_MM.dtype),
        max_iterations,
        convergence_iterations,
    )
    if n_iterations < 0:
        nobody_M = np.full(m, -1, dtype=np.intp)
        return Propagation(False, max_iterations, np.empty(0, dtype=np.intp), nobody_M)
    exemplars_K, labels_M = refine(similarity_MM, np.flatnonzero(is_exemplar_M))
    return Propagation(True, n_iterations, exemplars_K, labels_M)
