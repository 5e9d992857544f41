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
from isthmus.training.linear_predictor import LinearPredictor, fit_linear_predictor
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


@dataclass(frozen=True)
class Subjects:
    """Some subjects of a store.

    Attributes
    ----------
    store : VolumeStore
        Holds their volumes.
    ids : tuple of str
        Participants.
    """

    store: VolumeStore
    ids: tuple[str, ...]


@dataclass(frozen=True)
class ControlScores:
    """What an encoder and its controls scored on held-out subjects.

    Attributes
    ----------
    table, n_pca_components, donors, leaky
        As in `ControlResults`.
    """

    table: pd.DataFrame
    n_pca_components: int
    donors: dict[str, str]
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
    fitted = _FittedControls.fit(directory, store, fold.train, device, reading)
    scores = fitted.score(store, fold.validation, families, tissue, seed)
    linear, random = fitted.linear, fitted.random
    return ControlResults(
        table=scores.table,
        n_pca_components=scores.n_pca_components,
        donors=scores.donors,
        pca_train=linear.code.train_NK.astype(np.float32),
        pca_monitor=linear.scores(store, fold.monitor),
        pca_validation=linear.scores(store, fold.validation),
        random_train=random.embed(store, fold.train),
        random_monitor=random.embed(store, fold.monitor),
        random_validation=random.embed(store, fold.validation),
        leaky=scores.leaky,
    )


def score_controls(
    directory: Path,
    training: Subjects,
    held_out: Subjects,
    families: Mapping[str, str],
    tissue: Tissue,
    seed: int,
    device: str = "auto",
    reading: Reading | None = None,
) -> ControlScores:
    """Score a fitted encoder and all its controls on subjects of another store.

    Parameters
    ----------
    directory : Path
        Folder of the finished training; the training images lie there, without a name, while
        this runs.
    training : Subjects
        Whom the encoder was trained on. Mean image and principal components are fitted on them.
    held_out : Subjects
        Whom everything is scored on.
    families, tissue, seed, device, reading
        As for `run_controls`.

    Returns
    -------
    ControlScores
        The table of `run_controls`, without the representations that probes need.
    """
    fitted = _FittedControls.fit(directory, training.store, training.ids, device, reading)
    return fitted.score(held_out.store, held_out.ids, families, tissue, seed)


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


@dataclass(frozen=True)
class _FittedControls:
    """The encoder and what it is compared with, ready to be scored on anybody."""

    encoder: LoadedEncoder
    random: LoadedEncoder
    linear: LinearPredictor

    @classmethod
    def fit(
        cls,
        directory: Path,
        store: VolumeStore,
        ids: Sequence[str],
        device: str,
        reading: Reading | None,
    ) -> "_FittedControls":
        """Load the encoder, and fit mean image and linear code on its training subjects."""
        encoder = load_encoder(directory, device, reading)
        random = untrained(directory, device, reading)
        return cls(encoder, random, fit_linear_predictor(encoder, store, ids, directory))

    def score(
        self,
        store: VolumeStore,
        ids: Sequence[str],
        families: Mapping[str, str],
        tissue: Tissue,
        seed: int,
    ) -> ControlScores:
        """Score all of them on some subjects."""
        donors = choose_donors(ids, families, seed)
        predictors = self._predictors(store, ids, donors)
        table = score_predictors(self.encoder, store, ids, predictors, tissue, with_ssim=(MODEL,))
        return ControlScores(
            with_delta(table), self.linear.code.n_components, donors, self.encoder.card.leaky
        )

    def _predictors(
        self, store: VolumeStore, ids: Sequence[str], donors: Mapping[str, str]
    ) -> dict[str, Predictor]:
        """Name what answers each image."""
        encoder, random, linear = self.encoder, self.random, self.linear
        given = partial(encoder.given, store)
        embeddings = dict(zip(ids, encoder.embed(store, ids), strict=True))
        return {
            MODEL: lambda name, x_MDHW: encoder.reconstruct_volume(x_MDHW, given_M=given(name)),
            "mean_image": lambda _, __: linear.mean_MDHW,
            "pca": lambda _, x_MDHW: linear.reconstruct(x_MDHW),
            "embedding_shuffle": lambda name, x_MDHW: (
                encoder.reconstruct_volume(
                    x_MDHW, z_E=embeddings[donors[name]], given_M=given(name)
                )
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
