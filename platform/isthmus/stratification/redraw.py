"""Clustering draws of a cloud, and how well they agree with the whole.

Shape suffixes: N subjects, M subjects drawn.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.cloud import Cloud
from isthmus.stratification.clusterers import Clustering, recluster
from isthmus.stratification.stability import adjusted_rand

IndexArray = npt.NDArray[np.intp]


def strata_of_draw(
    cloud: Cloud, rows_M: IndexArray, setting: float, config: StratificationConfig, seed: int
) -> IndexArray | None:
    """Cluster the subjects of a draw.

    Parameters
    ----------
    cloud : Cloud
        The whole.
    rows_M : ndarray of int, shape (m,)
        Rising positions of the subjects drawn.
    setting : float
        The whole's: see `isthmus.stratification.clusterers.recluster`.
    config : StratificationConfig
        The clusterer.
    seed : int
        Seed of its starts.

    Returns
    -------
    ndarray of int, shape (m,), or None
        Their strata; None where the clusterer failed or found one stratum.
    """
    found = recluster(cloud, rows_M, setting, config, seed)
    if not isinstance(found, Clustering) or len(found.exemplars_K) < 2:
        return None
    return found.labels_M


def mean_agreement(
    cloud: Cloud,
    labels_N: IndexArray,
    setting: float,
    draws: Iterable[tuple[IndexArray, int]],
    config: StratificationConfig,
) -> float:
    """Average the agreement of draws with the whole.

    Parameters
    ----------
    cloud : Cloud
        The whole.
    labels_N : ndarray of int, shape (n,)
        Its strata.
    setting : float
        How they were found.
    draws : iterable of (ndarray of int, int)
        Rows of each draw, and the seed of its clustering.
    config : StratificationConfig
        The clusterer.

    Returns
    -------
    float
        Mean adjusted Rand index; a draw without strata agrees with nothing and counts as 0.
    """
    agreements = []
    for rows_M, seed in draws:
        drawn_M = strata_of_draw(cloud, rows_M, setting, config, seed)
        agreements.append(0.0 if drawn_M is None else adjusted_rand(labels_N[rows_M], drawn_M))
    return float(np.mean(agreements))
