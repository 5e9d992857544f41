"""A fitted encoder: the record of its training, and the network loaded to embed and reconstruct.

A folder with ``model.safetensors``, ``encoder.json`` and the normaliser is all that is needed.

Legend: N subject, M modality, D H W the grid, E value of the embedding.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json
from isthmus.model.families import FusionModel
from isthmus.training.card import (
    ENCODER_FILE,
    NORMALISER_FILE,
    WEIGHTS_FILE,
    EncoderCard,
    digest_encoder,
    initial_model,
    read_card,
)
from isthmus.training.checkpoint import require_same_task
from isthmus.training.history import EpochRecord, read_history
from isthmus.training.prefetch import prefetch
from isthmus.training.ranks import choose_device
from isthmus.volumes.intensity import Normaliser, load_normaliser
from isthmus.volumes.store import VolumeStore

FITTED_FILE = "fitted.json"
_log = logging.getLogger("isthmus.training")

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class FittedEncoder:
    """The record of a finished training.

    Attributes
    ----------
    encoder_id : str
        Identifier of the encoder, and so of the space of its embeddings.
    directory : Path
        Folder that `load_encoder` reads.
    task_digest : str
        What was trained: settings, seed, subjects and images.
    n_parameters : int
        Trainable parameters.
    best_epoch : int
        Epoch, from 1, whose weights are kept.
    leaky : bool
        The normalisation saw the held-out subjects; every number is to be labelled so.
    digests : dict of str to str
        SHA-256 of weights, card and normaliser, by name of the file.
    history : tuple of Mapping of str to float
        One record an epoch: ``epoch``, ``train_loss``, ``train_loss_<modality>``,
        ``monitor_loss``, ``monitor_mse``, ``monitor_mse_<modality>`` where there is a monitor
        part, ``learning_rate`` of its last step, ``seconds``, ``subjects_per_second``.
    """

    encoder_id: str
    directory: Path
    task_digest: str
    n_parameters: int
    best_epoch: int
    leaky: bool
    digests: dict[str, str]
    history: tuple[EpochRecord, ...]

    @property
    def n_epochs(self) -> int:
        """Epochs that were run."""
        return len(self.history)

    @property
    def training_seconds(self) -> float:
        """Time spent in epochs, over all sittings."""
        return float(sum(record["seconds"] for record in self.history))


@dataclass(frozen=True)
class LoadedEncoder:
    """A network with its weights and its normalisation, ready to be used.

    Attributes
    ----------
    card : EncoderCard
        What network it is.
    model : FusionModel
        In evaluation mode.
    normaliser : Normaliser
        Fitted with it.
    device : torch.device
        Where it computes.
    """

    card: EncoderCard
    model: FusionModel
    normaliser: Normaliser
    device: torch.device

    def read(self, store: VolumeStore, participant_id: str) -> FloatArray:
        """Read a subject's normalised images.

        Parameters
        ----------
        store : VolumeStore
            Holds the subject.
        participant_id : str
            The subject.

        Returns
        -------
        ndarray of float32 (M, D, H, W)
            As the network is given them.
        """
        return self.normaliser.apply(store.read(participant_id, self.card.modalities))

    def embed_volume(self, x_MDHW: FloatArray) -> FloatArray:
        """Embed one subject.

        Parameters
        ----------
        x_MDHW : ndarray (M, D, H, W)
            Normalised images.

        Returns
        -------
        ndarray of float32 (E,)
            The embedding.
        """
        with torch.no_grad():
            z_BE = self.model.embed(self._batch(x_MDHW))
        return np.asarray(z_BE[0].float().cpu().numpy(), dtype=np.float32)

    def reconstruct_volume(
        self, x_MDHW: FloatArray, z_E: FloatArray | None = None, zero_skips: bool = False
    ) -> FloatArray:
        """Reconstruct one subject.

        Parameters
        ----------
        x_MDHW : ndarray (M, D, H, W)
            Normalised images; also the source of the skip connections.
        z_E : ndarray (E,) or None
            An embedding to decode in place of the subject's own.
        zero_skips : bool
            Replace the skip connections by zeros.

        Returns
        -------
        ndarray of float32 (M, D, H, W)
            Reconstruction on the normalised scale.
        """
        z_BE = None if z_E is None else torch.from_numpy(z_E)[None].to(self.device)
        with torch.no_grad():
            output = self.model(self._batch(x_MDHW), embedding=z_BE, zero_skips=zero_skips)
        return np.asarray(output.y_BMDHW[0].float().cpu().numpy(), dtype=np.float32)

    def embed(self, store: VolumeStore, ids: Sequence[str]) -> FloatArray:
        """Embed subjects, one at a time.

        Parameters
        ----------
        store : VolumeStore
            Holds the subjects.
        ids : sequence of str
            Participants.

        Returns
        -------
        ndarray of float32 (N, E)
            A row for each subject, in order.
        """
        rows = [self.embed_volume(x_MDHW) for _, x_MDHW in self.volumes(store, ids)]
        return np.stack(rows) if rows else np.zeros((0, self.model.embedding_size), np.float32)

    def reconstruct(
        self, store: VolumeStore, ids: Sequence[str]
    ) -> Iterator[tuple[str, FloatArray, FloatArray]]:
        """Reconstruct subjects, one at a time.

        Parameters
        ----------
        store : VolumeStore
            Holds the subjects.
        ids : sequence of str
            Participants.

        Yields
        ------
        tuple of (str, ndarray (M, D, H, W), ndarray (M, D, H, W))
            Participant, input and reconstruction, both on the normalised scale.
        """
        for participant_id, x_MDHW in self.volumes(store, ids):
            yield participant_id, x_MDHW, self.reconstruct_volume(x_MDHW)

    def volumes(self, store: VolumeStore, ids: Sequence[str]) -> Iterator[tuple[str, FloatArray]]:
        """Read subjects' normalised images, one ahead.

        Parameters
        ----------
        store : VolumeStore
            Holds the subjects.
        ids : sequence of str
            Participants.

        Yields
        ------
        tuple of (str, ndarray (M, D, H, W))
            Participant and images.
        """
        yield from zip(ids, prefetch(lambda name: self.read(store, name), ids), strict=True)

    def _batch(self, x_MDHW: FloatArray) -> torch.Tensor:
        """Make a batch of one."""
        return torch.from_numpy(np.ascontiguousarray(x_MDHW))[None].to(self.device)


def load_encoder(directory: Path, device: str = "auto") -> LoadedEncoder:
    """Load a fitted encoder.

    Parameters
    ----------
    directory : Path
        Folder of a finished training.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute.

    Returns
    -------
    LoadedEncoder
        With the best epoch's weights.

    Raises
    ------
    ConfigError
        If the folder holds no complete encoder, or the weights are damaged.
    """
    loaded = untrained(directory, device)
    path = directory / WEIGHTS_FILE
    try:
        loaded.model.load_state_dict(load_tensors(path.read_bytes()))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(
            f"{path}: must hold the weights of {ENCODER_FILE}'s network, but cannot be loaded "
            f"({reason:.120}). Train the fold again."
        ) from None
    loaded.model.eval()
    return loaded


def untrained(directory: Path, device: str = "auto") -> LoadedEncoder:
    """Build the network of a fitted encoder as it was before its first step.

    It is the control ``random_encoder``: what an embedding holds that needed no training.

    Parameters
    ----------
    directory : Path
        Folder of a finished training.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute.

    Returns
    -------
    LoadedEncoder
        With the initial weights and the fitted normalisation.

    Raises
    ------
    ConfigError
        If the folder holds no encoder.
    """
    card = read_card(directory)
    model, where = initial_model(card), choose_device(device)
    model.to(where).eval()
    return LoadedEncoder(card, model, load_normaliser(directory / NORMALISER_FILE), where)


def write_fitted(fitted: FittedEncoder) -> None:
    """Mark a training as finished; everything else must have been written.

    Parameters
    ----------
    fitted : FittedEncoder
        The record; its history is in ``history.jsonl`` already.
    """
    content = {
        "encoder_id": fitted.encoder_id,
        "task_digest": fitted.task_digest,
        "n_parameters": fitted.n_parameters,
        "best_epoch": fitted.best_epoch,
        "leaky": fitted.leaky,
        "digests": fitted.digests,
    }
    write_json(fitted.directory / FITTED_FILE, content)


def read_fitted(directory: Path, task: str | None = None) -> FittedEncoder | None:
    """Read the record of a finished training.

    Parameters
    ----------
    directory : Path
        The task's folder.
    task : str or None
        Digest the training must have; None: any.

    Returns
    -------
    FittedEncoder or None
        None where the training is not finished, or what it left is no longer whole.

    Raises
    ------
    ConfigError
        If another task was trained there.
    """
    path = directory / FITTED_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fitted = FittedEncoder(**content, directory=directory, history=read_history(directory))
        found = digest_encoder(directory)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        _log.warning("%s cannot be read (%s); it is written again.", path, error)
        return None
    if task is not None:
        require_same_task(path, fitted.task_digest, task)
    if found != fitted.digests:
        _log.warning("%s: an encoder is damaged; it is written again.", directory)
        return None
    return fitted
