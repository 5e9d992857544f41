"""Strata of the embedding: cluster the cloud, choose how finely, type what came out."""

from collections.abc import Hashable, Sequence
from dataclasses import fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.core.seeds import derive_seed
from isthmus.stratification.checks import require_families, require_strata
from isthmus.stratification.cloud import Cloud
from isthmus.stratification.clusterers import Clustering, recluster
from isthmus.stratification.partition import (
    DegeneratePartition,
    NonConvergence,
    Partition,
    StrataOutcome,
    SweepPoint,
)
from isthmus.stratification.silhouette import measure_distances, silhouette
from isthmus.stratification.sweep import Tried, summarise_pairs, sweep, to_points

# Of the largest variance: embeddings are float32, so that equality is no closer than this.
_EQUAL_TOLERANCE = 1e-6


def find_strata(
    cloud: Cloud,
    participant_ids: Sequence[str],
    families_N: Sequence[Hashable],
    config: StratificationConfig,
    seed: int,
) -> StrataOutcome:
    """Cluster a cloud, at the setting given or at the one that a sweep finds best.

    Parameters
    ----------
    cloud : Cloud
        One encoder's subjects, from `make_cloud` with the same settings.
    participant_ids : sequence of str, length n
        Who the rows are; rising, so that the order in which a table came has no influence.
    families_N : sequence of hashable, length n
        Family of each. A sweep's draws keep families whole; strata are found without them.
    config : StratificationConfig
        `clusterer` and its settings, `max_strata`, and the scheme of `robustness` for a sweep.
    seed : int
        Seed of the clusterers' starts and of the draws that a sweep compares candidates by.

    Returns
    -------
    Partition or DegeneratePartition or NonConvergence
        A function of the arguments alone. It says how the cloud was cut, not that the cuts are
        there: every clusterer here but HDBSCAN cuts pure noise as readily.

    Raises
    ------
    StratificationError
        If the ids are not rising, a family holds more than half of the subjects, or there are
        fewer subjects than the settings need.
    """
    ids = tuple(participant_ids)
    _check(cloud, ids, families_N, config)
    if cloud.points_ND.shape[1] == 0:
        reason = "The encoder gives every subject the same embedding: it has collapsed."
        return _undivided(cloud, ids, config, reason)
    if _equally_far(cloud.points_ND):
        # A clusterer would cut such a cloud by its own rounding.
        reason = "All subjects are equally similar: nothing sets them apart."
        return _undivided(cloud, ids, config, reason)
    distances = measure_distances(cloud, seed)
    setting = _given(cloud, config)
    if setting is not None:
        outcome = recluster(cloud, np.arange(cloud.n), setting, config, derive_seed(seed, "whole"))
        width = silhouette(distances, outcome.labels_M) if isinstance(outcome, Clustering) else None
        return _typed(Tried(setting, outcome, width), (), cloud, ids, config)
    chosen, tried = sweep(cloud, families_N, distances, config, seed)
    return _typed(chosen or _least_bad(tried), to_points(tried, chosen), cloud, ids, config)


def _check(
    cloud: Cloud,
    ids: tuple[str, ...],
    families_N: Sequence[Hashable],
    config: StratificationConfig,
) -> None:
    """Refuse subjects that cannot be clustered sensibly."""
    if len(ids) != cloud.n or len(families_N) != cloud.n:
        raise StratificationError(
            f"Each of the {cloud.n} rows must have an id and a family, got {len(ids)} ids and "
            f"{len(families_N)} families."
        )
    if any(a >= b for a, b in pairwise(ids)):
        raise StratificationError(
            "Subjects must be clustered in the rising order of their ids, each once, or the order "
            "of a table's rows would have a say. Sort the table first."
        )
    require_strata(config, cloud.n)
    require_families(families_N, config, cloud.n)


def _equally_far(points_ND: npt.NDArray[np.float64]) -> bool:
    """Whether the points are the corners of a regular simplex: all components, all as long."""
    n, n_components = points_ND.shape
    if n_components < n - 1:
        return False
    variances = np.einsum("nd,nd->d", points_ND, points_ND)
    return bool(np.ptp(variances) <= _EQUAL_TOLERANCE * variances.max())


def _given(cloud: Cloud, config: StratificationConfig) -> float | None:
    """Read the setting off the settings; None where it is to be swept."""
    if config.clusterer == "hdbscan":
        return float(config.min_cluster_size)
    if config.clusterer != "affinity_propagation":
        return None if config.n_strata == "sweep" else float(config.n_strata)
    preference = config.affinity_propagation.preference
    if preference == "sweep":
        return None
    if isinstance(preference, str):
        return summarise_pairs(cloud.similarity_LL, preference)
    return preference


