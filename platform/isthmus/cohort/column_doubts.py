"""Refusing cells that a program would read otherwise than the person who wrote them.

Spreadsheets write ages as ``34,5``, missing values as ``-999`` or ``#N/A`` and one sex as ``F`` and
``f``. Each of them can be read as something: a column of words, a number, two sexes. None of that
was meant, and a regression would not tell.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Literal

from isthmus.cohort.missing_codes import CERTAIN, suspects
from isthmus.cohort.near_numbers import are_bands, why_no_number
from isthmus.cohort.tables import MISSING, TextTable, is_number
from isthmus.core.errors import CohortError

Use = Literal["label", "regressor", "category", "stratum"]
_USES: dict[str, Use] = {
    "cohort.group_by": "label",
    "cohort.kinship": "label",
    "cohort.site": "label",
    "cohort.categorical_phenotypes": "category",
    "cohort.stratify_by": "stratum",
}
# A use comes before those that ask less of a column.
_ORDER: tuple[Use, ...] = ("label", "regressor", "category", "stratum")
# A column to stratify by that has more values is one of numbers, which are cut at terciles.
_MOST_STRATA = 12
_MEANS_MISSING = frozenset(
    {".", "..", "-", "--", "?", "missing", "null", "nil", "na", "n.a.", "n.a", "<na>", "nan"}
    | {"not available", "k.a.", "k. a."}
)
_SPREADSHEET_ERRORS = frozenset(
    {"#n/a", "#na", "#nv", "#div/0!", "#value!", "#wert!", "#ref!", "#bezug!", "#name?"}
    | {"#num!", "#zahl!", "#null!", "#spill!", "#calc!"}
)
_MADE_NUMBER = re.compile(r"[0-9]+\.0+|[0-9](?:\.[0-9]+)?E\+[0-9]+")
# Any other writing of a number, such as 0e12, may as well be a label.
_DECIMAL = re.compile(
    r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40}|[1-9](?:\.[0-9]{1,40})?E\+[0-9]{1,3})"
)
_GENOTYPE = re.compile(r"([a-z])[/|]?\1", re.IGNORECASE)
_CARRIER = frozenset("+-/ ")
_SHOWN = 3


def require_unambiguous(table: TextTable, declared: Mapping[str, Sequence[str]]) -> None:
    """Refuse a table of participants of which a used column can be read in two ways.

    Parameters
    ----------
    table : TextTable
        With a column ``participant_id`` and those that are declared.
    declared : Mapping of str to sequence of str
        Columns by the setting that names them; what the others hold changes no result. Families,
        kin and sites are labels, `cohort.categorical_phenotypes` are words, `cohort.stratify_by`
        are words or numbers of many values, and all others are variables of a regression:
        numbers, or words that become indicators.

    Raises
    ------
    CohortError
        With the line, column and value of the first doubts: words that mean a missing value but
        are none of `MISSING`; errors of a spreadsheet; quotes around a cell; words or labels that
        differ by case, blanks or the zeros of a number alone; a column of a regression that mixes
        numbers with words, dates, units or decimal commas; numbers that hold a code such as -999
        and are not negative otherwise; a column without a value; participants' labels that a
        spreadsheet made numbers of, or that look alike.
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
        use = _USES.get(setting, "regressor")
        for name in columns:
            uses[name] = min(use, uses.get(name, use), key=_ORDER.index)
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
        known, where = first.setdefault(_folded(label), (label, line))
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
    numeric = all(is_number(cell) for _, cell in cells)
    if use != "label" and numeric:
        return list(_codes(cells))
    many = len({cell for _, cell in cells}) > _MOST_STRATA
    if use == "regressor" or (use == "stratum" and many):
        found = list(_no_numbers(cells))
    return found or list(_alike(cells))


def _wrong_words(cells: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Find what means that there is no value, and what is quoted."""
    # Where some carry an allele (+), the others do not (-).
    carried = any("+" in cell and _CARRIER.issuperset(cell) for _, cell in cells)
    for line, cell in cells:
        if _is_quoted(cell):
            yield line, _QUOTED.format(cell)
        elif cell.casefold() in _SPREADSHEET_ERRORS:
            yield line, f"{cell!r} is an error of the spreadsheet; mend its formula, or write n/a"
        elif cell.casefold() in _MEANS_MISSING and not (carried and set(cell) == {"-"}):
            yield line, f"{cell!r} must be n/a if the value is missing"


def _codes(cells: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Find codes of missing values among numbers that are otherwise not negative."""
    values = {float(cell) for _, cell in cells}
    codes = suspects(values)
    where = "where no other value is" if values == codes else "among values that are not negative"
    for line, cell in cells:
        if float(cell) in codes & CERTAIN:
            yield (
                line,
                f"{cell} {where} looks like a code for a missing one; "
                "write n/a (or, if it was measured, add a constant to the column)",
            )


def _no_numbers(cells: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Find cells that are nearly numbers, and those that differ in kind from most others."""
    n_numbers = sum(is_number(cell) for _, cell in cells)
    bands = are_bands([cell for _, cell in cells])
    for line, cell in cells:
        why = None if is_number(cell) else why_no_number(cell, bands)
        if why is not None:
            yield line, f"{cell!r:.60} {why}"
        elif n_numbers and is_number(cell) != (2 * n_numbers >= len(cells)):
            kind, others = ("number", "words") if is_number(cell) else ("word", "numbers")
            yield (
                line,
                f"{cell!r:.60} is a {kind} among {others}; write all values as numbers, or all "
                "as words, and n/a for a missing one",
            )


def _alike(cells: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Find each value that differs from another in its writing alone."""
    first: dict[str | Decimal, tuple[str, int]] = {}
    told = set()
    for line, cell in cells:
        known, where = first.setdefault(_meant(cell), (cell, line))
        if known != cell and cell not in told:
            told.add(cell)
            yield (
                line,
                f"{cell!a:.60} and {known!a:.60} (line {where}) differ by case, blanks, zeros or "
                "the form of a letter alone; write them alike",
            )


def _meant(cell: str) -> str | Decimal:
    """Give what is equal for two writings of one value: exact numbers, or folded words."""
    if _DECIMAL.fullmatch(cell):
        return Decimal(cell)
    plain = _folded(cell)
    # Case tells alleles apart: AA, Aa and aa.
    return plain if _GENOTYPE.fullmatch(plain) else plain.casefold()


def _is_quoted(cell: str) -> bool:
    """Tell a cell that a program put into quotes."""
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _folded(text: str) -> str:
    """Bring values that look alike into one form, but for their case."""
    return " ".join(unicodedata.normalize("NFKC", text).replace("\u200b", "").split())
