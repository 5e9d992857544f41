"""Across encoders and across trials: the records of agreement, specifications and selection."""

import json
from dataclasses import dataclass
from typing import Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from isthmus.core.errors import StratificationError


@dataclass(frozen=True)
class Agreement:
    """Two encoders' partitions on the subjects that both have.

    Attributes
    ----------
    encoder_a, encoder_b : str
        The encoders.
    n_shared : int
        Subjects in both partitions.
    ari, ami : float
        Adjusted Rand index and adjusted mutual information.
    """

    encoder_a: str
    encoder_b: str
    n_shared: int
    ari: float
    ami: float


@dataclass(frozen=True)
class Specification:
    """One encoder clustered in one way, and what that says of each target.

    Attributes
    ----------
    encoder_id : str
        The encoder.
    clusterer : str
        As `stratification.clusterer`.
    pca_components : int or None
        As `stratification.pca_components`.
    outcome : {"partition", "degenerate_partition", "non_convergence"}
        What the clustering gave; only a partition was tested.
    n_strata : int or None
        Strata found.
    silhouette : float or None
        Of the partition.
    effect_sizes, p_values, q_values : tuple of (float or None)
        For each of `AcrossEncoders.targets`; p-values by permutation of families, q-values over
        the targets of this specification.
    """

    encoder_id: str
    clusterer: str
    pca_components: int | None
    outcome: Literal["partition", "degenerate_partition", "non_convergence"]
    n_strata: int | None
    silhouette: float | None
    effect_sizes: tuple[float | None, ...]
    p_values: tuple[float | None, ...]
    q_values: tuple[float | None, ...]


@dataclass(frozen=True)
class Survival:
    """How one target fares over all specifications.

    Attributes
    ----------
    target : str
        Name of the factor.
    n_specifications, n_usable : int
        All, and those that gave a partition it could be tested on.
    share : float
        Share of all with q <= alpha.
    null_share : float
        Mean of that share under permuted phenotypes.
    p_value : float
        (1 + b) / (1 + B): permutations whose share reaches this one, ties told apart by the median
        effect size (a joint test over the whole curve, Simonsohn et al. 2020). Not corrected for
        the number of targets.
    effect_median : float or None
        Median effect size over usable specifications.
    """

    target: str
    n_specifications: int
    n_usable: int
    share: float
    null_share: float
    p_value: float
    effect_median: float | None


@dataclass(frozen=True)
class AcrossEncoders:
    """What the encoders of a trial (folds, seeds) have in common.

    Attributes
    ----------
    agreements : tuple of Agreement
        Each pair of encoders with a partition each.
    targets : tuple of str
        Names of the factors, in the order of each specification's numbers. Made once, of the
        subjects that any of the encoders has. Numeric phenotypes where there are no factors.
    specifications : tuple of Specification
        Encoders x clusterers x principal components, the trial's own way to cluster first.
    survivals : tuple of Survival
        One for each target.
    alpha : float
        Level.
    n_permutations : int
        Permutations of the phenotypes behind the p-values.
    schema_version : int
        Version of this record.
    """

    agreements: tuple[Agreement, ...]
    targets: tuple[str, ...]
    specifications: tuple[Specification, ...]
    survivals: tuple[Survival, ...]
    alpha: float
    n_permutations: int
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        """Write the record as JSON; `from_json` gives an equal record back.

        Returns
        -------
        str
            Indented, keys in the order of the fields.
        """
        return _write(_ACROSS.dump_python(self, mode="json"))

    @classmethod
    def from_json(cls, text: str) -> "AcrossEncoders":
        """Read a record that `to_json` wrote.

        Parameters
        ----------
        text : str
            JSON.

        Returns
        -------
        AcrossEncoders
            Equal to the one written.

        Raises
        ------
        StratificationError
            If the text is no such record.
        """
        return _read(_ACROSS, text)


@dataclass(frozen=True)
class TrialSignificance:
    """What is left of one trial's best finding once it was picked out of many trials.

    Attributes
    ----------
    trial : str
        The trial.
    n_partitions : int
        Its partitions that were tested.
    target : str or None
        The factor (numeric phenotype where there are none) of its best finding.
    p_naive : float or None
        Adjusted over the trial's own partitions and factors, as if no other trial had been run:
        honest of a trial that was named beforehand, and too small of one that was picked. None
        where nothing was testable.
    p_adjusted : float or None
        Adjusted over all trials, partitions and factors: see `SelectionReport`.
    """

    trial: str
    n_partitions: int
    target: str | None
    p_naive: float | None
    p_adjusted: float | None


@dataclass(frozen=True)
class SelectionReport:
    """The best of many trials, judged as the best of many.

    The phenotypes are permuted once for all trials, the partitions stay; the largest statistic
    over trials x partitions x factors gives the adjusted p-value. It bounds the chance that any
    trial of a study without associations is called significant.

    Attributes
    ----------
    trials : tuple of TrialSignificance
        By rising adjusted p-value.
    n_statistics : int
        Statistics that the maximum was taken over.
    n_permutations : int
        Permutations behind the p-values.
    schema_version : int
        Version of this record.
    """

    trials: tuple[TrialSignificance, ...]
    n_statistics: int
    n_permutations: int
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        """Write the record as JSON; `from_json` gives an equal record back.

        Returns
        -------
        str
            Indented, keys in the order of the fields.
        """
        return _write(_SELECTION.dump_python(self, mode="json"))

    @classmethod
    def from_json(cls, text: str) -> "SelectionReport":
        """Read a record that `to_json` wrote.

        Parameters
        ----------
        text : str
            JSON.

        Returns
        -------
        SelectionReport
            Equal to the one written.

        Raises
        ------
        StratificationError
            If the text is no such record.
        """
        return _read(_SELECTION, text)


RecordT = TypeVar("RecordT")

_ACROSS: TypeAdapter[AcrossEncoders] = TypeAdapter(AcrossEncoders)
_SELECTION: TypeAdapter[SelectionReport] = TypeAdapter(SelectionReport)


def _write(content: object) -> str:
    """Write JSON that a person can read."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _read(adapter: TypeAdapter[RecordT], text: str) -> RecordT:
    """Check JSON against its record."""
    try:
        return adapter.validate_python(json.loads(text))
    except (ValidationError, json.JSONDecodeError) as error:
        raise StratificationError(f"This is no record that `to_json` wrote: {error}") from None
