"""Draws of whole families: whom each resample clusters anew."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import RobustnessConfig
from isthmus.core.seeds import generator

IndexArray = npt.NDArray[np.intp]


def family_codes(families_N: Sequence[Hashable]) -> IndexArray:
    """Give families numbers, in the order of their first member.

    Parameters
    ----------
    families_N : sequence of hashable, length n
        Family of each subject.

    Returns
    -------
    ndarray of int, shape (n,)
        From 0.

    Examples
    --------
    >>> family_codes(["b", "a", "b"])
    array([0, 1, 0])
    """
    number: dict[Hashable, int] = {}
    return np.array(
        [number.setdefault(family, len(number)) for family in families_N], dtype=np.intp
    )


def draw_rows(
    families_N: Sequence[Hashable], config: RobustnessConfig, seed: int, number: int
) -> IndexArray:
    """Draw families, and list their subjects once each.

    A family that the bootstrap draws twice is clustered once: copies of a subject would be each
    other's nearest and invent strata. So a bootstrap draw holds about 63 % of the families.

    Parameters
    ----------
    families_N : sequence of hashable, length n
        Family of each subject.
    config : RobustnessConfig
        `scheme` and `subsample_share` are read.
    seed : int
        Seed of all draws.
    number : int
        Which draw; each has a stream of its own, so any of them can be drawn alone.

    Returns
    -------
    ndarray of int, shape (m,)
        Positions of the subjects drawn, rising; at least two families.

    Examples
    --------
    >>> draw_rows(["a", "a", "b", "c", "d"], RobustnessConfig(), seed=0, number=1)
    array([0, 1, 3, 4])
    """
    codes = family_codes(families_N)
    n_families = int(codes.max()) + 1
    stream = generator(seed, "resampling", config.scheme, number)
    if config.scheme == "subsample":
        m = min(n_families, max(2, round(config.subsample_share * n_families)))
        drawn = stream.choice(n_families, m, replace=False)
    else:
        drawn = stream.integers(0, n_families, n_families)
        while n_families > 1 and (drawn == drawn[0]).all():
            drawn = stream.integers(0, n_families, n_families)
    return np.flatnonzero(np.isin(codes, drawn))
