"""The job as a whole: what it finds, what its record holds, what has no influence on it."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.factors import Factors, NoFactors
from isthmus.stratification.job import RobustnessReport, Variables, stratify
from isthmus.stratification.partition import DegeneratePartition, NonConvergence, Partition
from isthmus.stratification.tested import Association

PHENOTYPES = ("verbal", "memory", "grip", "speed")
Replace = Callable[[str, object], Participants]


def declared(*confounds: str) -> Variables:
    """All phenotypes, sex as a category, and some confounds."""
    return Variables(PHENOTYPES, ("sex",), confounds)


def factors_of(report: RobustnessReport) -> list[Association]:
    """The factors' tests."""
    family = report.family("factor")
    assert family is not None
    return list(family.associations)


def test_the_planted_factor_is_robust_and_the_other_is_not(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    report = stratify(table, participants, config, declared("age", "centre"), seed=0)
    assert isinstance(report.strata, Partition)
    assert isinstance(report.factors, Factors)
    loadings = np.abs(np.array(report.factors.loadings))
    planted = factors_of(report)[int(loadings[0].argmax())]
    other = factors_of(report)[int(loadings[2].argmax())]
    assert planted.verdict == "robust"
    assert planted.p_permutation == pytest.approx(1 / 200)
    assert planted.effect_size > 0.3
    assert other.verdict == "not_significant"
    tested = planted.tested
    assert tested is not None
    assert (tested.n_subjects, tested.n_families, tested.n_permutations) == (60, 30, 199)
    assert (report.n_subjects, report.n_held_out) == (60, 20)
    verdicts = {a.target: a.verdict for a in report.family("phenotype").associations}
    assert verdicts == {
        "verbal": "robust",
        "memory": "robust",
        "grip": "not_significant",
        "speed": "not_significant",
    }
    assert [a.target for a in report.family("category").associations] == ["sex"]
    found = report.replication("factor", planted.target)
    assert found.rate > 0.8 > 0.2 > found.null_rate
    assert report.robustness.matched_null.p_value == pytest.approx(1 / 20)
    assert {s.trust for s in report.robustness.stability.strata} == {"stable"}
    numbers = report.metrics()
    assert numbers["factor_n_robust"] == 1.0
    assert numbers["phenotype_n_robust"] == 2.0
    assert 0.3 < numbers["robustness_score"] < 1.0


@pytest.mark.parametrize("phenotypes", [PHENOTYPES, ()])
def test_json_round_trip(
    table: EmbeddingTable,
    participants: Participants,
    config: StratificationConfig,
    phenotypes: tuple[str, ...],
) -> None:
    report = stratify(table, participants, config, Variables(phenotypes, (), ("age",)), seed=0)
    again = RobustnessReport.from_json(report.to_json())
    assert again == report
    assert again.to_json() == report.to_json()
    assert type(again.strata) is type(report.strata)
    assert type(again.factors) is type(report.factors)
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("affinity", "kind"),
    [
        ({"preference": "minimum", "max_iterations": 2}, NonConvergence),
        ({"preference": -1e6}, DegeneratePartition),
    ],
)
def test_failed_partitions_are_outcomes(
    table: EmbeddingTable, participants: Participants, affinity: dict[str, object], kind: type
) -> None:
    config = StratificationConfig(affinity_propagation=affinity)
    report = stratify(table, participants, config, declared(), seed=0)
    assert isinstance(report.strata, kind)
    assert RobustnessReport.from_json(report.to_json()) == report
    assert {a.verdict for a in report.associations} == {"untestable"}
    assert all(a.reason and a.p_permutation is None for a in report.associations)
    assert report.robustness is None
    assert report.profiles == ()
    assert report.metrics()["robustness_score"] == 0.0
    assert "factor_max_effect_size" not in report.metrics()


def test_what_is_no_record_is_refused() -> None:
    for text in ("{", "{}", '{"schema_version": 1}'):
        with pytest.raises(StratificationError, match="stratification record"):
            RobustnessReport.from_json(text)


