"""The loops of affinity propagation, compiled.

The messages of a round are exchanged in one sweep over the rows: a row's availabilities need the
responsibilities of the round before through column sums alone, and its new responsibilities need
that row alone. So each row is read and written once a round, from the cache that is nearest to
the processor, and each inner loop fits its vector registers.

Shape suffixes: N subjects of the matrix, M rows that are clustered, K exemplars, V lanes.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

IndexArray = npt.NDArray[np.intp]
Matrix = npt.NDArray[np.floating[Any]]
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

_LANES = 64
# Unsigned: the compiler then knows that no index counts from the end, and vectorises.
_U0, _U1, _U2, _ULANES = (np.uint64(value) for value in (0, 1, 2, _LANES))
# Constants of the splitmix64 hash.
_ODD_ROW, _ODD_COLUMN = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_MIX_A, _MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_U11, _U27, _U30, _U31 = (np.uint64(value) for value in (11, 27, 30, 31))


def compiled(function: FunctionT) -> FunctionT:
    """Compile a function when it is first called, and keep the result on disk.

    Parameters
    ----------
    function : callable
        Loops over arrays.

    Returns
    -------
    callable
        The same, without Python's lock. No NaN arises from finite similarities, and nothing
        depends on the sign of a zero: this is all that the compiler may assume. Sums keep their
        order.
    """
    decorate = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"nnan", "nsz"})
    return cast(FunctionT, decorate(function))


@compiled
def all_equal(similarity_NN: Matrix, rows_M: IndexArray) -> bool:
    """Tell whether all pairs of rows are equally similar.

    Parameters
    ----------
    similarity_NN : ndarray, shape (n, n)
        The diagonal is not read.
    rows_M : ndarray of int, shape (m,)
        At least two.

    Returns
    -------
    bool
        Exactly equal.
    """
    first = similarity_NN[rows_M[0], rows_M[1]]
    for i in rows_M:
        for j in rows_M:
            if i != j and similarity_NN[i, j] != first:
                return False
    return True


@compiled
def _noise(i: Any, j: Any) -> float:
    """Hash two rows to [-1, 1)."""
    z = (i + _U1) * _ODD_ROW ^ (j + _U1) * _ODD_COLUMN
    z = (z ^ (z >> _U30)) * _MIX_A
    z = (z ^ (z >> _U27)) * _MIX_B
    z = z ^ (z >> _U31)
    return np.float64(z >> _U11) * 2.0**-52 - 1.0


@compiled
def gather(
    similarity_NN: Matrix, rows_M: IndexArray, preference: float, jitter: float, work_MM: Matrix
) -> None:
    """Copy the rows' similarities with the preference on the diagonal, breaking ties.

    Parameters
    ----------
    similarity_NN : ndarray, shape (n, n)
        The diagonal is not read.
    rows_M : ndarray of int, shape (m,)
        Which rows and columns.
    preference : float
        What the diagonal gets.
    jitter : float
        Each similarity is multiplied by one plus up to this, hashed from the two rows.
    work_MM : ndarray, shape (m, m)
        Written to.
    """
    for a in range(rows_M.size):
        i = np.uint64(rows_M[a])
        for b in range(rows_M.size):
            j = np.uint64(rows_M[b])
            s = preference if i == j else np.float64(similarity_NN[i, j])
            work_MM[a, b] = s + s * jitter * _noise(i, j)


@compiled
def exchange(
    s_MM: Matrix,
    a_MM: Matrix,
    r_MM: Matrix,
    constants: Matrix,
    max_iterations: int,
    convergence_iterations: int,
) -> Any:
    """Exchange messages until the exemplars stay the same.

    Parameters
    ----------
    s_MM : ndarray, shape (m, m)
        Similarities, preferences on the diagonal.
    a_MM, r_MM : ndarray, shape (m, m)
        Availabilities and responsibilities, zero; written to.
    constants : ndarray, shape (4,)
        Damping, its complement, zero and minus infinity, all in the matrices' type.
    max_iterations, convergence_iterations : int
        As in `isthmus.stratification.affinity.propagate`.

    Returns
    -------
    n_iterations : int
        Rounds taken, -1 if the exemplars did not stay.
    is_exemplar_M : ndarray of bool, shape (m,)
        Whether each is one.
    """
    keep, gain, zero, low = constants  # of the matrices' type: a plain number would widen sums
    m = s_MM.shape[0]
    best_V, next_V = np.full(_LANES, low), np.full(_LANES, low)
    before_M, sums_M = np.full(m, zero), np.full(m, zero)
    is_exemplar_M = np.zeros(m, dtype=np.bool_)
    n_same = 0
    for iteration in range(max_iterations):
        sums_M[:] = zero
        for i in range(m):
            s_M, a_M, r_M = s_MM[i], a_MM[i], r_MM[i]
            if iteration > 0:
                own = a_M[i]
                _update_availabilities(a_M, r_M, before_M, keep, gain, zero)
                a_M[i] = own
            best, second = _two_largest(a_M, s_M, best_V, next_V, low)
            _update_responsibilities(r_M, s_M, a_M, best, second, keep, gain, sums_M, zero)
            if r_M[i] < zero:
                sums_M[i] += r_M[i]  # the own one counts as it is
        n_same, n_exemplars = _elect(a_MM, r_MM, sums_M, keep, gain, zero, is_exemplar_M, n_same)
        if min(iteration, n_same) >= convergence_iterations and n_exemplars > 0:
            return iteration + 1, is_exemplar_M
        before_M, sums_M = sums_M, before_M
    return -1, is_exemplar_M


@compiled
def _update_availabilities(
    a_M: Matrix, r_M: Matrix, sums_M: Matrix, keep: Any, gain: Any, zero: Any
) -> None:
    """Update a row's availabilities from all rows' last responsibilities."""
    for k in range(a_M.size):
        x = (r_M[k] if r_M[k] > zero else zero) - sums_M[k]
        a_M[k] = keep * a_M[k] - gain * (x if x > zero else zero)


@compiled
def _two_largest(a_M: Matrix, s_M: Matrix, best_V: Matrix, next_V: Matrix, low: Any) -> Any:
    """Find the largest and second largest of ``a + s``; a largest reached twice is both."""
    best_V[:] = low
    next_V[:] = low
    m = np.uint64(a_M.size)
    start = _U0
    while start < m:
        for v in range(min(_ULANES, m - start)):
            x = a_M[start + v] + s_M[start + v]
            lesser = x if x < best_V[v] else best_V[v]
            next_V[v] = lesser if lesser > next_V[v] else next_V[v]
            best_V[v] = x if x > best_V[v] else best_V[v]
        start += _ULANES
    half = _ULANES
    while half > _U1:
        half = half // _U2
        for v in range(half):
            x = best_V[v + half]
            lesser = x if x < best_V[v] else best_V[v]
            second = next_V[v + half] if next_V[v + half] > next_V[v] else next_V[v]
            next_V[v] = lesser if lesser > second else second
            best_V[v] = x if x > best_V[v] else best_V[v]
    return best_V[0], next_V[0]


@compiled
def _update_responsibilities(
    r_M: Matrix,
    s_M: Matrix,
    a_M: Matrix,
    best: Any,
    second: Any,
    keep: Any,
    gain: Any,
    sums_M: Matrix,
    zero: Any,
) -> None:
    """Update a row's responsibilities, and add the positive ones to the column sums."""
    for k in range(r_M.size):
        rival = second if a_M[k] + s_M[k] == best else best
        x = keep * r_M[k] + gain * (s_M[k] - rival)
        r_M[k] = x
        sums_M[k] += x if x > zero else zero