def _least_bad(tried: Sequence[Tried]) -> Tried:
    """Pick what to show of a sweep that found nothing: the fewest strata above one."""

    def rank(one: Tried) -> tuple[bool, bool, int]:
        if not isinstance(one.outcome, Clustering):
            return True, True, 0
        n_strata = len(one.outcome.exemplars_K)
        return False, n_strata < 2, n_strata

    return min(tried, key=rank)


def _undivided(
    cloud: Cloud, ids: tuple[str, ...], config: StratificationConfig, reason: str
) -> DegeneratePartition:
    """Type the outcome that leaves nothing to cluster: all subjects in one stratum."""
    return DegeneratePartition(
        participant_ids=ids,
        labels=(0,) * len(ids),
        exemplar_ids=(ids[0],),
        sizes=(len(ids),),
        n_columns=cloud.n_columns,
        n_dropped_columns=cloud.n_dropped_columns,
        clusterer=config.clusterer,
        setting=None,
        sweep=(),
        n_assigned=0,
        silhouette=None,
        reason=reason,
    )


def _typed(
    one: Tried,
    points: tuple[SweepPoint, ...],
    cloud: Cloud,
    ids: tuple[str, ...],
    config: StratificationConfig,
) -> StrataOutcome:
    """Type what came of one setting."""
    if not isinstance(one.outcome, Clustering):
        return NonConvergence(
            participant_ids=ids,
            n_columns=cloud.n_columns,
            n_dropped_columns=cloud.n_dropped_columns,
            clusterer=config.clusterer,
            setting=one.setting,
            sweep=points,
            n_iterations=one.outcome.n_iterations,
            reason=one.outcome.reason,
        )
    labels, exemplars, sizes = _renumber(one.outcome, ids)
    found = Partition(
        participant_ids=ids,
        labels=labels,
        exemplar_ids=exemplars,
        sizes=sizes,
        n_columns=cloud.n_columns,
        n_dropped_columns=cloud.n_dropped_columns,
        clusterer=config.clusterer,
        setting=one.setting,
        sweep=points,
        n_assigned=one.outcome.n_assigned,
        silhouette=one.silhouette,
    )
    fault = _fault_of_sweep(sizes, config) if points else _fault(sizes, config)
    if fault is None:
        return found
    same = {field.name: getattr(found, field.name) for field in fields(found)}
    return DegeneratePartition(**{**same, "kind": "degenerate_partition"}, reason=fault)


def _fault(sizes: tuple[int, ...], config: StratificationConfig) -> str | None:
    """Say why strata of these sizes cannot carry a comparison, if so."""
    name, more, fewer = {
        "affinity_propagation": ("affinity_propagation.preference", "Raise", "Lower"),
        "hdbscan": ("min_cluster_size", "Lower", "Raise"),
    }.get(config.clusterer, ("n_strata", "Raise", "Lower"))
    if len(sizes) < 2:
        return f"All subjects are in one stratum. {more} stratification.{name}."
    if min(sizes) == 1:
        return (
            f"{sizes.count(1)} of {len(sizes)} strata hold one subject. {fewer} "
            f"stratification.{name}, or set stratification.pca_components."
        )
    return None


def _fault_of_sweep(sizes: tuple[int, ...], config: StratificationConfig) -> str | None:
    """Say why the best of a sweep cannot carry a comparison, if so."""
    if 2 <= len(sizes) <= config.max_strata and min(sizes) > 1:
        return None
    return (
        f"The sweep found no partition into 2 to {config.max_strata} strata of at least two "
        f"subjects each; the one with the fewest has {len(sizes)}, the smallest of "
        f"{min(sizes)}. Set stratification.pca_components, or raise stratification.max_strata."
    )


def _renumber(
    found: Clustering, ids: Sequence[str]
) -> tuple[tuple[int, ...], tuple[str, ...], tuple[int, ...]]:
    """Order strata by falling size, then by exemplar."""
    exemplars = [ids[row] for row in found.exemplars_K]
    sizes = np.bincount(found.labels_M, minlength=len(exemplars)).tolist()
    order = sorted(range(len(sizes)), key=lambda k: (-sizes[k], exemplars[k]))
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    labels = tuple(rank[found.labels_M].tolist())
    return labels, tuple(exemplars[k] for k in order), tuple(sizes[k] for k in order)
