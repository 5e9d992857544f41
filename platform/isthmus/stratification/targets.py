"""What is related to the strata: factors, numeric phenotypes and categories, in groups.

Targets whose values are known of the same subjects make a group: one set of permutations serves all
of them.

Shape suffixes: A subjects clustered, N those of them that a group is tested on, F targets,
V columns of values (a column a target; a column a category), C confounds.
"""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig, TargetKind
from isthmus.core.errors import CohortError, StratificationError
from isthmus.stratification.checks import MIN_SUBJECTS
from isthmus.stratification.factors import Factors, FactorsOutcome
from isthmus.stratification.permutation import PermutationPlan, plan_permutations
from isthmus.stratification.variables import DeclaresVariables

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_CONSTANT_TOLERANCE = 1e-12
_SHARE_OF_LEVELS = 0.5


@dataclass(frozen=True, eq=False)
class TargetGroup:
    """Targets that are tested on the same subjects. Made by `make_groups`.

    Attributes
    ----------
    kind : {"factor", "phenotype", "category"}
        What the targets are; a category is always alone.
    names : tuple of str, length F
        The targets.
    places : tuple of int, length F
        Where each stands among the targets of its kind, as declared.
    reasons : tuple of (str or None), length F
        Why a target cannot be tested, where that is known before there are strata.
    levels : tuple of str
        The categories, sorted; empty for numeric targets.
    values_AV : ndarray, shape (a, F) or (a, C)
        Of every subject clustered: z-scores, a column a target; for a category the indicators of
        its levels, 0 or 1. NaN where it is not known.
    rows_N : ndarray of int, shape (n,)
        Positions, rising, of the subjects tested: those of whom targets and confounds are known.
    families : tuple of hashable, length n, or None
        Family of each subject tested; None where families are to be ignored.
    kinship : tuple of str, length n, or None
        What each is to its family, where it is declared.
    confounds_NC : ndarray, shape (n, c), or None
        Confounds of the subjects tested; None where there are none.
    n_missing_confounds : int
        Subjects clustered of whom a confound is not known.
    """

    kind: TargetKind
    names: tuple[str, ...]
    places: tuple[int, ...]
    reasons: tuple[str | None, ...]
    levels: tuple[str, ...]
    values_AV: FloatArray
    rows_N: IndexArray
    families: tuple[Hashable, ...] | None
    kinship: tuple[str, ...] | None
    confounds_NC: FloatArray | None
    n_missing_confounds: int

    @property
    def scores(self) -> FloatArray:
        """Values of the subjects tested, of shape (n, v)."""
        return self.values_AV[self.rows_N]

    @property
    def testable(self) -> bool:
        """Whether any of the targets may have a test."""
        return any(reason is None for reason in self.reasons)

    def plan(self, n_permutations: int, seed: int) -> PermutationPlan:
        """Plan permutations of the subjects tested, families kept together.

        Parameters
        ----------
        n_permutations : int
            Permutations wanted.
        seed : int
            Seed of the draws.

        Returns
        -------
        PermutationPlan
            Of the n subjects, in the order of `rows_N`.

        Raises
        ------
        StratificationError
            Where nobody is tested: see `testable`.
        """
        n = len(self.rows_N)
        return plan_permutations(
            self.families, n_permutations, seed, n_subjects=n, kinship=self.kinship
        )


def make_groups(
    factors: FactorsOutcome,
    participants: Participants,
    participant_ids: Sequence[str],
    config: StratificationConfig,
    variables: DeclaresVariables,
) -> tuple[TargetGroup, ...]:
    """Gather what is to be related to the strata, in groups of equal subjects.

    Parameters
    ----------
    factors : Factors or NoFactors
        Made of the subjects clustered.
    participants : Participants
        Phenotypes, confounds, families and kinship; it may hold further subjects.
    participant_ids : sequence of str, length a
        The subjects clustered, in the order of their labels.
    config : StratificationConfig
        `targets` and `blocks` are read.
    variables : DeclaresVariables
        Columns of phenotypes, categories and confounds.

    Returns
    -------
    tuple of TargetGroup
        The factors; then the numeric phenotypes, those known of the same subjects together; then
        each category. Only kinds that `config.targets` asks for.

    Raises
    ------
    StratificationError
        If a numeric phenotype is infinite.
    CohortError
        If a column is unknown, a numeric one holds other text than two values, or a category has
        more values than half as many as there are participants.

    Notes
    -----
    Factors are complete, since missing phenotypes were imputed before (and counted). Single
    phenotypes and categories are never imputed: each is tested on the subjects of whom it is
    known, however few, down to 10.
    """
    ids = tuple(participant_ids)
    confounds_AC, _ = participants.design(list(variables.confounds), ids)
    subjects = _Subjects(ids, participants, np.asarray(confounds_AC, dtype=np.float64), config)
    groups: list[TargetGroup] = []
    if "factor" in config.targets and isinstance(factors, Factors):
        scores_AF = np.array(factors.scores, dtype=np.float64)
        groups.append(subjects.group("factor", enumerate(factors.names), scores_AF))
    if "phenotype" in config.targets and variables.phenotypes:
        values_AF = participants.numeric(list(variables.phenotypes), ids)
        groups.extend(_phenotypes(subjects, variables.phenotypes, values_AF))
    if "category" in config.targets:
        for place, name in enumerate(variables.categorical_phenotypes):
            values_AV, levels = indicators(participants, name, ids)
            groups.append(subjects.group("category", [(place, name)], values_AV, levels))
    return tuple(groups)


