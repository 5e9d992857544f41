"""What was related to the strata: one record a target, one a family of tests."""

from dataclasses import dataclass
from typing import Literal

from isthmus.config.stratification import TargetKind

Verdict = Literal["robust", "significant_but_unstable", "not_significant", "untestable"]


@dataclass(frozen=True)
class Tested:
    """How many subjects, families and permutations stand behind a p-value.

    Attributes
    ----------
    n_subjects : int
        Subjects tested: those clustered of whom the target and every confound are known.
    n_strata : int
        Strata that have a member among them.
    n_families : int
        Exchangeability blocks; as many as subjects where families are ignored.
    n_permutations : int
        Permutations run: B.
    n_permutations_available : int or None
        Distinct permutations that the blocks allow, the identity included; None above 2**53.
    log10_permutations_available : float
        Their decimal logarithm.
    enumerated : bool
        Whether all were run, so that the p-value is exact.
    smallest_p : float
        1 / (1 + B): the p-value cannot be below it.
    """

    n_subjects: int
    n_strata: int
    n_families: int
    n_permutations: int
    n_permutations_available: int | None
    log10_permutations_available: float
    enumerated: bool
    smallest_p: float


@dataclass(frozen=True)
class Association:
    """One target against the strata. Numbers are None where it could not be tested.

    Attributes
    ----------
    target : str
        Name of the factor or of the column.
    kind : {"factor", "phenotype", "category"}
        What it is, and so which family of tests it belongs to.
    verdict : {"robust", "significant_but_unstable", "not_significant", "untestable"}
        Significant where ``q_value <= alpha``. Robust where it is also found again in enough
        resamples, more often than under permuted phenotypes, and the strata are more stable than
        those of a cloud that has none.
    reason : str or None
        Why it is untestable; what keeps a significant one from being robust; or that the number
        of permutations, not the data, kept it from being significant.
    statistic : float or None
        Kruskal-Wallis H, tie-corrected; chi-squared for a category.
    effect_size : float or None
        epsilon^2 in [0, 1]; Cramer's V in [0, 1] for a category.
    p_permutation : float or None
        The p-value: permutations within exchangeability blocks.
    p_chi2 : float or None
        For comparison: the approximation that takes subjects to be independent.
    q_value : float or None
        `p_permutation` adjusted for the false discovery rate over the family of tests.
    p_family_wise : float or None
        Adjusted to bound the chance of any false rejection in the family of tests.
    tested : Tested or None
        What stands behind the p-value.
    """

    target: str
    kind: TargetKind
    verdict: Verdict
    reason: str | None = None
    statistic: float | None = None
    effect_size: float | None = None
    p_permutation: float | None = None
    p_chi2: float | None = None
    q_value: float | None = None
    p_family_wise: float | None = None
    tested: Tested | None = None

    @property
    def significant(self) -> bool:
        """Whether the false discovery rate's level was reached."""
        return self.verdict in ("robust", "significant_but_unstable")


@dataclass(frozen=True)
class FamilyOfTests:
    """Targets of one kind, corrected together.

    Attributes
    ----------
    kind : {"factor", "phenotype", "category"}
        What the targets are.
    family_wise : {"max_t", "holm"}
        How `Association.p_family_wise` was adjusted: by the joint permutation distribution of the
        largest statistic where all were tested on the same subjects, else by Holm's method.
    associations : tuple of Association
        One for each target, in the order declared.
    n_testable, n_untestable : int
        Targets in the family of tests, and those left out of it.
    n_missing_confounds : int
        Subjects clustered but left out of all tests, a confound of theirs being unknown.
    """

    kind: TargetKind
    family_wise: Literal["max_t", "holm"]
    associations: tuple[Association, ...]
    n_testable: int
    n_untestable: int
    n_missing_confounds: int


@dataclass(frozen=True)
class Profile:
    """What one stratum looks like on one target.

    Attributes
    ----------
    stratum : int
        Its number.
    target : str
        Factor, numeric phenotype (z-scored over the subjects clustered), or ``column=value``.
    kind : {"factor", "phenotype", "category"}
        What the target is.
    n : int
        Members of whom it is known.
    mean : float or None
        Mean z-score; share of the members for a category. None where nobody's is known.
    standard_error : float or None
        Of the mean, subjects taken as independent: for display. None below two members.
    """

    stratum: int
    target: str
    kind: TargetKind
    n: int
    mean: float | None
    standard_error: float | None
