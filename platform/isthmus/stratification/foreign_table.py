"""Embeddings that some other tool made: a file with an id column and numbers."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from isthmus.config.paths import did_you_mean
from isthmus.core.errors import StratificationError
from isthmus.stratification.embedding_table import (
    METADATA_KEY,
    ROLES,
    EmbeddingTable,
    load_parquet,
    require_readable,
)

_ID, _ROLE = "participant_id", "role"
_SEPARATORS = {".tsv": "\t", ".txt": "\t", ".csv": ","}
_MISSING = ["", "n/a", "N/A", "NA", "nan", "NaN"]
# What pandas and R write for the row numbers that nobody asked for.
_ROW_NUMBERS = ("__index_level_0__", "Unnamed: 0", "...1", "")


def load_embeddings(path: Path) -> EmbeddingTable:
    """Read embeddings from a file of whatever tool.

    Parameters
    ----------
    path : Path
        ``.parquet``, ``.tsv`` or ``.csv`` with a column ``participant_id``; every other column is
        a number and part of the embedding, but for ``role``, which may say who was in training.

    Returns
    -------
    EmbeddingTable
        Of the encoder that the file names, if isthmus wrote it, else of one named as the file.
        Without a column ``role`` every role is ``unknown``.

    Raises
    ------
    StratificationError
        If the file cannot be read, has no such column, lists a participant twice or none, has a
        column that is no number, a value that is missing or infinite, or no column that varies.
    """
    kind = path.suffix.lower()
    if kind != ".parquet" and kind not in _SEPARATORS:
        raise StratificationError(
            f"{path}: embeddings must be in a .parquet, .tsv or .csv file, got {kind or 'no'} "
            "ending."
        )
    found = _parquet(path) if kind == ".parquet" else _text(path, _SEPARATORS[kind])
    return found if isinstance(found, EmbeddingTable) else _as_table(found, path)


def _parquet(path: Path) -> EmbeddingTable | Any:
    """Read a parquet file: one of ours with what its metadata says, another as columns."""
    try:
        require_readable(path)
        if METADATA_KEY in (pq.read_schema(path).metadata or {}):
            return load_parquet(path)
        # without what pandas left on its index: it must be seen as the column that it is
        return pq.ParquetFile(path).read().replace_schema_metadata(None)
    except FileNotFoundError:
        raise StratificationError(f"{path}: there is no such file.") from None
    except (OSError, pa.ArrowException) as error:
        raise StratificationError(f"{path}: must be a parquet file: {error}") from None


def _text(path: Path, separator: str) -> Any:
    """Read a table of text; a row that does not fit the header is an error."""
    try:
        return pa_csv.read_csv(
            path,
            parse_options=pa_csv.ParseOptions(delimiter=separator),
            convert_options=pa_csv.ConvertOptions(
                column_types={_ID: pa.string(), _ROLE: pa.string()},
                null_values=_MISSING,
                strings_can_be_null=True,
            ),
        )
    except FileNotFoundError:
        raise StratificationError(f"{path}: there is no such file.") from None
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise StratificationError(f"{path}: must be a table in UTF-8: {error}") from None


def _as_table(columns: Any, path: Path) -> EmbeddingTable:
    """Check the columns of an arrow table, and make a table of embeddings of them."""
    names: list[str] = list(columns.column_names)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise StratificationError(
            f"{path}: each column must be named once, but there are several of {_few(repeated)}."
        )
    frame: pd.DataFrame = columns.to_pandas()
    if _ID not in names:
        hint = did_you_mean(_ID, dict.fromkeys(names))
        meant = f"{hint} Rename it." if hint else ""
        raise StratificationError(
            f"{path}: there must be a column '{_ID}', but the columns are {_few(names)}.{meant}"
        )
    numbers = [name for name in names if name not in (_ID, _ROLE)]
    counted = [name for name in numbers if name in _ROW_NUMBERS]
    if counted:
        raise StratificationError(
            f"{path}: every column but '{_ID}' and '{_ROLE}' is taken for a part of the "
            f"embedding, and {counted[0]!r} is a row number. Write the table without its index."
        )
    if not numbers:
        raise StratificationError(f"{path}: there must be a column of numbers beside '{_ID}'.")
    wrong = [name for name in numbers if not _is_number(frame[name])]
    if wrong:
        example = frame[wrong[0]].dropna()
        given = f"{example.iloc[0]!r:.60}" if len(example) else "nothing"
        raise StratificationError(
            f"{path}: every column but '{_ID}' and '{_ROLE}' must be of numbers, but {_few(wrong)} "
            f"{'is' if len(wrong) == 1 else 'are'} not ({wrong[0]!r} holds {given}). Leave out "
            "what is no part of the embedding."
        )
    ids = _ids(frame, path)
    values = frame[numbers].to_numpy(dtype=np.float64)
    _require_numbers(values, numbers, ids, path)
    return EmbeddingTable(path.stem, ids, values, _roles(frame, path))


def _is_number(column: "pd.Series[Any]") -> bool:
    """Tell numbers from text and from truth values."""
    kinds = pd.api.types
    return kinds.is_numeric_dtype(column) and not (
        kinds.is_bool_dtype(column) or kinds.is_complex_dtype(column)
    )


def _ids(frame: pd.DataFrame, path: Path) -> tuple[str, ...]:
    """Read who the rows are."""
    labels = frame[_ID]
    if pd.api.types.is_float_dtype(labels):
        raise StratificationError(
            f"{path}: '{_ID}' must be text or whole numbers, got {labels.dtype}."
        )
    if labels.isna().any():
        row = int(np.flatnonzero(labels.isna())[0]) + 1
        raise StratificationError(f"{path}: row {row} must give a {_ID}.")
    ids = tuple(str(label).strip() for label in labels)
    repeated = [name for name, times in Counter(ids).items() if times > 1]
    if repeated:
        raise StratificationError(
            f"{path}: each participant must have one row, but {_few(repeated)} "
            f"{'has' if len(repeated) == 1 else 'have'} several ({len(repeated)} in all). Keep one "
            "embedding a participant: runs or sessions of one person are no further subjects."
        )
    return ids


def _roles(frame: pd.DataFrame, path: Path) -> tuple[str, ...]:
    """Read who was in training, where the file says so."""
    if _ROLE not in frame.columns:
        return ("unknown",) * len(frame)
    roles = tuple("unknown" if pd.isna(role) else str(role) for role in frame[_ROLE])
    strange = sorted(set(roles) - set(ROLES))
    if strange:
        raise StratificationError(
            f"{path}: the column '{_ROLE}' must say one of {list(ROLES)}, got {_few(strange)}. "
            "Recode it, or leave it out."
        )
    return roles


def _require_numbers(
    values: np.ndarray[Any, np.dtype[np.float64]],
    names: list[str],
    ids: tuple[str, ...],
    path: Path,
) -> None:
    """Refuse values that are missing or infinite, and a table in which nothing varies."""
    bad_ND = ~np.isfinite(values)
    if bad_ND.any():
        row, column = (int(places[0]) for places in np.nonzero(bad_ND))
        raise StratificationError(
            f"{path}: embeddings must be finite, but {int(bad_ND.sum())} values of "
            f"{int(bad_ND.any(axis=1).sum())} participants are missing or infinite, the first of "
            f"{ids[row]} in column '{names[column]}'. Leave these participants out, or mend the "
            "table."
        )
    if len(values) > 1 and not np.ptp(values, axis=0).any():
        raise StratificationError(
            f"{path}: at least one column must vary, but every participant has the same "
            "embedding. The encoder has collapsed, or the wrong table was written."
        )


def _few(names: list[str]) -> str:
    """List some names."""
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
