"""Compiled loops: sums by stratum, and Kruskal-Wallis H among those drawn.

They hold no state, allocate only their result, run on one thread and let other threads run.

Shape suffixes: N subjects, D draws, R permutations, F targets, V columns of values, K strata,
O orders (one for all permutations, or one each).
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])
FloatArray = npt.NDArray[np.float64]
CodeArray = npt.NDArray[np.int32]

_compiled: Callable[[Function], Function] = njit(nogil=True, cache=True, error_model="numpy")


def order_codes(values: FloatArray, tolerance: float) -> CodeArray:
    """Sort along the last axis and mark ties.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        What is to be ranked.
    tolerance : float
        Neighbours that differ by no more than this are tied.

    Returns
    -------
    ndarray of int32, shape (..., n)
        Positions by rising value; ``~position`` where a value is tied with the one before it.
    """
    order = np.argsort(values, axis=-1)
    tied = np.diff(np.take_along_axis(values, order, axis=-1), axis=-1) <= tolerance
    codes = order.astype(np.int32)
    codes[..., 1:] = np.where(tied, ~codes[..., 1:], codes[..., 1:])
    return codes


def stratum_codes(labels: npt.NDArray[np.integer]) -> tuple[CodeArray, int]:
    """Give strata numbers from 0 without gaps, as the kernels take them.

    Parameters
    ----------
    labels : ndarray of int, any shape
        Strata; -1 for subjects that are not drawn.

    Returns
    -------
    codes : ndarray of int32, the same shape
        ``0 ... K - 1``; K for subjects that are not drawn.
    n_strata : int
        K.
    """
    present, codes = np.unique(labels, return_inverse=True)
    n_absent = int(present.size > 0 and present[0] == -1)
    n_strata = present.size - n_absent
    codes = codes.reshape(labels.shape) - n_absent
    return np.where(codes < 0, n_strata, codes).astype(np.int32), n_strata


@_compiled
def stratum_sums(
    values_ONV: FloatArray, sources_RN: CodeArray, labels_N: CodeArray, n_strata: int
) -> FloatArray:
    """Add up values by stratum, for every permutation.

    Parameters
    ----------
    values_ONV : ndarray, shape (1 or r, n, v)
        Values; one table for all permutations, or one each.
    sources_RN : ndarray of int32, shape (r, n)
        Subject ``i`` receives the values of subject ``sources_RN[r, i]``.
    labels_N : ndarray of int32, shape (n,)
        Stratum of each subject; `n_strata` for those that are not drawn.
    n_strata : int
        K.

    Returns
    -------
    ndarray, shape (r, K, v)
        Sums. Added in the order of subjects, whatever the number of permutations.
    """
    n_permutations, n = sources_RN.shape
    n_tables, _, n_columns = values_ONV.shape
    sums_RKV = np.zeros((n_permutations, n_strata, n_columns))
    for r in range(n_permutations):
        table = r if n_tables > 1 else 0
        for i in range(n):
            k = labels_N[i]
            if k < n_strata:
                source = sources_RN[r, i]
                for v in range(n_columns):
                    sums_RKV[r, k, v] += values_ONV[table, source, v]
    return sums_RKV


@_compiled
def kruskal_wallis(
    codes_OFN: CodeArray, sources_RN: CodeArray, labels_DN: CodeArray, n_strata: int
) -> FloatArray:
    """Compute H for every draw, permutation and target, ranking among those drawn.

    Parameters
    ----------
    codes_OFN : ndarray of int32, shape (1 or r, F, n)
        From `order_codes`: one order of each target for all permutations, or one each.
    sources_RN : ndarray of int32, shape (r, n)
        Subject ``i`` receives the values of subject ``sources_RN[r, i]``.
    labels_DN : ndarray of int32, shape (d, n)
        Stratum of each subject in each draw; `n_strata` for those that are not drawn.
    n_strata : int
        Strata in all draws together: K.

    Returns
    -------
    ndarray, shape (d, r, F)
        Tie-corrected H; NaN where fewer than two strata are drawn or the drawn have one value.

    Notes
    -----
    The values' order is walked once: a subject's rank among the drawn is one more than the drawn
    met before it. Doubled ranks and their sums are whole numbers, so H has no rounding but that of
    its last few operations.
    """
    n_draws, n = labels_DN.shape
    n_permutations, n_targets = len(sources_RN), codes_OFN.shape[1]
    h_DRF = np.full((n_draws, n_permutations, n_targets), np.nan)
    counts_K = np.zeros(n_strata + 1, np.int64)
    sums_K = np.zeros(n_strata + 1, np.int64)
    received_N = np.zeros(n, np.int32)
    for d in range(n_draws):
        counts_K[:] = 0
        for i in range(n):
            counts_K[labels_DN[d, i]] += 1
        n_drawn = n - counts_K[n_strata]
        if counts_K[:n_strata].max() == n_drawn:
            continue
        for r in range(n_permutations):
            order = r if len(codes_OFN) > 1 else 0
            # Permuting whom values go to is permuting labels the other way.
            for i in range(n):
                received_N[sources_RN[r, i]] = labels_DN[d, i]
            for f in range(n_targets):
                ties = _rank_sums(codes_OFN[order, f], received_N, sums_K)
                h_DRF[d, r, f] = _h(sums_K, counts_K, n_drawn, ties)
    return h_DRF


@_compiled
def _rank_sums(codes_N: CodeArray, labels_N: CodeArray, sums_K: npt.NDArray[np.int64]) -> float:
    """Add up doubled ranks by stratum, and give the ties' correction: the sum of t^3 - t."""
    n, absent = len(codes_N), len(sums_K) - 1
    sums_K[:] = 0
    drawn, ties, j = 0, 0.0, 0
    while j < n:
        label = labels_N[codes_N[j]]
        end = j + 1
        if end < n and codes_N[end] < 0:
            tied = 1 if label < absent else 0
            while end < n and codes_N[end] < 0:
                tied += 1 if labels_N[~codes_N[end]] < absent else 0
                end += 1
            doubled = 2 * drawn + tied + 1
            sums_K[label] += doubled
            for member in range(j + 1, end):
                sums_K[labels_N[~codes_N[member]]] += doubled
            drawn += tied
            ties += float(tied) * (float(tied) ** 2 - 1.0)
        else:
            drawn += 1 if label < absent else 0
            sums_K[label] += 2 * drawn
        j = end
    return ties


@_compiled
def _h(
    sums_K: npt.NDArray[np.int64], counts_K: npt.NDArray[np.int64], n: int, ties: float
) -> float:
    """Turn doubled rank sums into H; NaN where all values are tied."""
    total = (float(n) ** 3 - n - ties) / 12.0
    if total <= 0.0:
        return np.nan
    between = 0.0
    for k in range(len(counts_K) - 1):
        if counts_K[k] > 0:
            above = 0.5 * (sums_K[k] - counts_K[k] * (n + 1))
            between += above * above / counts_K[k]
    return (n - 1) * between / total
