"""What a clustering comes to: a partition, or one of the ways to have none, each its own type."""

from dataclasses import dataclass
from typing import Literal

from isthmus.config.stratification import Clusterer


@dataclass(frozen=True)
class SweepPoint:
    """One candidate that a sweep looked at.

    Attributes
    ----------
    setting : float
        Preference, or number of strata.
    outcome : {"partition", "degenerate_partition", "non_convergence"}
        What came of it.
    n_strata : int or None
        Strata found; None where it did not converge.
    smallest : int or None
        Subjects in the smallest stratum.
    silhouette : float or None
        Mean silhouette; None where there is none.
    stability : float or None
        Mean adjusted Rand index over a few draws, computed only where the silhouettes of the best
        candidates are too close to call.
    chosen : bool
        Whether this one was taken.
    """

    setting: float
    outcome: Literal["partition", "degenerate_partition", "non_convergence"]
    n_strata: int | None
    smallest: int | None
    silhouette: float | None
    stability: float | None
    chosen: bool


@dataclass(frozen=True)
class Partition:
    """Strata that a clusterer found.

    Strata are numbered by falling size, then by the exemplar's id.

    Attributes
    ----------
    participant_ids : tuple of str
        The subjects that were clustered.
    labels : tuple of int
        Stratum of each subject, from 0.
    exemplar_ids : tuple of str
        The subject that stands for each stratum: the exemplar of affinity propagation, else the
        member nearest to the stratum's centre.
    sizes : tuple of int
        Subjects in each stratum.
    n_columns, n_dropped_columns : int
        Columns of the embedding, and those without variance that were left out.
    clusterer : str
        How they were found.
    setting : float
        The preference (affinity propagation), smallest stratum (hdbscan) or number of strata that
        was used.
    sweep : tuple of SweepPoint
        What `setting` was chosen from; empty where it was given.
    n_assigned : int
        Subjects that the clusterer left out and that joined their nearest stratum: those that are
        no landmarks, or that hdbscan calls noise.
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
    clusterer: Clusterer
    setting: float
    sweep: tuple[SweepPoint, ...]
    n_assigned: int
    silhouette: float | None
    kind: Literal["partition"] = "partition"


@dataclass(frozen=True)
class DegeneratePartition:
    """A partition that cannot carry a comparison: one stratum, or a stratum of one subject.

    The labels are kept so that the outcome can be looked at; no association is computed on them.

    Attributes
    ----------
    participant_ids, labels, exemplar_ids, sizes, n_columns, n_dropped_columns, clusterer, sweep
        As in `Partition`.
    setting : float or None
        As in `Partition`; None where there was nothing to cluster.
    n_assigned, silhouette
        As in `Partition`.
    reason : str
        What makes it degenerate, and what to try.
    """

    participant_ids: tuple[str, ...]
    labels: tuple[int, ...]
    exemplar_ids: tuple[str, ...]
    sizes: tuple[int, ...]
    n_columns: int
    n_dropped_columns: int
    clusterer: Clusterer
    setting: float | None
    sweep: tuple[SweepPoint, ...]
    n_assigned: int
    silhouette: float | None
    reason: str
    kind: Literal["degenerate_partition"] = "degenerate_partition"


@dataclass(frozen=True)
class NonConvergence:
    """The clusterer gave up. What it returned as labels is not a result and is not kept.

    Attributes
    ----------
    participant_ids : tuple of str
        The subjects that were to be clustered.
    n_columns, n_dropped_columns : int
        Columns of the embedding, and those without variance that were left out.
    clusterer : str
        Which one.
    setting : float
        Preference, or number of strata, of the last attempt.
    sweep : tuple of SweepPoint
        All attempts, where there were several.
    n_iterations : int
        Rounds after which it gave up.
    reason : str
        What happened, and what to try.
    """

    participant_ids: tuple[str, ...]
    n_columns: int
    n_dropped_columns: int
    clusterer: Clusterer
    setting: float
    sweep: tuple[SweepPoint, ...]
    n_iterations: int
    reason: str
    kind: Literal["non_convergence"] = "non_convergence"


StrataOutcome = Partition | DegeneratePartition | NonConvergence
