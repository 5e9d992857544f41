"""Refusing cells that a program would read otherwise than the person who wrote them.

Spreadsheets write ages as ``34,5``, missing values as ``-999`` or ``#N/A`` and one sex as ``F`` and
``f``. Each of them can be read as something: a column of words, a number, two sexes. None of that
was meant, and a regression would not tell.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from isthmus.cohort.tables import MISSING, TextTable, is_number
from isthmus.core.errors import CohortError

Use = Literal["regressor", "category", "label"]
_LABELS = ("cohort.group_by", "cohort.kinship", "cohort.site")
_CATEGORIES = ("cohort.categorical_phenotypes",)
_MEANS_MISSING = frozenset(
    {".", "..", "-", "--", "?", "missing", "null", "nil", "na", "n.a.", "n.a", "<na>", "nan"}
    | {"not available", "k.a.", "k. a."}
)
_SPREADSHEET_ERRORS = frozenset(
    {"#n/a", "#na", "#nv", "#div/0!", "#value!", "#wert!", "#ref!", "#bezug!", "#name?"}
    | {"#num!", "#zahl!", "#null!", "#spill!", "#calc!"}
)
_MISSING_CODE = re.compile(r"-99+(?:\.0*)?")
_MADE_NUMBER = re.compile(r"[0-9]+\.0+|[0-9](?:\.[0-9]+)?E\+[0-9]+")
_MONTH = "(?:jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zä]*"
_DATE = re.compile(
    r"[0-9]{1,4}([./-])[0-9]{1,2}\1[0-9]{1,4}([t ][0-9:.]+z?)?"
    rf"|[0-9]{{1,2}}[-. /]*{_MONTH}\.?([-. /]*[0-9]{{2,4}})?|{_MONTH}[-. /]*[0-9]{{1,4}}"
    r"|[0-9]{1,2}:[0-9]{2}(:[0-9]{2})?"
)
_SEPARATED = re.compile(r"\(?[+-]?[0-9][0-9.,'\u2019_ ]*\)?|[+-]?[.,][0-9]+")
_WITH_UNIT = re.compile(
    r"[<>≤≥~=]*\s*[+-]?[0-9][0-9., ]*(?:%|‰|°|[+]|y|yrs?|years?|jahre|months?|weeks?|days?|hrs?|min"
    r"|kg|mg|lbs?|cm|mm|ml|mmhg|bpm|kg/m2|points?|iq)?\.?"
)
_NOT_FINITE = re.compile(r"[+-]?inf(inity)?|0x[0-9a-f]+|[+-]?[0-9.]+e[+-]?[0-9]+")
# Nothing longer is a number that somebody wrote; the patterns take time in the square of it.
_LONGEST_NUMBER = 40
_SHOWN = 3


def require_unambiguous(table: TextTable, declared: Mapping[str, Sequence[str]]) -> None:
    """Refuse a table of participants of which a used column can be read in two ways.

    Parameters
    ----------
    table : TextTable
        With a column ``participant_id`` and those that are declared.
    declared : Mapping of str to sequence of str
        Columns by the setting that names them; what the others hold changes no result. Families,
        kin and sites are labels, `cohort.categorical_phenotypes` are words, and all others are
        variables of a regression: numbers, or words that become indicators.

    Raises
    ------
    CohortError
        With the line, column and value of the first doubts: words that mean a missing value but
        are none of `MISSING`; errors of a spreadsheet; quotes around a cell; values that differ by
        case, blanks or leading zeros alone; a column of a regression that mixes numbers with
        words, dates, units or decimal commas, or holds a code such as -999 among values that are
        not negative; a column without a value; participants' labels that a spreadsheet made
        numbers of, or that look alike.
    """
    doubts = [
        f"line {line}, column 'participant_id': {why}" for line, why in _doubtful_labels(table)
    ][: 2 * _SHOWN]
    for name, use in _uses(declared).items():
        found = [f"line {line}, column '{name}': {why}" for line, why in _doubts(table, name, use)]
        more = [f"and {len(found) - _SHOWN} more in '{name}'"] if len(found) > _SHOWN else []
        doubts += found[:_SHOWN] + more
        if use != "label" and all(cell in MISSING for cell in table.column(name)):
            doubts.append(f"column '{name}': no value is there; leave it out of the settings")
    if doubts:
        shown = "; ".join(doubts[: 2 * _SHOWN])
        rest = f"; and {len(doubts) - 2 * _SHOWN} more" if len(doubts) > 2 * _SHOWN else ""
        raise CohortError(f"{table.path}: every value must have one meaning, but {shown}{rest}.")


def ambiguous_columns(table: TextTable, declared: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Find the columns for which `require_unambiguous` would refuse a table.

    Parameters
    ----------
    table : TextTable
        With the columns that are declared.
    declared : Mapping of str to sequence of str
        Columns by the setting that would name them.

    Returns
    -------
    dict of str to str
        By column: the line of its first doubt, and what it is.
    """
    first = {name: _doubts(table, name, use)[:1] for name, use in _uses(declared).items()}
    return {name: f"line {line}: {why}" for name, doubts in first.items() for line, why in doubts}


