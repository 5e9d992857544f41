"""Encoders clustered in every way: the ways, agreement, survival, and what is irrelevant."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.core.seeds import derive_seed
from isthmus.stratification.across import AcrossEncoders
from isthmus.stratification.cloud import make_cloud
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.partition import Partition
from isthmus.stratification.specifications import compare_encoders, ways_to_cluster
from isthmus.stratification.strata import find_strata
from isthmus.stratification.subjects import blocks
from isthmus.stratification.variables import Variables

PHENOTYPES = ("verbal", "memory", "grip", "speed")
VARIABLES = Variables(PHENOTYPES, (), ("age",))


class Backwards:
    """Runs pieces from the last to the first, each on copies, as another process would."""

    def run(
        self,
        function: Callable[[object, object], object],
        shared: object,
        pieces: Sequence[object],
        on_done: Callable[[object, object], None],
    ) -> None:
        for piece in reversed(pieces):
            sent = pickle.loads(pickle.dumps((function, shared, piece)))
            result = pickle.loads(pickle.dumps(sent[0](*sent[1:])))
            on_done(sent[2], result)


@pytest.fixture
def config() -> StratificationConfig:
    """Two ways on all columns, two on four components; k-means at three strata is the trial's."""
    return StratificationConfig(
        clusterer="kmeans",
        n_strata=3,
        specifications={
            "clusterers": ("ward", "kmeans"),
            "pca_components": (None, 4),
            "n_null_phenotypes": 199,
        },
    )


@pytest.fixture
def tables(table: EmbeddingTable) -> list[EmbeddingTable]:
    """Three folds' encoders: alike, noisier, and one whose embeddings collapsed."""
    rng = np.random.default_rng(2)
    noisier = table.values + 4.0 * rng.standard_normal(table.values.shape)
    roles = ("validation",) * 20 + ("train",) * 40
    collapsed = np.ones_like(table.values)
    return [
        table,
        EmbeddingTable("encoder-1", table.participant_ids, noisier, roles),
        EmbeddingTable("encoder-2", table.participant_ids, collapsed, table.roles),
    ]


def test_a_planted_factor_survives_and_another_does_not(
    tables: list[EmbeddingTable], participants: Participants, config: StratificationConfig
) -> None:
    across = compare_encoders(tables, participants, config, VARIABLES, seed=0)
    assert across.targets == ("factor_1", "factor_2")
    assert (across.alpha, across.n_permutations) == (0.05, 199)
    survivals = sorted(across.survivals, key=lambda survival: survival.p_value)
    # The collapsed encoder is clustered two ways (it has no components), in vain.
    assert {s.n_specifications for s in survivals} == {4 + 4 + 2}
    assert {s.n_usable for s in survivals} == {8}
    assert survivals[0].share == 0.8
    assert survivals[0].p_value == pytest.approx(1 / 200)
    assert survivals[0].null_share < 0.1
    assert survivals[1].share < 0.3
    assert survivals[1].p_value > 0.05
    assert AcrossEncoders.from_json(across.to_json()) == across


def test_every_specification_is_listed_the_trials_own_way_first(
    tables: list[EmbeddingTable], participants: Participants, config: StratificationConfig
) -> None:
    across = compare_encoders(tables, participants, config, VARIABLES, seed=0)
    of_first = [s for s in across.specifications if s.encoder_id == "encoder-0"]
    assert [(s.clusterer, s.pca_components) for s in of_first] == [
        ("kmeans", None),
        ("ward", None),
        ("ward", 4),
        ("kmeans", 4),
    ]
    assert {s.n_strata for s in of_first} == {3}
    assert all(s.silhouette is not None and s.silhouette > 0.4 for s in of_first)
    collapsed = [s for s in across.specifications if s.encoder_id == "encoder-2"]
    assert {s.outcome for s in collapsed} == {"degenerate_partition"}
    assert {(s.n_strata, *s.p_values, *s.q_values, *s.effect_sizes) for s in collapsed} == {
        (None,) * 7
    }


def test_neither_order_nor_place_of_the_work_matters(
    tables: list[EmbeddingTable], participants: Participants, config: StratificationConfig
) -> None:
    across = compare_encoders(tables, participants, config, VARIABLES, seed=0)
    rows = tuple(np.random.default_rng(4).permutation(tables[0].participant_ids).tolist())
    shuffled = [table.select(rows) for table in tables]
    elsewhere = compare_encoders(shuffled, participants, config, VARIABLES, 0, Backwards())
    assert elsewhere == across
    turned = compare_encoders(tables[::-1], participants, config, VARIABLES, seed=0)
    assert turned.survivals == across.survivals
    assert set(turned.specifications) == set(across.specifications)


