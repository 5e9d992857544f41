"""Clouds that have a cohort's spectrum and its families, and no strata.

Shape suffixes: N subjects, R columns of the cloud.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt

from isthmus.stratification.resampling import family_codes

FloatArray = npt.NDArray[np.float64]


def family_likeness(points_NR: FloatArray, families_N: Sequence[Hashable]) -> float:
    """Estimate how alike relatives are: one intraclass correlation for the whole cloud.

    Parameters
    ----------
    points_NR : ndarray, shape (n, r)
        Centred points.
    families_N : sequence of hashable, length n
        Family of each subject.

    Returns
    -------
    float
        In [0, 0.99]; 0 where nobody has a relative.

    Notes
    -----
    The mean product of relatives' points over the mean square of a point, plus ``1 / (n - 1)``
    for the centring: components count by their variance. Twins and siblings are given one number.
    """
    codes = family_codes(families_N)
    n = len(codes)
    sums = np.zeros((int(codes.max()) + 1, points_NR.shape[1]))
    np.add.at(sums, codes, points_NR)
    squares = float((points_NR**2).sum())
    n_ordered_pairs = int((np.bincount(codes) * (np.bincount(codes) - 1)).sum())
    if n_ordered_pairs == 0 or squares == 0.0:
        return 0.0
    products = (float((sums**2).sum()) - squares) / n_ordered_pairs
    return float(np.clip(products / (squares / n) + 1.0 / (n - 1), 0.0, 0.99))


def draw_cloud(
    lengths_R: FloatArray,
    families_N: Sequence[Hashable],
    likeness: float,
    stream: np.random.Generator,
) -> FloatArray:
    """Draw a cloud without strata that has exactly these principal lengths.

    Parameters
    ----------
    lengths_R : ndarray, shape (r,)
        Singular values of the centred points, falling; r below n.
    families_N : sequence of hashable, length n
        Family of each subject.
    likeness : float
        Intraclass correlation of relatives, in [0, 1).
    stream : numpy.random.Generator
        Source of the draw.

    Returns
    -------
    ndarray, shape (n, r)
        Centred points along the principal axes.

    Notes
    -----
    Of Gaussian data ``X = U S V'``, the orientation U of unrelated subjects is uniform and
    independent of S and V. So a cloud of the same S and a new U is a draw of what Gaussian
    embeddings would have been, *given* their sample covariance, and a comparison with such
    clouds is exact for any number of columns. Drawing from a Gaussian of the sample covariance
    instead would spread the spectrum a second time. With relatives, U is the orthonormal basis of
    Gaussian columns in which members of a family correlate by `likeness`, leading columns first,
    and the comparison is approximate. Cost O(n r^2).
    """
    codes = family_codes(families_N)
    shared = stream.standard_normal((int(codes.max()) + 1, len(lengths_R)))
    own = stream.standard_normal((len(codes), len(lengths_R)))
    drawn = np.sqrt(likeness) * shared[codes] + np.sqrt(1.0 - likeness) * own
    drawn -= drawn.mean(axis=0)
    basis_NR: FloatArray = np.linalg.qr(drawn)[0]
    return basis_NR * lengths_R