def _uses(declared: Mapping[str, Sequence[str]]) -> dict[str, Use]:
    """Say what each column is used for; a label is one whatever else names it."""
    uses: dict[str, Use] = {}
    for setting, columns in declared.items():
        for name in columns:
            if setting in _LABELS:
                uses[name] = "label"
            elif setting not in _CATEGORIES:
                uses[name] = "label" if uses.get(name) == "label" else "regressor"
            else:
                uses.setdefault(name, "category")
    return uses


def _doubtful_labels(table: TextTable) -> Iterator[tuple[int, str]]:
    """Find participants' labels that are not what was meant."""
    first: dict[str, tuple[str, int]] = {}
    for label, line in zip(table.column("participant_id"), table.lines, strict=True):
        if _is_quoted(label):
            yield line, _QUOTED.format(label)
        elif _MADE_NUMBER.fullmatch(label):
            yield (
                line,
                f"{label!r} looks like a label that a spreadsheet made a number of; write it as "
                "the images are named",
            )
        known, where = first.setdefault(_folded(label, keep_case=True), (label, line))
        if known != label:
            yield line, f"{label!a} looks like {known!a} of line {where}; name them apart"


_QUOTED = "{!r:.60} stands in quotes, which would be part of it; save the table without quotes"


def _doubts(table: TextTable, name: str, use: Use) -> list[tuple[int, str]]:
    """Find the cells of one column that can be read in two ways."""
    cells = [
        (line, cell)
        for line, cell in zip(table.lines, table.column(name), strict=True)
        if cell not in MISSING
    ]
    found = list(_wrong_words(cells))
    if found:
        return found
    numbers = [(line, float(cell)) for line, cell in cells if is_number(cell)]
    if use == "regressor" and len(numbers) == len(cells):
        return list(_codes(cells))
    if use == "regressor":
        found = list(_no_numbers(cells, len(numbers)))
    return found or list(_alike(cells, use == "label"))


def _wrong_words(cells: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Find what means that there is no value, and what is quoted."""
    for line, cell in cells:
        if _is_quoted(cell):
            yield line, _QUOTED.format(cell)
        elif cell.casefold() in _SPREADSHEET_ERRORS:
            yield line, f"{cell!r} is an error of the spreadsheet; mend its formula, or write n/a"
        elif cell.casefold() in _MEANS_MISSING:
            yield line, f"{cell!r} must be n/a if the value is missing"


def _codes(cells: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Find codes of missing values among numbers that are otherwise not negative."""
    coded = [(line, cell) for line, cell in cells if _MISSING_CODE.fullmatch(cell)]
    rest = [cell for _, cell in cells if not _MISSING_CODE.fullmatch(cell)]
    if coded and rest and all(float(cell) >= 0 for cell in rest):
        for line, cell in coded:
            yield (
                line,
                f"{cell} among values that are not negative looks like a code for a missing one; "
                "write n/a (or, if it was measured, add a constant to the column)",
            )


def _no_numbers(cells: list[tuple[int, str]], n_numbers: int) -> Iterator[tuple[int, str]]:
    """Find cells that are nearly numbers, and those that differ in kind from most others."""
    for line, cell in cells:
        why = None if is_number(cell) else _why_no_number(cell)
        if why is not None:
            yield line, f"{cell!r:.60} {why}"
        elif n_numbers and is_number(cell) != (2 * n_numbers >= len(cells)):
            kind, others = ("number", "words") if is_number(cell) else ("word", "numbers")
            yield (
                line,
                f"{cell!r:.60} is a {kind} among {others}; write all values as numbers, or all "
                "as words, and n/a for a missing one",
            )


def _why_no_number(cell: str) -> str | None:
    """Say why what looks like a number is none; None of any other word."""
    if len(cell) > _LONGEST_NUMBER:
        return None
    text = (
        unicodedata.normalize("NFKC", cell).replace("\u2212", "-").replace("\u200b", "").casefold()
    )
    if _DATE.fullmatch(text):
        return "is a date or a time; write a number, such as the age in years"
    if _NOT_FINITE.fullmatch(text):
        return "is no finite decimal number"
    if is_number(text):
        return "has characters that only look like a number's; type it anew"
    if _SEPARATED.fullmatch(text):
        return "has a comma, a blank or another sign in it; write it like 1234.5"
    if _WITH_UNIT.fullmatch(text):
        return "has a unit or a sign; write the number alone, and the unit in the column's name"
    return None


def _alike(cells: list[tuple[int, str]], by_number: bool) -> Iterator[tuple[int, str]]:
    """Find each value that differs from another in its writing alone."""
    first: dict[str, tuple[str, int]] = {}
    told = set()
    for line, cell in cells:
        key = str(float(cell)) if by_number and is_number(cell) else _folded(cell)
        known, where = first.setdefault(key, (cell, line))
        if known != cell and cell not in told:
            told.add(cell)
            yield (
                line,
                f"{cell!a:.60} and {known!a:.60} (line {where}) differ by case, blanks, zeros or "
                "the form of a letter alone; write them alike",
            )


def _is_quoted(cell: str) -> bool:
    """Tell a cell that a program put into quotes."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _folded(text: str, keep_case: bool = False) -> str:
    """Bring values that look alike into one form."""
    plain = " ".join(unicodedata.normalize("NFKC", text).replace("\u200b", "").split())
    return plain if keep_case else plain.casefold()
