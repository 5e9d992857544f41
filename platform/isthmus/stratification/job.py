"""The stratification job: embeddings and phenotypes in, one record out. It never trains."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.core.seeds import derive_seed
from isthmus.stratification.association import AssociationTest, associate
from isthmus.stratification.checks import MIN_SUBJECTS, require_subjects
from isthmus.stratification.correction import false_discovery_rate, max_t
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.factors import Factors, FactorsOutcome, find_factors
from isthmus.stratification.permutation import PermutationPlan, plan_permutations
from isthmus.stratification.record import (
    AssociationCounts,
    FactorAssociation,
    RobustnessReport,
    Verdict,
)
from isthmus.stratification.strata import (
    DegeneratePartition,
    NonConvergence,
    Partition,
    StrataOutcome,
    find_strata,
)

FloatArray = npt.NDArray[np.float64]

__all__ = ["RobustnessReport", "stratify"]


def stratify(
    table: EmbeddingTable,
    participants: Participants,
    config: StratificationConfig,
    phenotypes: Sequence[str],
    confounds: Sequence[str],
    seed: int,
) -> RobustnessReport:
    """Find strata in one encoder's embeddings and test whether phenotypes differ between them.

    Strata are found without looking at phenotypes, factors without looking at strata; then each
    factor is tested by permutation that keeps families together.

    Parameters
    ----------
    table : EmbeddingTable
        Embeddings; the order of the rows has no influence.
    participants : Participants
        Phenotypes, confounds and families; it may hold further subjects.
    config : StratificationConfig
        Settings.
    phenotypes : sequence of str
        Columns that the factors are made of; none gives the outcome `NoFactors`.
    confounds : sequence of str
        Columns regressed out of the factor scores; text columns are categories. Subjects of whom
        one is unknown are clustered, but left out of the tests and counted.
    seed : int
        Seed of permutations and parallel analysis.

    Returns
    -------
    RobustnessReport
        A function of the arguments alone. A partition that failed, a factor that cannot be
        tested: each is an outcome in the record, not an error.

    Raises
    ------
    StratificationError
        With fewer than 10 subjects, subjects that `participants` does not have, a phenotype named
        twice, or settings that the data cannot meet.
    CohortError
        If a column is unknown or cannot be read as numbers.
    """
    table = _chosen(table, participants, config)
    ids = table.participant_ids
    strata = find_strata(table.values, ids, config)
    values_NP = (
        np.asarray(participants.numeric(list(phenotypes), ids), dtype=np.float64)
        if phenotypes
        else np.empty((len(ids), 0))
    )
    factors = find_factors(values_NP, phenotypes, ids, config.factors, derive_seed(seed, "factors"))
    confounds_NC, _ = participants.design(list(confounds), ids)
    associations, counts = _associations(strata, factors, confounds_NC, participants, config, seed)
    return RobustnessReport(
        encoder_id=table.encoder_id,
        table_digest=table.digest,
        n_subjects=len(ids),
        n_held_out=table.roles.count("validation"),
        phenotypes=tuple(phenotypes),
        confounds=tuple(confounds),
        config=config,
        seed=seed,
        strata=strata,
        factors=factors,
        associations=associations,
        counts=counts,
    )


def _chosen(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> EmbeddingTable:
    """Take the subjects to be clustered, sorted, so that the order of rows has no influence."""
    unknown = sorted(set(table.participant_ids) - set(participants.ids))
    if unknown:
        raise StratificationError(
            f"Every embedded subject must be in the participants table, got "
            f"{', '.join(unknown[:5])} that are not ({len(unknown)} in all). Was the table made "
            "from another cohort?"
        )
    held_out = config.subjects == "held_out"
    chosen = sorted(
        name
        for name, role in zip(table.participant_ids, table.roles, strict=True)
        if role == "validation" or not held_out
    )
    require_subjects(len(chosen), config)
    return table.select(chosen)


def _associations(
    strata: StrataOutcome,
    factors: FactorsOutcome,
    confounds_NC: FloatArray,
    participants: Participants,
    config: StratificationConfig,
    seed: int,
) -> tuple[tuple[FactorAssociation, ...], AssociationCounts | None]:
    """Test each factor, or say of each why it cannot be."""
    if not isinstance(factors, Factors):
        return (), None
    if isinstance(strata, NonConvergence | DegeneratePartition):
        return _untestable(factors, f"There are no strata to compare. {strata.reason}"), None
    known: npt.NDArray[np.bool_] = np.asarray(~np.isnan(confounds_NC).any(axis=1))
    n = int(known.sum())
    if n < MIN_SUBJECTS:
        reason = f"All confounds are known for {n} subjects only; {MIN_SUBJECTS} are needed."
        return _untestable(factors, reason), None
    labels_N = np.array(strata.labels)[known]
    plan = _plan(strata, known, participants, config, derive_seed(seed, "permutations"))
    test = associate(
        np.array(factors.scores)[known],
        labels_N,
        plan,
        confounds_NC[known] if confounds_NC.shape[1] else None,
    )
    n_testable = int((~np.isnan(test.p_permutation)).sum())
    counts = AssociationCounts(
        n_subjects=n,
        n_missing_confounds=len(known) - n,
        n_strata=len(set(labels_N.tolist())),
        n_families=plan.n_families,
        n_permutations=plan.n_permutations,
        n_permutations_available=plan.n_available,
        log10_permutations_available=plan.log10_available,
        enumerated=plan.enumerated,
        smallest_p=1.0 / (1.0 + plan.n_permutations),
        n_testable=n_testable,
        n_untestable=len(factors.names) - n_testable,
    )
    return _verdicts(factors, test, config, counts), counts


def _plan(
    strata: Partition,
    known: npt.NDArray[np.bool_],
    participants: Participants,
    config: StratificationConfig,
    seed: int,
) -> PermutationPlan:
    """Plan permutations of the subjects tested."""
    n = int(known.sum())
    if config.blocks == "none":
        return plan_permutations(None, config.n_permutations, seed, n_subjects=n)
    tested = [name for name, keep in zip(strata.participant_ids, known, strict=True) if keep]
    families = participants.families.loc[tested].tolist()
    kinship = None if participants.kinship is None else participants.kinship.loc[tested].tolist()
    return plan_permutations(families, config.n_permutations, seed, kinship=kinship)


def _verdicts(
    factors: Factors, test: AssociationTest, config: StratificationConfig, counts: AssociationCounts
) -> tuple[FactorAssociation, ...]:
    """Correct over the testable factors and give each its verdict."""
    q_F = false_discovery_rate(test.p_permutation, config.correction)
    p_max_t_F = max_t(test.h, test.null_h)
    rows = []
    for k, name in enumerate(factors.names):
        if np.isnan(test.p_permutation[k]):
            rows.append(FactorAssociation(name, "untestable", _why(counts)))
            continue
        verdict: Verdict = "significant" if q_F[k] <= config.alpha else "not_significant"
        numbers = (
            test.h[k],
            test.epsilon2[k],
            test.p_permutation[k],
            test.p_chi2[k],
            q_F[k],
            p_max_t_F[k],
        )
        rows.append(FactorAssociation(name, verdict, None, *map(float, numbers)))
    return tuple(rows)


def _why(counts: AssociationCounts) -> str:
    """Say why a factor's test has no value."""
    if counts.n_strata < 2:
        return "The subjects whose confounds are known are all in one stratum."
    if counts.n_permutations == 0:
        return "The families allow no permutation."
    return "The factor is constant among the subjects tested, or once confounds are regressed out."


def _untestable(factors: Factors, reason: str) -> tuple[FactorAssociation, ...]:
    """Give every factor the same reason."""
    return tuple(FactorAssociation(name, "untestable", reason) for name in factors.names)
