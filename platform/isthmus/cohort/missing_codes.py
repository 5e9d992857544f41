"""Telling numbers that stand for missing values: -999 is hardly ever one that was measured."""

from collections.abc import Collection

CERTAIN = frozenset(1.0 - 10.0**n for n in range(2, 16))
"""-99, -999 and so on: refused among values that are not negative."""

POSSIBLE = frozenset(
    {-1.0, -3.0, -4.0, -7.0, -8.0, -9.0, -10.0, -66.0, -77.0, -88.0, -121.0, -313.0}
    | {-666.0, -777.0, -818.0, -888.0, -7777.0, -8888.0}
)
"""Codes of questionnaires and of the UK Biobank, which may as well be values: told of."""

_SIGNS = frozenset({-1.0, 0.0, 1.0})


def suspects(values: Collection[float]) -> frozenset[float]:
    """Find what may be codes among values that are not negative otherwise.

    Parameters
    ----------
    values : collection of float
        All that a column has, none missing.

    Returns
    -------
    frozenset of float
        All of `CERTAIN` and `POSSIBLE` that the column has; none if any other value is negative,
        or if all are signs (-1, 0 and 1).

    Examples
    --------
    >>> sorted(suspects([34.0, 35.0, -9.0, -99.0]))
    [-99.0, -9.0]
    >>> suspects([-2.5, -999.0, 4.0]), suspects([-1.0, 1.0])
    (frozenset(), frozenset())
    """
    found = frozenset(values)
    codes = found & (CERTAIN | POSSIBLE)
    if found <= _SIGNS or any(value < 0 for value in found - codes):
        return frozenset()
    return codes
