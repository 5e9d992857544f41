"""How alike two partitions are: whole, and stratum by stratum.

Shape suffixes: M subjects drawn, D draws, K strata of the whole partition.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import adjusted_mutual_info_score

from isthmus.stratification.robustness import Stability, StratumStability, Trust

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.integer]

# Hennig's bounds: below, a stratum should not be trusted; above, it is stable.
NOT_TO_BE_TRUSTED = 0.6
STABLE = 0.75


def adjusted_rand(a_M: LabelArray, b_M: LabelArray) -> float:
    """Count the pairs of subjects on which two partitions agree, less what chance gives.

    Parameters
    ----------
    a_M, b_M : ndarray of int, shape (m,)
        Strata of the same subjects; how they are numbered has no influence.

    Returns
    -------
    float
        Adjusted Rand index [1]_: 1 for the same partition, 0 expected between unrelated ones.

    Notes
    -----
    As scikit-learn's, without its checks of the input, which take 50 times longer than the
    counting and would be most of the time of a matched null.

    References
    ----------
    .. [1] Hubert & Arabie (1985), J. Classif. 2, 193-218.

    Examples
    --------
    >>> adjusted_rand(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    1.0
    """
    _, a = np.unique(a_M, return_inverse=True)
    _, b = np.unique(b_M, return_inverse=True)
    n_b = int(b.max()) + 1
    together = _pairs(np.bincount(a * n_b + b))
    in_a, in_b = _pairs(np.bincount(a)), _pairs(np.bincount(b))
    by_chance = in_a * in_b / (len(a) * (len(a) - 1) / 2)
    most = (in_a + in_b) / 2
    return 1.0 if most == by_chance else (together - by_chance) / (most - by_chance)


def _pairs(sizes: LabelArray) -> float:
    """Count the pairs within groups of these sizes."""
    return float((sizes * (sizes - 1)).sum()) / 2


def compare_partitions(a_M: LabelArray, b_M: LabelArray) -> tuple[float, float]:
    """Compare two partitions of the same subjects.

    Parameters
    ----------
    a_M, b_M : ndarray of int, shape (m,)
        Strata; how they are numbered has no influence.

    Returns
    -------
    ari : float
        See `adjusted_rand`.
    ami : float
        Adjusted mutual information [1]_, the same scale.

    References
    ----------
    .. [1] Vinh, Epps & Bailey (2010), J. Mach. Learn. Res. 11, 2837-2854.

    Examples
    --------
    >>> compare_partitions(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 0]))
    (1.0, 1.0)
    """
    return adjusted_rand(a_M, b_M), float(adjusted_mutual_info_score(a_M, b_M))


def best_match_jaccard(whole_M: LabelArray, drawn_M: LabelArray, n_strata: int) -> FloatArray:
    """Find, for each stratum of the whole partition, the stratum of a draw most like it.

    Parameters
    ----------
    whole_M : ndarray of int, shape (m,)
        Strata of the whole partition, of the subjects drawn.
    drawn_M : ndarray of int, shape (m,)
        Strata that the draw gave the same subjects.
    n_strata : int
        Strata of the whole partition.

    Returns
    -------
    ndarray, shape (n_strata,)
        Largest Jaccard index over the draw's strata, in (0, 1]; NaN for a stratum of which the
        draw has nobody.

    Notes
    -----
    As in Hennig's ``clusterboot`` [1]_, a stratum is compared on the subjects drawn alone.

    References
    ----------
    .. [1] Hennig (2007), Comput. Stat. Data Anal. 52, 258-271.

    Examples
    --------
    >>> best_match_jaccard(np.array([0, 0, 0, 1]), np.array([5, 5, 6, 6]), n_strata=2)
    array([0.66666667, 0.5       ])
    """
    _, drawn = np.unique(drawn_M, return_inverse=True)
    n_found = int(drawn.max()) + 1
    shared = np.bincount(whole_M * n_found + drawn, minlength=n_strata * n_found)
    shared_KJ = shared.reshape(n_strata, n_found)
    sizes_K = shared_KJ.sum(axis=1)
    either_KJ = sizes_K[:, None] + shared_KJ.sum(axis=0)[None, :] - shared_KJ
    best_K: FloatArray = (shared_KJ / either_KJ).max(axis=1)
    return np.where(sizes_K > 0, best_K, np.nan)


def summarise_stability(
    ari_D: FloatArray,
    ami_D: FloatArray,
    jaccard_DK: FloatArray,
    n_strata_D: LabelArray,
    n_subjects_D: LabelArray,
    sizes: Sequence[int],
) -> Stability:
    """Put the draws' agreement with the whole partition in one record.

    Parameters
    ----------
    ari_D, ami_D : ndarray, shape (D,)
        0 for a draw that failed.
    jaccard_DK : ndarray, shape (D, K)
        Best matches; 0 for a draw that failed, NaN where the draw had nobody of the stratum.
    n_strata_D, n_subjects_D : ndarray of int, shape (D,)
        Strata found (0 where it failed) and subjects drawn.
    sizes : sequence of int, length K
        Members of each stratum of the whole partition.

    Returns
    -------
    Stability
        Means, intervals and the trust in each stratum.
    """
    return Stability(
        n_draws=len(ari_D),
        n_failed=int((n_strata_D == 0).sum()),
        ari=tuple(ari_D.tolist()),
        ami=tuple(ami_D.tolist()),
        ari_mean=float(ari_D.mean()),
        ami_mean=float(ami_D.mean()),
        n_strata=tuple(n_strata_D.tolist()),
        n_subjects=tuple(n_subjects_D.tolist()),
        strata=tuple(
            _of_stratum(k, size, jaccard_D[~np.isnan(jaccard_D)])
            for k, (size, jaccard_D) in enumerate(zip(sizes, jaccard_DK.T, strict=True))
        ),
    )


def _of_stratum(stratum: int, size: int, jaccard_D: FloatArray) -> StratumStability:
    """Summarise one stratum over the draws that had a member of it."""
    if not jaccard_D.size:
        return StratumStability(stratum, size, None, None, None, 0, "not_to_be_trusted")
    mean = float(jaccard_D.mean())
    low, high = np.percentile(jaccard_D, [2.5, 97.5]).tolist()
    trust: Trust = (
        "stable"
        if mean > STABLE
        else "doubtful"
        if mean >= NOT_TO_BE_TRUSTED
        else "not_to_be_trusted"
    )
    return StratumStability(stratum, size, mean, low, high, len(jaccard_D), trust)
