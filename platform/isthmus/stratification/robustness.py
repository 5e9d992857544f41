"""How much would come back: the records of resampling, matched nulls and the score."""

from dataclasses import dataclass
from typing import Literal

from isthmus.config.stratification import TargetKind

Trust = Literal["stable", "doubtful", "not_to_be_trusted"]


@dataclass(frozen=True)
class StratumStability:
    """One stratum over resamples.

    Attributes
    ----------
    stratum : int
        Its number.
    size : int
        Members.
    jaccard : float or None
        Mean over draws of the best match's Jaccard index, in [0, 1]; None where no draw had a
        member of it.
    jaccard_low, jaccard_high : float or None
        2.5th and 97.5th percentile over draws.
    n_draws : int
        Draws that had a member of it.
    trust : {"stable", "doubtful", "not_to_be_trusted"}
        Above 0.75; between; below 0.6 (Hennig 2007). A convention, with no null behind it.
    """

    stratum: int
    size: int
    jaccard: float | None
    jaccard_low: float | None
    jaccard_high: float | None
    n_draws: int
    trust: Trust


@dataclass(frozen=True)
class Stability:
    """The whole partition over resamples of the families.

    Attributes
    ----------
    n_draws : int
        Draws clustered.
    n_failed : int
        Draws that gave no partition: no convergence, or one stratum. They agree with nothing and
        count as 0.
    ari, ami : tuple of float
        Adjusted Rand index and adjusted mutual information, a draw each, of the draw's partition
        against the whole one's on the draw's subjects.
    ari_mean, ami_mean : float
        Their means.
    n_strata : tuple of int
        Strata found in each draw; 0 where it failed.
    n_subjects : tuple of int
        Distinct subjects of each draw.
    strata : tuple of StratumStability
        Each stratum of the whole partition.
    """

    n_draws: int
    n_failed: int
    ari: tuple[float, ...]
    ami: tuple[float, ...]
    ari_mean: float
    ami_mean: float
    n_strata: tuple[int, ...]
    n_subjects: tuple[int, ...]
    strata: tuple[StratumStability, ...]


@dataclass(frozen=True)
class MatchedNull:
    """Stability beside that of clouds without strata.

    Attributes
    ----------
    n_nulls : int
        Clouds drawn: one Gaussian of exactly this covariance spectrum, relatives alike as here.
    n_failed : int
        Clouds in which no partition was found; they are left out, as this job would have stopped.
    n_draws : int
        Draws behind each mean ARI, here and in each null.
    family_likeness : float
        Intraclass correlation of relatives that the nulls were given, in [0, 1).
    observed : float
        Mean ARI of the partition over its first `n_draws` draws.
    null : tuple of float
        The same of each null that had a partition.
    null_mean : float or None
        Mean of `null`; None where it is empty.
    excess : float or None
        ``observed - null_mean``: the stability that strata, and not the mere cutting, give.
    p_value : float or None
        (1 + b) / (1 + B) over the nulls; None with fewer than 19 of them.
    silhouette_null : tuple of float
        Silhouette of each null's partition.
    p_silhouette : float or None
        The same test on the silhouette.
    n_strata : tuple of int
        Strata of each null's partition.
    """

    n_nulls: int
    n_failed: int
    n_draws: int
    family_likeness: float
    observed: float
    null: tuple[float, ...]
    null_mean: float | None
    excess: float | None
    p_value: float | None
    silhouette_null: tuple[float, ...]
    p_silhouette: float | None
    n_strata: tuple[int, ...]


@dataclass(frozen=True)
class Replication:
    """One target over resamples, beside the same under permuted phenotypes.

    Attributes
    ----------
    target : str
        Name of the factor or of the column.
    kind : {"factor", "phenotype", "category"}
        What it is.
    p_values : tuple of (float or None)
        Permutation p-value in each draw; None where the draw had no partition or the target did
        not vary in it. Their spread shows what other samples would have said. They are **no test**:
        under the null they are not uniform, since draws share subjects.
    effect_sizes : tuple of (float or None)
        Effect size in each draw.
    p_median, p_low, p_high : float or None
        Median, 2.5th and 97.5th percentile of `p_values`.
    effect_median, effect_low, effect_high : float or None
        The same of `effect_sizes`.
    rate : float
        Replication rate: share of all draws with q < alpha. A draw without a p-value counts as
        none.
    null_rates : tuple of float
        The same rate for each permutation of the phenotypes: same draws, same partitions.
    null_rate : float
        Their mean.
    null_rate_high : float
        Their 95th percentile.
    p_rate : float
        (1 + b) / (1 + B): permutations whose rate reaches this one.
    """

    target: str
    kind: TargetKind
    p_values: tuple[float | None, ...]
    effect_sizes: tuple[float | None, ...]
    p_median: float | None
    p_low: float | None
    p_high: float | None
    effect_median: float | None
    effect_low: float | None
    effect_high: float | None
    rate: float
    null_rates: tuple[float, ...]
    null_rate: float
    null_rate_high: float
    p_rate: float


@dataclass(frozen=True)
class RobustnessScore:
    """One number for searches, and what it is made of.

    Attributes
    ----------
    value : float
        ``sqrt(stability * replication)``, in [0, 1]; 0 where there is no partition.
    stability : float
        ``(observed - null_mean) / (1 - null_mean)``, cut to [0, 1]: see `MatchedNull`.
    replication : float
        Mean over the testable factors (phenotypes where there are none) of
        ``(rate - null_rate) / (1 - null_rate)``, cut to [0, 1]; 0 for those that are not
        significant.
    """

    value: float
    stability: float
    replication: float


@dataclass(frozen=True)
class Robustness:
    """All that resampling said about one partition.

    Attributes
    ----------
    stability : Stability
        The partition over draws.
    matched_null : MatchedNull
        The same beside clouds without strata.
    replications : tuple of Replication
        Each testable target, factors first, then phenotypes, then categories.
    """

    stability: Stability
    matched_null: MatchedNull
    replications: tuple[Replication, ...]