def indicators(
    participants: Participants, name: str, ids: Sequence[str]
) -> tuple[FloatArray, tuple[str, ...]]:
    """Read a column of categories as indicator columns.

    Parameters
    ----------
    participants : Participants
        The whole cohort.
    name : str
        A column of text, or of numbers that stand for categories.
    ids : sequence of str, length a
        Participants, in the order wanted.

    Returns
    -------
    values : ndarray, shape (a, v)
        0 or 1; NaN where the category is missing.
    levels : tuple of str, length v
        The categories that these participants have, sorted; numbers by size.

    Raises
    ------
    CohortError
        If the column is unknown, or has more than two values and more of them than half as many
        as there are participants: then it is no column of categories.
    """
    column = participants.column(name)
    known = column.dropna()
    n_levels = known.nunique()
    if n_levels > max(2.0, _SHARE_OF_LEVELS * len(known)):
        raise CohortError(
            f"cohort.categorical_phenotypes: column '{name}' must have few values to be one of "
            f"categories, but it has {n_levels} over {len(known)} participants. Name it in "
            "cohort.phenotypes if it is a number, or leave it out."
        )
    mine = column.loc[list(ids)]
    levels = sorted(mine.dropna().unique())
    values_AV = np.empty((len(mine), len(levels)))
    for v, level in enumerate(levels):
        values_AV[:, v] = np.where(mine.isna(), np.nan, (mine == level).astype(np.float64))
    return values_AV, tuple(_written(level) for level in levels)


@dataclass(frozen=True, eq=False)
class _Subjects:
    """The subjects clustered, with what all groups need of them."""

    ids: tuple[str, ...]
    participants: Participants
    confounds_AC: FloatArray
    config: StratificationConfig

    def group(
        self,
        kind: TargetKind,
        declared: Iterable[tuple[int, str]],
        values_AV: FloatArray,
        levels: tuple[str, ...] = (),
    ) -> TargetGroup:
        """Put targets that are known of the same subjects in a group."""
        places, names = zip(*declared, strict=True)
        # A category without any level has no column, and is known of nobody.
        known_A = ~np.isnan(values_AV).any(axis=1) & (values_AV.shape[1] > 0)
        complete_A = ~np.isnan(self.confounds_AC).any(axis=1)
        rows_N = np.flatnonzero(known_A & complete_A)
        counts = (int(known_A.sum()), len(rows_N))
        varied_V = np.array([_varies(column) for column in values_AV[rows_N].T], dtype=bool)
        varied_F = np.array([varied_V.any()]) if kind == "category" else varied_V
        families = kinship = None
        if self.config.blocks == "families":
            tested = [self.ids[row] for row in rows_N]
            families = tuple(self.participants.families.loc[tested])
            of_all = self.participants.kinship
            kinship = None if of_all is None else tuple(of_all.loc[tested])
        return TargetGroup(
            kind=kind,
            names=names,
            places=places,
            reasons=tuple(_why_not(kind, counts, bool(varied)) for varied in varied_F),
            levels=levels,
            values_AV=_z_scores(values_AV) if kind == "phenotype" else values_AV,
            rows_N=rows_N,
            families=families,
            kinship=kinship,
            confounds_NC=self.confounds_AC[rows_N] if self.confounds_AC.shape[1] else None,
            n_missing_confounds=int((~complete_A).sum()),
        )


def _phenotypes(
    subjects: _Subjects, names: Sequence[str], values_AF: FloatArray
) -> list[TargetGroup]:
    """Group numeric phenotypes by whom they are known of, in the order of each group's first."""
    infinite = [name for name, x_A in zip(names, values_AF.T, strict=True) if np.isinf(x_A).any()]
    if infinite:
        raise StratificationError(
            f"Phenotypes must be finite or missing, got infinity in {', '.join(infinite)}. "
            "Write n/a in participants.tsv where a value is not known."
        )
    columns: dict[bytes, list[int]] = {}
    for f, known_A in enumerate(~np.isnan(values_AF).T):
        columns.setdefault(known_A.tobytes(), []).append(f)
    return [
        subjects.group("phenotype", [(f, names[f]) for f in same], values_AF[:, same])
        for same in columns.values()
    ]


def _z_scores(values_AF: FloatArray) -> FloatArray:
    """Standardise over the subjects of whom all columns are known; a constant becomes zeros."""
    known_A = ~np.isnan(values_AF).any(axis=1)
    z_AF = np.full(values_AF.shape, np.nan)
    for f, x_N in enumerate(values_AF[known_A].T):
        z_AF[known_A, f] = (x_N - x_N.mean()) / x_N.std(ddof=1) if _varies(x_N) else 0.0
    return z_AF


def _varies(column_N: FloatArray) -> bool:
    """Whether a column has more than one value, rounding aside."""
    if not column_N.size:
        return False
    return bool(np.ptp(column_N) > _CONSTANT_TOLERANCE * np.abs(column_N).max())


def _why_not(kind: TargetKind, counts: tuple[int, int], varies: bool) -> str | None:
    """Say why a target cannot be tested, whatever the strata."""
    n_known, n_tested = counts
    if n_known < MIN_SUBJECTS:
        return f"It is known for {n_known} subjects only; {MIN_SUBJECTS} are needed."
    if n_tested < MIN_SUBJECTS:
        what = "All confounds are" if kind == "factor" else "It and all confounds are"
        return f"{what} known for {n_tested} subjects only; {MIN_SUBJECTS} are needed."
    if not varies:
        one = "category" if kind == "category" else "value"
        return f"All {n_tested} subjects tested have one {one}."
    return None


def _written(level: object) -> str:
    """Write a category as it stands in the table: whole numbers without a decimal point."""
    if isinstance(level, float | np.floating) and float(level).is_integer():
        return str(int(level))
    return str(level)
