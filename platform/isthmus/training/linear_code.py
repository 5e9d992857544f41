"""Principal components of the training images: the linear code that an embedding must beat.

Legend: N training subject, P voxel of the mask in any modality, K component.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from isthmus.core.files import reserve

CHUNK_VOXELS = 1 << 16
NEGLIGIBLE = 1e-12

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinearCode:
    """A principal component analysis, kept as combinations of the training subjects.

    Attributes
    ----------
    rows_NP : ndarray of float32 (N, P)
        Training subjects less their mean; may be a memory map.
    mean_P : ndarray of float32 (P,)
        Mean of the training subjects.
    weights_NK : ndarray of float64 (N, K)
        Component k is ``sum_n weights[n, k] rows[n]``, of unit length.
    train_NK : ndarray of float64 (N, K)
        Scores of the training subjects.
    """

    rows_NP: Float32Array
    mean_P: Float32Array
    weights_NK: Float64Array
    train_NK: Float64Array

    @property
    def n_components(self) -> int:
        """Components, K."""
        return int(self.weights_NK.shape[1])

    def project(self, x_P: Float32Array) -> Float64Array:
        """Compute the scores of one subject.

        Parameters
        ----------
        x_P : ndarray (P,)
            In-mask voxels of all modalities.

        Returns
        -------
        ndarray of float64 (K,)
            Scores; one pass over the training rows.
        """
        inner_N = np.zeros(len(self.rows_NP))
        for part in _chunks(len(x_P)):
            inner_N += self.rows_NP[:, part] @ (x_P[part] - self.mean_P[part])
        return inner_N @ self.weights_NK

    def reconstruct(self, scores_K: Float64Array) -> Float32Array:
        """Reconstruct one subject from its scores.

        Parameters
        ----------
        scores_K : ndarray (K,)
            Scores.

        Returns
        -------
        ndarray of float32 (P,)
            In-mask voxels; one pass over the training rows.
        """
        shares_N = (self.weights_NK @ scores_K).astype(np.float32)
        y_P = np.empty_like(self.mean_P)
        for part in _chunks(len(y_P)):
            y_P[part] = self.mean_P[part] + shares_N @ self.rows_NP[:, part]
        return y_P


def fit_linear_code(rows_NP: Float32Array, n_components: int) -> LinearCode:
    """Fit principal components to rows that may not fit into memory.

    Parameters
    ----------
    rows_NP : ndarray of float32 (N, P)
        Training subjects; centred in place. A memory map keeps memory bounded.
    n_components : int
        Most components to keep; at most N - 1 are, and none without variance.

    Returns
    -------
    LinearCode
        Components by falling variance.

    Notes
    -----
    With far more voxels than subjects, the components are found from the Gram matrix
    ``G = X X' = U L U'`` of the centred rows: component k is ``X' u_k / sqrt(l_k)`` and the scores
    are ``u_k sqrt(l_k)``. This is exact, where a randomised SVD is an approximation, and needs
    N^2 P multiplications, N^3 more for the eigenvectors, N P float32 values of storage and
    ``CHUNK_VOXELS`` x N float64 values of memory. The sign of a component is fixed so that its
    largest training score is positive.

    Examples
    --------
    >>> rows = np.array([[0, 1], [1, 3], [2, 5]], dtype=np.float32)
    >>> code = fit_linear_code(rows.copy(), n_components=2)
    >>> code.n_components  # the points lie on a line
    1
    >>> code.reconstruct(code.project(rows[2])).round(3)
    array([2., 5.], dtype=float32)
    """
    n_rows, n_voxels = rows_NP.shape
    mean_P = np.empty(n_voxels, dtype=np.float32)
    gram_NN = np.zeros((n_rows, n_rows))
    for part in _chunks(n_voxels):
        mean_P[part] = rows_NP[:, part].mean(axis=0, dtype=np.float64)
        rows_NP[:, part] -= mean_P[part]
        exact = rows_NP[:, part].astype(np.float64)
        gram_NN += exact @ exact.T
    values, vectors = eigh(gram_NN)
    values, vectors = values[::-1], vectors[:, ::-1]
    # Centring leaves at most N - 1 directions; below that there is only float32's rounding.
    n_varying = int((values > max(values[0], 0.0) * NEGLIGIBLE).sum())
    n_kept = min(n_components, n_rows - 1, n_varying)
    scale, vectors = np.sqrt(values[:n_kept]), vectors[:, :n_kept]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(n_kept)])
    return LinearCode(rows_NP, mean_P, vectors / scale, vectors * scale)


def empty_rows(n_rows: int, n_voxels: int, folder: Path) -> Float32Array:
    """Make rows on disk, of which the system keeps in memory what fits.

    Parameters
    ----------
    n_rows, n_voxels : int
        Shape.
    folder : Path
        Where the file goes, without a name; it vanishes with the array.

    Returns
    -------
    ndarray of float32 (N, P)
        A memory map.

    Raises
    ------
    OSError
        If the disk has no room for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as file:
        reserve(file, max(1, n_rows * n_voxels * np.dtype(np.float32).itemsize))
        return np.memmap(file, dtype=np.float32, mode="w+", shape=(n_rows, n_voxels))


def _chunks(n_voxels: int) -> Iterator[slice]:
    """Cut the voxels into ranges that fit in memory."""
    return (slice(i, i + CHUNK_VOXELS) for i in range(0, n_voxels, CHUNK_VOXELS))