def test_without_phenotypes_the_stability_is_still_asked(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    report = stratify(table, participants, config, Variables(), seed=0)
    assert isinstance(report.factors, NoFactors)
    assert isinstance(report.strata, Partition)
    assert report.tests == ()
    assert report.score is None
    assert report.robustness.replications == ()
    assert report.metrics()["n_strata"] == 3.0
    assert report.metrics()["stability_excess"] > 0.0


def test_same_input_same_record_and_another_seed_other_draws(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    records = [stratify(table, participants, config, declared("age"), seed) for seed in (0, 0, 1)]
    assert records[0] == records[1]
    labels = [record.strata.labels for record in records]
    assert labels[0] == labels[2]
    assert records[0].robustness.stability.n_subjects != records[2].robustness.stability.n_subjects
    assert records[0].robustness.matched_null.null != records[2].robustness.matched_null.null


def test_the_order_of_rows_has_no_influence(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    plain = stratify(table, participants, config, declared("age"), seed=0)
    shuffled = list(np.random.default_rng(3).permutation(table.participant_ids))
    again = stratify(table.select(shuffled), participants, config, declared("age"), seed=0)
    assert dataclasses.replace(again, table_digest=plain.table_digest) == plain


def test_held_out_subjects_alone(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    held_out = config.model_copy(update={"subjects": "held_out"})
    roles = ("train", "validation") * 30
    mixed = EmbeddingTable("e", table.participant_ids, table.values, roles)
    report = stratify(mixed, participants, held_out, declared(), seed=0)
    assert report.n_subjects == report.n_held_out == 30
    assert set(report.strata.participant_ids) == set(table.participant_ids[1::2])
    few = EmbeddingTable("e", table.participant_ids, table.values, ("train",) * 51 + roles[:9])
    with pytest.raises(StratificationError, match=r"got 4.*held_out.*subjects: all"):
        stratify(few, participants, held_out, declared(), seed=0)


def test_blocks_follow_the_setting(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    free = config.model_copy(update={"blocks": "none"})
    alone = Participants(participants.table)
    for cohort, settings in ((participants, free), (alone, config)):
        report = stratify(table, cohort, settings, declared(), seed=0)
        assert factors_of(report)[0].tested.n_families == 60
        assert report.robustness.matched_null.family_likeness == 0.0


def test_kinship_narrows_what_is_exchanged(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    kinship = ["MZ"] * 20 + [None] * 10 + ["sibling"] * 30
    frame = participants.table.assign(zygosity=kinship)
    related = Participants(frame, "family_id", "centre", kinship_column="zygosity")
    age = frame["age"].copy()
    age.iloc[0] = np.nan
    partly = Participants(frame.assign(age=age), "family_id", kinship_column="zygosity")
    expected = {
        "plain": (participants, math.lgamma(31) + 30 * math.log(2)),
        "related": (
            related,
            math.lgamma(11) + math.lgamma(6) + math.lgamma(16) + 30 * math.log(2),
        ),
        # The twin whose co-twin's age is unknown is left alone.
        "partly": (
            partly,
            math.lgamma(10) + math.lgamma(6) + math.lgamma(16) + 29 * math.log(2),
        ),
    }
    for cohort, log_available in expected.values():
        report = stratify(table, cohort, config, declared("age"), seed=0)
        found = factors_of(report)[0].tested.log10_permutations_available
        assert found == pytest.approx(log_available / math.log(10))


def test_subjects_without_a_confound_are_left_out_of_the_tests_alone(
    table: EmbeddingTable,
    participants: Participants,
    with_column: Replace,
    config: StratificationConfig,
) -> None:
    age = participants.table["age"].copy()
    age.iloc[[0, 1, 30]] = np.nan
    centre = participants.table["centre"].copy()
    centre.iloc[30:32] = np.nan
    cohort = with_column("age", age)
    cohort = Participants(cohort.table.assign(centre=centre), "family_id", "centre")
    report = stratify(table, cohort, config, declared("age", "centre"), seed=0)
    assert report.family("factor").n_missing_confounds == 4
    tested = factors_of(report)[0].tested
    assert (tested.n_subjects, tested.n_families) == (56, 28)
    assert len(report.strata.participant_ids) == 60


def test_a_phenotype_is_tested_on_those_who_have_it(
    table: EmbeddingTable,
    participants: Participants,
    with_column: Replace,
    config: StratificationConfig,
) -> None:
    grip = participants.table["grip"].copy()
    grip.iloc[:7] = np.nan
    report = stratify(table, with_column("grip", grip), config, declared(), seed=0)
    n_tested = {a.target: a.tested.n_subjects for a in report.family("phenotype").associations}
    assert n_tested == {"verbal": 60, "memory": 60, "grip": 53, "speed": 60}
    assert report.family("phenotype").family_wise == "holm"
    assert report.family("factor").family_wise == "max_t"
    assert report.replication("phenotype", "grip") is not None


def test_participants_that_were_not_embedded_have_no_influence(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    frame = participants.table
    more = pd.concat([frame, frame.iloc[:5].set_axis([f"sub-9{i}" for i in range(5)])])
    cohort = Participants(more, "family_id", "centre")
    plain = stratify(table, participants, config, declared("age"), seed=0)
    assert stratify(table, cohort, config, declared("age"), seed=0) == plain
