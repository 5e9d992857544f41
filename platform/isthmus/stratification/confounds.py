"""Regressing confounds out of targets, before and after a permutation.

Shape suffixes: N subjects, C confounds, Q columns of their basis.
"""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# Residuals that would be equal on paper differ by rounding; ranks must not tell them apart.
TIE_TOLERANCE = 1e-11
_RANK_TOLERANCE = 1e-9
_VARIANCE_TOLERANCE = 1e-10


def confound_basis(confounds_NC: FloatArray) -> FloatArray:
    """Make an orthonormal basis of the intercept and the confounds.

    Parameters
    ----------
    confounds_NC : ndarray, shape (n, C)
        Finite columns; constant and collinear ones are allowed and add nothing.

    Returns
    -------
    ndarray, shape (n, q)
        Orthonormal columns, q the rank.
    """
    n = confounds_NC.shape[0]
    centred = confounds_NC - confounds_NC.mean(axis=0)
    scale = centred.std(axis=0)
    scaled = centred / np.where(scale > 0, scale, 1.0)
    design = np.column_stack([np.ones(n), scaled])
    left, singular, _ = np.linalg.svd(design, full_matrices=False)
    basis: FloatArray = left[:, singular > _RANK_TOLERANCE * singular[0]]
    return basis


def residuals(values: FloatArray, basis_NQ: FloatArray) -> FloatArray:
    """Remove what a basis explains.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        Values of the subjects, along the last axis.
    basis_NQ : ndarray, shape (n, q)
        Orthonormal columns.

    Returns
    -------
    ndarray, shape (..., n)
        What is left.
    """
    left: FloatArray = values - (values @ basis_NQ) @ basis_NQ.T
    return left


def standard_residuals(values: FloatArray, basis_NQ: FloatArray) -> FloatArray:
    """Scale values to unit variance and remove what a basis explains.

    Parameters
    ----------
    values : ndarray, shape (..., n)
        Values of the subjects, along the last axis.
    basis_NQ : ndarray, shape (n, q)
        Orthonormal columns, a constant among what they span.

    Returns
    -------
    ndarray, shape (..., n)
        What is left; exact zeros where that is no more than rounding.
    """
    centred = values - values.mean(axis=-1, keepdims=True)
    scale = centred.std(axis=-1, keepdims=True)
    left = residuals(centred / np.where(scale > 0, scale, 1.0), basis_NQ)
    explained = left.var(axis=-1, keepdims=True) < _VARIANCE_TOLERANCE
    return np.where(explained, 0.0, left)
