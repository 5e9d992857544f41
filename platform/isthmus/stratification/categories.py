"""Association of strata with a category: chi-squared, Cramer's V and their null.

Shape suffixes: N subjects, C categories, K strata, Q confound basis, B permutations, b those of a
chunk, R permutations.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from isthmus.stratification.association import (
    AssociationTest,
    chunk_rows,
    require_same_subjects,
)
from isthmus.stratification.confounds import confound_basis, residuals
from isthmus.stratification.correction import permutation_p
from isthmus.stratification.permutation import PermutationPlan
from isthmus.stratification.rank_kernel import CodeArray, stratum_codes, stratum_sums

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.integer]

_VARIANCE_TOLERANCE = 1e-10


def associate_category(
    indicators_NC: FloatArray,
    labels_N: LabelArray,
    plan: PermutationPlan,
    confounds_NC: FloatArray | None = None,
) -> AssociationTest:
    """Test whether the shares of the categories differ between strata, by permutation.

    The null hypothesis is that, within exchangeability blocks and given the confounds, categories
    are exchangeable between strata. Which strata and which categories make the difference is not
    said. Small expected counts are no objection, as they are to the approximation `p_chi2`.

    Parameters
    ----------
    indicators_NC : ndarray, shape (n, C)
        A 1 a row, the subject's category; else 0. Categories that nobody has are passed over.
    labels_N : ndarray of int, shape (n,)
        Stratum of each subject.
    plan : PermutationPlan
        For these n subjects in this order.
    confounds_NC : ndarray, shape (n, q), optional
        Finite confounds.

    Returns
    -------
    AssociationTest
        Arrays of one target, F = 1. NaN where fewer than two categories or strata are present,
        where the confounds explain the category wholly, and where there is no permutation.

    Raises
    ------
    StratificationError
        If lengths differ or a value is not finite.

    Notes
    -----
    Without confounds the statistic is Pearson's: with counts O_kc and their expectations E_kc,
    ``X^2 = sum_kc (O_kc - E_kc)^2 / E_kc``, without a correction for continuity. It is also the
    sum of squares between strata of the indicators divided by ``sqrt(p_c)``, p_c the share of
    category c. With confounds, those columns are regressed on them, and the residuals are permuted
    and regressed again [1]_, all columns of a subject together; the statistic is the sum of squares
    between strata of what is left. ``V = sqrt(X^2 / (n min(K - 1, C - 1)))`` is in [0, 1] either
    way; with confounds, what they explain counts as not explained by strata.

    Cost: O(B n C), and O(B n C q) more with confounds.

    References
    ----------
    .. [1] Freedman & Lane (1983), J. Bus. Econ. Stat. 1, 292-298.

    Examples
    --------
    >>> from isthmus.stratification.permutation import plan_permutations
    >>> plan = plan_permutations(list("abcd"), 99, 0)
    >>> test = associate_category(np.eye(2)[[0, 0, 1, 1]], np.array([5, 5, 7, 7]), plan)
    >>> test.statistic, test.effect_size
    (array([4.]), array([1.]))
    """
    require_same_subjects(indicators_NC, labels_N, plan, confounds_NC)
    indicators_NC = indicators_NC[:, indicators_NC.any(axis=0)]
    n, n_categories = indicators_NC.shape
    basis_NQ = None if confounds_NC is None else confound_basis(confounds_NC)
    columns_NC = category_columns(indicators_NC, basis_NQ)
    strata_N, n_strata = stratum_codes(labels_N)
    observed = np.array([np.nan])
    null_B1 = np.full((plan.n_permutations, 1), np.nan)
    if plan.n_permutations:
        identity_1N = np.arange(n, dtype=np.int32)[np.newaxis]
        observed = _of_sources(columns_NC, identity_1N, strata_N, n_strata, basis_NQ)
    done = 0
    testable = not np.isnan(observed[0])
    for chunk_bN in plan.chunks(chunk_rows(n, n_categories)) if testable else ():
        sources_bN = chunk_bN.astype(np.int32)
        drawn_b = _of_sources(columns_NC, sources_bN, strata_N, n_strata, basis_NQ)
        null_B1[done : done + len(drawn_b), 0] = drawn_b
        done += len(drawn_b)
    return AssociationTest(
        statistic=observed,
        effect_size=cramers_v(observed, n, n_strata, n_categories),
        p_permutation=permutation_p(observed, null_B1) if testable else np.array([np.nan]),
        p_chi2=chi2.sf(observed, (n_strata - 1) * (n_categories - 1)),
        null=null_B1,
    )


def category_columns(indicators_NC: FloatArray, basis_NQ: FloatArray | None) -> FloatArray:
    """Turn indicators into what is permuted and summed by stratum.

    Parameters
    ----------
    indicators_NC : ndarray, shape (n, C)
        A 1 a row.
    basis_NQ : ndarray, shape (n, q), or None
        From `confound_basis`.

    Returns
    -------
    ndarray, shape (n, C)
        The indicators; with confounds their residuals, divided by ``sqrt(p_c)``.
    """
    if basis_NQ is None:
        return indicators_NC
    shares_C = indicators_NC.mean(axis=0)
    scaled_NC = indicators_NC / np.sqrt(np.where(shares_C > 0, shares_C, 1.0))
    return np.ascontiguousarray(residuals(scaled_NC.T, basis_NQ).T)


def arranged_columns(
    columns_NC: FloatArray, sources_bN: CodeArray, basis_NQ: FloatArray
) -> FloatArray:
    """Permute residuals and regress confounds out again.

    Parameters
    ----------
    columns_NC : ndarray, shape (n, C)
        From `category_columns`.
    sources_bN : ndarray of int, shape (b, n)
        Subject ``i`` receives the residuals of subject ``sources_bN[k, i]``.
    basis_NQ : ndarray, shape (n, q)
        From `confound_basis`.

    Returns
    -------
    ndarray, shape (b, n, C)
        What is left.
    """
    drawn_bCN = np.moveaxis(columns_NC[sources_bN], 1, 2)
    return np.ascontiguousarray(np.moveaxis(residuals(drawn_bCN, basis_NQ), 2, 1))


def chi_squared(
    sums_RKC: FloatArray, counts_K: npt.NDArray[np.integer], residual: bool
) -> FloatArray:
    """Compute the statistic from sums by stratum.

    Parameters
    ----------
    sums_RKC : ndarray, shape (r, K, C)
        Sums of `category_columns` over each stratum's subjects.
    counts_K : ndarray of int, shape (K,)
        Subjects in each stratum; strata of none are passed over.
    residual : bool
        Whether the sums are of residuals, rather than counts.

    Returns
    -------
    ndarray, shape (r,)
        X^2; NaN where fewer than two strata or categories are present.
    """
    held = counts_K > 0
    sums_RKC, sizes_K = sums_RKC[:, held], counts_K[held].astype(np.float64)
    n, all_RC = sizes_K.sum(), sums_RKC.sum(axis=1)
    if held.sum() < 2:
        return np.full(len(sums_RKC), np.nan)
    away_RKC = sums_RKC - sizes_K[:, np.newaxis] * (all_RC / n)[:, np.newaxis]
    between_RC = (away_RKC**2 / sizes_K[:, np.newaxis]).sum(axis=1)
    if residual:
        summed: FloatArray = between_RC.sum(axis=1)
        return summed
    shares_RC = all_RC / n
    x2_R: FloatArray = (between_RC / np.where(shares_RC > 0, shares_RC, 1.0)).sum(axis=1)
    x2_R[(all_RC > 0).sum(axis=1) < 2] = np.nan
    return x2_R


def cramers_v(
    x2: FloatArray,
    n: FloatArray | int,
    n_strata: npt.NDArray[np.integer] | int,
    n_categories: int,
) -> FloatArray:
    """Turn chi-squared into an effect size.

    Parameters
    ----------
    x2 : ndarray
        Chi-squared.
    n : int, or ndarray that broadcasts with `x2`
        Subjects.
    n_strata : int, or ndarray that broadcasts with `x2`
        Strata present.
    n_categories : int
        Categories.

    Returns
    -------
    ndarray, shape of `x2`
        ``sqrt(X^2 / (n min(K - 1, C - 1)))``, in [0, 1]. Its expectation under the null is not 0:
        that of X^2 is about (K - 1)(C - 1).
    """
    least = np.maximum(np.minimum(n_strata, n_categories) - 1, 1)
    v: FloatArray = np.sqrt(np.minimum(x2 / (np.asarray(n, dtype=np.float64) * least), 1.0))
    return v


def explained(columns_NC: FloatArray) -> bool:
    """Whether confounds left nothing of a category.

    Parameters
    ----------
    columns_NC : ndarray, shape (n, C)
        Residuals from `category_columns`.

    Returns
    -------
    bool
        True where no column has variance, rounding aside.
    """
    return bool((columns_NC.var(axis=0) < _VARIANCE_TOLERANCE).all())


def _of_sources(
    columns_NC: FloatArray,
    sources_bN: CodeArray,
    strata_N: CodeArray,
    n_strata: int,
    basis_NQ: FloatArray | None,
) -> FloatArray:
    """Compute the statistic under some permutations: shape (b,)."""
    table_1NC = np.ascontiguousarray(columns_NC)[np.newaxis]
    if basis_NQ is not None:
        if explained(columns_NC):
            return np.full(len(sources_bN), np.nan)
        table_1NC = arranged_columns(columns_NC, sources_bN, basis_NQ)
        sources_bN = np.tile(np.arange(len(strata_N), dtype=np.int32), (len(sources_bN), 1))
    sums_bKC = stratum_sums(table_1NC, sources_bN, strata_N, n_strata)
    counts_K = np.bincount(strata_N, minlength=n_strata)
    return chi_squared(sums_bKC, counts_K, residual=basis_NQ is not None)
