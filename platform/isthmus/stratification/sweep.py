"""Choosing how finely to cut, without looking at a phenotype.

Shape suffixes: N subjects, L landmarks, M subjects drawn.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from isthmus.config.stratification import StratificationConfig
from isthmus.core.seeds import derive_seed
from isthmus.stratification.cloud import Cloud, SimilarityArray
from isthmus.stratification.clusterers import Clustering, Failure, recluster
from isthmus.stratification.partition import SweepPoint
from isthmus.stratification.redraw import mean_agreement
from isthmus.stratification.resampling import draw_rows
from isthmus.stratification.silhouette import Distances, silhouette

N_PREFERENCES = 18
# Silhouettes this close, as a share of the best, are told apart by stability.
MARGIN = 0.05
N_DRAWS = 5


@dataclass(frozen=True, eq=False)
class Tried:
    """One candidate and what came of it.

    Attributes
    ----------
    setting : float
        Preference, or number of strata.
    outcome : Clustering or Failure
        Of all subjects.
    silhouette, stability : float or None
        None where not computed.
    """

    setting: float
    outcome: Clustering | Failure
    silhouette: float | None = None
    stability: float | None = None


def sweep(
    cloud: Cloud,
    families_N: Sequence[Hashable],
    distances: Distances,
    config: StratificationConfig,
    seed: int,
) -> tuple[Tried | None, tuple[Tried, ...]]:
    """Cluster a cloud at every candidate setting, and choose one.

    The highest mean silhouette wins among partitions into at most `max_strata` strata of at least
    two subjects each. Those that come within 5 % of it are told apart by their stability, the mean
    adjusted Rand index over five draws of families, and equals by the smaller number of strata.
    Where neighbouring settings give the very same partition, the middle one stands for them: it
    is the farthest from where the partition changes.

    Parameters
    ----------
    cloud : Cloud
        Points.
    families_N : sequence of hashable, length n
        Family of each subject: draws keep them whole.
    distances : Distances
        For the silhouettes.
    config : StratificationConfig
        `clusterer` and its settings, `max_strata`, and the scheme of `robustness`.
    seed : int
        Seed of clusterers and draws.

    Returns
    -------
    chosen : Tried or None
        None where no candidate gave such a partition.
    tried : tuple of Tried
        All candidates, in the order tried.

    Notes
    -----
    A silhouette is no test: the best of a sweep is high in a cloud without strata, too. What the
    choice does to the stability is answered by sweeping each matched null anew.
    """
    tried = [
        _with_silhouette(one, distances, config) for one in _walk(cloud, families_N, config, seed)
    ]
    eligible = [i for i, one in enumerate(tried) if one.silhouette is not None]
    if not eligible:
        return None, tuple(tried)
    best = max(_known(tried[i].silhouette) for i in eligible)
    close = [i for i in eligible if _known(tried[i].silhouette) >= best - MARGIN * abs(best)]
    close = _one_of_equals(tried, close)
    if len(close) > 1:
        for i in close:
            stability = _stability(tried[i], cloud, families_N, config, seed)
            tried[i] = replace(tried[i], stability=stability)

    def rank(i: int) -> tuple[float, int, float]:
        one = tried[i]
        return one.stability or 0.0, -_n_strata(one), _known(one.silhouette)

    return tried[max(close, key=rank)], tuple(tried)


def preferences(similarity_LL: SimilarityArray) -> tuple[float, ...]:
    """List the preferences that a sweep walks down.

    Parameters
    ----------
    similarity_LL : ndarray, shape (l, l)
        Similarities, not all equal.

    Returns
    -------
    tuple of float
        18, falling, in a geometric row from the median of the similarities to l times the median:
        there, an exemplar more would cost about as much as having all subjects in one stratum.
    """
    start = summarise_pairs(similarity_LL, "median")
    if start == 0.0:  # most pairs are copies of each other
        start = float(similarity_LL.mean(dtype=np.float64))
    return tuple((start * np.geomspace(1.0, len(similarity_LL), N_PREFERENCES)).tolist())


def summarise_pairs(similarity_LL: SimilarityArray, statistic: str) -> float:
    """Find the median or the minimum of the similarities of pairs.

    Parameters
    ----------
    similarity_LL : ndarray, shape (l, l)
        Symmetric; the diagonal does not count.
    statistic : {"median", "minimum"}
        Which.

    Returns
    -------
    float
        Not positive.

    Examples
    --------
    >>> summarise_pairs(np.array([[0, -4, -1], [-4, 0, -9], [-1, -9, 0]], np.float32), "median")
    -4.0
    """
    if statistic == "minimum":
        return float(similarity_LL.min())
    n = len(similarity_LL)
    pairs = np.empty(n * (n - 1) // 2, dtype=similarity_LL.dtype)
    end = 0
    for i in range(n - 1):
        start, end = end, end + n - 1 - i
        pairs[start:end] = similarity_LL[i, i + 1 :]
    return float(np.median(pairs, overwrite_input=True))


def to_points(tried: Sequence[Tried], chosen: Tried | None) -> tuple[SweepPoint, ...]:
    """Record a sweep.

    Parameters
    ----------
    tried : sequence of Tried
        All candidates.
    chosen : Tried or None
        One of them.

    Returns
    -------
    tuple of SweepPoint
        One for each candidate.
    """
    return tuple(_point(one, one is chosen) for one in tried)


def _walk(
    cloud: Cloud, families_N: Sequence[Hashable], config: StratificationConfig, seed: int
) -> list[Tried]:
    """Cluster at each candidate, stopping where lower preferences have no more to show."""
    falling = config.clusterer == "affinity_propagation"
    settings = (
        preferences(cloud.similarity_LL)
        if falling
        else tuple(map(float, range(2, min(config.max_strata, cloud.n - 1) + 1)))
    )
    everybody = np.arange(cloud.n)
    tried: list[Tried] = []
    for setting in settings:
        outcome = recluster(cloud, everybody, setting, config, derive_seed(seed, "whole"))
        tried.append(Tried(setting, outcome))
        if falling and isinstance(outcome, Clustering) and len(outcome.exemplars_K) <= 2:
            break
    return tried


def _with_silhouette(one: Tried, distances: Distances, config: StratificationConfig) -> Tried:
    """Add the silhouette of a partition that may be chosen."""
    if not isinstance(one.outcome, Clustering):
        return one
    sizes = np.bincount(one.outcome.labels_M)
    if not 2 <= len(sizes) <= config.max_strata or sizes.min() < 2:
        return one
    return replace(one, silhouette=silhouette(distances, one.outcome.labels_M))


def _one_of_equals(tried: Sequence[Tried], close: Sequence[int]) -> list[int]:
    """Keep the middle one of neighbouring candidates with the same partition."""
    runs: list[list[int]] = []
    for i in close:
        if runs and runs[-1][-1] == i - 1 and _same(tried[i - 1], tried[i]):
            runs[-1].append(i)
        else:
            runs.append([i])
    return [run[len(run) // 2] for run in runs]


def _same(a: Tried, b: Tried) -> bool:
    """Whether two candidates gave the same partition."""
    if not isinstance(a.outcome, Clustering) or not isinstance(b.outcome, Clustering):
        return False
    pairs = {*zip(a.outcome.labels_M.tolist(), b.outcome.labels_M.tolist(), strict=True)}
    return len(pairs) == _n_strata(a) == _n_strata(b)


def _stability(
    one: Tried,
    cloud: Cloud,
    families_N: Sequence[Hashable],
    config: StratificationConfig,
    seed: int,
) -> float:
    """Average the agreement of a few draws with the whole; a draw without strata has none."""
    if not isinstance(one.outcome, Clustering):
        return 0.0
    root = derive_seed(seed, "sweep")
    draws = (
        (draw_rows(families_N, config.robustness, root, number), derive_seed(seed, "sweep", number))
        for number in range(N_DRAWS)
    )
    return mean_agreement(cloud, one.outcome.labels_M, one.setting, draws, config)


def _point(one: Tried, chosen: bool) -> SweepPoint:
    """Record one candidate."""
    if isinstance(one.outcome, Failure):
        return SweepPoint(one.setting, "non_convergence", None, None, None, None, False)
    sizes = np.bincount(one.outcome.labels_M)
    return SweepPoint(
        setting=one.setting,
        outcome="partition" if len(sizes) > 1 < sizes.min() else "degenerate_partition",
        n_strata=len(sizes),
        smallest=int(sizes.min()),
        silhouette=one.silhouette,
        stability=one.stability,
        chosen=chosen,
    )


def _n_strata(one: Tried) -> int:
    """Count strata; none in a failure."""
    return len(one.outcome.exemplars_K) if isinstance(one.outcome, Clustering) else 0


def _known(silhouette: float | None) -> float:
    """Read a silhouette that is there."""
    return -1.0 if silhouette is None else silhouette
