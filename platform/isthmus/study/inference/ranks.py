"""All arms at once: ranks within folds, Friedman's test, and who cannot be told apart.

Legend: J block (a fold at a seed), A arm.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc
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
        Friedman's chi-square, corrected for ties.
    p_value : float
        Of all arms being alike, corrected for overlap: not that of the chi-square.
    n_blocks : int
        Blocks.
    """

    average_ranks: tuple[float, ...]
    statistic: float
    p_value: float
    n_blocks: int


def friedman(
    scores_JA: FloatArray, larger_is_better: bool, test_train_ratio: float
) -> FriedmanTest:
    """Rank arms within blocks and test whether any of them stands out.

    Parameters
    ----------
    scores_JA : ndarray, shape (J, A)
        At least three arms, and two blocks.
    larger_is_better : bool
        Whether the largest score has rank 1.
    test_train_ratio : float
        Held-out subjects / subjects trained on; 0 of blocks that are independent.

    Returns
    -------
    FriedmanTest
        With statistic 0 and p-value 1 where all arms tie in every block.

    Notes
    -----
    The chi-square Q [1]_ takes blocks to be independent, as Demsar's data sets are [2]_; folds of
    one cohort share subjects, and its p-value would call 15 arms that are alike different in most
    studies. The p-value here is of Iman and Davenport's [3]_ F = (J - 1) Q / (J (A - 1) - Q), the
    analysis of variance of the ranks, with A - 1 and (A - 1) (J - 1) degrees of freedom, divided by
    1 + J n_test / n_train: what the corrected t-test divides its squared t by
    (`isthmus.study.inference.resampled_t.resampled_t`). Of ranks both are approximations, good
    from some seven arms on. It is a look at all arms together; pairs are decided by the t-test.

    Blocks that all rank alike have no residual. They are given that of two neighbours that change
    places in one block, the least that there can be otherwise.

    References
    ----------
    .. [1] Friedman (1937), J. Am. Stat. Assoc. 32, 675-701.
    .. [2] Demsar (2006), J. Mach. Learn. Res. 7, 1-30.
    .. [3] Iman & Davenport (1980), Communications in Statistics A 9, 571-595.
    """
    n_blocks, n_arms = scores_JA.shape
    assert n_arms >= 3, "two arms are a pair"
    assert n_blocks >= 2, "one block has no spread"
    ranks_JA = rankdata(-scores_JA if larger_is_better else scores_JA, axis=1)
    average = tuple(float(rank) for rank in ranks_JA.mean(axis=0))
    if bool((ranks_JA == ranks_JA[:, :1]).all()):
        return FriedmanTest(average, 0.0, 1.0, n_blocks)
    statistic = float(friedmanchisquare(*ranks_JA.T).statistic)
    spread = float(((ranks_JA - (n_arms + 1) / 2) ** 2).sum())
    least = 2 * (n_blocks - 1) * (n_arms - 1) / spread
    f = (n_blocks - 1) * statistic / max(n_blocks * (n_arms - 1) - statistic, least)
    f /= 1 + n_blocks * test_train_ratio
    p_value = float(fdtrc(n_arms - 1, (n_arms - 1) * (n_blocks - 1), f))
    return FriedmanTest(average, statistic, p_value, n_blocks)


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
