"""Several tests of one kind: p-values adjusted, and the level that is left to each at worst."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from isthmus.stratification.correction import false_discovery_rate, holm

Correction = Literal["holm", "bonferroni", "fdr_by"]


def adjust(p_values: Sequence[float], correction: Correction) -> tuple[float, ...]:
    """Adjust p-values for having been looked at together.

    Parameters
    ----------
    p_values : sequence of float
        In [0, 1].
    correction : {"holm", "bonferroni", "fdr_by"}
        The first two bound the chance of any false rejection, the last (Benjamini & Yekutieli
        2001) the expected share of false ones among rejections; each whatever the dependence.

    Returns
    -------
    tuple of float
        In the same order.

    Examples
    --------
    >>> adjust([0.01, 0.04, 0.03], "holm")
    (0.03, 0.06, 0.06)
    """
    p_F = np.asarray(p_values, dtype=np.float64)
    if not p_F.size:
        return ()
    if correction == "holm":
        adjusted_F = holm(p_F)
    elif correction == "bonferroni":
        adjusted_F = np.minimum(1.0, p_F.size * p_F)
    else:
        adjusted_F = false_discovery_rate(p_F, "fdr_by")
    return tuple(float(p) for p in adjusted_F)


def level_at_worst(alpha: float, n_tests: int, correction: Correction) -> float:
    """Say below which level a p-value is significant whatever the others are.

    Parameters
    ----------
    alpha : float
        Level of the family.
    n_tests : int
        Its size, at least 1.
    correction : {"holm", "bonferroni", "fdr_by"}
        As of `adjust`.

    Returns
    -------
    float
        alpha / n; for ``fdr_by`` divided by 1 + 1/2 + ... + 1/n as well. Under Holm and
        Benjamini-Yekutieli a test has more where others are significant too.

    Examples
    --------
    >>> level_at_worst(0.05, 10, "holm")
    0.005
    """
    level = alpha / n_tests
    if correction == "fdr_by":
        level /= sum(1 / i for i in range(1, n_tests + 1))
    return level
