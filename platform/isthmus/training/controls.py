"""What an encoder's numbers are compared with, on the same held-out subjects and mask.

| control             | what it tells                                                     |
|---------------------|-------------------------------------------------------------------|
| `mean_image`        | what knowing nothing of the subject scores                        |
| `pca`               | what a linear code with as many values scores                     |
| `embedding_shuffle` | how much the embedding matters, beside the subject's own skips    |
| `skip_ablation`     | how much the skip connections carry                               |
| `random_encoder`    | what the untrained network answers, and what its embedding holds  |

Legend: N subject, M modality, D H W the grid, P voxel of the mask in any modality.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from isthmus.cohort.splits import Fold
from isthmus.core.seeds import generator
from isthmus.training.encoder import LoadedEncoder, load_encoder, untrained
from isthmus.training.evaluate import Predictor, Tissue, score_predictors
from isthmus.training.linear_code import LinearCode, empty_rows, fit_linear_code
from isthmus.training.prefetch import Reading
from isthmus.volumes.store import VolumeStore

MODEL = "model"
CONTROLS = ("mean_image", "pca", "embedding_shuffle", "skip_ablation", "random_encoder")

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ControlResults:
    """The controls of one fold.

    Attributes
    ----------
    table : DataFrame
        Columns ``control`` (``model`` for the encoder itself, and `CONTROLS`),
        ``participant_id``, ``modality``, ``metric``, ``value``; held-out subjects only. Beside the
        metrics of `evaluate` there is ``delta_mse`` for each control: its MSE less the model's;
        SSIM is the model's alone. Images that there are, and no others, are scored.
    n_pca_components : int
        As many as the embedding has values, but at most training subjects - 1.
    donors : dict of str to str
        Whose embedding each held-out subject was decoded with; empty when there was nobody.
    pca_train, pca_monitor, pca_validation : ndarray of float32 (N, components)
        Scores, in the order of the fold's parts.
    random_train, random_monitor, random_validation : ndarray of float32 (N, E)
        Embeddings of the untrained network, in the same orders.
    leaky : bool
        The normalisation saw the held-out subjects; every number is to be labelled so.
    """

    table: pd.DataFrame
    n_pca_components: int
    donors: dict[str, str]
    pca_train: FloatArray
    pca_monitor: FloatArray
    pca_validation: FloatArray
    random_train: FloatArray
    random_monitor: FloatArray
    random_validation: FloatArray
    leaky: bool


def run_controls(
    directory: Path,
    store: VolumeStore,
    fold: Fold,
    families: Mapping[str, str],
    tissue: Tissue,
    seed: int,
    device: str = "auto",
    reading: Reading | None = None,
) -> ControlResults:
    """Score a fitted encoder and all its controls on the held-out subjects.

    Parameters
    ----------
    directory : Path
        Folder of the finished training; the training images lie there, without a name, while
        this runs.
    store : VolumeStore
        Development subjects.
    fold : Fold
        The fold the encoder was trained on. Mean image and principal components are fitted on its
        training part.
    families : Mapping of str to str
        Family of each held-out subject.
    tissue : {'kmeans', 'none'}
        Where tissue masks for the contrast come from.
    seed : int
        Root of the fold's random streams; who is decoded with whose embedding follows from it.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute.
    reading : Reading, optional
        How reading keeps ahead, as for `prefetch`.

    Returns
    -------
    ControlResults
        One table for all, and the scores that probes need.

    Notes
    -----
    Every image is read twice for training and monitor subjects, and twice for held-out ones; the
    linear code costs what `fit_linear_code` says, and two passes over its rows a subject.
    """
    encoder = load_encoder(directory, device, reading)
    random = untrained(directory, device, reading)
    rows_NP, mean_MDHW = _training_rows(encoder, store, fold.train, directory)
    given = partial(encoder.given, store)
    code = fit_linear_code(rows_NP, encoder.model.embedding_size)
    linear = _LinearPredictor(encoder, code, mean_MDHW)
    donors = choose_donors(fold.validation, families, seed)
    embeddings = dict(zip(fold.validation, encoder.embed(store, fold.validation), strict=True))
    predictors: dict[str, Predictor] = {
        MODEL: lambda name, x_MDHW: encoder.reconstruct_volume(x_MDHW, given_M=given(name)),
        "mean_image": lambda _, __: mean_MDHW,
        "pca": lambda _, x_MDHW: linear.reconstruct(x_MDHW),
        "embedding_shuffle": lambda name, x_MDHW: (
            encoder.reconstruct_volume(x_MDHW, z_E=embeddings[donors[name]], given_M=given(name))
            if name in donors
            else None
        ),
        "skip_ablation": lambda name, x_MDHW: encoder.reconstruct_volume(
            x_MDHW, zero_skips=True, given_M=given(name)
        ),
        "random_encoder": lambda name, x_MDHW: random.reconstruct_volume(
            x_MDHW, given_M=given(name)
        ),
    }
    table = score_predictors(
        encoder, store, fold.validation, predictors, tissue, with_ssim=(MODEL,)
    )
    return ControlResults(
        table=with_delta(table),
        n_pca_components=code.n_components,
        donors=donors,
        pca_train=code.train_NK.astype(np.float32),
        pca_monitor=linear.scores(store, fold.monitor),
        pca_validation=linear.scores(store, fold.validation),
        random_train=random.embed(store, fold.train),
        random_monitor=random.embed(store, fold.monitor),
        random_validation=random.embed(store, fold.validation),
        leaky=encoder.card.leaky,
    )


def choose_donors(ids: Sequence[str], families: Mapping[str, str], seed: int) -> dict[str, str]:
    """Choose for each subject another one whose embedding it is decoded with.

    Parameters
    ----------
    ids : sequence of str
        Held-out subjects.
    families : Mapping of str to str
        Family of each.
    seed : int
        Root of the fold's random streams.

    Returns
    -------
    dict of str to str
        Nobody has itself as donor and each is a donor once. All donors are of another family
        unless one family has more than half of the subjects. Empty with fewer than two subjects.

    Examples
    --------
    >>> donors = choose_donors(["a", "b", "c"], {"a": "1", "b": "1", "c": "2"}, seed=0)
    >>> sorted(donors.values())
    ['a', 'b', 'c']
    """
    if len(ids) < 2:
        return {}
    members: dict[str, list[str]] = {}
    shuffled = sorted(ids)
    generator(seed, "donors").shuffle(shuffled)
    for name in shuffled:
        members.setdefault(families[name], []).append(name)
    ordered = [name for family in members.values() for name in family]
    # Families stand together: a turn by the largest one's size leaves every family behind.
    turn = max(len(family) for family in members.values()) % len(ordered) or 1
    return {name: ordered[(i + turn) % len(ordered)] for i, name in enumerate(ordered)}


def with_delta(table: pd.DataFrame) -> pd.DataFrame:
    """Add what each control loses against the model, subject by subject.

    Parameters
    ----------
    table : DataFrame
        As `score_predictors` returns it, with the model among the predictors.

    Returns
    -------
    DataFrame
        With rows of metric ``delta_mse`` for each control: its MSE less the model's. Positive:
        the model does better.
    """
    keys = ["participant_id", "modality"]
    errors = table[table["metric"] == "mse"]
    own = errors[errors["control"] == MODEL].set_index(keys)["value"].rename("own")
    others = errors[errors["control"] != MODEL].join(own, on=keys)
    delta = others.assign(metric="delta_mse", value=others["value"] - others["own"])
    return pd.concat([table, delta[table.columns]], ignore_index=True)


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


@dataclass(frozen=True)
class _LinearPredictor:
    """A linear code as a predictor of whole images; outside the mask it answers the mean image."""

    encoder: LoadedEncoder
    code: LinearCode
    mean_MDHW: FloatArray

    def project(self, x_MDHW: FloatArray) -> FloatArray:
        """Compute a subject's scores; what the subject lacks is the mean image."""
        x_MDHW = np.where(np.isnan(x_MDHW), self.mean_MDHW, x_MDHW)
        voxels_P = x_MDHW[:, self.encoder.normaliser.mask_DHW].ravel()
        return self.code.project(voxels_P).astype(np.float32)

    def scores(self, store: VolumeStore, ids: Sequence[str]) -> FloatArray:
        """Compute the scores of subjects."""
        rows = [self.project(x_MDHW) for _, x_MDHW in self.encoder.volumes(store, ids)]
        return np.stack(rows) if rows else np.zeros((0, self.code.n_components), np.float32)

    def reconstruct(self, x_MDHW: FloatArray) -> FloatArray:
        """Reconstruct a subject; clipped to [0, 1], as the model's answers are by its sigmoid."""
        voxels_P = self.code.reconstruct(self.project(x_MDHW).astype(np.float64))
        y_MDHW = self.mean_MDHW.copy()
        y_MDHW[:, self.encoder.normaliser.mask_DHW] = voxels_P.reshape(len(y_MDHW), -1)
        return np.clip(y_MDHW, 0.0, 1.0)
