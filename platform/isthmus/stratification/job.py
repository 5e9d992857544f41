"""The stratification job: embeddings and phenotypes in, one record out. It never trains."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.digest import digest_of
from isthmus.core.ports import TaskRunner
from isthmus.core.seeds import derive_seed
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.factors import factors_of
from isthmus.stratification.families_of_tests import test_targets
from isthmus.stratification.matched_cloud import family_likeness
from isthmus.stratification.partition import Partition
from isthmus.stratification.pieces import Piece, Problem, Results, all_pieces
from isthmus.stratification.plane import lay_out
from isthmus.stratification.profiles import make_profiles
from isthmus.stratification.progress import OnProgress, complete
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.replication import replications
from isthmus.stratification.robustness import Replication, Robustness
from isthmus.stratification.runner import InProcessRunner
from isthmus.stratification.stability import summarise_stability
from isthmus.stratification.strata import find_strata
from isthmus.stratification.subjects import blocks, choose_subjects
from isthmus.stratification.targets import TargetGroup, make_groups
from isthmus.stratification.tested import FamilyOfTests
from isthmus.stratification.variables import Variables
from isthmus.stratification.verdicts import compare_with_nulls, judge, score

FloatArray = npt.NDArray[np.float64]

__all__ = ["RobustnessReport", "Variables", "stratify"]


def stratify(
    table: EmbeddingTable,
    participants: Participants,
    config: StratificationConfig,
    variables: Variables,
    seed: int,
    *,
    runner: TaskRunner | None = None,
    directory: Path | None = None,
    on_progress: OnProgress | None = None,
) -> RobustnessReport:
    """Find strata in one encoder's embeddings, relate phenotypes to them, and ask what is lasting.

    Strata are found without looking at phenotypes, factors without looking at strata. Each target
    is then tested by permutation that keeps families together; the families are resampled and
    clustered anew; and the strata's stability is compared with that of clouds without strata.

    Parameters
    ----------
    table : EmbeddingTable
        Embeddings; the order of the rows has no influence.
    participants : Participants
        Phenotypes, confounds and families; it may hold further subjects.
    config : StratificationConfig
        Settings.
    variables : Variables
        Columns to be related to the strata, and confounds. Subjects of whom a confound is unknown
        are clustered, but left out of the tests and counted.
    seed : int
        Root of every draw.
    runner : TaskRunner, optional
        Where the pieces run; by default in this process. It has no influence on the result.
    directory : Path, optional
        Folder in which finished pieces are kept, so that a job that was cut short goes on.
    on_progress : callable, optional
        Hears how many pieces are done, of how many.

    Returns
    -------
    RobustnessReport
        A function of the first five arguments alone, bit for bit where linear algebra keeps to
        one number of threads (`isthmus.trial.strata` sees to that). A partition that failed, a
        target that cannot be tested: each is an outcome in the record, not an error.

    Raises
    ------
    StratificationError
        With fewer than 10 subjects, subjects that `participants` does not have, a family larger
        than half of them, a phenotype named twice, or settings that the data cannot meet.
    CohortError
        If a column is unknown or cannot be read.
    """
    chosen = choose_subjects(table, participants, config)
    ids = chosen.participant_ids
    families = blocks(participants, ids, config)
    cloud = make_cloud(chosen.values, config, derive_seed(seed, "cloud"))
    strata = find_strata(cloud, ids, families, config, derive_seed(seed, "strata"))
    factors = factors_of(participants, ids, variables.phenotypes, config.factors, seed)
    groups = make_groups(factors, participants, ids, config, variables)
    tests = test_targets(groups, strata, config, seed)
    robustness = None
    if isinstance(strata, Partition):
        problem = Problem(
            digest=_digest(chosen, participants, config, variables, seed),
            cloud=cloud,
            likeness=family_likeness(cloud.points_ND, families),
            families=families,
            labels_N=np.array(strata.labels),
            n_strata=len(strata.sizes),
            setting=strata.setting,
            groups=tuple(group for group in groups if group.testable),
            config=config,
            seed=seed,
        )
        pieces = all_pieces(config)
        results = complete(problem, pieces, runner or InProcessRunner(), directory, on_progress)
        robustness = _gather(problem, strata, results, tests)
        tests = judge(tests, robustness, config)
    return RobustnessReport(
        encoder_id=table.encoder_id,
        table_digest=table.digest,
        participant_ids=ids,
        n_held_out=chosen.n_held_out,
        phenotypes=variables.phenotypes,
        categorical_phenotypes=variables.categorical_phenotypes,
        confounds=variables.confounds,
        config=config,
        seed=seed,
        strata=strata,
        plane=lay_out(cloud.points_ND),
        factors=factors,
        tests=tests,
        profiles=make_profiles(groups, strata),
        robustness=robustness,
        score=score(tests, robustness),
    )


def _digest(
    chosen: EmbeddingTable,
    participants: Participants,
    config: StratificationConfig,
    variables: Variables,
    seed: int,
) -> str:
    """Identify the problem that the pieces are of."""
    people = participants.select(chosen.participant_ids).digest
    settings = config.model_dump(mode="json")
    return digest_of([chosen.digest, people, settings, asdict(variables), seed])


def _gather(
    problem: Problem,
    strata: Partition,
    results: Mapping[Piece, Results],
    tests: tuple[FamilyOfTests, ...],
) -> Robustness:
    """Put the pieces together."""
    of_kind = {
        kind: [found for piece, found in results.items() if piece.kind == kind]
        for kind in ("draws", "nulls")
    }

    def joined(kind: str, name: str) -> npt.NDArray[np.generic]:
        return np.concatenate([found[name] for found in of_kind[kind]])

    ari_D = joined("draws", "ari").astype(np.float64)
    n_null_draws = problem.config.robustness.n_null_draws
    matched = compare_with_nulls(
        (float(ari_D[:n_null_draws].mean()), strata.silhouette or 0.0),
        joined("nulls", "ari").astype(np.float64),
        joined("nulls", "silhouette").astype(np.float64),
        joined("nulls", "n_strata").astype(np.int64),
        n_null_draws,
        problem.likeness,
    )
    stability = summarise_stability(
        ari_D,
        joined("draws", "ami").astype(np.float64),
        joined("draws", "jaccard").astype(np.float64),
        joined("draws", "n_strata").astype(np.int64),
        joined("draws", "n_subjects").astype(np.int64),
        strata.sizes,
    )
    of_groups = [
        (
            group,
            joined("draws", f"statistics_{g}").astype(np.float64),
            joined("draws", f"effects_{g}").astype(np.float64),
        )
        for g, group in enumerate(problem.groups)
    ]
    found: list[Replication] = []
    for family in tests:
        found += _of_family(
            family, [item for item in of_groups if item[0].kind == family.kind], problem.config
        )
    return Robustness(stability=stability, matched_null=matched, replications=tuple(found))


def _of_family(
    family: FamilyOfTests,
    of_groups: list[tuple[TargetGroup, FloatArray, FloatArray]],
    config: StratificationConfig,
) -> tuple[Replication, ...]:
    """Judge a family's testable targets over the draws, corrected together in each."""
    testable = {a.target for a in family.associations if a.verdict != "untestable"}
    if not testable:
        return ()
    # Where the families of one target's subjects allow fewer permutations, all are cut to these.
    # Groups of different subjects are permuted each on its own: between them, the correction of a
    # permuted arrangement does not know how targets correlate.
    n_arrangements = min(statistics.shape[1] for _, statistics, _ in of_groups)
    names = [name for group, _, _ in of_groups for name in group.names]
    statistics_DAF = np.concatenate([s[:, :n_arrangements] for _, s, _ in of_groups], axis=2)
    effects_DF = np.concatenate([effects for _, _, effects in of_groups], axis=1)
    kept = [f for f, name in enumerate(names) if name in testable]
    return replications(
        family.kind,
        [names[f] for f in kept],
        statistics_DAF[:, :, kept],
        effects_DF[:, kept],
        config,
    )
