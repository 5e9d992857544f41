"""Mean image and linear code of an encoder's training subjects, as predictors of whole images.

Legend: N subject, M modality, D H W the grid, P voxel of the mask in any modality, K component.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from isthmus.training.encoder import LoadedEncoder
from isthmus.training.linear_code import LinearCode, empty_rows, fit_linear_code
from isthmus.volumes.store import VolumeStore

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LinearPredictor:
    """A linear code as a predictor of whole images; outside the mask it answers the mean image.

    Attributes
    ----------
    encoder : LoadedEncoder
        Its normalisation and mask are used.
    code : LinearCode
        Fitted on the training subjects.
    mean_MDHW : ndarray of float32 (M, D, H, W)
        Mean of the training images.
    """

    encoder: LoadedEncoder
    code: LinearCode
    mean_MDHW: FloatArray

    def project(self, x_MDHW: FloatArray) -> FloatArray:
        """Compute a subject's scores; what the subject lacks is the mean image.

        Parameters
        ----------
        x_MDHW : ndarray of float32 (M, D, H, W)
            Normalised images; NaN where there is none.

        Returns
        -------
        ndarray of float32 (K,)
            Scores.
        """
        x_MDHW = np.where(np.isnan(x_MDHW), self.mean_MDHW, x_MDHW)
        voxels_P = x_MDHW[:, self.encoder.normaliser.mask_DHW].ravel()
        return self.code.project(voxels_P).astype(np.float32)

    def scores(self, store: VolumeStore, ids: Sequence[str]) -> FloatArray:
        """Compute the scores of subjects.

        Parameters
        ----------
        store : VolumeStore
            Holds them.
        ids : sequence of str
            Participants.

        Returns
        -------
        ndarray of float32 (N, K)
            A row for each, in order.
        """
        rows = [self.project(x_MDHW) for _, x_MDHW in self.encoder.volumes(store, ids)]
        return np.stack(rows) if rows else np.zeros((0, self.code.n_components), np.float32)

    def reconstruct(self, x_MDHW: FloatArray) -> FloatArray:
        """Reconstruct a subject.

        Parameters
        ----------
        x_MDHW : ndarray of float32 (M, D, H, W)
            Normalised images; NaN where there is none.

        Returns
        -------
        ndarray of float32 (M, D, H, W)
            Clipped to [0, 1], as the model's answers are by its sigmoid.
        """
        voxels_P = self.code.reconstruct(self.project(x_MDHW).astype(np.float64))
        y_MDHW = self.mean_MDHW.copy()
        y_MDHW[:, self.encoder.normaliser.mask_DHW] = voxels_P.reshape(len(y_MDHW), -1)
        return np.clip(y_MDHW, 0.0, 1.0)


def fit_linear_predictor(
    encoder: LoadedEncoder, store: VolumeStore, ids: Sequence[str], folder: Path
) -> LinearPredictor:
    """Average training images, and fit principal components of as many values as the embedding.

    Parameters
    ----------
    encoder : LoadedEncoder
        What they are compared with.
    store : VolumeStore
        Holds the subjects.
    ids : sequence of str
        Whom the encoder was trained on.
    folder : Path
        Where the training images lie, without a name, as long as the predictor lives.

    Returns
    -------
    LinearPredictor
        Of at most N - 1 components.
    """
    rows_NP, mean_MDHW = _training_rows(encoder, store, ids, folder)
    code = fit_linear_code(rows_NP, encoder.model.embedding_size)
    return LinearPredictor(encoder, code, mean_MDHW)


def _training_rows(
    encoder: LoadedEncoder, store: VolumeStore, ids: Sequence[str], folder: Path
) -> tuple[FloatArray, FloatArray]:
    """Lay the training images' in-mask voxels into rows, and average the whole images.

    What a subject lacks is the mean of those who have it, in its row too.
    """
    mask_DHW, modalities = encoder.normaliser.mask_DHW, encoder.card.modalities
    n_inside = int(mask_DHW.sum())
    rows_NP = empty_rows(len(ids), len(modalities) * n_inside, folder)
    total_MDHW = np.zeros((len(modalities), *encoder.card.grid))
    known_NM = np.array([store.known(name, modalities) for name in ids], dtype=np.bool_)
    read = encoder.volumes(store, ids)
    for row_P, known_M, (_, x_MDHW) in zip(rows_NP, known_NM, read, strict=True):
        row_P[:] = x_MDHW[:, mask_DHW].ravel()
        total_MDHW[known_M] += x_MDHW[known_M]
    n_M = np.maximum(1, known_NM.sum(axis=0)).reshape(-1, 1, 1, 1)
    mean_MDHW = (total_MDHW / n_M).astype(np.float32)
    for n, m in np.argwhere(~known_NM):
        rows_NP[n, m * n_inside : (m + 1) * n_inside] = mean_MDHW[m][mask_DHW]
    return rows_NP, mean_MDHW
