"""The specification curve: one target over many ways to cluster, observed and permuted alike.

Shape suffixes: A arrangements of the phenotypes (the observed one first), D specifications, F
targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.across import Survival
from isthmus.stratification.replication import arrangement_p, arrangement_q

FloatArray = npt.NDArray[np.float64]

# Effect sizes that are equal on paper differ by rounding.
_SLACK = 1e-9


@dataclass(frozen=True, eq=False)
class Curve:
    """What all specifications say of all targets; NaN where one says nothing.

    Attributes
    ----------
    effects_DF, p_DF, q_DF : ndarray, shape (D, F)
        Effect size, permutation p-value, and its correction over targets, as observed.
    survivals : tuple of Survival, length F
        Each target over all specifications.
    n_permutations : int
        A - 1.
    """

    effects_DF: FloatArray
    p_DF: FloatArray
    q_DF: FloatArray
    survivals: tuple[Survival, ...]
    n_permutations: int


def judge_curve(
    names: Sequence[str],
    statistics_DAF: FloatArray,
    effects_DAF: FloatArray,
    config: StratificationConfig,
) -> Curve:
    """Count in how many specifications each target is significant, observed and permuted.

    Parameters
    ----------
    names : sequence of str, length F
        The targets.
    statistics_DAF : ndarray, shape (D, A, F)
        Statistics of the observed phenotypes first, then of each permutation, the same for all
        specifications; NaN throughout for a specification that gave no partition.
    effects_DAF : ndarray, shape (D, A, F)
        Effect sizes in [0, 1]; NaN where the statistic is.
    config : StratificationConfig
        `alpha` and `correction` are read.

    Returns
    -------
    Curve
        Without permutations nothing is tested: no p-value, no share, and 1 for the joint ones.

    Notes
    -----
    An arrangement that leaves a specification without a statistic, as a rare value may in a small
    fold, shows nothing there: it counts as a statistic of 0 whether it is the observed one or not,
    so that no arrangement is told from the others.
    """
    n_specifications, n_arrangements, _ = statistics_DAF.shape
    usable_DF = ~np.isnan(statistics_DAF).all(axis=1) & (n_arrangements > 1)
    filled_DAF = np.where(usable_DF[:, np.newaxis], np.nan_to_num(statistics_DAF, nan=0.0), np.nan)
    filled_effects_DAF = np.nan_to_num(effects_DAF, nan=0.0)
    p_DAF = arrangement_p(filled_DAF)
    q_DAF = arrangement_q(p_DAF, config.correction)
    n_significant_AF = (q_DAF <= config.alpha).sum(axis=0)
    survivals = []
    for f, name in enumerate(names):
        usable_D = usable_DF[:, f]
        median_A = np.zeros(n_arrangements)
        if usable_D.any():
            median_A = np.median(filled_effects_DAF[usable_D, :, f], axis=0)
        # An effect size is at most 1: half of it tells ties apart and never outweighs a count.
        place_A = n_significant_AF[:, f] + 0.5 * median_A
        share_A = n_significant_AF[:, f] / max(1, n_specifications)
        survivals.append(
            Survival(
                target=name,
                n_specifications=n_specifications,
                n_usable=int(usable_D.sum()),
                share=float(share_A[0]),
                null_share=float(share_A[1:].mean()) if n_arrangements > 1 else 0.0,
                p_value=float((place_A >= place_A[0] - _SLACK).mean()),
                effect_median=float(median_A[0]) if usable_D.any() else None,
            )
        )
    observed_DF = usable_DF & ~np.isnan(statistics_DAF[:, 0])
    return Curve(
        effects_DF=np.where(observed_DF, effects_DAF[:, 0], np.nan),
        p_DF=np.where(observed_DF, p_DAF[:, 0], np.nan),
        q_DF=np.where(observed_DF, q_DAF[:, 0], np.nan),
        survivals=tuple(survivals),
        n_permutations=n_arrangements - 1,
    )
