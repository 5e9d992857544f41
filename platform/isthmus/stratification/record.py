"""What the stratification job hands on: one frozen record, written as JSON and read back."""

import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.factors import Factors, NoFactors
from isthmus.stratification.strata import DegeneratePartition, NonConvergence, Partition

Verdict = Literal["significant", "not_significant", "untestable"]


@dataclass(frozen=True)
class FactorAssociation:
    """One factor against the strata. Numbers are None where it could not be tested.

    Attributes
    ----------
    factor : str
        Its name in `Factors.names`.
    verdict : {"significant", "not_significant", "untestable"}
        Significant where ``q_value <= alpha``. It speaks of this partition of these subjects; not
        of whether the partition would come back from others.
    reason : str or None
        Why it is untestable.
    h : float or None
        Kruskal-Wallis H, tie-corrected.
    epsilon2 : float or None
        Effect size in [0, 1].
    p_permutation : float or None
        The p-value: permutations within exchangeability blocks.
    p_chi2 : float or None
        For comparison: the approximation that takes subjects to be independent.
    q_value : float or None
        `p_permutation` adjusted for the false discovery rate over testable factors.
    p_max_t : float or None
        Adjusted by max-T: bounds the chance of any false rejection.
    """

    factor: str
    verdict: Verdict
    reason: str | None = None
    h: float | None = None
    epsilon2: float | None = None
    p_permutation: float | None = None
    p_chi2: float | None = None
    q_value: float | None = None
    p_max_t: float | None = None


@dataclass(frozen=True)
class AssociationCounts:
    """How many subjects, families, permutations and factors stand behind the p-values.

    Attributes
    ----------
    n_subjects : int
        Subjects tested: those clustered, less those without a confound.
    n_missing_confounds : int
        Subjects clustered but left out of the tests, a confound of theirs being unknown.
    n_strata : int
        Strata that still have a member among the subjects tested.
    n_families : int
        Exchangeability blocks; as many as subjects where families are ignored.
    n_permutations : int
        Permutations run: B.
    n_permutations_available : int or None
        Distinct permutations that the blocks allow, the identity included; None above 2**53.
    log10_permutations_available : float
        Their decimal logarithm.
    enumerated : bool
        Whether all were run, so that p-values are exact.
    smallest_p : float
        1 / (1 + B): no p-value can be below it.
    n_testable, n_untestable : int
        Factors in the family of tests, and those left out of it.
    """

    n_subjects: int
    n_missing_confounds: int
    n_strata: int
    n_families: int
    n_permutations: int
    n_permutations_available: int | None
    log10_permutations_available: float
    enumerated: bool
    smallest_p: float
    n_testable: int
    n_untestable: int


@dataclass(frozen=True)
class RobustnessReport:
    """All that the stratification job found on one encoder's embeddings.

    Attributes
    ----------
    encoder_id : str
        The encoder.
    table_digest : str
        Digest of the embedding table that was given.
    n_subjects : int
        Subjects clustered.
    n_held_out : int
        Of these, subjects that had no part in fitting the encoder.
    phenotypes, confounds : tuple of str
        Columns as declared.
    config : StratificationConfig
        Settings.
    seed : int
        Seed of permutations and parallel analysis.
    strata : Partition or DegeneratePartition or NonConvergence
        The clustering's outcome.
    factors : Factors or NoFactors
        The phenotype factors' outcome.
    associations : tuple of FactorAssociation
        One for each factor.
    counts : AssociationCounts or None
        None where no test was possible.
    schema_version : int
        Version of this record.
    """

    encoder_id: str
    table_digest: str
    n_subjects: int
    n_held_out: int
    phenotypes: tuple[str, ...]
    confounds: tuple[str, ...]
    config: StratificationConfig
    seed: int
    strata: Annotated[Partition | DegeneratePartition | NonConvergence, Field(discriminator="kind")]
    factors: Annotated[Factors | NoFactors, Field(discriminator="kind")]
    associations: tuple[FactorAssociation, ...]
    counts: AssociationCounts | None
    schema_version: Literal[1] = 1

    def to_json(self) -> str:
        """Write the record as JSON; `from_json` gives an equal record back.

        Returns
        -------
        str
            Indented, keys in the order of the fields.
        """
        content = _ADAPTER.dump_python(self, mode="json")
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

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
                f"A stratification record must be what `to_json` wrote (schema version 1): {error}"
            ) from None

    def metrics(self) -> dict[str, float]:
        """Pick out single numbers, for a table of runs. What could not be computed is absent.

        Returns
        -------
        dict of str to float
            Such as ``n_strata``, ``silhouette``, ``n_significant`` and ``max_epsilon2``.
        """
        numbers: dict[str, float | None] = {}
        if not isinstance(self.strata, NonConvergence):
            numbers["n_strata"] = len(self.strata.sizes)
            numbers["silhouette"] = self.strata.silhouette
        if isinstance(self.factors, Factors):
            numbers["n_factors"] = len(self.factors.names)
        if self.counts is not None:
            numbers["n_testable"] = self.counts.n_testable
            tested = [a for a in self.associations if a.verdict != "untestable"]
            numbers["n_significant"] = sum(a.verdict == "significant" for a in tested)
            numbers["max_epsilon2"] = max((a.epsilon2 or 0.0 for a in tested), default=None)
            numbers["min_q_value"] = min((a.q_value or 0.0 for a in tested), default=None)
        return {name: float(value) for name, value in numbers.items() if value is not None}


_ADAPTER: TypeAdapter[RobustnessReport] = TypeAdapter(RobustnessReport)
