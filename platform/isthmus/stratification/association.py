"""Association of strata with phenotype factors: Kruskal-Wallis, its effect size and its null.

Shape suffixes: N subjects, F factors, K strata, C confounds, B permutations.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2, rankdata

from isthmus.core.errors import StratificationError
from isthmus.stratification.correction import permutation_p
from isthmus.stratification.permutation import PermutationPlan

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.integer]

_CHUNK_BYTES = 64 * 2**20
# Residuals that would be equal on paper differ by rounding; ranks must not tell them apart.
_RESIDUAL_DECIMALS = 9
_VARIANCE_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class AssociationTest:
    """One Kruskal-Wallis test a factor. NaN throughout marks a factor that cannot be tested.

    Attributes
    ----------
    h : ndarray, shape (F,)
        Kruskal-Wallis H, tie-corrected.
    epsilon2 : ndarray, shape (F,)
        Effect size in [0, 1]: H (n + 1) / (n^2 - 1).
    p_permutation : ndarray, shape (F,)
        (1 + b) / (1 + B). This is the p-value to report.
    p_chi2 : ndarray, shape (F,)
        From the chi-squared approximation, which takes subjects to be independent.
    null_h : ndarray, shape (B, F)
        H under each permutation, all factors permuted together.
    """

    h: FloatArray
    epsilon2: FloatArray
    p_permutation: FloatArray
    p_chi2: FloatArray
    null_h: FloatArray


def one_hot(labels_N: LabelArray) -> FloatArray:
    """Turn stratum labels into indicator columns, leaving out strata nobody is in.

    Parameters
    ----------
    labels_N : ndarray of int, shape (n,)
        Stratum of each subject.

    Returns
    -------
    ndarray, shape (n, k)
        One 1 a row.
    """
    present, inverse = np.unique(labels_N, return_inverse=True)
    return np.eye(len(present))[inverse]


def epsilon_squared(h_F: FloatArray, n: int) -> FloatArray:
    """Turn H into the share of the ranks' variance that lies between strata.

    Parameters
    ----------
    h_F : ndarray, shape (F,)
        Kruskal-Wallis H.
    n : int
        Subjects.

    Returns
    -------
    ndarray, shape (F,)
        In [0, 1]. Its expectation under the null is (k - 1) / (n - 1) for k strata, not 0.

    Notes
    -----
    ``epsilon^2 = H (n + 1) / (n^2 - 1)`` [1]_.

    References
    ----------
    .. [1] Tomczak & Tomczak (2014), Trends in Sport Sciences 21, 19-25.
    """
    squared: FloatArray = h_F * (n + 1) / (n**2 - 1)
    return squared


def confound_basis(confounds_NC: FloatArray) -> FloatArray:
    """Make an orthonormal basis of the intercept and the confounds.

    Parameters
    ----------
    confounds_NC : ndarray, shape (n, C)
        Finite columns; constant and collinear ones are allowed and add nothing.

    Returns
    -------
    ndarray, shape (n, q)
        Orthonormal columns, q the rank.
    """
    n = confounds_NC.shape[0]
    centred = confounds_NC - confounds_NC.mean(axis=0)
    scale = centred.std(axis=0)
    scaled = centred / np.where(scale > 0, scale, 1.0)
    design = np.column_stack([np.ones(n), scaled])
    left, singular, _ = np.linalg.svd(design, full_matrices=False)
    basis: FloatArray = left[:, singular > 1e-9 * singular[0]]
    return basis


def associate(
    scores_NF: FloatArray,
    labels_N: LabelArray,
    plan: PermutationPlan,
    confounds_NC: FloatArray | None = None,
) -> AssociationTest:
    """Test every factor against the strata, by permutation.

    The null hypothesis is that, within exchangeability blocks and given the confounds, scores are
    exchangeable between strata. The partition is taken as given: that it would come back from
    other subjects is not tested here. Kruskal-Wallis H measures how far the strata's mean ranks lie
    apart; it says nothing of which strata differ, nor in what direction.

    Parameters
    ----------
    scores_NF : ndarray, shape (n, F)
        Finite factor scores.
    labels_N : ndarray of int, shape (n,)
        Stratum of each subject.
    plan : PermutationPlan
        For these n subjects in this order.
    confounds_NC : ndarray, shape (n, C), optional
        Finite confounds.

    Returns
    -------
    AssociationTest
        NaN for factors that are constant, alone or once the confounds are regressed out, and for
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
    alone: B permutations are one product of a (B F, n) with an (n, K) matrix. With confounds,
    residuals are permuted, regressed on the confounds again and ranked anew [1]_, [2]_. (Freedman
    and Lane add the fitted part back first; the second regression would remove it.) Cost:
    O(B F n K), and O(B F n log n) more with confounds; memory is bounded by chunks of 64 MiB.

    References
    ----------
    .. [1] Freedman & Lane (1983), J. Bus. Econ. Stat. 1, 292-298.
    .. [2] Winkler, Ridgway, Webster, Smith & Nichols (2014), NeuroImage 92, 381-397.
    .. [3] Kruskal & Wallis (1952), J. Am. Stat. Assoc. 47, 583-621.

    Examples
    --------
    >>> from isthmus.stratification.permutation import plan_permutations
    >>> scores_NF = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> associate(scores_NF, np.array([0, 0, 1, 1]), plan_permutations(list("abcd"), 99, 0)).h
    array([2.4])
    """
    n, n_factors = scores_NF.shape
    _check(scores_NF, labels_N, plan, confounds_NC)
    basis_NQ = None if confounds_NC is None else confound_basis(confounds_NC)
    residuals_FN = _standard_residuals(scores_NF.T, basis_NQ)
    strata_NK = one_hot(labels_N)
    ranks_FN = _centred_ranks(residuals_FN)
    h_F = _h(ranks_FN[:, np.newaxis], strata_NK)[:, 0]
    if plan.n_permutations == 0:
        h_F = np.full(n_factors, np.nan)
    testable = np.flatnonzero(~np.isnan(h_F))
    null_h_BF = np.full((plan.n_permutations, n_factors), np.nan)
    done = 0
    n_rows = max(1, _CHUNK_BYTES // (8 * n * max(1, testable.size)))
    for chunk_BN in plan.chunks(n_rows) if testable.size else ():
        if basis_NQ is None:
            drawn_FBN = ranks_FN[testable][:, chunk_BN]
        else:
            drawn_FBN = _centred_ranks(_residuals(residuals_FN[testable][:, chunk_BN], basis_NQ))
        # A permuted factor that the confounds explain wholly shows no association.
        drawn_h_FB = np.nan_to_num(_h(drawn_FBN, strata_NK), nan=0.0)
        null_h_BF[done : done + len(chunk_BN), testable] = drawn_h_FB.T
        done += len(chunk_BN)
    p_F = np.full(n_factors, np.nan)
    p_F[testable] = permutation_p(h_F[testable], null_h_BF[:, testable])
    return AssociationTest(
        h=h_F,
        epsilon2=epsilon_squared(h_F, n),
        p_permutation=p_F,
        p_chi2=chi2.sf(h_F, strata_NK.shape[1] - 1),
        null_h=null_h_BF,
    )


def _check(
    scores_NF: FloatArray,
    labels_N: LabelArray,
    plan: PermutationPlan,
    confounds_NC: FloatArray | None,
) -> None:
    """Refuse arrays that do not belong together."""
    n = scores_NF.shape[0]
    lengths = {"labels": len(labels_N), "the permutation plan": plan.n_subjects}
    if confounds_NC is not None:
        lengths["confounds"] = len(confounds_NC)
    for name, length in lengths.items():
        if length != n:
            raise StratificationError(
                f"Scores and {name} must be of the same subjects, got {n} and {length}."
            )
    arrays = {"Factor scores": scores_NF, "Confounds": confounds_NC}
    for name, array in arrays.items():
        if array is not None and not np.isfinite(array).all():
            raise StratificationError(f"{name} must be finite, got NaN or infinity.")


def _residuals(values: FloatArray, basis_NQ: FloatArray) -> FloatArray:
    """Remove what the basis explains along the subjects' axis, the last."""
    left: FloatArray = values - (values @ basis_NQ) @ basis_NQ.T
    return left.round(_RESIDUAL_DECIMALS)


