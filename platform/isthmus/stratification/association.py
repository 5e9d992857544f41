"""Association of strata with numeric targets: Kruskal-Wallis, its effect size and its null.

Shape suffixes: N subjects, F targets, K strata, C confounds, B permutations, b those of a chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, rankdata

from isthmus.core.errors import StratificationError
from isthmus.stratification.confounds import (
    TIE_TOLERANCE,
    confound_basis,
    residuals,
    standard_residuals,
)
from isthmus.stratification.correction import permutation_p
from isthmus.stratification.permutation import PermutationPlan
from isthmus.stratification.rank_kernel import (
    CodeArray,
    kruskal_wallis,
    order_codes,
    stratum_codes,
    stratum_sums,
)

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.integer]

_CHUNK_BYTES = 2 * 2**20
# What is sorted at a time: kept where the processor has it at hand, three times as fast.
_CACHE_BYTES = 2**18


@dataclass(frozen=True, eq=False)
class AssociationTest:
    """One test a target. NaN throughout marks a target that cannot be tested.

    Attributes
    ----------
    statistic : ndarray, shape (F,)
        Kruskal-Wallis H, tie-corrected; chi-squared for a category.
    effect_size : ndarray, shape (F,)
        In [0, 1]: epsilon^2; Cramer's V for a category.
    p_permutation : ndarray, shape (F,)
        (1 + b) / (1 + B). This is the p-value to report.
    p_chi2 : ndarray, shape (F,)
        From the chi-squared approximation, which takes subjects to be independent.
    null : ndarray, shape (B, F)
        The statistic under each permutation, all targets permuted together.
    """

    statistic: FloatArray
    effect_size: FloatArray
    p_permutation: FloatArray
    p_chi2: FloatArray
    null: FloatArray


def epsilon_squared(h: FloatArray, n: FloatArray | int) -> FloatArray:
    """Turn H into the share of the ranks' variance that lies between strata.

    Parameters
    ----------
    h : ndarray
        Kruskal-Wallis H.
    n : int, or ndarray that broadcasts with `h`
        Subjects.

    Returns
    -------
    ndarray, shape of `h`
        In [0, 1]. Its expectation under the null is (k - 1) / (n - 1) for k strata, not 0.

    Notes
    -----
    ``epsilon^2 = H (n + 1) / (n^2 - 1)`` [1]_.

    References
    ----------
    .. [1] Tomczak & Tomczak (2014), Trends in Sport Sciences 21, 19-25.
    """
    size = np.asarray(n, dtype=np.float64)
    squared: FloatArray = h * (size + 1) / (size**2 - 1)
    return squared


def associate(
    scores_NF: FloatArray,
    labels_N: LabelArray,
    plan: PermutationPlan,
    confounds_NC: FloatArray | None = None,
) -> AssociationTest:
    """Test every numeric target against the strata, by permutation.

    The null hypothesis is that, within exchangeability blocks and given the confounds, scores are
    exchangeable between strata. The partition is taken as given: that it would come back from
    other subjects is not tested here. Kruskal-Wallis H measures how far the strata's mean ranks lie
    apart; it says nothing of which strata differ, nor in what direction.

    Parameters
    ----------
    scores_NF : ndarray, shape (n, F)
        Finite scores.
    labels_N : ndarray of int, shape (n,)
        Stratum of each subject.
    plan : PermutationPlan
        For these n subjects in this order.
    confounds_NC : ndarray, shape (n, C), optional
        Finite confounds.

    Returns
    -------
    AssociationTest
        NaN for targets that are constant, alone or once the confounds are regressed out, and for
        all of them where there are fewer than two strata or no permutation.

    Raises
    ------
    StratificationError
        If lengths differ or a value is not finite.

    Notes
    -----
    ``H = (n - 1) sum_k n_k (r_k - r)^2 / sum_i (r_i - r)^2`` with mean ranks r_k; the ratio
    contains the correction for ties [3]_.

    Without confounds, permuting scores permutes ranks, and H depends on the strata's rank sums
    alone: one pass over the ranks a permutation, O(B n F). With confounds, residuals are permuted,
    regressed on the confounds again and ranked anew [1]_, [2]_, O(B F n log n). (Freedman and Lane
    add the fitted part back first; the second regression would remove it.) Beside the null, of
    8 B F bytes, a few MiB are in use: permutations are drawn and taken in chunks.

    References
    ----------
    .. [1] Freedman & Lane (1983), J. Bus. Econ. Stat. 1, 292-298.
    .. [2] Winkler, Ridgway, Webster, Smith & Nichols (2014), NeuroImage 92, 381-397.
    .. [3] Kruskal & Wallis (1952), J. Am. Stat. Assoc. 47, 583-621.

    Examples
    --------
    >>> from isthmus.stratification.permutation import plan_permutations
    >>> scores_NF = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> plan = plan_permutations(list("abcd"), 99, 0)
    >>> test = associate(scores_NF, np.array([0, 0, 1, 1]), plan)
    >>> test.statistic
    array([2.4])
    >>> test.p_permutation.round(3)
    array([0.333])
    """
    n, n_targets = scores_NF.shape
    require_same_subjects(scores_NF, labels_N, plan, confounds_NC)
    basis_NQ = None if confounds_NC is None else confound_basis(confounds_NC)
    values_FN = np.ascontiguousarray(scores_NF.T)
    if basis_NQ is not None:
        values_FN = standard_residuals(values_FN, basis_NQ)
    strata_N, n_strata = stratum_codes(labels_N)
    observed = _h_under(values_FN, strata_N, n_strata, basis_NQ)
    h_F = observed(np.arange(n, dtype=np.int32)[np.newaxis])[0]
    if plan.n_permutations == 0:
        h_F = np.full(n_targets, np.nan)
    testable = np.flatnonzero(~np.isnan(h_F))
    null_BF = np.full((plan.n_permutations, n_targets), np.nan)
    done = 0
    permuted = _h_under(values_FN[testable], strata_N, n_strata, basis_NQ)
    for chunk_bN in plan.chunks(chunk_rows(n, testable.size)) if testable.size else ():
        h_bF = permuted(chunk_bN.astype(np.int32))
        # A permuted target that the confounds explain wholly shows no association.
        null_BF[done : done + len(h_bF), testable] = np.nan_to_num(h_bF, nan=0.0)
        done += len(h_bF)
    p_F = np.full(n_targets, np.nan)
    p_F[testable] = permutation_p(h_F[testable], null_BF[:, testable])
    return AssociationTest(
        statistic=h_F,
        effect_size=epsilon_squared(h_F, n),
        p_permutation=p_F,
        p_chi2=chi2.sf(h_F, n_strata - 1),
        null=null_BF,
    )


def chunk_rows(n: int, n_columns: int) -> int:
    """Say how many permutations of so many subjects and columns are taken at a time.

    Parameters
    ----------
    n, n_columns : int
        Subjects and columns.

    Returns
    -------
    int
        At least 1.
    """
    return max(1, _CHUNK_BYTES // (8 * n * max(1, n_columns)))


def freedman_lane_codes(
    residuals_FN: FloatArray, sources_bN: CodeArray, basis_NQ: FloatArray
) -> CodeArray:
    """Permute residuals, regress confounds out again and sort.

    Parameters
    ----------
    residuals_FN : ndarray, shape (F, n)
        From `standard_residuals`.
    sources_bN : ndarray of int, shape (b, n)
        Subject ``i`` receives the residual of subject ``sources_bN[k, i]``.
    basis_NQ : ndarray, shape (n, q)
        From `confound_basis`.

    Returns
    -------
    ndarray of int32, shape (b, F, n)
        From `order_codes`.
    """
    codes_bFN = np.empty((len(sources_bN), *residuals_FN.shape), dtype=np.int32)
    size = max(1, _CACHE_BYTES // (8 * max(1, residuals_FN.size)))
    for start in range(0, len(sources_bN), size):
        part = slice(start, start + size)
        drawn = np.moveaxis(residuals_FN[:, sources_bN[part]], 0, 1)
        codes_bFN[part] = order_codes(residuals(drawn, basis_NQ), TIE_TOLERANCE)
    return codes_bFN


def require_same_subjects(
    values_NV: FloatArray,
    labels_N: LabelArray,
    plan: PermutationPlan,
    confounds_NC: FloatArray | None,
) -> None:
    """Refuse arrays that do not belong together.

    Parameters
    ----------
    values_NV : ndarray, shape (n, v)
        Values of the targets.
    labels_N : ndarray of int, shape (n,)
        Strata.
    plan : PermutationPlan
        Of n subjects.
    confounds_NC : ndarray, shape (n, C), or None
        Confounds.

    Raises
    ------
    StratificationError
        If lengths differ or a value is not finite.
    """
    n = values_NV.shape[0]
    lengths = {"labels": len(labels_N), "the permutation plan": plan.n_subjects}
    if confounds_NC is not None:
        lengths["confounds"] = len(confounds_NC)
    for name, length in lengths.items():
        if length != n:
            raise StratificationError(
                f"Scores and {name} must be of the same subjects, got {n} and {length}."
            )
    arrays = {"Scores": values_NV, "Confounds": confounds_NC}
    for name, array in arrays.items():
        if array is not None and not np.isfinite(array).all():
            raise StratificationError(f"{name} must be finite, got NaN or infinity.")


def _h_under(
    values_FN: FloatArray, strata_N: CodeArray, n_strata: int, basis_NQ: FloatArray | None
) -> Callable[[CodeArray], FloatArray]:
    """Make what computes H under some permutations, (b, n) to (b, F)."""
    if basis_NQ is not None:
        return partial(_h_of_residuals, values_FN, strata_N, n_strata, basis_NQ)
    # Permuting scores permutes ranks, so they are the same under every permutation.
    centred_FN = rankdata(values_FN, axis=1) - (values_FN.shape[1] + 1) / 2
    return partial(_h_of_ranks, np.ascontiguousarray(centred_FN.T), strata_N, n_strata)


def _h_of_residuals(
    residuals_FN: FloatArray,
    strata_N: CodeArray,
    n_strata: int,
    basis_NQ: FloatArray,
    sources_bN: CodeArray,
) -> FloatArray:
    """Rank each arrangement anew; what the kernel permutes is then the identity."""
    codes_bFN = freedman_lane_codes(residuals_FN, sources_bN, basis_NQ)
    stay_bN = np.tile(np.arange(len(strata_N), dtype=np.int32), (len(sources_bN), 1))
    h_bF: FloatArray = kruskal_wallis(codes_bFN, stay_bN, strata_N[np.newaxis], n_strata)[0]
    return h_bF


def _h_of_ranks(
    ranks_NF: FloatArray, strata_N: CodeArray, n_strata: int, sources_bN: CodeArray
) -> FloatArray:
    """Compute H from the strata's sums of centred ranks."""
    n, n_targets = ranks_NF.shape
    if n_strata < 2:
        return np.full((len(sources_bN), n_targets), np.nan)
    total_F = (ranks_NF**2).sum(axis=0)
    sums_bKF = stratum_sums(ranks_NF[np.newaxis], sources_bN, strata_N, n_strata)
    counts_K = np.bincount(strata_N, minlength=n_strata)
    between_bF = (sums_bKF**2 / counts_K[:, np.newaxis]).sum(axis=1)
    constant_F = total_F == 0
    h_bF: FloatArray = (n - 1) * between_bF / np.where(constant_F, 1.0, total_F)
    h_bF[:, constant_F] = np.nan
    return h_bF
