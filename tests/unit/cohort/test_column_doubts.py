import pytest

from isthmus.cohort.column_doubts import ambiguous_columns
from isthmus.cohort.column_notes import column_notes
from isthmus.cohort.participants import Participants
from isthmus.cohort.tables import as_frame, read_table

FAMILY, CATEGORY = "cohort.group_by", "cohort.categorical_phenotypes"
CONFOUND, STRATIFY = "cohort.confounds", "cohort.stratify_by"


def doubt(folder, cells, *settings):
    """The first doubt of a column that some settings name."""
    rows = "".join(f"s{number}\t{cell}\tz\n" for number, cell in enumerate(cells))
    path = folder / "participants.tsv"
    path.write_text(f"participant_id\tx\tlast\n{rows}", encoding="utf-8")
    return ambiguous_columns(read_table(path), dict.fromkeys(settings, ("x",))).get("x", "")


def notes(folder, cells):
    doubt(folder, cells)
    people = Participants(as_frame(read_table(folder / "participants.tsv")), declared=("x",))
    return " ".join(column_notes(people))


@pytest.mark.parametrize(
    ("cells", "setting"),
    [
        (("0e12", "0e34", "1e5", "100000"), FAMILY),
        (("10000000000000001", "10000000000000002"), FAMILY),
        (("1" * 50, "0" + "1" * 50), FAMILY),
        (("1", "1.0", "01"), CATEGORY),  # numbers all, so of one value
        (("AA", "Aa", "aa"), CONFOUND),
        (("A/A", "A/a", "a/a"), CATEGORY),
        (("C|C", "c|c"), CATEGORY),
        (("++", "+-", "--"), CATEGORY),
        (("+", "-"), FAMILY),
    ],
)
def test_labels_that_differ_are_no_doubt(tmp_path, cells, setting):
    assert doubt(tmp_path, cells, setting) == ""


@pytest.mark.parametrize(
    ("cells", "setting"),
    [
        (("007", "7"), FAMILY),
        (("12.0", "12"), FAMILY),
        (("1E+05", "100000"), FAMILY),
        (("1", "1.0", "3+"), CATEGORY),
        (("01", "1", "x"), CATEGORY),
        (("01", "1", "x"), STRATIFY),
        (("MZ", "Mz"), "cohort.kinship"),
        (("UCLA", "ucla"), "cohort.site"),
        (("F", "f"), CONFOUND),
    ],
)
def test_labels_that_differ_by_writing_alone_are(tmp_path, cells, setting):
    assert "write them alike" in doubt(tmp_path, cells, setting)


def test_a_dash_is_missing_where_nobody_carries(tmp_path):
    assert "must be n/a" in doubt(tmp_path, ("1", "-"), CATEGORY)
    assert "must be n/a" in doubt(tmp_path, ("+", "-", "."), CATEGORY)


def test_a_column_to_stratify_by_is_of_categories_or_of_many_numbers(tmp_path):
    few = ("22", "23", "36+")
    assert doubt(tmp_path, few, STRATIFY) == doubt(tmp_path, few, STRATIFY, CATEGORY) == ""
    assert "has a unit" in doubt(tmp_path, few, STRATIFY, CONFOUND)
    ages = [f"{age},5" for age in range(20, 40)]
    assert "has a comma" in doubt(tmp_path, ages, STRATIFY)
    assert "word among" in doubt(tmp_path, [*map(str, range(20)), "forty"], STRATIFY)


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (("34", "35", "-9", "-99"), 5),
        (("-88", "-99", "4"), 3),
        (("-999", "-99", "n/a", "-9"), 2),
        (("34", "-1", "-999.0"), 4),
        (("-99", "-99"), 2),
    ],
)
@pytest.mark.parametrize("setting", [CONFOUND, CATEGORY, STRATIFY])
def test_codes_do_not_hide_each_other(tmp_path, cells, line, setting):
    assert doubt(tmp_path, cells, setting).startswith(f"line {line}: -99")


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (("4", "5", "-1"), "has -1 among values that are not negative: is it a missing one?"),
        (("4", "-1", "-3", "-818"), "has -1, -3, -818 among values that are not negative: are"),
        (("-9", "-8", "-9"), "has -8, -9 only: are they missing ones?"),
        (("-2.5", "-99", "4"), "has -99 far below all other values"),
        (("-500", "999", "4"), "has 999 far above all other values"),
    ],
)
def test_codes_that_may_be_values_are_told(tmp_path, cells, says):
    assert doubt(tmp_path, cells, CONFOUND) == ""
    assert f"Column 'x' {says}" in notes(tmp_path, cells)


@pytest.mark.parametrize(
    "cells", [("-1", "1"), ("-1", "0", "1"), ("-2", "-1", "5"), ("-0.5", "-9")]
)
def test_signs_and_negative_values_are_no_codes(tmp_path, cells):
    assert doubt(tmp_path, cells, CONFOUND) == ""
    assert "missing" not in notes(tmp_path, cells)
