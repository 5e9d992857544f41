"""Strata: affinity propagation on an embedding, with every way to fail as a type of its own."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import pdist, squareform
from sklearn.cluster import AffinityPropagation
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score

from isthmus.config.stratification import AffinityPropagationConfig, StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.checks import require_components, require_subjects

FloatArray = npt.NDArray[np.float64]

# Encoders compute in float32: a spread below its rounding is no variance but noise, and
# standardising would blow it up to the size of every other column.
_SPREAD_TOLERANCE = 1e-6
_EQUAL_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Partition:
    """Strata that affinity propagation found.

    Strata are numbered by falling size, then by the exemplar's id.

    Attributes
    ----------
    participant_ids : tuple of str
        The subjects that were clustered.
    labels : tuple of int
        Stratum of each subject, from 0.
    exemplar_ids : tuple of str
        The subject that stands for each stratum.
    sizes : tuple of int
        Subjects in each stratum.
    n_columns, n_dropped_columns : int
        Columns of the embedding, and those without variance that were left out.
    preference : float
        Self-similarity that was used.
    silhouette : float or None
        Mean silhouette in [-1, 1], Euclidean, in the space that was clustered. It describes how
        separate the strata are; it is no test that they exist.
    """

    participant_ids: tuple[str, ...]
    labels: tuple[int, ...]
    exemplar_ids: tuple[str, ...]
    sizes: tuple[int, ...]
    n_columns: int
    n_dropped_columns: int
    preference: float
    silhouette: float | None
    kind: Literal["partition"] = "partition"


@dataclass(frozen=True)
class DegeneratePartition:
    """A partition that cannot carry a comparison: one stratum, or a stratum of one subject.

    The labels are kept so that the outcome can be looked at; no association is computed on them.

    Attributes
    ----------
    participant_ids, labels, exemplar_ids, sizes, n_columns, n_dropped_columns, silhouette
        As in `Partition`.
    preference : float or None
        Self-similarity that was used; None where there was nothing to cluster.
    reason : str
        What makes it degenerate, and what to try.
    """

    participant_ids: tuple[str, ...]
    labels: tuple[int, ...]
    exemplar_ids: tuple[str, ...]
    sizes: tuple[int, ...]
    n_columns: int
    n_dropped_columns: int
    preference: float | None
    silhouette: float | None
    reason: str
    kind: Literal["degenerate_partition"] = "degenerate_partition"


@dataclass(frozen=True)
class NonConvergence:
    """Affinity propagation gave up. What it returned as labels is not a result and is not kept.

    Attributes
    ----------
    participant_ids : tuple of str
        The subjects that were to be clustered.
    n_columns, n_dropped_columns : int
        Columns of the embedding, and those without variance that were left out.
    preference : float
        Self-similarity that was used.
    n_iterations : int
        Message rounds after which it gave up.
    reason : str
        What happened, and what to try.
    """

    participant_ids: tuple[str, ...]
    n_columns: int
    n_dropped_columns: int
    preference: float
    n_iterations: int
    reason: str
    kind: Literal["non_convergence"] = "non_convergence"


StrataOutcome = Partition | DegeneratePartition | NonConvergence


def standardise(values_ND: FloatArray) -> tuple[FloatArray, int]:
    """Give every column mean 0 and variance 1, leaving out those without variance.

    Parameters
    ----------
    values_ND : ndarray, shape (n, d)
        Finite embeddings.

    Returns
    -------
    standardised : ndarray, shape (n, d - n_dropped)
        In the order of the columns.
    n_dropped : int
        Columns whose standard deviation is at most 1e-6 of their largest magnitude (float32
        rounding) or zero.

    Examples
    --------
    >>> standardised, n_dropped = standardise(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> standardised.ravel(), n_dropped
    (array([-1.,  1.]), 1)
    """
    spread = values_ND.std(axis=0)
    kept = spread > _SPREAD_TOLERANCE * np.abs(values_ND).max(axis=0)
    standardised = (values_ND[:, kept] - values_ND[:, kept].mean(axis=0)) / spread[kept]
    return standardised, int((~kept).sum())


def similarity(values_ND: FloatArray) -> FloatArray:
    """Compute negative squared Euclidean distances.

    Parameters
    ----------
    values_ND : ndarray, shape (n, d)
        Points.

    Returns
    -------
    ndarray, shape (n, n)
        Exactly symmetric, zero on the diagonal, never positive.
    """
    distances: FloatArray = squareform(pdist(values_ND, "sqeuclidean"))
    return -distances


def find_strata(
    values_ND: FloatArray, participant_ids: Sequence[str], config: StratificationConfig
) -> StrataOutcome:
    """Cluster an embedding: standardise, reduce when asked, propagate affinities.

    Parameters
    ----------
    values_ND : ndarray of float64, shape (n, d)
        One encoder's embeddings, finite.
    participant_ids : sequence of str, length n
        Who the rows are.
    config : StratificationConfig
        `pca_components` and `affinity_propagation` are read.

    Returns
    -------
    Partition or DegeneratePartition or NonConvergence
        A function of the arguments alone. It says how the cloud was cut, not that the cuts are
        there: affinity propagation cuts pure noise as readily.

    Raises
    ------
    StratificationError
        With fewer than 10 subjects, values that are not finite, or more principal components
        asked for than there are subjects or columns.

    Notes
    -----
    Because columns are standardised, rotating the raw embedding changes the partition. Rotating
    the standardised one does not, so a full set of principal components changes nothing.
    """
    n, n_columns = values_ND.shape
    require_subjects(n, config)
    if not np.isfinite(values_ND).all():
        raise StratificationError("Embeddings must be finite, got NaN or infinity.")
    points, n_dropped = standardise(values_ND)
    if n_dropped == n_columns:
        reason = "The encoder gives every subject the same embedding: it has collapsed."
        return _undivided(participant_ids, (n_columns, n_dropped), reason)
    require_components(config, *points.shape)
    if config.pca_components is not None:
        points = PCA(config.pca_components, svd_solver="full").fit_transform(points)
    return _propagate(points, participant_ids, config.affinity_propagation, (n_columns, n_dropped))


def _preference(pairs: FloatArray, setting: str | float) -> float:
    """Turn the setting into a self-similarity."""
    if not isinstance(setting, str):
        return float(setting)
    return float(np.median(pairs) if setting == "median" else pairs.min())


def _undivided(ids: Sequence[str], columns: tuple[int, int], reason: str) -> DegeneratePartition:
    """Type the outcome that leaves nothing to cluster: all subjects in one stratum."""
    return DegeneratePartition(
        participant_ids=tuple(ids),
        labels=(0,) * len(ids),
        exemplar_ids=(ids[0],),
        sizes=(len(ids),),
        n_columns=columns[0],
        n_dropped_columns=columns[1],
        preference=None,
        silhouette=None,
        reason=reason,
    )


def _propagate(
    points: FloatArray,
    ids: Sequence[str],
    config: AffinityPropagationConfig,
    columns: tuple[int, int],
) -> StrataOutcome:
    """Run affinity propagation and type what came out."""
    similarities = similarity(points)
    pairs = similarities[np.triu_indices(len(points), k=1)]
    if np.ptp(pairs) <= _EQUAL_TOLERANCE * np.abs(pairs).max():
        # The algorithm would cut such a cloud by its own jitter.
        reason = "All subjects are equally similar: nothing sets them apart."
        return _undivided(ids, columns, reason)
    preference = _preference(pairs, config.preference)
    clusterer, gave_up = _fit(similarities, preference, config)
    labels = np.asarray(clusterer.labels_)
    if gave_up or (labels < 0).any():
        return NonConvergence(
            participant_ids=tuple(ids),
            n_columns=columns[0],
            n_dropped_columns=columns[1],
            preference=preference,
            n_iterations=int(clusterer.n_iter_),
            reason=f"Affinity propagation did not settle in {config.max_iterations} rounds. Raise "
            "stratification.affinity_propagation.damping or max_iterations.",
        )
    labels, exemplars, sizes = _renumber(
        labels, np.asarray(clusterer.cluster_centers_indices_).tolist(), ids
    )
    found = Partition(
        participant_ids=tuple(ids),
        labels=tuple(labels.tolist()),
        exemplar_ids=exemplars,
        sizes=sizes,
        n_columns=columns[0],
        n_dropped_columns=columns[1],
        preference=preference,
        silhouette=float(silhouette_score(points, labels)) if 1 < len(sizes) < len(ids) else None,
    )
    fault = _degenerate(sizes)
    if fault is None:
        return found
    same = {field.name: getattr(found, field.name) for field in fields(found)}
    return DegeneratePartition(**{**same, "kind": "degenerate_partition"}, reason=fault)


def _fit(
    similarities: FloatArray, preference: float, config: AffinityPropagationConfig
) -> tuple[AffinityPropagation, bool]:
    """Run the library's algorithm, and tell whether it warned that it gave up."""
    clusterer = AffinityPropagation(
        affinity="precomputed",
        damping=config.damping,
        preference=preference,
        max_iter=config.max_iterations,
        convergence_iter=config.convergence_iterations,
        # The stream only feeds jitter at the level of rounding, which breaks exact ties.
        random_state=0,
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clusterer.fit(similarities)
    others = [w for w in caught if not issubclass(w.category, ConvergenceWarning)]
    for other in others:
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
    return clusterer, len(others) < len(caught)


def _degenerate(sizes: tuple[int, ...]) -> str | None:
    """Say why strata of these sizes cannot carry a comparison, if so."""
    setting = "stratification.affinity_propagation.preference"
    if len(sizes) < 2:
        return f"All subjects are in one stratum. Raise {setting}."
    if min(sizes) == 1:
        return (
            f"{sizes.count(1)} of {len(sizes)} strata hold one subject. Lower {setting}, or set "
            "stratification.pca_components."
        )
    return None


def _renumber(
    labels: npt.NDArray[np.int_], exemplars: Sequence[int], ids: Sequence[str]
) -> tuple[npt.NDArray[np.int_], tuple[str, ...], tuple[int, ...]]:
    """Order strata by falling size, then by exemplar, so that row order has no say."""
    sizes = np.bincount(labels, minlength=len(exemplars)).tolist()
    order = sorted(range(len(sizes)), key=lambda k: (-sizes[k], ids[exemplars[k]]))
    rank = np.empty(len(order), dtype=np.int_)
    rank[order] = np.arange(len(order))
    return rank[labels], tuple(ids[exemplars[k]] for k in order), tuple(sizes[k] for k in order)
