"""The job's two tables for a terminal."""

from dataclasses import replace

from example_report import make_report

from isthmus.report.strata_overview import encoders_table, findings_table, overview_tables
from isthmus.report.strata_words import VERDICTS


def test_one_encoder_is_shown_as_it_is() -> None:
    report = make_report()
    (row,) = encoders_table({"fold-0": report}).rows
    assert row[:2] == ("fold-0", str(report.n_subjects))
    table = findings_table({"fold-0": report})
    associations = list(report.associations)
    assert [(r[0], r[1]) for r in table.rows] == [(a.target, a.kind) for a in associations]
    for shown, association in zip(table.rows, associations, strict=True):
        assert shown[-1] == VERDICTS[association.verdict]
        again = report.replication(association.kind, association.target)
        assert shown[5] == ("-" if again is None else f"{again.rate:.0%}")


def test_several_encoders_show_ranges_and_count_verdicts() -> None:
    report = make_report()
    first = next(a for a in report.associations if a.verdict == "robust")
    other = replace(first, verdict="not_significant", p_permutation=0.5, q_value=0.75)
    family = report.family(first.kind)
    changed = tuple(other if a is first else a for a in family.associations)
    tests = tuple(replace(f, associations=changed) if f is family else f for f in report.tests)
    table = findings_table({"a": report, "b": replace(report, tests=tests)})
    shown = next(row for row in table.rows if row[0] == first.target and row[1] == first.kind)
    assert shown[3].endswith(" to 0.5")
    assert shown[4].endswith(" to 0.75")
    assert shown[-1] == "1 robust, 1 not significant"


def test_nothing_declared_leaves_the_encoders() -> None:
    report = replace(make_report(), tests=(), score=None)
    assert [table.title for table in overview_tables({"a": report})] == ["Strata"]
    assert "LEAKY" in overview_tables({"a": report}, leaky=True)[0].title
