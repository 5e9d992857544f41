"""What identifies a table of participants, whatever the order of its rows and columns."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from isthmus.core.digest import digest_of


def text_levels(table: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """List the values of each text column.

    Parameters
    ----------
    table : DataFrame
        Numbers and text.

    Returns
    -------
    dict of str to tuple of str
        Sorted values; missing ones are none.

    Examples
    --------
    >>> text_levels(pd.DataFrame({"sex": ["M", "F", None], "age": [1.0, 2.0, 3.0]}))
    {'sex': ('F', 'M')}
    """
    return {
        str(name): tuple(sorted({str(value) for value in table[name].dropna()}))
        for name in table.columns
        if not pd.api.types.is_numeric_dtype(table[name])
    }


def digest_people(table: pd.DataFrame, labels: Mapping[str, str | None]) -> str:
    """Digest the content of a table.

    Parameters
    ----------
    table : DataFrame
        Indexed by participant_id.
    labels : Mapping of str to str or None
        Which columns have a meaning of their own, by that meaning.

    Returns
    -------
    str
        64 hexadecimal digits, the same for any order of rows and columns.
    """
    ordered = table.sort_index()
    columns = {
        str(name): [None if pd.isna(v) else _plain(v) for v in ordered[name]]
        for name in ordered.columns
    }
    ids = [str(label) for label in ordered.index]
    return digest_of({"ids": ids, "columns": columns, **labels})


def _plain(value: Any) -> str | float:
    """Turn a value into what JSON has."""
    return value if isinstance(value, str) else float(value)
