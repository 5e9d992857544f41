"""How often a finding comes back from other subjects, beside how often nothing comes back.

Shape suffixes: D draws, A arrangements of the phenotypes (the observed one first), F targets.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, rankdata

from isthmus.config.stratification import StratificationConfig, TargetKind
from isthmus.stratification.robustness import Replication

FloatArray = npt.NDArray[np.float64]

# Statistics that are equal on paper differ by rounding.
_DECIMALS = 9
_INTERVAL = (50.0, 2.5, 97.5)


def arrangement_p(statistics_DAF: FloatArray) -> FloatArray:
    """Rank every arrangement's statistic among all arrangements, in each draw.

    Parameters
    ----------
    statistics_DAF : ndarray, shape (D, A, F)
        Statistics, larger meaning further from the null; NaN where there is none.

    Returns
    -------
    ndarray, shape (D, A, F)
        Share of the arrangements that reach it, itself included: for the observed one
        (1 + b) / (1 + B). An arrangement without a statistic shows nothing and gets 1; where the
        *observed* one has none, all are NaN.
    """
    filled = np.where(np.isnan(statistics_DAF), -np.inf, statistics_DAF).round(_DECIMALS)
    p_DAF: FloatArray = rankdata(-filled, method="max", axis=1) / statistics_DAF.shape[1]
    untestable_D1F = np.isnan(statistics_DAF[:, :1])
    return np.where(untestable_D1F, np.nan, p_DAF)


def arrangement_q(p_DAF: FloatArray, correction: Literal["fdr_bh", "fdr_by"]) -> FloatArray:
    """Adjust over targets, for every draw and arrangement on its own.

    Parameters
    ----------
    p_DAF : ndarray, shape (D, A, F)
        As `arrangement_p` gives them.
    correction : {"fdr_bh", "fdr_by"}
        The false discovery rate's bound.

    Returns
    -------
    ndarray, shape (D, A, F)
        NaN exactly where p is.
    """
    q_DAF = np.full(p_DAF.shape, np.nan)
    method: Literal["bh", "by"] = "bh" if correction == "fdr_bh" else "by"
    for q_AF, p_AF in zip(q_DAF, p_DAF, strict=True):
        testable = ~np.isnan(p_AF[0])
        if testable.any():
            q_AF[:, testable] = false_discovery_control(p_AF[:, testable], axis=1, method=method)
    return q_DAF


def replications(
    kind: TargetKind,
    names: Sequence[str],
    statistics_DAF: FloatArray,
    effects_DF: FloatArray,
    config: StratificationConfig,
) -> tuple[Replication, ...]:
    """Count in how many draws each target was significant, observed and permuted.

    Parameters
    ----------
    kind : {"factor", "phenotype", "category"}
        What the targets are.
    names : sequence of str, length F
        The targets of one family of tests.
    statistics_DAF : ndarray, shape (D, A, F)
        Statistics in each draw, of the observed phenotypes first and then of each permutation;
        NaN throughout for a draw that gave no partition.
    effects_DF : ndarray, shape (D, F)
        Effect sizes of the observed phenotypes.
    config : StratificationConfig
        `alpha` and `correction` are read.

    Returns
    -------
    tuple of Replication
        One for each target.

    Notes
    -----
    Every permutation of the phenotypes is judged as the observed ones are: in the same draws,
    against the same partitions, by its rank among all arrangements. So where nothing relates
    phenotypes to strata, the observed rate is one more draw from the null rates, and `p_rate` is
    exact.
    """
    p_DAF = arrangement_p(statistics_DAF)
    q_DAF = arrangement_q(p_DAF, config.correction)
    rates_AF = (q_DAF <= config.alpha).mean(axis=0)
    return tuple(
        _of_target(kind, name, p_DAF[:, 0, f], effects_DF[:, f], rates_AF[:, f])
        for f, name in enumerate(names)
    )


def _of_target(
    kind: TargetKind, name: str, p_D: FloatArray, effect_D: FloatArray, rate_A: FloatArray
) -> Replication:
    """Summarise one target."""
    p_known, effect_known = p_D[~np.isnan(p_D)], effect_D[~np.isnan(effect_D)]
    return Replication(
        kind=kind,
        target=name,
        p_values=_or_none(p_D),
        effect_sizes=_or_none(effect_D),
        **_spread("p", p_known),
        **_spread("effect", effect_known),
        rate=float(rate_A[0]),
        null_rates=tuple(rate_A[1:].tolist()),
        null_rate=float(rate_A[1:].mean()),
        null_rate_high=float(np.percentile(rate_A[1:], 95.0)),
        p_rate=float((rate_A >= rate_A[0]).mean()),
    )


def _spread(name: str, values: FloatArray) -> dict[str, float | None]:
    """Give median and 95 % interval their names."""
    names = (f"{name}_median", f"{name}_low", f"{name}_high")
    if not values.size:
        return dict.fromkeys(names)
    return dict(zip(names, np.percentile(values, _INTERVAL).tolist(), strict=True))


def _or_none(values: FloatArray) -> tuple[float | None, ...]:
    """Turn NaN into None, for JSON."""
    return tuple(None if np.isnan(value) else value for value in values.tolist())