@compiled
def _elect(
    a_MM: Matrix,
    r_MM: Matrix,
    sums_M: Matrix,
    keep: Any,
    gain: Any,
    zero: Any,
    is_exemplar_M: npt.NDArray[np.bool_],
    n_same: int,
) -> Any:
    """Update self-availabilities, mark the exemplars, count rounds without a change."""
    changed = False
    n_exemplars = 0
    for k in range(sums_M.size):
        a_MM[k, k] = keep * a_MM[k, k] - gain * (r_MM[k, k] - sums_M[k])
        is_one = a_MM[k, k] + r_MM[k, k] > zero
        changed = changed or is_one != is_exemplar_M[k]
        is_exemplar_M[k] = is_one
        n_exemplars += is_one
    return 1 if changed else n_same + 1, n_exemplars


@compiled
def refine(s_MM: Matrix, exemplars_K: IndexArray) -> Any:
    """Move each exemplar to the member most similar to the others, and assign anew.

    Parameters
    ----------
    s_MM : ndarray, shape (m, m)
        Similarities, preferences on the diagonal.
    exemplars_K : ndarray of int, shape (k,)
        Positions; written to.

    Returns
    -------
    exemplars_K : ndarray of int, shape (k,)
        Rising positions.
    labels_M : ndarray of int, shape (m,)
        Which exemplar each belongs to.
    """
    labels_M = np.empty(s_MM.shape[0], dtype=np.intp)
    _join(s_MM, exemplars_K, labels_M)
    for k in range(exemplars_K.size):
        members = np.flatnonzero(labels_M == k)
        sums = np.zeros(members.size)
        for i in members:
            for b in range(members.size):
                sums[b] += s_MM[i, members[b]]
        exemplars_K[k] = members[np.argmax(sums)]
    exemplars_K = np.sort(exemplars_K)
    _join(s_MM, exemplars_K, labels_M)
    return exemplars_K, labels_M


@compiled
def _join(s_MM: Matrix, exemplars_K: IndexArray, labels_M: IndexArray) -> None:
    """Give each row its most similar exemplar, and exemplars themselves."""
    for i in range(labels_M.size):
        best = 0
        for k in range(1, exemplars_K.size):
            if s_MM[i, exemplars_K[k]] > s_MM[i, exemplars_K[best]]:
                best = k
        labels_M[i] = best
    for k in range(exemplars_K.size):
        labels_M[exemplars_K[k]] = k
