"""Reading the tab-separated tables of BIDS, with the line of every row for the messages."""

import csv
import io
import re
from collections import defaultdict
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
                raise CohortError(
                    f"{self.path}: there must be a column '{name}'{asked}, but the columns are "
                    f"{list(self.columns)}.{hint}"
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
        All cells as text; blank lines are passed over.

    Raises
    ------
    CohortError
        If the file is missing or no text, has no rows, repeats a column, or has a row that does
        not fit the header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise CohortError(f"{path}: there is no such file.") from None
    except IsADirectoryError:
        raise CohortError(f"{path}: must be a tab-separated table, got a folder.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CohortError(f"{path}: must be a tab-separated table in UTF-8: {error}.") from None
    reader = csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE)
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
    (_, columns), *body = numbered
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
                "must have no '/', '\\' or control character, begin with no dot and be at most "
                f"{_LONGEST_LABEL} characters long, got {label!r:.120}. Rename the participant."
            )
        lines[label].append(line)
    twice = {label: where for label, where in lines.items() if len(where) > 1}
    if twice:
        listed = "; ".join(
            f"{label} is on lines {' and '.join(map(str, where))}" for label, where in twice.items()
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


def _names_a_file(label: str) -> bool:
    """Tell a label that stays one visible name in a folder."""
    return (
        not label.startswith(".")
        and len(label) <= _LONGEST_LABEL
        and all(character not in "/\\" and character.isprintable() for character in label)
    )


def _typed(cells: Sequence[str], keep_text: bool) -> npt.NDArray[Any]:
    """Numbers where every given cell is a finite number, else text; NaN where missing."""
    present = [cell for cell in cells if cell not in MISSING]
    if not keep_text and all(_NUMBER.fullmatch(cell) for cell in present):
        numbers = np.array([np.nan if cell in MISSING else float(cell) for cell in cells])
        if not np.isinf(numbers).any():
            return numbers
    return np.array([np.nan if cell in MISSING else cell for cell in cells], dtype=object)


def _check_shape(
    path: Path, columns: tuple[str, ...], body: list[tuple[int, tuple[str, ...]]]
) -> None:
    """Refuse repeated columns, ragged rows, and a table of nobody."""
    if len(columns) == 1 and "," in columns[0]:
        raise CohortError(
            f"{path}: columns must be separated by tabs, but the header has commas only. "
            "Save the table as tab-separated (TSV)."
        )
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise CohortError(f"{path}: each column must be named once, but {repeated} are repeated.")
    for number, row in body:
        if len(row) != len(columns):
            raise CohortError(
                f"{path}: line {number} must have {len(columns)} cells as the header has, got "
                f"{len(row)}. Write n/a for what is missing."
            )
    if not body:
        raise CohortError(f"{path}: must have at least one row below its header, got none.")
