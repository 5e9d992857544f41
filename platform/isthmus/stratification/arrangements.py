"""Targets under many permutations at once, tested on any draw of the subjects.

Permutations are arranged once; a draw then costs a walk through each target's order.

Shape suffixes: N subjects of a group, D draws, R permutations, F targets, C categories, K strata,
O tables (one for all permutations, or one each), V columns, b permutations of a chunk.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.core.errors import StratificationError
from isthmus.stratification.association import (
    chunk_rows,
    epsilon_squared,
    freedman_lane_codes,
)
from isthmus.stratification.categories import (
    arranged_columns,
    category_columns,
    chi_squared,
    cramers_v,
    explained,
)
from isthmus.stratification.confounds import confound_basis, standard_residuals
from isthmus.stratification.rank_kernel import (
    CodeArray,
    kruskal_wallis,
    order_codes,
    stratum_codes,
    stratum_sums,
)
from isthmus.stratification.targets import TargetGroup

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.integer]


@dataclass(frozen=True, eq=False)
class Arrangements:
    """One group's targets under permutations of its subjects. Made by `arrange`.

    Attributes
    ----------
    n_targets : int
        F.
    tested_F : ndarray of bool, shape (F,)
        Targets that may have a test at all.
    sources_RN : ndarray of int32, shape (r, n)
        Subject ``i`` receives what subject ``sources_RN[r, i]`` has in the tables.
    codes_OFN : ndarray of int32, shape (1 or r, F, n), or None
        Orders of numeric targets (`order_codes`); None for a category.
    columns_ONC : ndarray, shape (1 or r, n, C), or None
        Columns of a category; None for numeric targets.
    residual : bool
        Whether confounds were regressed out, so that each permutation has a table of its own.
    """

    n_targets: int
    tested_F: npt.NDArray[np.bool_]
    sources_RN: CodeArray
    codes_OFN: CodeArray | None
    columns_ONC: FloatArray | None
    residual: bool

    def statistics(self, labels_DN: LabelArray) -> FloatArray:
        """Test each draw's strata against every permutation of the targets.

        Parameters
        ----------
        labels_DN : ndarray of int, shape (d, n)
            Stratum of each subject of the group in each draw; -1 where it is not drawn.

        Returns
        -------
        ndarray, shape (d, r, F)
            Kruskal-Wallis H, ranks and ties taken among the drawn; chi-squared for a category.
            NaN where fewer than two strata are drawn or the drawn have one value. Comparisons with
            NaN are false, so a permutation without a statistic reaches nothing.

        Raises
        ------
        StratificationError
            If labels are of other subjects.

        Notes
        -----
        O(d r F n); O(d r n C) for a category. It takes no memory beyond its result and, for a
        category, 8 r K C bytes.
        """
        n = self.sources_RN.shape[1]
        if labels_DN.ndim != 2 or labels_DN.shape[1] != n:
            raise StratificationError(
                f"Labels must be of the group's {n} subjects, a row a draw, got an array of shape "
                f"{labels_DN.shape}."
            )
        shape = (len(labels_DN), len(self.sources_RN), self.n_targets)
        strata_DN, n_strata = stratum_codes(labels_DN)
        if n == 0 or n_strata == 0 or not self.tested_F.any():
            return np.full(shape, np.nan)
        if self.codes_OFN is not None:
            h_DRF = kruskal_wallis(self.codes_OFN, self.sources_RN, strata_DN, n_strata)
            h_DRF[..., ~self.tested_F] = np.nan
            return h_DRF
        assert self.columns_ONC is not None
        x2_DRF = np.empty(shape)
        for d, strata_N in enumerate(strata_DN):
            sums_RKC = stratum_sums(self.columns_ONC, self.sources_RN, strata_N, n_strata)
            counts_K = np.bincount(strata_N, minlength=n_strata + 1)[:n_strata]
            x2_DRF[d, :, 0] = chi_squared(sums_RKC, counts_K, self.residual)
        return x2_DRF

    def effect_sizes(self, statistics_DRF: FloatArray, labels_DN: LabelArray) -> FloatArray:
        """Turn statistics into effect sizes.

        Parameters
        ----------
        statistics_DRF : ndarray, shape (d, r', F)
            From `statistics`, for all permutations or some of them.
        labels_DN : ndarray of int, shape (d, n)
            What they were computed on.

        Returns
        -------
        ndarray, shape (d, r', F)
            epsilon^2; Cramer's V for a category. NaN where the statistic is.
        """
        n_D11 = np.maximum((labels_DN >= 0).sum(axis=1), 2)[:, np.newaxis, np.newaxis]
        if self.columns_ONC is None:
            return epsilon_squared(statistics_DRF, n_D11)
        n_strata = [np.unique(labels_N[labels_N >= 0]).size for labels_N in labels_DN]
        strata_D11 = np.array(n_strata, dtype=np.int64)[:, np.newaxis, np.newaxis]
        return cramers_v(statistics_DRF, n_D11, strata_D11, self.columns_ONC.shape[2])


def arrange(group: TargetGroup, permutations_RN: npt.NDArray[np.integer]) -> Arrangements:
    """Lay out a group's targets under permutations of its subjects.

    Parameters
    ----------
    group : TargetGroup
        Targets and confounds.
    permutations_RN : ndarray of int, shape (r, n)
        Subject ``i`` of the group receives what subject ``permutations_RN[r, i]`` had; the
        identity, for the observed values, may be among them.

    Returns
    -------
    Arrangements
        For any draw of these subjects.

    Raises
    ------
    StratificationError
        If the permutations are of other subjects.

    Notes
    -----
    Without confounds an order serves all permutations: 4 r n bytes. With confounds, residuals are
    permuted and regressed on the confounds of the whole group again (Freedman & Lane 1983), once;
    draws rank what is left among the drawn. That takes 4 r n F bytes, 8 r n C for a category: 26
    MB for 500 permutations of 13 factors and 1,000 subjects, 1 GB for 40,000.
    """
    n = len(group.rows_N)
    if permutations_RN.ndim != 2 or permutations_RN.shape[1] != n:
        raise StratificationError(
            f"Permutations must be of the group's {n} subjects, got an array of shape "
            f"{permutations_RN.shape}."
        )
    tested_F = np.array([reason is None for reason in group.reasons], dtype=bool)
    sources_RN = np.ascontiguousarray(permutations_RN, dtype=np.int32)
    basis_NQ = None
    if group.confounds_NC is not None and tested_F.any():
        basis_NQ = confound_basis(group.confounds_NC)
    make = _category if group.kind == "category" else _numeric
    return make(group, tested_F, sources_RN, basis_NQ)


def observed_and_permuted(group: TargetGroup, n_permutations: int, seed: int) -> Arrangements:
    """Arrange a group's targets as observed first, and then under permutations of families.

    Parameters
    ----------
    group : TargetGroup
        Targets, families and confounds.
    n_permutations : int
        Permutations wanted; fewer where the families allow no more.
    seed : int
        Seed of the draws.

    Returns
    -------
    Arrangements
        Of 1 + B rows. A group without a testable target has the first row alone.
    """
    n = len(group.rows_N)
    rows = [np.arange(n, dtype=np.int32)[np.newaxis]]
    if group.testable:
        chunks = group.plan(n_permutations, seed).chunks(chunk_rows(n, 1))
        rows.extend(chunk.astype(np.int32) for chunk in chunks)
    return arrange(group, np.concatenate(rows))


def _numeric(
    group: TargetGroup,
    tested_F: npt.NDArray[np.bool_],
    sources_RN: CodeArray,
    basis_NQ: FloatArray | None,
) -> Arrangements:
    """Arrange numeric targets."""
    values_FN = np.ascontiguousarray(group.scores.T)
    if basis_NQ is None:
        codes_OFN = order_codes(values_FN, 0.0)[np.newaxis]
        return Arrangements(len(tested_F), tested_F, sources_RN, codes_OFN, None, False)
    residuals_FN = standard_residuals(values_FN, basis_NQ)
    codes_OFN = np.empty((len(sources_RN), *values_FN.shape), dtype=np.int32)
    size = chunk_rows(values_FN.shape[1], len(values_FN))
    for start in range(0, len(sources_RN), size):
        chunk_bN = sources_RN[start : start + size]
        codes_OFN[start : start + size] = freedman_lane_codes(residuals_FN, chunk_bN, basis_NQ)
    return Arrangements(len(tested_F), tested_F, _stay(sources_RN), codes_OFN, None, True)


def _category(
    group: TargetGroup,
    tested_F: npt.NDArray[np.bool_],
    sources_RN: CodeArray,
    basis_NQ: FloatArray | None,
) -> Arrangements:
    """Arrange a category."""
    indicators_NC = group.scores[:, group.scores.any(axis=0)]
    columns_NC = np.ascontiguousarray(category_columns(indicators_NC, basis_NQ))
    if basis_NQ is None:
        return Arrangements(1, tested_F, sources_RN, None, columns_NC[np.newaxis], False)
    columns_ONC = np.empty((len(sources_RN), *columns_NC.shape))
    size = chunk_rows(*columns_NC.shape)
    for start in range(0, len(sources_RN), size):
        chunk_bN = sources_RN[start : start + size]
        columns_ONC[start : start + size] = arranged_columns(columns_NC, chunk_bN, basis_NQ)
    tested_F = tested_F & (not explained(columns_NC))
    return Arrangements(1, tested_F, _stay(sources_RN), None, columns_ONC, True)


def _stay(sources_RN: CodeArray) -> CodeArray:
    """Leave subjects where they are: the tables are permuted already."""
    return np.tile(np.arange(sources_RN.shape[1], dtype=np.int32), (len(sources_RN), 1))
