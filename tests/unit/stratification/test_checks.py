from collections.abc import Callable

import numpy as np
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import FactorsConfig, StratificationConfig
from isthmus.core.errors import CohortError, IsthmusError, StratificationError
from isthmus.stratification.checks import check_stratification
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import stratify
from isthmus.stratification.variables import Variables

PHENOTYPES = ("verbal", "memory", "grip", "speed")
Replace = Callable[[str, object], Participants]


def check(
    participants: Participants,
    phenotypes: tuple[str, ...] = PHENOTYPES,
    confounds: tuple[str, ...] = ("age", "centre"),
    folds: tuple[int, ...] = (60,),
    categories: tuple[str, ...] = ("sex",),
    **settings: object,
) -> None:
    config = StratificationConfig(n_permutations=19, **settings)
    check_stratification(
        config, participants, Variables(phenotypes, categories, confounds), 8, folds
    )


def test_what_can_be_met_passes(participants: Participants) -> None:
    check(participants)
    check(participants, phenotypes=(), confounds=(), categories=())
    check(participants, folds=(10, 60), subjects="held_out", pca_components=8)
    check(participants, factors=FactorsConfig(n_factors=4))
    check(participants, folds=(10,), factors=FactorsConfig(n_factors=4))


@pytest.mark.parametrize(
    ("folds", "subjects", "message"),
    [
        ((12, 9, 11), "held_out", r"at least 10 subjects, got 9.*subjects: all, or use fewer"),
        ((9,), "all", r"at least 10 subjects, got 9 .*how many subjects were ingested"),
    ],
)
def test_folds_that_are_too_small(
    participants: Participants, folds: tuple[int, ...], subjects: str, message: str
) -> None:
    with pytest.raises(StratificationError, match=message):
        check(participants, folds=folds, subjects=subjects)


def test_more_components_than_there_can_be(participants: Participants) -> None:
    with pytest.raises(StratificationError, match=r"at most 8 .*\(60, 8\).*got 9"):
        check(participants, pca_components=9)
    config = StratificationConfig(pca_components=12)
    with pytest.raises(StratificationError, match=r"at most 10 .*\(10, 32\)"):
        check_stratification(config, participants, Variables(), 32, (60, 10))


def test_more_factors_than_usable_phenotypes(
    participants: Participants, with_column: Replace
) -> None:
    with pytest.raises(StratificationError, match=r"n_factors must be at most .*\(4\), got 5"):
        check(participants, factors=FactorsConfig(n_factors=5))
    for spoilt in (1.0, np.where(np.arange(60) < 10, np.nan, np.arange(60.0))):
        with pytest.raises(StratificationError, match=r"\(3\), got 4"):
            check(with_column("grip", spoilt), factors=FactorsConfig(n_factors=4))
    doubled = with_column("grip", 2.0 * participants.table["verbal"])
    with pytest.raises(StratificationError, match=r"\(3\), got 4"):
        check(doubled, factors=FactorsConfig(n_factors=4))
    check(participants, phenotypes=(), factors=FactorsConfig(n_factors=4))


def test_ten_subjects_have_nine_components_at_most(participants: Participants) -> None:
    rng = np.random.default_rng(0)
    names = tuple(f"test_{i}" for i in range(12))
    wide = Participants(participants.table.assign(**{n: rng.standard_normal(60) for n in names}))
    check(wide, names, (), (60,), factors=FactorsConfig(n_factors=12))
    with pytest.raises(StratificationError, match=r"\(9\), got 12"):
        check(wide, names, (), (10, 60), factors=FactorsConfig(n_factors=12))


def test_as_many_landmarks_or_strata_as_subjects(participants: Participants) -> None:
    landmarks = {"landmarks": 55}
    check(participants, affinity_propagation=landmarks)
    with pytest.raises(StratificationError, match=r"landmarks must be fewer .*\(55\), got 55"):
        check(participants, folds=(60, 55), affinity_propagation=landmarks)
    check(participants, clusterer="kmeans", affinity_propagation=landmarks, folds=(20,))
    check(participants, clusterer="kmeans", n_strata=9, folds=(60, 10))
    with pytest.raises(StratificationError, match=r"n_strata must be at most 9 .*10.*got 10"):
        check(participants, clusterer="kmeans", n_strata=10, folds=(60, 10))
    check(participants, clusterer="hdbscan", min_cluster_size=12, folds=(12,))
    with pytest.raises(StratificationError, match=r"min_cluster_size must be at most 12.*got 13"):
        check(participants, clusterer="hdbscan", min_cluster_size=13, folds=(12,))


def test_a_family_of_more_than_half(with_column: Replace) -> None:
    def clan(size: int) -> Participants:
        return with_column("family_id", [f"fam-{max(i, size - 1)}" for i in range(60)])

    check(clan(30))
    with pytest.raises(StratificationError, match=r"family fam-30 holds 31 of 60.*group_by"):
        check(clan(31))
    check(clan(31), blocks="none")
    # Some fold holds it whole; the others' sizes do not matter.
    with pytest.raises(StratificationError, match="family fam-15 holds 16 of 30"):
        check(clan(16), folds=(30, 15, 15), subjects="held_out")


def test_columns_that_cannot_be_read(participants: Participants) -> None:
    with pytest.raises(CohortError, match="agee"):
        check(participants, confounds=("agee",))
    with pytest.raises(CohortError, match="agee"):
        check(participants, categories=("agee",))
    with pytest.raises(CohortError, match="heigth"):
        check(participants, phenotypes=("heigth",))
    with pytest.raises(CohortError, match="centre"):
        check(participants, phenotypes=("centre",))
    with pytest.raises(StratificationError, match="verbal repeated"):
        check(participants, phenotypes=("verbal", "verbal"))


@pytest.mark.parametrize(
    ("settings", "confounds"),
    [
        ({"pca_components": 9}, ()),
        ({"factors": FactorsConfig(n_factors=5)}, ()),
        ({"subjects": "held_out"}, ()),
        ({}, ("agee",)),
        ({"clusterer": "ward", "n_strata": 60}, ()),
        ({"affinity_propagation": {"landmarks": 60}}, ()),
    ],
)
def test_it_says_what_the_job_would_say(
    table: EmbeddingTable,
    participants: Participants,
    settings: dict[str, object],
    confounds: tuple[str, ...],
) -> None:
    roles = ("validation",) * 9 + ("train",) * 51
    cut = EmbeddingTable("e", table.participant_ids, table.values, roles)
    config = StratificationConfig(n_permutations=19, **settings)
    folds = (9,) if config.subjects == "held_out" else (60,)
    with pytest.raises(IsthmusError) as before:
        check_stratification(config, participants, Variables(PHENOTYPES, (), confounds), 8, folds)
    with pytest.raises(IsthmusError) as after:
        stratify(cut, participants, config, Variables(PHENOTYPES, (), confounds), seed=0)
    assert type(before.value) is type(after.value)
    assert str(before.value) == str(after.value)
