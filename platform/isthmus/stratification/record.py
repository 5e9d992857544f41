"""What the stratification job hands on: one frozen record, written as JSON and read back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from isthmus.config.stratification import StratificationConfig, TargetKind
from isthmus.core.errors import StratificationError
from isthmus.stratification.factors import Factors, NoFactors
from isthmus.stratification.partition import DegeneratePartition, NonConvergence, Partition
from isthmus.stratification.robustness import Replication, Robustness, RobustnessScore
from isthmus.stratification.tested import Association, FamilyOfTests, Profile


@dataclass(frozen=True)
class Plane:
    """The two leading principal components of what was clustered, to look at.

    Attributes
    ----------
    coordinates : tuple of (float, float)
        A point a subject, in the order of `RobustnessReport.participant_ids`.
    explained : tuple of float
        Share of the variance along each axis. Strata may be apart in what the other axes hold.
    """

    coordinates: tuple[tuple[float, float], ...]
    explained: tuple[float, float]


@dataclass(frozen=True)
class RobustnessReport:
    """All that the stratification job found on one encoder's embeddings.

    Attributes
    ----------
    encoder_id : str
        The encoder.
    table_digest : str
        Digest of the embedding table that was given.
    participant_ids : tuple of str
        Subjects clustered, sorted.
    n_held_out : int
        Of these, subjects that had no part in fitting the encoder.
    phenotypes, categorical_phenotypes, confounds : tuple of str
        Columns as declared.
    config : StratificationConfig
        Settings.
    seed : int
        Root of all draws.
    strata : Partition or DegeneratePartition or NonConvergence
        The clustering's outcome.
    plane : Plane or None
        Where the subjects lie; None where the embedding has no variance.
    factors : Factors or NoFactors
        The phenotype factors' outcome.
    tests : tuple of FamilyOfTests
        One for each kind of target that was asked for and has any.
    profiles : tuple of Profile
        Strata x targets; empty without a partition.
    robustness : Robustness or None
        How much would come back; None without a partition.
    score : RobustnessScore or None
        None where nothing was declared that could replicate; 0 where there is no partition.
    schema_version : int
        Version of this record.
    """

    encoder_id: str
    table_digest: str
    participant_ids: tuple[str, ...]
    n_held_out: int
    phenotypes: tuple[str, ...]
    categorical_phenotypes: tuple[str, ...]
    confounds: tuple[str, ...]
    config: StratificationConfig
    seed: int
    strata: Annotated[Partition | DegeneratePartition | NonConvergence, Field(discriminator="kind")]
    plane: Plane | None
    factors: Annotated[Factors | NoFactors, Field(discriminator="kind")]
    tests: tuple[FamilyOfTests, ...]
    profiles: tuple[Profile, ...]
    robustness: Robustness | None
    score: RobustnessScore | None
    schema_version: Literal[2] = 2

    @property
    def n_subjects(self) -> int:
        """Subjects clustered."""
        return len(self.participant_ids)

    @property
    def associations(self) -> Iterator[Association]:
        """Every target's test, family by family."""
        for family in self.tests:
            yield from family.associations

    def family(self, kind: TargetKind) -> FamilyOfTests | None:
        """Look up the tests of one kind of target.

        Parameters
        ----------
        kind : {"factor", "phenotype", "category"}
            Which.

        Returns
        -------
        FamilyOfTests or None
            None where it was not asked for or has no target.
        """
        return next((family for family in self.tests if family.kind == kind), None)

    def replication(self, kind: TargetKind, target: str) -> Replication | None:
        """Look up how often a target was found again.

        Parameters
        ----------
        kind : {"factor", "phenotype", "category"}
            What the target is.
        target : str
            Its name.

        Returns
        -------
        Replication or None
            None where it was not resampled.
        """
        found = self.robustness.replications if self.robustness else ()
        return next((r for r in found if (r.kind, r.target) == (kind, target)), None)

    def to_json(self) -> str:
        """Write the record as JSON; `from_json` gives an equal record back.

        Returns
        -------
        str
            Indented, keys in the order of the fields.
        """
        content = _ADAPTER.dump_python(self, mode="json")
        return json.dumps(content, indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "RobustnessReport":
        """Read a record that `to_json` wrote.

        Parameters
        ----------
        text : str
            JSON.

        Returns
        -------
        RobustnessReport
            Equal to the one written.

        Raises
        ------
        StratificationError
            If the text is no such record.
        """
        try:
            return _ADAPTER.validate_python(json.loads(text))
        except (ValidationError, json.JSONDecodeError) as error:
            raise StratificationError(
                f"A stratification record must be what `to_json` wrote (schema version 2): {error}"
            ) from None

    def metrics(self) -> dict[str, float]:
        """Pick out single numbers, for a table of runs. What could not be computed is absent.

        Returns
        -------
        dict of str to float
            Such as ``n_strata``, ``stability_excess``, ``n_robust`` and ``robustness_score``.
        """
        numbers: dict[str, float | None] = {}
        if not isinstance(self.strata, NonConvergence):
            numbers["n_strata"] = len(self.strata.sizes)
            numbers["silhouette"] = self.strata.silhouette
        if isinstance(self.factors, Factors):
            numbers["n_factors"] = len(self.factors.names)
        for family in self.tests:
            tested = [a for a in family.associations if a.verdict != "untestable"]
            numbers[f"{family.kind}_n_testable"] = family.n_testable
            numbers[f"{family.kind}_n_significant"] = sum(a.significant for a in tested)
            numbers[f"{family.kind}_n_robust"] = sum(a.verdict == "robust" for a in tested)
            effects = [a.effect_size for a in tested if a.effect_size is not None]
            q_values = [a.q_value for a in tested if a.q_value is not None]
            numbers[f"{family.kind}_max_effect_size"] = max(effects, default=None)
            numbers[f"{family.kind}_min_q_value"] = min(q_values, default=None)
        if self.robustness is not None:
            stability, null = self.robustness.stability, self.robustness.matched_null
            numbers |= {"stability_ari": stability.ari_mean, "stability_ami": stability.ami_mean}
            numbers |= {"stability_excess": null.excess, "stability_p_value": null.p_value}
            numbers["failed_draws"] = stability.n_failed
        if self.score is not None:
            numbers["robustness_score"] = self.score.value
            numbers["robustness_stability"] = self.score.stability
            numbers["robustness_replication"] = self.score.replication
        return {name: float(value) for name, value in numbers.items() if value is not None}


_ADAPTER: TypeAdapter[RobustnessReport] = TypeAdapter(RobustnessReport)
