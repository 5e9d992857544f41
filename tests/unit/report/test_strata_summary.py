"""Tables of the robustness job say what the record says, failures too."""

from dataclasses import replace

import pytest
from example_report import make_report, without_partition

from isthmus.report.strata_summary import robustness_tables
from isthmus.report.strata_words import (
    short_names,
    stability_in_words,
    strata_in_words,
    verdicts_in_words,
)

FAILURES = ("degenerate", "non_convergence", "nothing")


@pytest.fixture(scope="module")
def report():
    return make_report()


def tables(report, leaky=False):
    return {table.title: table for table in robustness_tables(report, leaky)}


def test_every_part_has_its_table(report):
    assert list(tables(report)) == [
        "Clustering",
        "Strata",
        "Stability against its null",
        "Strata against phenotype factors",
        "Strata against numeric phenotypes",
        "Strata against categorical phenotypes",
        "Phenotypes dropped or imputed for the factors",
    ]


def test_a_test_stands_beside_its_replication_and_the_null(report):
    table = tables(report)["Strata against phenotype factors"]
    row = dict(zip(table.columns, table.rows[0], strict=True))
    association = report.family("factor").associations[0]
    again = report.replication("factor", "factor_1")
    assert row["target"] == "factor_1"
    assert float(row["p"]) == pytest.approx(association.p_permutation, rel=0.01)
    assert float(row["q"]) == pytest.approx(association.q_value, rel=0.01)
    assert float(row["family-wise p"]) == pytest.approx(association.p_family_wise, rel=0.01)
    assert float(row["epsilon^2"]) == pytest.approx(association.effect_size, rel=0.01)
    assert row["replication rate"] == f"{again.rate:.0%}"
    assert row["null rate: mean, 95th percentile"] == (
        f"{again.null_rate:.1%}, {again.null_rate_high:.1%}"
    )
    assert float(row["p of the rate"]) == pytest.approx(again.p_rate, rel=0.01)
    assert row["verdict"] == "robust"
    assert "max-T" in table.note


def test_categories_have_their_own_statistic(report):
    assert tables(report)["Strata against categorical phenotypes"].columns[1:3] == (
        "chi^2",
        "Cramer's V",
    )


def test_the_untestable_keep_their_row_and_reason(report):
    table = tables(report)["Strata against numeric phenotypes"]
    assert table.rows[-1][0] == "grip_kg"
    assert table.rows[-1][-2:] == ("untestable", "It has one value for everybody tested.")
    assert set(table.rows[-1][1:-2]) == {"-"}
    assert "4 testable, 1 untestable" in table.note


def test_stability_stands_beside_its_null(report):
    rows = dict(tables(report)["Stability against its null"].rows)
    null = report.robustness.matched_null
    assert float(rows["excess: observed - null"]) == pytest.approx(null.excess, rel=0.01)
    assert float(rows["p of the excess"]) == pytest.approx(null.p_value, rel=0.01)
    assert rows["draws (failed: they count as 0)"] == "60 (1)"
    assert rows["null clouds (without a partition, left out)"] == "39 (1)"


def test_each_stratum_has_its_jaccard_and_trust(report):
    table = tables(report)["Strata"]
    assert [row[0] for row in table.rows] == ["0", "1", "2", "3", "4"]
    assert table.rows[0][3] == "0.9 [0.7, 1]"
    assert [row[-1] for row in table.rows] == ["stable"] * 2 + ["doubtful"] + [
        "not to be trusted"
    ] * 2


def test_what_was_dropped_or_imputed_is_told(report):
    table = tables(report)["Phenotypes dropped or imputed for the factors"]
    assert table.rows == (
        ("all_missing", "dropped: missing", "100.0% missing"),
        ("memory_recognition", "imputed by the median", "4 of 120 values"),
    )


def test_ignored_families_are_told(report):
    careless = replace(report, config=report.config.model_copy(update={"blocks": "none"}))
    assert "families IGNORED" in tables(careless)["Strata against phenotype factors"].note


def test_leaky_stands_in_every_title(report):
    assert all("LEAKY" in title for title in tables(report, leaky=True))
    assert not any("LEAKY" in title for title in tables(report))


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_leaves_its_reason(kind):
    failed = without_partition(kind)
    found = tables(failed)
    assert failed.strata.reason in dict(found["Clustering"].rows)["outcome"]
    assert "Stability against its null" not in found
    if kind != "nothing":
        rows = found["Strata against phenotype factors"].rows
        assert {row[-2] for row in rows} == {"untestable"}
    for table in found.values():
        lines = [line for line in table.to_markdown().splitlines() if line.startswith("|")]
        assert {line.count(" | ") for line in lines} == {len(table.columns) - 1}


def test_few_words_for_a_trial(report):
    assert strata_in_words(report) == "5 strata of 24 to 24"
    assert stability_in_words(report) == "0.69, excess +0.14 (p 0.026)"
    assert (
        verdicts_in_words(report) == "factors 1 / 3 / 3, phenotypes 2 / 3 / 4, categories 1 / 1 / 2"
    )
    few = make_report(n_nulls=5)
    assert "too few nulls for a p" in stability_in_words(few)


def test_few_words_for_what_failed():
    assert strata_in_words(without_partition("non_convergence")) == "did not converge"
    assert strata_in_words(without_partition("degenerate")).endswith("(degenerate)")
    nothing = without_partition("nothing")
    assert stability_in_words(nothing) == "-"
    assert verdicts_in_words(nothing) == nothing.factors.reason
    assert verdicts_in_words(without_partition("degenerate")).startswith("factors 0 / 0 / 0")


def test_short_names_stay_apart():
    names = [f"{'a' * 20}-x{i}-{'b' * 20}" for i in range(3)]
    short = short_names(names)
    assert len(set(short.values())) == 3
    assert short_names(["enc-a", "enc-b"]) == {"enc-a": "enc-a", "enc-b": "enc-b"}
    assert short_names([]) == {}
