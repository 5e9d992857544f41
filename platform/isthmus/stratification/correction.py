"""Many targets, one family of tests: false discovery rates, and max-T or Holm for strong control.

Shape suffixes: F targets, B permutations.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
from statsmodels.stats.multitest import multipletests

FloatArray = npt.NDArray[np.float64]


def false_discovery_rate(
    p_F: FloatArray, method: Literal["fdr_bh", "fdr_by"] = "fdr_bh"
) -> FloatArray:
    """Adjust p-values for the false discovery rate, over the testable ones alone.

    The largest expected share of false discoveries among targets with ``q <= alpha`` is alpha.
    It does not bound the chance of one false discovery: see `max_t` and `holm`.

    Parameters
    ----------
    p_F : ndarray, shape (F,)
        p-values in (0, 1]; NaN marks a target that could not be tested.
    method : {"fdr_bh", "fdr_by"}
        Benjamini-Hochberg [1]_ (independent or positively dependent tests), or
        Benjamini-Yekutieli [2]_ (any dependence).

    Returns
    -------
    ndarray, shape (F,)
        q-values; NaN exactly where p is NaN. Left in, one NaN would turn every q to NaN.

    References
    ----------
    .. [1] Benjamini & Hochberg (1995), J. R. Stat. Soc. B 57, 289-300.
    .. [2] Benjamini & Yekutieli (2001), Ann. Stat. 29, 1165-1188.

    Examples
    --------
    >>> false_discovery_rate(np.array([0.01, np.nan, 0.04]))
    array([0.02,  nan, 0.04])
    """
    q_F = np.full(p_F.shape, np.nan)
    testable = ~np.isnan(p_F)
    if testable.any():
        q_F[testable] = multipletests(p_F[testable], method=method)[1]
    return q_F


def max_t(observed_F: FloatArray, null_BF: FloatArray) -> FloatArray:
    """Adjust by the permutation distribution of the largest statistic, stepping down.

    Under joint permutation of all targets, the chance of any false rejection at
    ``p_max_t <= alpha`` is at most alpha, whatever the dependence between targets.

    Parameters
    ----------
    observed_F : ndarray, shape (F,)
        Statistics on one scale, such as Kruskal-Wallis H on the same subjects; NaN: untestable.
    null_BF : ndarray, shape (B, F)
        The same statistics under each permutation of all targets together.

    Returns
    -------
    ndarray, shape (F,)
        Adjusted p-values, (1 + b) / (1 + B); NaN where untestable.

    Notes
    -----
    Westfall & Young's step-down algorithm [1]_: the largest statistic is compared with the
    maximum over all targets, the next with the maximum over the rest, and so on; adjusted
    p-values are then made monotone. Cost: B x F.

    References
    ----------
    .. [1] Westfall & Young (1993), Resampling-Based Multiple Testing, algorithm 4.1.

    Examples
    --------
    >>> max_t(np.array([9.0, 1.0]), np.array([[2.0, 0.5], [1.0, 3.0], [0.0, 2.0]]))
    array([0.25, 0.75])
    """
    adjusted_F = np.full(observed_F.shape, np.nan)
    testable = np.flatnonzero(~np.isnan(observed_F))
    if not testable.size or not null_BF.shape[0]:
        return adjusted_F
    order = testable[np.argsort(-observed_F[testable], kind="stable")]
    # Column j holds the maximum over the targets from rank j down.
    largest_BF = np.maximum.accumulate(null_BF[:, order[::-1]], axis=1)[:, ::-1]
    p_F = permutation_p(observed_F[order], largest_BF)
    adjusted_F[order] = np.maximum.accumulate(p_F)
    return adjusted_F


def holm(p_F: FloatArray) -> FloatArray:
    """Adjust p-values to bound the chance of any false rejection, stepping down.

    It holds whatever the dependence between targets, and gives away what `max_t` gains by knowing
    it; `max_t` needs all targets permuted together, on the same subjects.

    Parameters
    ----------
    p_F : ndarray, shape (F,)
        p-values in (0, 1]; NaN marks a target that could not be tested.

    Returns
    -------
    ndarray, shape (F,)
        Adjusted p-values [1]_; NaN exactly where p is NaN.

    Notes
    -----
    The same as statsmodels' ``holm``, which stops for a garbage collection in every call.

    References
    ----------
    .. [1] Holm (1979), Scand. J. Stat. 6, 65-70.

    Examples
    --------
    >>> holm(np.array([0.01, np.nan, 0.04]))
    array([0.02,  nan, 0.04])
    """
    adjusted_F = np.full(p_F.shape, np.nan)
    testable = np.flatnonzero(~np.isnan(p_F))
    order = testable[np.argsort(p_F[testable], kind="stable")]
    steps = np.arange(order.size, 0, -1) * p_F[order]
    adjusted_F[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted_F


def permutation_p(observed_F: FloatArray, null_BF: FloatArray) -> FloatArray:
    """Count the permutations that reach the observed statistic.

    Parameters
    ----------
    observed_F : ndarray, shape (F,)
        Statistics, larger meaning further from the null.
    null_BF : ndarray, shape (B, F)
        The same under each permutation, the identity not among them.

    Returns
    -------
    ndarray, shape (F,)
        (1 + b) / (1 + B): never zero, since the observed arrangement is one of those possible
        [1]_. Statistics within rounding of each other count as equal.

    References
    ----------
    .. [1] Phipson & Smyth (2010), Stat. Appl. Genet. Mol. Biol. 9, 39.
    """
    slack_F = 1e-9 * np.maximum(np.abs(observed_F), 1.0)
    reached_F = (null_BF >= observed_F - slack_F).sum(axis=0)
    p_F: FloatArray = (1.0 + reached_F) / (1.0 + null_BF.shape[0])
    return p_F
