"""Reading the tab-separated tables of BIDS, with the line of every row for the messages."""

import codecs
import csv
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from isthmus.config.paths import did_you_mean
from isthmus.core.errors import CohortError

MISSING = frozenset({"n/a", "N/A", "NA", "NaN", "nan", ""})
"""What stands for a missing value: BIDS wants ``n/a``, spreadsheets write the others."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_LABEL = 100
# Of hidden files, and of what a spreadsheet computes when it opens a table of ours.
_NO_BEGINNING = re.compile(r"[.=+@]|-(?![0-9]+\Z)")
_MOST_BYTES = 2**29
_SHOWN = 20
_SEPARATORS = {",": "commas", ";": "semicolons", "|": "bars", " ": "blanks"}
Row = tuple[int, tuple[str, ...]]
"""A line's number, and its cells."""


@dataclass(frozen=True)
class TextTable:
    """A table as it is written: text in every cell.

    Attributes
    ----------
    path : Path
        The file.
    columns : tuple of str
        The header.
    rows : tuple of tuple of str
        Cells, stripped of blanks around them.
    lines : tuple of int
        Line of each row in the file, from 1; the header is on line 1.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, name: str) -> tuple[str, ...]:
        """Cells of one column.

        Parameters
        ----------
        name : str
            One of ``columns``.

        Returns
        -------
        tuple of str
            One cell a row.
        """
        position = self.columns.index(name)
        return tuple(row[position] for row in self.rows)

    def require(self, names: Sequence[str], asked_by: str = "") -> None:
        """Refuse a table that lacks a column, and say which may have been meant.

        Parameters
        ----------
        names : sequence of str
            Columns that must be there.
        asked_by : str
            The setting that names them, for the message.

        Raises
        ------
        CohortError
            If a column is missing.
        """
        for name in names:
            if name not in self.columns:
                asked = f", which {asked_by} names" if asked_by else ""
                hint = did_you_mean(name, dict.fromkeys(self.columns))
                n_more = len(self.columns) - _SHOWN
                more = f" and {n_more} more" if n_more > 0 else ""
                raise CohortError(
                    f"{self.path}: there must be a column '{name}'{asked}, but the columns are "
                    f"{list(self.columns[:_SHOWN])}{more}.{hint}"
                )


def read_table(path: Path) -> TextTable:
    """Read a tab-separated table with a header.

    Parameters
    ----------
    path : Path
        A UTF-8 file.

    Returns
    -------
    TextTable
        All cells as text; blank lines are passed over, and so are tabs at the ends of lines below
        which no column has a name or a value.

    Raises
    ------
    CohortError
        If the file is missing, too large or no UTF-8, has no rows, other separators than tabs, a
        column that is repeated or has values and no name, or a row that does not fit the header.
    """
    reader = csv.reader(io.StringIO(_read_text(path)), delimiter="\t", quoting=csv.QUOTE_NONE)
    try:
        numbered = [
            (number, tuple(cell.strip() for cell in row))
            for number, row in enumerate(reader, start=1)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise CohortError(f"{path}: must be a tab-separated table: {error}.") from None
    if not numbered:
        raise CohortError(f"{path}: must have a header and rows, but the file is empty.")
    (_, columns), *body = _without_empty_columns(numbered)
    _check_shape(path, columns, body)
    return TextTable(
        path, columns, tuple(row for _, row in body), tuple(number for number, _ in body)
    )


def as_frame(table: TextTable, keep_text: Sequence[str] = ()) -> pd.DataFrame:
    """Turn a participants table into typed columns.

    Parameters
    ----------
    table : TextTable
        With a column ``participant_id``.
    keep_text : sequence of str
        Columns that are labels even when they look like numbers (family, site).

    Returns
    -------
    pandas.DataFrame
        Indexed by participant_id; a column whose values are all finite numbers is float64, others
        are text; missing values are NaN.

    Raises
    ------
    CohortError
        If there is no such column, or a participant has no label, one that cannot be part of a
        file's name, or is listed twice.

    Notes
    -----
    A number is of ASCII digits with an optional sign, point and exponent: ``-1.5``, ``.5``,
    ``3e-2``. What Python reads beyond that (``1_0``, ``inf``, ``infinity``, digits of other
    scripts) makes its column text, as any other word does. `MISSING` lists what is a missing
    value, ``nan`` among it.
    """
    table.require(["participant_id"])
    ids = table.column("participant_id")
    lines = defaultdict(list)
    for label, line in zip(ids, table.lines, strict=True):
        if label in MISSING:
            raise CohortError(f"{table.path}: line {line} must give a participant_id.")
        if not _names_a_file(label):
            raise CohortError(
                f"{table.path}: line {line}: a participant_id becomes part of file names, so it "
                "must have no '/', '\\' or control character, begin with none of . = + @, nor with "
                f"- unless digits alone follow, and be at most {_LONGEST_LABEL} characters long, "
                f"got {label!r:.120}. Rename the participant."
            )
        lines[label].append(line)
    twice = {label: where for label, where in lines.items() if len(where) > 1}
    if twice:
        listed = "; ".join(
            f"{label} is on lines {' and '.join(map(str, where[:5]))}"
            for label, where in list(twice.items())[:5]
        )
        raise CohortError(
            f"{table.path}: each participant must be listed once, but {listed}. Keep one line each."
        )
    columns = {
        name: _typed(table.column(name), name in keep_text)
        for name in table.columns
        if name != "participant_id"
    }
    return pd.DataFrame(columns, index=pd.Index(ids, name="participant_id", dtype=object))


def is_number(cell: str) -> bool:
    """Tell a cell that is read as a number.

    Parameters
    ----------
    cell : str
        As it is written.

    Returns
    -------
    bool
        Whether it is a finite number in the sense of `as_frame`.

    Examples
    --------
    >>> [is_number(cell) for cell in ("-1.5", "3e-2", "1,5", "1e400", "inf")]
    [True, True, False, False, False]
    """
    return _NUMBER.fullmatch(cell) is not None and math.isfinite(float(cell))


def _read_text(path: Path) -> str:
    """Read a whole file of UTF-8, with any of the line ends there are."""
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise CohortError(f"{path}: there is no such file.") from None
    except IsADirectoryError:
        raise CohortError(f"{path}: must be a tab-separated table, got a folder.") from None
    except OSError as error:
        raise CohortError(f"{path}: must be a tab-separated table in UTF-8: {error}.") from None
    if len(raw) > _MOST_BYTES:
        raise CohortError(f"{path}: must be a table of at most {_MOST_BYTES >> 20} MiB, got more.")
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) or b"\0" in raw[:100]:
        raise CohortError(
            f"{path}: must be a tab-separated table in UTF-8, but looks like UTF-16, which Excel "
            "calls Unicode text. Save it as UTF-8, or convert it: iconv -f UTF-16 -t UTF-8."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1 if b"\n" in raw else before.count(b"\r") + 1
        word = raw[max(0, error.start - 12) : error.start + 12].decode("latin-1")
        raise CohortError(
            f"{path}: must be a tab-separated table in UTF-8, but line {line} has a byte "
            f"0x{raw[error.start]:02x} that is none, in {word!r} if that is Latin-1. Save it as "
            "UTF-8, or convert it: iconv -f WINDOWS-1252 -t UTF-8."
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_empty_columns(numbered: list[Row]) -> list[Row]:
    """Leave out cells at the ends of lines that have neither a column's name nor a value."""
    n_columns = len(numbered[0][1])
    width = max(
        next((place for place in range(min(len(row), n_columns), 0, -1) if row[place - 1]), 0)
        for _, row in numbered
    )
    return [(n, row[:width] if not any(row[width:]) else row) for n, row in numbered]