def test_agreement_is_of_the_trials_own_way(
    tables: list[EmbeddingTable], participants: Participants, config: StratificationConfig
) -> None:
    twin = replace(tables[0], encoder_id="twin")
    across = compare_encoders([*tables, twin], participants, config, VARIABLES, seed=0)
    pairs = {(a.encoder_a, a.encoder_b): a for a in across.agreements}
    assert set(pairs) == {("encoder-0", "encoder-1"), ("encoder-0", "twin"), ("encoder-1", "twin")}
    assert (pairs["encoder-0", "twin"].ari, pairs["encoder-0", "twin"].ami) == (1.0, 1.0)
    assert 0.1 < pairs["encoder-0", "encoder-1"].ari < 1.0
    assert {a.n_shared for a in across.agreements} == {60}


def test_held_out_folds_share_nobody(
    tables: list[EmbeddingTable], participants: Participants, config: StratificationConfig
) -> None:
    """Factors are made of the 40 subjects together; each encoder is tested on its own 20."""
    held_out = config.model_copy(update={"subjects": "held_out"})
    across = compare_encoders(tables[:2], participants, held_out, VARIABLES, seed=0)
    assert across.agreements == ()
    assert across.targets == ("factor_1", "factor_2")
    assert {s.outcome for s in across.specifications} == {"partition"}
    assert all(p is not None for s in across.specifications for p in s.p_values)


def test_the_trials_own_way_is_the_partition_of_the_encoders_report(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    """With 50 landmarks of 60 subjects the partition depends on the seed; noise makes that show."""
    noise = np.random.default_rng(9).standard_normal(table.values.shape)
    table = EmbeddingTable("noise", table.participant_ids, noise, table.roles)
    drawn = config.affinity_propagation.model_copy(update={"landmarks": 50})
    chosen = {"clusterer": "affinity_propagation", "affinity_propagation": drawn}
    config = config.model_copy(update=chosen)
    own = compare_encoders([table], participants, config, VARIABLES, seed=3).specifications[0]
    families = blocks(participants, table.participant_ids, config)
    found = []
    for seed in (3, 4):
        cloud = make_cloud(table.values, config, derive_seed(seed, "cloud"))
        job = (cloud, table.participant_ids, families, config, derive_seed(seed, "strata"))
        strata = find_strata(*job)
        assert isinstance(strata, Partition)
        found.append(strata.silhouette)
    assert own.silhouette == found[0] != found[1]


def test_a_way_is_clustered_as_find_strata_does(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    across = compare_encoders([table], participants, config, VARIABLES, seed=0)
    families = blocks(participants, table.participant_ids, config)
    for row in across.specifications:
        chosen = {"clusterer": row.clusterer, "pca_components": row.pca_components}
        own = config.model_copy(update=chosen)
        cloud = make_cloud(table.values, own, seed=5)
        strata = find_strata(cloud, table.participant_ids, families, own, seed=6)
        assert isinstance(strata, Partition)
        assert (row.n_strata, row.silhouette) == (3, pytest.approx(strata.silhouette))


@pytest.mark.parametrize(
    ("asked", "listed"),
    [((None, 4, 8, 10), [None, 4]), ((4, 8, 10), [None, 4, 8]), ((10,), [None])],
)
def test_components_that_a_table_cannot_have_are_left_out(
    table: EmbeddingTable,
    config: StratificationConfig,
    asked: tuple[int | None, ...],
    listed: list[int | None],
) -> None:
    """Of 8 columns; 8 components are all that there is. The trial's own way is always there."""
    chosen = {"clusterers": ("kmeans",), "pca_components": asked}
    specifications = config.specifications.model_copy(update=chosen)
    ways = ways_to_cluster(table, config.model_copy(update={"specifications": specifications}))
    assert [way.pca_components for way in ways] == listed


def test_phenotypes_stand_in_for_factors(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    phenotypes = config.model_copy(update={"targets": ("phenotype", "category")})
    across = compare_encoders([table], participants, phenotypes, VARIABLES, seed=0)
    assert across.targets == PHENOTYPES
    p_values = {survival.target: survival.p_value for survival in across.survivals}
    assert p_values["verbal"] == p_values["memory"] == pytest.approx(1 / 200)
    assert min(p_values["grip"], p_values["speed"]) > 0.05


@pytest.mark.parametrize("variables", [Variables(), Variables((), ("sex",))])
def test_without_targets_there_are_agreements_alone(
    tables: list[EmbeddingTable],
    participants: Participants,
    config: StratificationConfig,
    variables: Variables,
) -> None:
    across = compare_encoders(tables, participants, config, variables, seed=0)
    assert (across.targets, across.survivals, across.n_permutations) == ((), (), 0)
    assert len(across.agreements) == 1
    assert {s.p_values for s in across.specifications} == {()}


def test_bad_input_is_refused(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    with pytest.raises(StratificationError, match="at least one encoder"):
        compare_encoders([], participants, config, VARIABLES, seed=0)
    with pytest.raises(StratificationError, match="more than one of encoder-0"):
        compare_encoders([table, table], participants, config, VARIABLES, seed=0)
    few = participants.select(participants.ids[1:])
    with pytest.raises(StratificationError, match="must be in the participants table, got sub-000"):
        compare_encoders([table], few, config, VARIABLES, seed=0)
