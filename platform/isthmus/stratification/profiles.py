"""What each stratum looks like: means of factors and phenotypes, shares of categories.

Shape suffixes: A subjects clustered, M members of a stratum of whom a target is known.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from isthmus.stratification.partition import Partition, StrataOutcome
from isthmus.stratification.targets import TargetGroup
from isthmus.stratification.tested import Profile

FloatArray = npt.NDArray[np.float64]


def make_profiles(groups: Sequence[TargetGroup], strata: StrataOutcome) -> tuple[Profile, ...]:
    """Describe every stratum by every target.

    The values are raw: confounds are not regressed out, and all members of whom the target is
    known count, also those that were not tested for want of a confound. A profile describes; that
    strata differ is said by the tests alone.

    Parameters
    ----------
    groups : sequence of TargetGroup
        What was related to the strata.
    strata : Partition, DegeneratePartition or NonConvergence
        Of the subjects that the groups were made of.

    Returns
    -------
    tuple of Profile
        Stratum by stratum; empty without a partition.

    Notes
    -----
    The standard error is ``s / sqrt(n)`` with the stratum's own standard deviation s; of a share
    p that is ``sqrt(p (1 - p) / (n - 1))``. It takes relatives to be independent.
    """
    if not isinstance(strata, Partition):
        return ()
    return profile_labels(groups, np.array(strata.labels))


def profile_labels(
    groups: Sequence[TargetGroup], labels_A: npt.NDArray[np.integer]
) -> tuple[Profile, ...]:
    """Describe every stratum by every target, whoever put the subjects into strata.

    Parameters
    ----------
    groups : sequence of TargetGroup
        What was related to the strata.
    labels_A : ndarray of int, shape (a,)
        Stratum of each of the subjects that the groups were made of.

    Returns
    -------
    tuple of Profile
        As `make_profiles`, of the strata that have a member.
    """
    return tuple(
        _profile(int(stratum), name, group, column_A[labels_A == stratum])
        for stratum in np.unique(labels_A)
        for group in groups
        for name, column_A in _columns(group)
    )


def _columns(group: TargetGroup) -> Iterator[tuple[str, FloatArray]]:
    """Give each column of a group the name it is shown under."""
    names = group.names
    if group.kind == "category":
        names = tuple(f"{group.names[0]}={level}" for level in group.levels)
    yield from zip(names, group.values_AV.T, strict=True)


def _profile(stratum: int, name: str, group: TargetGroup, column: FloatArray) -> Profile:
    """Average one column over the members of a stratum."""
    known_M = column[~np.isnan(column)]
    n = known_M.size
    return Profile(
        stratum=stratum,
        target=name,
        kind=group.kind,
        n=n,
        mean=float(known_M.mean()) if n else None,
        standard_error=float(known_M.std(ddof=1) / np.sqrt(n)) if n > 1 else None,
    )
