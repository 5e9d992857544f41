"""Phenotypes as people really have them: read right, or refused with the line, and in the docs."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from isthmus.cohort.column_notes import column_notes
from isthmus.cohort.participants import Participants, load_people
from isthmus.config.people import PeopleConfig
from isthmus.core.errors import CohortError

ROLES = {
    "phenotype": {"phenotypes": ("x",)},
    "confound": {"confounds": ("x",)},
    "category": {"categorical_phenotypes": ("x",)},
    "family": {"group_by": "x"},
    "stratum": {},
}
DOCUMENT = Path(__file__).parents[3] / "docs" / "phenotypes.md"


@dataclass(frozen=True)
class Case:
    """What people have, and what isthmus says of it: a piece of the error, or of the notes."""

    what: str
    cells: tuple[str, ...]
    says: str
    role: str = "confound"

    @property
    def row(self) -> str:
        """The line of the document."""
        cells = ", ".join(f"`{cell}`" for cell in self.cells)
        return f"| {self.what} | {self.role} | {cells} | {self.says} |"


READ = (
    Case("plain numbers, exponents, a sign", ("34.5", "3e1", "+28"), "x (28 to 34.5)"),
    Case("missing values", ("34", "n/a", "NA", "N/A", "NaN", "nan", ""), "x (34 to 34, 6 missing)"),
    Case("blanks around a value, unbreakable ones too", (" 34", "30\u00a0"), "x (30 to 34)"),
    Case("negative zero", ("-0", "1"), "x (0 to 1)"),
    Case(
        "a point for thousands, which nobody can tell from a decimal one",
        ("1.234", "2"),
        "x (1.234 to 2)",
    ),
    Case("sex as letters", ("M", "F", "F"), "x ('F' = 0, 'M' = 1)"),
    Case("sex as numbers", ("1", "2", "2"), "x (1 to 2)"),
    Case("yes and no", ("yes", "no", "n/a"), "x ('no' = 0, 'yes' = 1, 1 missing)"),
    Case(
        "scanners: words, though with digits",
        ("1.5T", "3T", "3T"),
        "x ('1.5T' = 0, '3T' = 1)",
    ),
    Case(
        "bands of age",
        ("22-25", "26-30", "36+", "36+", "22-25", "26-30"),
        "x ('22-25', '26-30', '36+')",
    ),
    Case(
        "bands of age, most of them open",
        ("<18", "18-65", ">65", "<18", ">65", ">65"),
        "x ('18-65', '<18', '>65')",
    ),
    Case("bands of age among numbers", ("20", "21", "22+"), "x ('20', '21', '22+')", "stratum"),
    Case(
        "labels that begin like a month",
        ("Marburg1", "1. Married"),
        "x ('1. Married' = 0, 'Marburg1' = 1)",
    ),
    Case("versions of three numbers", ("5.3.0", "6.0.1"), "x ('5.3.0' = 0, '6.0.1' = 1)"),
    Case("genotypes", ("AA", "Aa", "aa"), "x ('AA', 'Aa', 'aa')", "category"),
    Case("who carries an allele", ("+", "-", "+"), "x ('+' = 0, '-' = 1)"),
    Case("numbers as categories", ("1", "2", "3+", "3+"), "x ('1', '2', '3+')", "category"),
    Case(
        "a spreadsheet's number of a date",
        ("34", "35", "44197"),
        "Column 'x' has 44197, which may be a spreadsheet's number of a date (2021-01-01).",
    ),
    Case(
        "a code of a missing value that may be a value",
        ("3", "-9", "4"),
        "Column 'x' has -9 among values that are not negative: is it a missing one?",
    ),
    Case(
        "a code far above all values",
        ("34", "35", "999"),
        "Column 'x' has 999 far above all other values: is it a missing one?",
    ),
    Case(
        "codes of a questionnaire or of the UK Biobank",
        ("3", "-1", "-3", "-818"),
        "Column 'x' has -1, -3, -818 among values that are not negative: are they missing ones?",
    ),
    Case(
        "-999 where values may be negative",
        ("-2.5", "-999", "4"),
        "Column 'x' has -999 far below all other values: is it a missing one?",
    ),
)
_SEPARATORS = "has a comma, a blank or another sign in it; write it like 1234.5"
_UNIT = "has a unit or a sign; write the number alone, and the unit in the column's name"
_DATE = "is a date or a time; write a number, such as the age in years"
_KIND = "among {}; write all values as numbers, or all as words, and n/a for a missing one"
_LOOKS = "has characters that only look like a number's; type it anew"
_MISSING = "must be n/a if the value is missing"
_ERROR = "is an error of the spreadsheet; mend its formula, or write n/a"
_ALIKE = "differ by case, blanks, zeros or the form of a letter alone; write them alike"
_CODE = (
    "looks like a code for a missing one; write n/a (or, if it was measured, add a constant to "
    "the column)"
)
REFUSED = (
    Case("decimal commas", ("34,5", "30,1"), f"line 2, column 'x': '34,5' {_SEPARATORS}"),
    Case(
        "decimal commas in a phenotype",
        ("34", "30,1"),
        f"line 3, column 'x': '30,1' {_SEPARATORS}",
        "phenotype",
    ),
    Case("commas for thousands", ("1,234", "980"), f"line 2, column 'x': '1,234' {_SEPARATORS}"),
    Case("both", ("1.234,5", "980"), f"line 2, column 'x': '1.234,5' {_SEPARATORS}"),
    Case(
        "blanks or apostrophes for thousands",
        ("1 234", "1'234"),
        f"line 3, column 'x': \"1'234\" {_SEPARATORS}",
    ),
    Case("accountants' negatives", ("(5)", "4"), f"line 2, column 'x': '(5)' {_SEPARATORS}"),
    Case("units", ("34 y", "30 y"), f"line 2, column 'x': '34 y' {_UNIT}"),
    Case("percent signs", ("45%", "50%"), f"line 2, column 'x': '45%' {_UNIT}"),
    Case("limits of detection", ("0.3", "<0.1"), f"line 3, column 'x': '<0.1' {_UNIT}"),
    Case("open ends", ("34", "90+"), f"line 3, column 'x': '90+' {_UNIT}"),
    Case("dates", ("12.03.1987", "1.4.1990"), f"line 2, column 'x': '12.03.1987' {_DATE}"),
    Case(
        "numbers that a spreadsheet made dates of",
        ("3.11", "Mar-12"),
        f"line 3, column 'x': 'Mar-12' {_DATE}",
    ),
    Case("German months", ("3.11", "12. Mrz"), f"line 3, column 'x': '12. Mrz' {_DATE}"),
    Case("times", ("7:30", "8:15"), f"line 2, column 'x': '7:30' {_DATE}"),
    Case(
        "full-width digits",
        ("34", "\uff13\uff15"),
        f"line 3, column 'x': '\uff13\uff15' {_LOOKS}",
    ),
    Case(
        "a minus that is none of the keyboard's",
        ("34", "\u22125"),
        f"line 3, column 'x': '\u22125' {_LOOKS}",
    ),
    Case("infinity", ("34", "inf"), "line 3, column 'x': 'inf' is no finite decimal number"),
    Case(
        "a number too large",
        ("34", "1e400"),
        "line 3, column 'x': '1e400' is no finite decimal number",
    ),
    Case("hexadecimal", ("34", "0x10"), "line 3, column 'x': '0x10' is no finite decimal number"),
    Case(
        "a word among numbers",
        ("34", "35", "forty"),
        f"line 4, column 'x': 'forty' is a word {_KIND.format('numbers')}",
    ),
    Case(
        "a number among words",
        ("M", "F", "1"),
        f"line 4, column 'x': '1' is a number {_KIND.format('words')}",
    ),
    Case(
        "-999 for missing",
        ("34", "-999"),
        f"line 3, column 'x': -999 among values that are not negative {_CODE}",
    ),
    Case(
        "two codes for missing",
        ("34", "-9", "-99"),
        f"line 4, column 'x': -99 among values that are not negative {_CODE}",
    ),
    Case(
        "codes for missing alone",
        ("-999", "n/a", "-9"),
        f"line 2, column 'x': -999 where no other value is {_CODE}",
    ),
    Case(
        "-99 for missing in a category",
        ("1", "2", "-99"),
        f"line 4, column 'x': -99 among values that are not negative {_CODE}",
        "category",
    ),
    Case(
        "a point for missing",
        ("34", "."),
        f"line 3, column 'x': '.' {_MISSING}",
    ),
    Case(
        "a word for missing",
        ("M", "missing"),
        f"line 3, column 'x': 'missing' {_MISSING}",
        "category",
    ),
    Case(
        "a point for no family",
        ("f1", "."),
        f"line 3, column 'x': '.' {_MISSING}",
        "family",
    ),
    Case(
        "nan in other letters",
        ("34", "NAN"),
        f"line 3, column 'x': 'NAN' {_MISSING}",
    ),
    Case(
        "a spreadsheet's errors",
        ("34", "#DIV/0!"),
        f"line 3, column 'x': '#DIV/0!' {_ERROR}",
    ),
    Case(
        "a spreadsheet's missing value",
        ("34", "#N/A"),
        f"line 3, column 'x': '#N/A' {_ERROR}",
    ),
    Case(
        "quoted cells",
        ('"34"', "30"),
        "line 2, column 'x': '\"34\"' stands in quotes, which would be part of it; save the "
        "table without quotes",
    ),
    Case(
        "sex in either case", ("M", "F", "f"), f"line 4, column 'x': 'f' and 'F' (line 3) {_ALIKE}"
    ),
    Case(
        "levels that differ by case",
        ("Left", "left"),
        f"line 3, column 'x': 'left' and 'Left' (line 2) {_ALIKE}",
        "category",
    ),
    Case(
        "levels that differ by a blank within",
        ("left hand", "left\u00a0hand"),
        f"line 3, column 'x': 'left\\xa0hand' and 'left hand' (line 2) {_ALIKE}",
        "category",
    ),
    Case(
        "levels that differ by the form of an umlaut",
        ("Zoë", "Zoe\u0308"),
        rf"line 3, column 'x': 'Zoe\u0308' and 'Zo\xeb' (line 2) {_ALIKE}",
        "category",
    ),
    Case(
        "families that lost their zeros",
        ("007", "7"),
        f"line 3, column 'x': '7' and '007' (line 2) {_ALIKE}",
        "family",
    ),
    Case(
        "numbers in two forms among words",
        ("1", "1.0", "3+"),
        f"line 3, column 'x': '1.0' and '1' (line 2) {_ALIKE}",
        "category",
    ),
    Case(
        "a column without a value",
        ("n/a", ""),
        "column 'x': no value is there; leave it out of the settings",
    ),
)


def table_of(cells: tuple[str, ...]) -> str:
    rows = (f"sub-{number:02d}\t{cell}\tz" for number, cell in enumerate(cells, start=1))
    return "\n".join(("participant_id\tx\tlast", *rows)) + "\n"


def loaded(folder: Path, table: str, role: str = "confound") -> Participants:
    path = folder / "participants.tsv"
    path.write_text(table, encoding="utf-8")
    more = {"cohort.stratify_by": ("x",) if role == "stratum" else ()}
    return load_people(path, PeopleConfig(**ROLES[role]), more)


@pytest.mark.parametrize("case", READ, ids=lambda case: case.what)
def test_what_is_read_is_told(tmp_path, case):
    notes = column_notes(loaded(tmp_path, table_of(case.cells), case.role))
    assert case.says in " ".join(notes)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.what)
def test_what_has_two_meanings_is_refused_with_its_place(tmp_path, case):
    with pytest.raises(CohortError) as caught:
        loaded(tmp_path, table_of(case.cells), case.role)
    assert str(caught.value).startswith(f"{tmp_path / 'participants.tsv'}: ")
    assert case.says in str(caught.value)


@pytest.mark.parametrize("case", [*READ, *REFUSED], ids=lambda case: case.what)
def test_every_case_is_a_row_of_the_document(case):
    assert case.row in DOCUMENT.read_text(encoding="utf-8").splitlines()


def test_the_document_has_no_other_rows():
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    rows = {line for line in lines if line.startswith("|") and line.count("|") == 5}
    shown = {case.row for case in (*READ, *REFUSED)}
    assert {row for row in rows - shown if "---" not in row and "column is" not in row} == set()


def test_columns_that_no_setting_names_may_hold_anything(tmp_path):
    odd = ("note", "1,5", "#N/A", '"x', "-999")
    rows = [
        f"{line}\t{cell}"
        for line, cell in zip(table_of(tuple("12345")).split("\n"), odd, strict=False)
    ]
    assert len(loaded(tmp_path, "\n".join(rows)).ids) == 4


def test_of_many_doubts_some_are_told_and_all_are_counted(tmp_path):
    with pytest.raises(CohortError, match=r"line 2.*line 3.*line 4.*and 997 more in 'x'") as caught:
        loaded(tmp_path, table_of(("1,5",) * 1000))
    assert len(str(caught.value)) < 1000


def test_long_cells_take_no_time(tmp_path):
    with pytest.raises(CohortError, match="is a word among numbers"):
        loaded(tmp_path, table_of(("1", "2", "1" + " " * 100_000 + "y")))
