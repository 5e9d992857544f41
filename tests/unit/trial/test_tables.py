"""A report as tables: every number under its name, nothing of an earlier outcome left."""

from dataclasses import replace

import pandas as pd
import pytest
from example_report import make_report

from isthmus.stratification.partition import NonConvergence
from isthmus.trial.tables import STRATA_TABLES, write_strata_tables


@pytest.fixture(scope="module")
def report():
    return make_report()


@pytest.fixture
def tables(report, tmp_path):
    write_strata_tables(report, tmp_path)
    return lambda name: pd.read_csv(tmp_path / name, sep="\t")


def test_all_tables_are_written_and_named(report, tmp_path):
    written = write_strata_tables(report, tmp_path)
    assert [path.name for path in written] == list(STRATA_TABLES)
    assert all(path.exists() for path in written)


def test_a_row_a_subject_has_stratum_and_scores(report, tables):
    subjects = tables("strata.tsv").set_index("participant_id")
    assert list(subjects.index) == list(report.strata.participant_ids)
    assert subjects["stratum"].tolist() == list(report.strata.labels)
    assert subjects["factor_1"].iloc[4] == pytest.approx(report.factors.scores[4][0])


def test_a_row_a_stratum_has_its_stability(report, tables):
    strata = tables("strata_stability.tsv")
    first = report.robustness.stability.strata[0]
    assert len(strata) == len(report.strata.sizes)
    assert strata["jaccard"].iloc[0] == pytest.approx(first.jaccard)
    assert strata["trust"].iloc[0] == first.trust
    assert strata["exemplar"].tolist() == list(report.strata.exemplar_ids)


def test_a_row_a_target_has_its_test_and_how_often_it_came_back(report, tables):
    tests = tables("associations.tsv")
    assert len(tests) == sum(1 for _ in report.associations)
    assert set(tests["kind"]) == {"factor", "phenotype", "category"}
    for association, (_, row) in zip(report.associations, tests.iterrows(), strict=True):
        assert (row["target"], row["verdict"]) == (association.target, association.verdict)
        found = report.replication(association.kind, association.target)
        if found is None:
            assert pd.isna(row["rate"])
            continue
        assert row["q_value"] == pytest.approx(association.q_value)
        assert row["tested_n_subjects"] == association.tested.n_subjects
        assert row["rate"] == pytest.approx(found.rate)
        assert row["null_rate_high"] == pytest.approx(found.null_rate_high)
        assert row["resampled_p_median"] == pytest.approx(found.p_median)
        assert row["resampled_effect_low"] == pytest.approx(found.effect_low)


def test_a_row_a_declared_phenotype_says_what_became_of_it(report, tables):
    phenotypes = tables("phenotypes.tsv").set_index("phenotype")
    assert list(phenotypes.index) == list(report.phenotypes)
    for item in report.factors.dropped:
        assert phenotypes.loc[item.name, "in_factors"] == "no"
        assert phenotypes.loc[item.name, "reason"] == item.reason
    for name, n in zip(report.factors.phenotypes, report.factors.n_imputed, strict=True):
        assert phenotypes.loc[name, "in_factors"] == "yes"
        assert phenotypes.loc[name, "n_imputed"] == n


def test_what_an_outcome_does_not_have_is_not_written_and_not_left(report, tmp_path):
    write_strata_tables(report, tmp_path)
    failed = NonConvergence(
        report.strata.participant_ids, 8, 0, "affinity_propagation", -3.0, (), 10, "It did not."
    )
    none = replace(report, strata=failed, robustness=None, profiles=(), tests=(), phenotypes=())
    written = {path.name for path in write_strata_tables(none, tmp_path)}
    assert "strata_stability.tsv" not in written
    assert {path.name for path in tmp_path.iterdir()} == written
    assert "stratum" not in pd.read_csv(tmp_path / "strata.tsv", sep="\t").columns
