"""Telling what a person meant as a number, or a program made of one, from words with digits."""

import re
import unicodedata
from collections.abc import Sequence

from isthmus.cohort.tables import is_number

_MONTH = (
    "(?:janua(?:ry|r)|jänner|jaenner|februa(?:ry|r)|feber|march|märz|maerz|april|may|mai|jun[ei]"
    "|jul[yi]|august|september|o[ck]tober|november|de[cz]ember"
    "|jan|jän|feb|mar|mär|mrz|apr|jun|jul|aug|sept|sep|oct|okt|nov|dec|dez)"
)
_DAY = "(?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?"
_FULL_YEAR = "(?:1[89]|2[01])[0-9]{2}"
_YEAR = f"(?:{_FULL_YEAR}|'?[0-9]{{2}})"
_CLOCK = "(?:[t ,]{1,2}[0-9][0-9:.]*(?: ?[ap]m)?(?:z|[+-][0-9:]+)?)?"
_NAMED_DATE = re.compile(
    rf"(?:{_DAY}[-. /]{{0,2}}{_MONTH}\.?(?:[-., /]{{0,2}}{_YEAR})?"
    rf"|{_MONTH}\.?[-., /]{{1,2}}(?:{_DAY}[-., /]{{1,2}})?(?:{_YEAR}|{_DAY})"
    rf"|{_MONTH}{_FULL_YEAR}|{_FULL_YEAR}[-. /]{_MONTH}[-. /]{_DAY}){_CLOCK}"
)
_THREE_NUMBERS = re.compile(rf"([0-9]{{1,4}})([./-])([0-9]{{1,2}})\2([0-9]{{1,4}}){_CLOCK}")
_TIME = re.compile(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){2,}")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{3})+")
_SEPARATED = re.compile(r"\(?[+-]?[0-9][0-9.,'\u2019_ ]*\)?|[+-]?[.,][0-9]+")
_WITH_UNIT = re.compile(
    r"[<>≤≥~=]*\s*[+-]?[0-9][0-9., ]*(?:%|‰|°|[+]|y|yrs?|years?|jahre|months?|weeks?|days?|hrs?|min"
    r"|kg|mg|lbs?|cm|mm|ml|mmhg|bpm|kg/m2|points?|iq)?\.?"
)
_OPEN_BAND = re.compile(r"[<>≤≥].*|.*\+")
_BAND = re.compile(
    r"[0-9]+(?:\.[0-9]+)?\s?(?:-|\u2013|\u2014|to|bis)\s?[0-9]+(?:\.[0-9]+)?\s?[a-z]{0,6}\.?"
)
_NOT_FINITE = re.compile(r"[+-]?inf(inity)?|0x[0-9a-f]+|[+-]?[0-9.]+e[+-]?[0-9]+")
# Nothing longer is a number that somebody wrote; the patterns take time in the square of it.
_LONGEST_NUMBER = 40


def are_bands(cells: Sequence[str]) -> bool:
    """Tell whether ``36+`` and ``<18`` are words of a column, as bands of age are.

    Parameters
    ----------
    cells : sequence of str
        The column, without what is missing.

    Returns
    -------
    bool
        If no cell is a plain number; or fewer than half are, and one is a band such as ``22-25``.

    Examples
    --------
    >>> are_bands(["22-25", "26-30", "36+"]), are_bands(["<18", "18+"]), are_bands(["34", "90+"])
    (True, True, False)
    """
    n_numbers = sum(map(is_number, cells))
    return n_numbers == 0 or (
        2 * n_numbers < len(cells)
        and any(_BAND.fullmatch(_plain(cell)) for cell in cells if len(cell) <= _LONGEST_NUMBER)
    )


def why_no_number(cell: str, bands: bool) -> str | None:
    """Say why what looks like a number is none.

    Parameters
    ----------
    cell : str
        No number in the sense of `is_number`.
    bands : bool
        Whether it stands among bands, where an open one is a word.

    Returns
    -------
    str or None
        What is wrong with it and what to write; None of any word, of a version such as ``5.3.0``
        among them.

    Examples
    --------
    >>> why_no_number("0x10", bands=False)
    'is no finite decimal number'
    >>> [why_no_number(cell, bands=True) for cell in ("36+", "Marburg1", "5.3.0")]
    [None, None, None]
    """
    if len(cell) > _LONGEST_NUMBER:
        return None
    text = _plain(cell)
    if _is_date(text) or _TIME.fullmatch(text):
        return "is a date or a time; write a number, such as the age in years"
    if _NOT_FINITE.fullmatch(text):
        return "is no finite decimal number"
    if is_number(text):
        return "has characters that only look like a number's; type it anew"
    if _VERSION.fullmatch(text) and not _THOUSANDS.fullmatch(text):
        return None
    if _SEPARATED.fullmatch(text):
        return "has a comma, a blank or another sign in it; write it like 1234.5"
    if _WITH_UNIT.fullmatch(text) and not (bands and _OPEN_BAND.fullmatch(text)):
        return "has a unit or a sign; write the number alone, and the unit in the column's name"
    return None


def _plain(cell: str) -> str:
    """Bring digits, signs and letters into their plain form."""
    text = unicodedata.normalize("NFKC", cell).replace("\u2212", "-").replace("\u200b", "")
    return text.casefold()


def _is_date(text: str) -> bool:
    """Tell a date: with a month's name, or three numbers that can be a day, a month and a year."""
    if _NAMED_DATE.fullmatch(text):
        return True
    match = _THREE_NUMBERS.fullmatch(text)
    if match is None:
        return False
    first, sign, second, third = match.groups()
    if len(first) == 4 or (int(first) > 31 and sign != "."):
        first, third = third, first
    lower, higher = sorted((int(first), int(second)))
    is_year = len(third) == 2 or re.fullmatch(_FULL_YEAR, third) is not None
    return is_year and len(first) <= 2 and 1 <= lower <= 12 and higher <= 31
