"""How the columns that settings name were read, for whoever knows what was meant."""

import re
from collections.abc import Iterator

import numpy as np
import pandas as pd

from isthmus.cohort.excerpt import a_few
from isthmus.cohort.missing_codes import suspects
from isthmus.cohort.participants import Participants

# Days since 1900 as spreadsheets count them: of 1927 to 2064.
_DAYS = (10_000, 60_000)
_NAMES_A_DATE = re.compile(r"date|birth|dob|geburt|datum", re.IGNORECASE)
_LEVELS_SHOWN = 5
_FAR = (99, 999, 9999)


def column_notes(participants: Participants) -> tuple[str, ...]:
    """Say how the declared columns were read, and what in them may not be what it seems.

    Parameters
    ----------
    participants : Participants
        As `load_participants` gives them.

    Returns
    -------
    tuple of str
        A sentence on the columns of numbers with their ranges, one on those of text with their
        values, and one for each column with something odd: numbers that may be a spreadsheet's
        dates or codes of missing values. No column without a setting that names it is told of.
    """
    labels = {participants.group_by, participants.kinship_column}
    names = [name for name in participants.declared or () if name not in labels]
    numbers = [name for name in names if pd.api.types.is_numeric_dtype(participants.column(name))]
    words = [name for name in names if name not in numbers]
    notes = []
    if numbers:
        shown = "; ".join(_range(name, participants.column(name)) for name in numbers)
        notes.append(f"Read as numbers: {shown}.")
    if words:
        shown = "; ".join(_levels(name, participants) for name in words)
        notes.append(f"Read as text: {shown}.")
    for name in numbers:
        notes.extend(_odd(name, participants.column(name).dropna().to_numpy(dtype=np.float64)))
    return tuple(notes)


def _range(name: str, values: "pd.Series[float]") -> str:
    """Give a column's range and how much of it is missing."""
    n_missing = int(values.isna().sum())
    missing = f", {n_missing} missing" if n_missing else ""
    if n_missing == len(values):
        return f"{name} (none there)"
    return f"{name} ({values.min():g} to {values.max():g}{missing})"


def _levels(name: str, participants: Participants) -> str:
    """Give a column's values, with the codes of two."""
    levels = participants.levels.get(name, ())
    n_missing = int(participants.column(name).isna().sum())
    missing = f", {n_missing} missing" if n_missing else ""
    if len(levels) == 2:
        return f"{name} ({levels[0]!r} = 0, {levels[1]!r} = 1{missing})"
    few = a_few([repr(level) for level in levels[:_LEVELS_SHOWN]])
    more = f" and {len(levels) - _LEVELS_SHOWN} more" if len(levels) > _LEVELS_SHOWN else ""
    return f"{name} ({few}{more}{missing})"


def _odd(name: str, values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Iterator[str]:
    """Say what may not be a measurement."""
    if values.size == 0:
        return
    whole = values[values == np.floor(values)]
    days = whole[(whole >= _DAYS[0]) & (whole <= _DAYS[1])]
    if days.size and (_NAMES_A_DATE.search(name) or np.median(np.abs(values)) < _DAYS[0] / 10):
        when = pd.Timestamp("1899-12-30") + pd.Timedelta(days=float(days[0]))
        yield (
            f"Column '{name}' has {days[0]:.0f}, which may be a spreadsheet's number of a date "
            f"({when.date()})."
        )
    codes = suspects(values.tolist())
    if codes:
        shown = ", ".join(f"{code:g}" for code in sorted(codes, reverse=True))
        where = (
            "only" if len(codes) == len(np.unique(values)) else "among values that are not negative"
        )
        ask = "is it a missing one" if len(codes) == 1 else "are they missing ones"
        yield f"Column '{name}' has {shown} {where}: {ask}?"
    for sign, side in ((1, "above"), (-1, "below")):
        end = (sign * values).max()
        rest = sign * values[sign * values != end]
        if end in _FAR and rest.size and rest.max() < end / 3 and sign * end not in codes:
            yield (
                f"Column '{name}' has {sign * end:g} far {side} all other values: is it a missing "
                "one?"
            )