def _names_a_file(label: str) -> bool:
    """Tell a label that stays one visible name in a folder."""
    return (
        not _NO_BEGINNING.match(label)
        and len(label) <= _LONGEST_LABEL
        and all(character not in "/\\" and character.isprintable() for character in label)
    )


def _typed(cells: Sequence[str], keep_text: bool) -> npt.NDArray[Any]:
    """Numbers where every given cell is a finite number, else text; NaN where missing."""
    if not keep_text and all(is_number(cell) for cell in cells if cell not in MISSING):
        # adding 0 makes 0 of -0, which would be another value in a digest
        return np.array([np.nan if cell in MISSING else float(cell) + 0.0 for cell in cells])
    return np.array([np.nan if cell in MISSING else cell for cell in cells], dtype=object)


def _check_shape(path: Path, columns: tuple[str, ...], body: list[Row]) -> None:
    """Refuse other separators, columns without a name or repeated, ragged rows, and nobody."""
    for separator, what in _SEPARATORS.items():
        if len(columns) == 1 and separator in columns[0]:
            raise CohortError(
                f"{path}: columns must be separated by tabs, but the header has {what} only. "
                "Save the table as tab-separated (TSV)."
            )
    if "" in columns:
        place = columns.index("")
        raise CohortError(
            f"{path}: each column must have a name, but that of column {place + 1} is empty. Name "
            "it, or delete it."
        )
    repeated = sorted(name for name, times in Counter(columns).items() if times > 1)
    if repeated:
        raise CohortError(
            f"{path}: each column must be named once, but {repeated[:5]} are repeated."
        )
    for number, row in body:
        if len(row) != len(columns):
            quoted = any('"' in cell for cell in row)
            raise CohortError(
                f"{path}: line {number} must have {len(columns)} cells as the header has, got "
                f"{len(row)}. Write n/a for what is missing."
                + (" Quotes do not keep a line end or a tab within a cell." if quoted else "")
            )
    if not body:
        raise CohortError(f"{path}: must have at least one row below its header, got none.")
