"""Every encoder clustered in every reasonable way: who agrees, and what survives.

Shape suffixes: A subjects of all encoders together, D specifications, R arrangements of the
phenotypes (the observed one first), F targets, N subjects that a group of targets is tested on.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import Clusterer, StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.core.ports import TaskRunner
from isthmus.core.seeds import derive_seed
from isthmus.stratification.across import AcrossEncoders, Agreement, Specification
from isthmus.stratification.arrangements import observed_and_permuted
from isthmus.stratification.checks import MIN_SUBJECTS
from isthmus.stratification.cloud import make_cloud, standardise
from isthmus.stratification.curve import Curve, judge_curve
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.partition import Partition, StrataOutcome
from isthmus.stratification.pooled import labels_of_group, pooled_groups, pooled_labels
from isthmus.stratification.runner import InProcessRunner
from isthmus.stratification.stability import compare_partitions
from isthmus.stratification.strata import find_strata
from isthmus.stratification.subjects import blocks, choose_subjects
from isthmus.stratification.targets import TargetGroup
from isthmus.stratification.variables import DeclaresVariables

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Way:
    """One encoder, to be clustered in one way.

    Attributes
    ----------
    encoder_id : str
        Whose embeddings.
    clusterer : str
        As `stratification.clusterer`.
    pca_components : int or None
        As `stratification.pca_components`.
    """

    encoder_id: str
    clusterer: Clusterer
    pca_components: int | None


@dataclass(frozen=True, eq=False)
class _Encoders:
    """What all ways share: each encoder's chosen subjects, and their families."""

    tables: Mapping[str, EmbeddingTable]
    families: Mapping[str, tuple[str, ...]]
    config: StratificationConfig
    seed: int


def compare_encoders(
    tables: Sequence[EmbeddingTable],
    participants: Participants,
    config: StratificationConfig,
    variables: DeclaresVariables,
    seed: int,
    runner: TaskRunner | None = None,
) -> AcrossEncoders:
    """Cluster every encoder in every way, and ask what they agree on and what survives.

    A trial's folds and seeds are encoders of one kind; a stratum, or a phenotype's relation to the
    strata, that only one of them sees, or that only one way to cluster shows, is worth less.
    Agreement is between partitions of one way, the trial's own. Survival is a specification curve
    [1]_: the share of all specifications in which a target is significant, beside that share under
    permuted phenotypes. Specifications share subjects and embeddings, so a share of 100 % is not
    as many confirmations.

    Parameters
    ----------
    tables : sequence of EmbeddingTable
        One for each encoder; their subjects may differ. Neither their order nor that of their rows
        changes a number.
    participants : Participants
        Phenotypes, confounds, families and kinship; it may hold further subjects.
    config : StratificationConfig
        Settings. The ways are those of `specifications`, and the trial's own.
    variables : DeclaresVariables
        Columns of phenotypes and confounds.
    seed : int
        Root of every draw; with that of the encoders' own reports, the partitions of the trial's
        own way are those of the reports.
    runner : TaskRunner, optional
        Where encoders are clustered; by default in this process. It has no influence on the result.

    Returns
    -------
    AcrossEncoders
        Specifications by encoder, the trial's own way first. One that gave no partition stays in
        the list and counts as not significant. Without a testable target, agreements alone.

    Raises
    ------
    StratificationError
        Without a table, with two of one encoder, or where a table cannot be clustered at all (see
        `make_cloud`).
    CohortError
        If a column is unknown or cannot be read as numbers.

    Notes
    -----
    All specifications are tested on the same targets under the same permutations of the
    phenotypes. Every arrangement, the observed one included, is judged alike: its p-value in a
    specification is the share of arrangements whose statistic reaches its own, corrected over
    targets for the false discovery rate. A target's place on the curve under arrangement r is
    (number of specifications with q <= alpha, then median effect size), and ``p_value`` is the
    share of arrangements whose place is as high as the observed one's: exact where the null holds
    for all targets.

    With B permutations no p-value is below 1 / (1 + B), and q not below F / (1 + B) where one
    of F targets is related to the strata and the others are not: keep
    `specifications.n_null_phenotypes` well above ``F / alpha``.

    Phenotypes take the place of factors where there are none. Those known of different subjects
    are permuted separately, so that their joint distribution under the null is approximate.

    Principal components are left out where a table has fewer, and where they would be all that it
    has beside the full embedding, whose distances they do not change.

    References
    ----------
    .. [1] Simonsohn, Simmons & Nelson (2020), Nat. Hum. Behav. 4, 1208-1214.
    """
    encoders = _choose(tables, participants, config, seed)
    ways = [way for table in encoders.tables.values() for way in ways_to_cluster(table, config)]
    outcomes: dict[Way, StrataOutcome] = {}
    (runner or InProcessRunner()).run(cluster, encoders, ways, outcomes.__setitem__)
    ids = sorted({name for table in encoders.tables.values() for name in table.participant_ids})
    found = [outcomes[way] for way in ways]
    partitions = [outcome if isinstance(outcome, Partition) else None for outcome in found]
    groups = pooled_groups(participants, ids, config, variables, seed)
    labels_DA = pooled_labels(partitions, ids)
    curve = _curve(groups, labels_DA, config, seed)
    return AcrossEncoders(
        agreements=_agreements(ways, labels_DA, config),
        targets=tuple(name for group in groups for name in group.names),
        specifications=tuple(
            _specification(way, outcome, curve, d)
            for d, (way, outcome) in enumerate(zip(ways, found, strict=True))
        ),
        survivals=curve.survivals,
        alpha=config.alpha,
        n_permutations=curve.n_permutations,
    )


