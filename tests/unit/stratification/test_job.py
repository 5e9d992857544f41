import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import CohortError, StratificationError
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.factors import Factors, NoFactors
from isthmus.stratification.job import RobustnessReport, stratify
from isthmus.stratification.strata import DegeneratePartition, NonConvergence, Partition

PHENOTYPES = ("verbal", "memory", "grip", "speed")
Replace = Callable[[str, object], Participants]


def test_the_planted_factor_is_found_and_the_other_is_not(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    report = stratify(table, participants, config, PHENOTYPES, ("age", "sex", "centre"), seed=0)
    assert isinstance(report.strata, Partition)
    assert isinstance(report.factors, Factors)
    loadings = np.abs(np.array(report.factors.loadings))
    planted = report.associations[int(loadings[0].argmax())]
    other = report.associations[int(loadings[2].argmax())]
    assert planted.verdict == "significant"
    assert planted.p_permutation == pytest.approx(1 / 200)
    assert planted.epsilon2 is not None
    assert planted.epsilon2 > 0.3
    assert other.verdict == "not_significant"
    assert report.counts is not None
    assert (report.counts.n_families, report.counts.n_permutations) == (30, 199)
    assert (report.counts.n_testable, report.counts.n_untestable) == (2, 0)
    assert (report.n_subjects, report.n_held_out) == (60, 20)


@pytest.mark.parametrize("phenotypes", [PHENOTYPES, ()])
def test_json_round_trip(
    table: EmbeddingTable,
    participants: Participants,
    config: StratificationConfig,
    phenotypes: tuple[str, ...],
) -> None:
    report = stratify(table, participants, config, phenotypes, ("age",), seed=0)
    again = RobustnessReport.from_json(report.to_json())
    assert again == report
    assert again.to_json() == report.to_json()
    assert type(again.strata) is type(report.strata)
    assert type(again.factors) is type(report.factors)
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.seed = 3  # type: ignore[misc]


def test_failed_partitions_survive_the_round_trip(
    table: EmbeddingTable, participants: Participants
) -> None:
    for affinity, kind in [
        ({"max_iterations": 2}, NonConvergence),
        ({"preference": -1e6}, DegeneratePartition),
    ]:
        config = StratificationConfig(affinity_propagation=affinity)
        report = stratify(table, participants, config, PHENOTYPES, (), seed=0)
        assert isinstance(report.strata, kind)
        assert RobustnessReport.from_json(report.to_json()) == report
        assert report.counts is None
        assert {a.verdict for a in report.associations} == {"untestable"}
        assert all(a.reason and a.p_permutation is None for a in report.associations)
        assert "max_epsilon2" not in report.metrics()


def test_what_is_no_record_is_refused() -> None:
    for text in ("{", "{}", '{"schema_version": 2}'):
        with pytest.raises(StratificationError, match="stratification record"):
            RobustnessReport.from_json(text)


def test_zero_phenotypes_is_an_outcome(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    report = stratify(table, participants, config, (), (), seed=0)
    assert isinstance(report.factors, NoFactors)
    assert isinstance(report.strata, Partition)
    assert report.associations == ()
    assert report.metrics()["n_strata"] == 3.0


def test_same_input_same_record_and_another_seed_other_permutations(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    records = [
        stratify(table, participants, config, PHENOTYPES, ("age",), seed) for seed in (0, 0, 1)
    ]
    assert records[0] == records[1]
    assert records[0].strata == records[2].strata
    p_values = [[a.p_permutation for a in record.associations] for record in records]
    assert p_values[0] != p_values[2]


def test_held_out_subjects_alone(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    held_out = config.model_copy(update={"subjects": "held_out"})
    roles = ("train", "validation") * 30
    mixed = EmbeddingTable("e", table.participant_ids, table.values, roles)
    report = stratify(mixed, participants, held_out, PHENOTYPES, (), seed=0)
    assert report.n_subjects == report.n_held_out == 30
    assert set(report.strata.participant_ids) == set(table.participant_ids[1::2])
    few = EmbeddingTable("e", table.participant_ids, table.values, ("train",) * 51 + roles[:9])
    with pytest.raises(StratificationError, match=r"got 4.*held_out.*subjects: all"):
        stratify(few, participants, held_out, PHENOTYPES, (), seed=0)


def test_blocks_follow_the_setting(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    free = config.model_copy(update={"blocks": "none"})
    report = stratify(table, participants, free, PHENOTYPES, (), seed=0)
    assert report.counts is not None
    assert report.counts.n_families == 60
    alone = Participants(participants.table)
    report = stratify(table, alone, config, PHENOTYPES, (), seed=0)
    assert report.counts is not None
    assert report.counts.n_families == 60


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
        report = stratify(table, cohort, config, PHENOTYPES, ("age",), seed=0)
        assert report.counts is not None
        assert report.counts.log10_permutations_available == pytest.approx(
            log_available / math.log(10)
        )


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
    report = stratify(table, cohort, config, PHENOTYPES, ("age", "centre"), seed=0)
    assert report.counts is not None
    assert (report.counts.n_subjects, report.counts.n_missing_confounds) == (56, 4)
    assert report.counts.n_families == 28
    assert len(report.strata.participant_ids) == 60


def test_too_few_subjects_with_confounds_is_untestable(
    table: EmbeddingTable, with_column: Replace, config: StratificationConfig
) -> None:
    age = np.where(np.arange(60) < 9, 30.0 + np.arange(60), np.nan)
    report = stratify(table, with_column("age", age), config, PHENOTYPES, ("age",), seed=0)
    assert {a.verdict for a in report.associations} == {"untestable"}
    assert "known for 9 subjects" in str(report.associations[0].reason)


def test_a_factor_that_is_a_confound_is_untestable_and_left_out(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    one = stratify(table, participants, config, ("verbal",), ("verbal",), seed=0)
    assert one.associations[0].verdict == "untestable"
    assert "constant" in str(one.associations[0].reason)
    assert one.counts is not None
    assert (one.counts.n_testable, one.counts.n_untestable) == (0, 1)
    assert RobustnessReport.from_json(one.to_json()) == one


def test_one_stratum_left_among_known_confounds_is_untestable(
    table: EmbeddingTable, with_column: Replace, config: StratificationConfig
) -> None:
    age = np.where(np.arange(60) < 20, 30.0 + np.arange(60), np.nan)
    report = stratify(table, with_column("age", age), config, PHENOTYPES, ("age",), seed=0)
    assert report.counts is not None
    assert report.counts.n_strata == 1
    assert "all in one stratum" in str(report.associations[0].reason)


def test_constant_phenotypes_are_listed(
    table: EmbeddingTable, with_column: Replace, config: StratificationConfig
) -> None:
    report = stratify(table, with_column("grip", 1.0), config, PHENOTYPES, (), seed=0)
    assert [(d.name, d.reason) for d in report.factors.dropped] == [("grip", "constant")]


def test_bad_input_is_refused(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    few = table.select(table.participant_ids[:9])
    with pytest.raises(StratificationError, match="at least 10 subjects, got 9"):
        stratify(few, participants, config, PHENOTYPES, (), seed=0)
    strangers = participants.select(participants.ids[:50])
    with pytest.raises(StratificationError, match=r"sub-050.*\(10 in all\)"):
        stratify(table, strangers, config, PHENOTYPES, (), seed=0)
    with pytest.raises(CohortError, match="heigth"):
        stratify(table, participants, config, ("heigth",), (), seed=0)
    with pytest.raises(CohortError, match="agee"):
        stratify(table, participants, config, PHENOTYPES, ("agee",), seed=0)


def test_participants_that_were_not_embedded_have_no_influence(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    frame = participants.table
    more = pd.concat([frame, frame.iloc[:5].set_axis([f"sub-9{i}" for i in range(5)])])
    cohort = Participants(more, "family_id", "centre")
    plain = stratify(table, participants, config, PHENOTYPES, ("age",), seed=0)
    assert stratify(table, cohort, config, PHENOTYPES, ("age",), seed=0) == plain
