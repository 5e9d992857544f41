"""All arms at once: ranks within folds, Friedman's test, and who cannot be told apart.

Legend: J block (a fold at a seed), A arm.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import friedmanchisquare, rankdata

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FriedmanTest:
    """Arms ranked within each block.

    Attributes
    ----------
    average_ranks : tuple of float
        Of each arm, in the order they were given; 1 is best, ties share.
    statistic : float
        Chi-square with A - 1 degrees of freedom, corrected for ties.
    p_value : float
        Of all arms being alike.
    n_blocks : int
        Blocks.
    """

    average_ranks: tuple[float, ...]
    statistic: float
    p_value: float
    n_blocks: int


def friedman(scores_JA: FloatArray, larger_is_better: bool) -> FriedmanTest:
    """Rank arms within blocks and test whether any of them stands out.

    Parameters
    ----------
    scores_JA : ndarray, shape (J, A)
        At least three arms, and one block.
    larger_is_better : bool
        Whether the largest score has rank 1.

    Returns
    -------
    FriedmanTest
        With statistic 0 and p-value 1 where all arms tie in every block.

    Notes
    -----
    The test [1]_, as Demsar [2]_ uses it over independent data sets, takes blocks to be
    independent. Folds of one cohort share subjects, so the p-value is too small: it is a look at
    all arms together, and pairs are decided by the corrected t-test alone.

    References
    ----------
    .. [1] Friedman (1937), J. Am. Stat. Assoc. 32, 675-701.
    .. [2] Demsar (2006), J. Mach. Learn. Res. 7, 1-30.
    """
    n_blocks, n_arms = scores_JA.shape
    assert n_arms >= 3, "two arms are a pair"
    ranks_JA = rankdata(-scores_JA if larger_is_better else scores_JA, axis=1)
    average = tuple(float(rank) for rank in ranks_JA.mean(axis=0))
    if bool((ranks_JA == ranks_JA[:, :1]).all()):
        return FriedmanTest(average, 0.0, 1.0, n_blocks)
    found = friedmanchisquare(*ranks_JA.T)
    return FriedmanTest(average, float(found.statistic), float(found.pvalue), n_blocks)


def indistinct_groups(
    order: Sequence[str], different: Collection[frozenset[str]]
) -> tuple[tuple[str, ...], ...]:
    """Find the bars of a critical-difference diagram.

    Parameters
    ----------
    order : sequence of str
        Arms by rank.
    different : collection of frozenset of str
        Pairs that differ significantly.

    Returns
    -------
    tuple of tuple of str
        The longest runs of neighbours, two arms or more, in which no two differ; none is part of
        another. They may overlap.

    Notes
    -----
    Pairs are tested by their differences and not by their ranks, so two arms that differ may have
    an arm between them that differs from neither; and two that do not, one that differs from both.
    Arms of which no bar spans two need not differ.

    Examples
    --------
    >>> indistinct_groups(["a", "b", "c"], {frozenset({"a", "c"})})
    (('a', 'b'), ('b', 'c'))
    """
    groups: list[tuple[str, ...]] = []
    reached = 0
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and not any(
            frozenset({order[end], order[i]}) in different for i in range(start, end)
        ):
            end += 1
        if end - start > 1 and end > reached:
            groups.append(tuple(order[start:end]))
            reached = end
    return tuple(groups)