def ways_to_cluster(table: EmbeddingTable, config: StratificationConfig) -> tuple[Way, ...]:
    """List the ways to cluster one encoder, the trial's own first.

    Parameters
    ----------
    table : EmbeddingTable
        Its embeddings of the subjects chosen.
    config : StratificationConfig
        `clusterer`, `pca_components` and `specifications` are read.

    Returns
    -------
    tuple of Way
        Each once.
    """
    standardised, _ = standardise(table.values)
    most = min(standardised.shape)
    asked = config.specifications.pca_components
    possible = [
        components
        for components in asked
        if components is None or components < most or (components == most and None not in asked)
    ]
    own = Way(table.encoder_id, *_own(config))
    others = [
        Way(table.encoder_id, clusterer, components)
        for clusterer in config.specifications.clusterers
        for components in possible
    ]
    return (own, *(way for way in others if way != own))


def cluster(encoders: _Encoders, way: Way) -> StrataOutcome:
    """Cluster one encoder in one way.

    Parameters
    ----------
    encoders : _Encoders
        Embeddings and settings of all.
    way : Way
        Which, and how.

    Returns
    -------
    StrataOutcome
        A function of the encoder's embeddings, the way and the seed alone.
    """
    table = encoders.tables[way.encoder_id]
    chosen = {"clusterer": way.clusterer, "pca_components": way.pca_components}
    config = encoders.config.model_copy(update=chosen)
    seed = encoders.seed
    # The trial's own way has the seeds of the encoder's report, and so its very partition.
    if (way.clusterer, way.pca_components) != _own(encoders.config):
        names = (way.encoder_id, way.clusterer, way.pca_components or "all")
        seed = derive_seed(seed, "specification", *names)
    cloud = make_cloud(table.values, config, derive_seed(seed, "cloud"))
    families = encoders.families[way.encoder_id]
    return find_strata(cloud, table.participant_ids, families, config, derive_seed(seed, "strata"))


def _own(config: StratificationConfig) -> tuple[Clusterer, int | None]:
    """Give the trial's own clusterer and components."""
    return config.clusterer, config.pca_components


def _choose(
    tables: Sequence[EmbeddingTable],
    participants: Participants,
    config: StratificationConfig,
    seed: int,
) -> _Encoders:
    """Take each encoder's subjects as the job of one table does."""
    if not tables:
        raise StratificationError("There must be at least one encoder to compare, got no table.")
    repeated = [name for name, n in Counter(t.encoder_id for t in tables).items() if n > 1]
    if repeated:
        raise StratificationError(
            "Each encoder must have one table, got more than one of "
            f"{', '.join(sorted(repeated)[:5])}. Was a fold given twice?"
        )
    chosen = {table.encoder_id: choose_subjects(table, participants, config) for table in tables}
    families = {
        name: blocks(participants, table.participant_ids, config) for name, table in chosen.items()
    }
    return _Encoders(chosen, families, config, seed)


def _agreements(
    ways: Sequence[Way], labels_DA: LabelArray, config: StratificationConfig
) -> tuple[Agreement, ...]:
    """Compare the encoders' partitions of the trial's own way, pair by pair."""
    own = [
        d
        for d, way in enumerate(ways)
        if (way.clusterer, way.pca_components) == _own(config) and (labels_DA[d] >= 0).any()
    ]
    rows = []
    for a, b in combinations(own, 2):
        shared_A = (labels_DA[a] >= 0) & (labels_DA[b] >= 0)
        n_shared = int(shared_A.sum())
        if n_shared >= MIN_SUBJECTS:
            ari, ami = compare_partitions(labels_DA[a, shared_A], labels_DA[b, shared_A])
            rows.append(Agreement(ways[a].encoder_id, ways[b].encoder_id, n_shared, ari, ami))
    return tuple(rows)


def _curve(
    groups: Sequence[TargetGroup], labels_DA: LabelArray, config: StratificationConfig, seed: int
) -> Curve:
    """Test all targets in all specifications, under the same permutations."""
    wanted = config.specifications.n_null_phenotypes
    statistics, effects = [], []
    for number, group in enumerate(groups):
        labels_DN = labels_of_group(labels_DA, group)
        arranged = observed_and_permuted(group, wanted, derive_seed(seed, "curve", number))
        statistics.append(arranged.statistics(labels_DN))
        effects.append(arranged.effect_sizes(statistics[-1], labels_DN))
    if not groups:
        nothing = np.empty((len(labels_DA), 1, 0))
        return judge_curve((), nothing, nothing, config)
    # Where the families of one target's subjects allow fewer permutations, all are cut to these.
    n_arrangements = min(statistics_DRF.shape[1] for statistics_DRF in statistics)
    return judge_curve(
        [name for group in groups for name in group.names],
        np.concatenate([s_DRF[:, :n_arrangements] for s_DRF in statistics], axis=2),
        np.concatenate([e_DRF[:, :n_arrangements] for e_DRF in effects], axis=2),
        config,
    )


def _specification(way: Way, outcome: StrataOutcome, curve: Curve, d: int) -> Specification:
    """Put one specification in a record."""
    found = outcome if isinstance(outcome, Partition) else None
    return Specification(
        encoder_id=way.encoder_id,
        clusterer=way.clusterer,
        pca_components=way.pca_components,
        outcome=outcome.kind,
        n_strata=None if found is None else len(found.sizes),
        silhouette=None if found is None else found.silhouette,
        effect_sizes=_or_none(curve.effects_DF[d]),
        p_values=_or_none(curve.p_DF[d]),
        q_values=_or_none(curve.q_DF[d]),
    )


def _or_none(values_F: FloatArray) -> tuple[float | None, ...]:
    """Turn NaN into None, for JSON."""
    return tuple(None if np.isnan(value) else value for value in values_F.tolist())
