"""Input that cannot be tested is an outcome with a reason; nonsense is an error."""

from collections.abc import Callable

import numpy as np
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import CohortError, StratificationError
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.factors import NoFactors
from isthmus.stratification.job import RobustnessReport, Variables, stratify
from isthmus.stratification.partition import DegeneratePartition

PHENOTYPES = ("verbal", "memory", "grip", "speed")
Replace = Callable[[str, object], Participants]


def test_too_few_subjects_with_confounds_is_untestable(
    table: EmbeddingTable, with_column: Replace, config: StratificationConfig
) -> None:
    age = np.where(np.arange(60) < 9, 30.0 + np.arange(60), np.nan)
    cohort = with_column("age", age)
    report = stratify(table, cohort, config, Variables(PHENOTYPES, ("sex",), ("age",)), seed=0)
    assert {a.verdict for a in report.associations} == {"untestable"}
    assert all("9 subjects" in str(a.reason) for a in report.associations)
    assert report.robustness is not None
    assert report.robustness.replications == ()
    assert RobustnessReport.from_json(report.to_json()) == report


def test_a_factor_that_is_a_confound_is_untestable_and_left_out(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    variables = Variables(("verbal",), (), ("verbal",))
    one = stratify(table, participants, config, variables, seed=0)
    for association in one.associations:
        assert association.verdict == "untestable"
        assert "constant" in str(association.reason)
    family = one.family("factor")
    assert (family.n_testable, family.n_untestable) == (0, 1)
    assert RobustnessReport.from_json(one.to_json()) == one


def test_one_stratum_left_among_known_confounds_is_untestable(
    table: EmbeddingTable, with_column: Replace, config: StratificationConfig
) -> None:
    age = np.where(np.arange(60) < 20, 30.0 + np.arange(60), np.nan)
    cohort = with_column("age", age)
    report = stratify(table, cohort, config, Variables(PHENOTYPES, (), ("age",)), seed=0)
    assert {a.verdict for a in report.associations} == {"untestable"}
    assert all("one stratum" in str(a.reason) for a in report.associations)


def test_constant_and_missing_phenotypes_are_listed(
    table: EmbeddingTable, with_column: Replace, config: StratificationConfig
) -> None:
    report = stratify(table, with_column("grip", 1.0), config, Variables(PHENOTYPES), seed=0)
    assert [(d.name, d.reason) for d in report.factors.dropped] == [("grip", "constant")]
    by_name = {a.target: a for a in report.family("phenotype").associations}
    assert by_name["grip"].verdict == "untestable"
    assert "one value" in str(by_name["grip"].reason)
    assert by_name["verbal"].verdict == "robust"


def test_phenotypes_that_nobody_has_leave_nothing_to_test(
    table: EmbeddingTable, with_column: Replace, config: StratificationConfig
) -> None:
    report = stratify(
        table, with_column("grip", np.full(60, np.nan)), config, Variables(("grip",)), seed=0
    )
    assert isinstance(report.factors, NoFactors)
    assert [d.reason for d in report.factors.dropped] == ["missing"]
    assert {a.verdict for a in report.associations} <= {"untestable"}
    assert report.score is None


def test_a_category_that_everybody_shares_is_untestable(
    table: EmbeddingTable, with_column: Replace, config: StratificationConfig
) -> None:
    cohort = with_column("sex", ["F"] * 60)
    report = stratify(table, cohort, config, Variables((), ("sex",)), seed=0)
    (association,) = report.associations
    assert association.verdict == "untestable"
    assert association.reason


def test_an_embedding_without_variance_is_one_stratum(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    flat = EmbeddingTable("flat", table.participant_ids, np.ones((60, 4)), table.roles)
    report = stratify(flat, participants, config, Variables(PHENOTYPES), seed=0)
    assert isinstance(report.strata, DegeneratePartition)
    assert "collapsed" in report.strata.reason
    assert report.plane is None
    assert report.score.value == 0.0
    assert RobustnessReport.from_json(report.to_json()) == report


def test_bad_input_is_refused(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    few = table.select(table.participant_ids[:9])
    variables = Variables(PHENOTYPES)
    with pytest.raises(StratificationError, match="at least 10 subjects, got 9"):
        stratify(few, participants, config, variables, seed=0)
    strangers = participants.select(participants.ids[:50])
    with pytest.raises(StratificationError, match=r"sub-050.*\(10 in all\)"):
        stratify(table, strangers, config, variables, seed=0)
    with pytest.raises(CohortError, match="heigth"):
        stratify(table, participants, config, Variables(("heigth",)), seed=0)
    with pytest.raises(CohortError, match="agee"):
        stratify(table, participants, config, Variables(PHENOTYPES, (), ("agee",)), seed=0)
    with pytest.raises(CohortError, match="handednes"):
        stratify(table, participants, config, Variables(PHENOTYPES, ("handednes",)), seed=0)


def test_a_family_of_more_than_half_the_cohort_is_refused(
    table: EmbeddingTable, participants: Participants, config: StratificationConfig
) -> None:
    frame = participants.table.assign(family_id=["clan"] * 31 + [f"f{i}" for i in range(29)])
    cohort = Participants(frame, group_by="family_id")
    with pytest.raises(StratificationError, match=r"clan.*31 of (the )?60"):
        stratify(table, cohort, config, Variables(PHENOTYPES), seed=0)
    free = config.model_copy(update={"blocks": "none"})
    assert stratify(table, cohort, free, Variables(), seed=0).robustness is not None
