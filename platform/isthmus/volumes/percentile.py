"""Exact percentiles of more values than fit in memory, in two passes over them."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

_HALF_BITS = 16
_N_BINS = 1 << _HALF_BITS
_SIGN = np.uint32(0x80000000)

Values = npt.NDArray[np.float32]


def pooled_percentiles(
    passes: Callable[[], Iterable[Values]], percents: Sequence[float]
) -> tuple[float, ...]:
    """Compute percentiles of values that come in parts.

    Parameters
    ----------
    passes : callable
        Gives the parts, each a float32 array of finite values; called twice, it must give the
        same values each time.
    percents : sequence of float
        Each in [0, 100].

    Returns
    -------
    tuple of float
        As ``numpy.percentile`` (linear interpolation) of all parts together.

    Raises
    ------
    ValueError
        If there are no values.

    Notes
    -----
    float32 values sort as the 32-bit integers made of their bits (negative ones reversed). The
    first pass counts the upper 16 bits, the second the lower 16 bits within the few bins where
    the wanted ranks fall: exact for any distribution, with 0.5 MiB for each wanted rank.

    Examples
    --------
    >>> parts = [np.float32([3, 1]), np.float32([2])]
    >>> pooled_percentiles(lambda: parts, [50.0])
    (2.0,)
    """
    upper_counts = np.zeros(_N_BINS, dtype=np.int64)
    for part in passes():
        upper_counts += np.bincount(_keys(part) >> _HALF_BITS, minlength=_N_BINS)
    n_values = int(upper_counts.sum())
    if n_values == 0:
        raise ValueError("percentiles need values, got none")
    positions = [(n_values - 1) * percent / 100.0 for percent in percents]
    ranks = sorted({rank for position in positions for rank in _neighbours(position, n_values)})
    ends = np.cumsum(upper_counts)
    bins = {rank: int(np.searchsorted(ends, rank, side="right")) for rank in ranks}
    lower_counts = {place: np.zeros(_N_BINS, dtype=np.int64) for place in bins.values()}
    for part in passes():
        keys = _keys(part)
        upper = keys >> _HALF_BITS
        for place, counts in lower_counts.items():
            lower = keys[upper == place] & (_N_BINS - 1)
            counts += np.bincount(lower, minlength=_N_BINS)
    found = {}
    for rank, place in bins.items():
        within = rank - (int(ends[place - 1]) if place else 0)
        lower_end = np.cumsum(lower_counts[place])
        found[rank] = _value(
            (place << _HALF_BITS) | int(np.searchsorted(lower_end, within, "right"))
        )
    return tuple(_interpolated(found, position, n_values) for position in positions)


def _neighbours(position: float, n_values: int) -> tuple[int, int]:
    """Ranks below and above a position between ranks."""
    below = int(position)
    return below, min(below + 1, n_values - 1)


def _interpolated(found: dict[int, float], position: float, n_values: int) -> float:
    """Value at a position between ranks."""
    below, above = _neighbours(position, n_values)
    return found[below] + (position - below) * (found[above] - found[below])


def _keys(values: Values) -> npt.NDArray[np.uint32]:
    """Integers that sort as the values do."""
    # Adding 0 turns -0 into +0, which it equals.
    bits = (np.ascontiguousarray(values, dtype=np.float32) + np.float32(0)).view(np.uint32)
    keys: npt.NDArray[np.uint32] = np.where(bits & _SIGN, ~bits, bits | _SIGN).ravel()
    return keys


def _value(key: int) -> float:
    """Undo `_keys`."""
    bits = key & 0x7FFFFFFF if key & 0x80000000 else ~key & 0xFFFFFFFF
    return float(np.array([bits], dtype=np.uint32).view(np.float32)[0])
