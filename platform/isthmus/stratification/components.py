"""Principal components of a correlation matrix: how many, and rotated by Varimax.

Shape suffixes: P phenotypes, K factors.
"""

import numpy as np
import numpy.typing as npt
from statsmodels.multivariate.factor_rotation import rotate_factors

from isthmus.core.errors import StratificationError
from isthmus.core.seeds import generator

FloatArray = npt.NDArray[np.float64]

_N_RANDOM_TABLES = 500
_CHANCE_PERCENTILE = 95.0
_N_STARTS = 4
_NO_VARIANCE = 1e-10
# At 1e-8 the criterion's own rounding stops the search from ever arriving.
_GRADIENT_TOLERANCE = 1e-7


def chance_eigenvalues(n: int, p: int, seed: int) -> FloatArray:
    """Find how large the eigenvalues of unrelated columns get by chance.

    Parameters
    ----------
    n, p : int
        Subjects and columns.
    seed : int
        Seed of the random tables.

    Returns
    -------
    ndarray, shape (p,)
        95th percentile, over 500 tables of independent normal values, of each ordered eigenvalue
        of the correlation matrix [1]_.

    References
    ----------
    .. [1] Horn (1965), Psychometrika 30, 179-185; the percentile in place of the mean: Glorfeld
       (1995), Educ. Psychol. Meas. 55, 377-393.
    """
    if p == 1:
        return np.ones(1)
    stream = generator(seed, "parallel_analysis", n, p)
    drawn = np.empty((_N_RANDOM_TABLES, p))
    for row in drawn:
        z_NP = stream.standard_normal((n, p))
        z_NP -= z_NP.mean(axis=0)
        z_NP /= np.linalg.norm(z_NP, axis=0)
        row[:] = np.linalg.eigvalsh(z_NP.T @ z_NP)[::-1]
    return np.percentile(drawn, _CHANCE_PERCENTILE, axis=0)


def principal(correlation_PP: FloatArray, n_factors: int) -> tuple[FloatArray, FloatArray]:
    """Extract principal components of a correlation matrix and rotate them by Varimax.

    Parameters
    ----------
    correlation_PP : ndarray, shape (p, p)
        A correlation matrix; it may be singular.
    n_factors : int
        Components to keep.

    Returns
    -------
    loadings : ndarray, shape (p, k)
        Rotated; columns by falling explained variance, the largest loading of each positive.
    weights : ndarray, shape (p, k)
        What standardised phenotypes are multiplied with to give the scores (regression method).

    Raises
    ------
    StratificationError
        If fewer than `n_factors` components have variance.

    Notes
    -----
    With ``R = V D V'`` and the rotation T, loadings are ``V_k D_k^(1/2) T``. The regression
    weights ``R^-1 L`` are then ``V_k D_k^(-1/2) T``, which needs no inverse of R. The same as
    ``psych::principal(R, k, rotate = "varimax")`` up to signs.
    """
    eigenvalues, vectors = np.linalg.eigh(correlation_PP)
    require_rank(eigenvalues, n_factors)
    top = np.argsort(-eigenvalues, kind="stable")[:n_factors]
    root = np.sqrt(eigenvalues[top])
    rotation = varimax(vectors[:, top] * root)
    loadings_PK = vectors[:, top] * root @ rotation
    weights_PK = vectors[:, top] / root @ rotation
    order = np.argsort(-(loadings_PK**2).sum(axis=0), kind="stable")
    loadings_PK, weights_PK = loadings_PK[:, order], weights_PK[:, order]
    largest = np.abs(loadings_PK).argmax(axis=0)
    signs = np.where(loadings_PK[largest, np.arange(n_factors)] < 0, -1.0, 1.0)
    return loadings_PK * signs, weights_PK * signs


def require_rank(eigenvalues: FloatArray, n_factors: int, n_subjects: int | None = None) -> None:
    """Refuse more factors than components have variance.

    Parameters
    ----------
    eigenvalues : ndarray, shape (p,)
        Of the correlation matrix.
    n_factors : int
        Factors asked for.
    n_subjects : int, optional
        Subjects that the factors will be made of, where they are not those of the matrix.

    Raises
    ------
    StratificationError
        If there are fewer.
    """
    n_usable = int((eigenvalues > _NO_VARIANCE).sum())
    if n_subjects is not None:
        n_usable = min(n_usable, n_subjects - 1)
    if n_factors > n_usable:
        raise StratificationError(
            "stratification.factors.n_factors must be at most the number of usable phenotypes "
            f"that are no sums of others ({n_usable}), got {n_factors}."
        )


def varimax(loadings_PK: FloatArray) -> FloatArray:
    """Find the Varimax rotation with Kaiser normalisation.

    Parameters
    ----------
    loadings_PK : ndarray, shape (p, k)
        Unrotated loadings.

    Returns
    -------
    ndarray, shape (k, k)
        Orthogonal.

    Notes
    -----
    Rows are scaled to unit length, so that each phenotype has the same say [1]_, and the variance
    of the squared loadings is maximised by gradient projection. A symmetric start is a stationary
    point that is no maximum, so several fixed starts are tried and the best is kept.

    References
    ----------
    .. [1] Kaiser (1958), Psychometrika 23, 187-200.
    """
    k = loadings_PK.shape[1]
    if k == 1:
        return np.eye(1)
    length = np.linalg.norm(loadings_PK, axis=1, keepdims=True)
    unit_PK = loadings_PK / np.where(length > 0, length, 1.0)
    stream = np.random.default_rng(0)
    starts = [np.eye(k)]
    starts += [np.linalg.qr(stream.standard_normal((k, k)))[0] for _ in range(_N_STARTS - 1)]
    best, best_criterion = np.eye(k), -np.inf
    for start in starts:
        # The library logs the gradient's logarithm, which may be that of zero.
        with np.errstate(divide="ignore"):
            rotated_PK, rotation = rotate_factors(
                unit_PK, "varimax", T=start, tol=_GRADIENT_TOLERANCE
            )
        criterion = float((rotated_PK**2).var(axis=0).sum())
        if criterion > best_criterion + 1e-9:
            best, best_criterion = rotation, criterion
    return best
