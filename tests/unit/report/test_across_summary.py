"""Tables across encoders and trials."""

from dataclasses import replace

import pytest
from example_report import make_across, make_selection

from isthmus.report.across_summary import across_metrics, across_tables, selection_table


def test_a_target_survives_or_not():
    across = make_across()
    table = across_tables(across)[0]
    first = across.survivals[0]
    assert table.rows[0][:4] == ("factor_1", f"{first.share:.0%}", "2.0%", "0.005")
    assert table.rows[0][-1] == "29 of 30"
    assert "199" in table.note


def test_each_way_to_cluster_has_its_outcomes():
    table = across_tables(make_across())[1]
    assert len(table.rows) == 6
    way = next(row for row in table.rows if row[:2] == ("affinity propagation", "10"))
    assert way[2:5] == ("4 of 5", "0", "1")


def test_few_pairs_are_listed_and_many_are_averaged():
    few = across_tables(make_across(5))[2]
    assert len(few.rows) == 10
    assert few.rows[0][0] == "fold0, fold1"
    across = make_across(12)
    many = across_tables(across)[2]
    assert len(many.rows) == 12
    own = [a.ari for a in across.agreements if "fold3" in a.encoder_a + a.encoder_b]
    assert float(many.rows[3][2]) == pytest.approx(sum(own) / 11, rel=0.01)
    assert "66 pairs" in many.note


def test_one_encoder_has_no_agreement():
    titles = [table.title for table in across_tables(make_across(1), leaky=True)]
    assert len(titles) == 2
    assert all("LEAKY" in title for title in titles)


def test_metrics_are_means_and_shares():
    across = make_across(3)
    metrics = across_metrics(across)
    assert metrics["encoders_ari"] == pytest.approx(sum(a.ari for a in across.agreements) / 3)
    assert metrics["survival_share/factor_1"] == across.survivals[0].share
    assert "encoders_ari" not in across_metrics(replace(across, agreements=()))


def test_the_naive_p_stands_beside_the_adjusted():
    table = selection_table(make_selection(4))
    assert [row[0] for row in table.rows] == [f"trial-0{i}" for i in range(4)]
    assert float(table.rows[0][4]) == pytest.approx(6 * float(table.rows[0][3]), rel=0.01)
    assert table.rows[-1][2:] == ("nothing testable", "-", "-")