def _standard_residuals(scores_FN: FloatArray, basis_NQ: FloatArray | None) -> FloatArray:
    """Regress confounds out of scores scaled to unit variance; nothing left becomes zeros."""
    if basis_NQ is None:
        return scores_FN
    centred = scores_FN - scores_FN.mean(axis=1, keepdims=True)
    scale = centred.std(axis=1, keepdims=True)
    residuals = _residuals(centred / np.where(scale > 0, scale, 1.0), basis_NQ)
    explained = residuals.var(axis=1, keepdims=True) < _VARIANCE_TOLERANCE
    return np.where(explained, 0.0, residuals)


def _centred_ranks(values: FloatArray) -> FloatArray:
    """Rank along the subjects' axis, the last, ties sharing their mean rank, and centre."""
    ranks: FloatArray = rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2
    return ranks


def _h(ranks_FBN: FloatArray, strata_NK: FloatArray) -> FloatArray:
    """Compute H from centred ranks: shape (F, b); NaN for constants and lone strata."""
    n, k = strata_NK.shape
    if k < 2:
        return np.full(ranks_FBN.shape[:2], np.nan)
    sums_FBK = ranks_FBN @ strata_NK
    between_FB = (sums_FBK**2 / strata_NK.sum(axis=0)).sum(axis=2)
    total_FB = (ranks_FBN**2).sum(axis=2)
    constant = total_FB == 0
    h_FB: FloatArray = (n - 1) * between_FB / np.where(constant, 1.0, total_FB)
    return np.where(constant, np.nan, h_FB)
