"""A fitted encoder: the network loaded to embed and reconstruct.

A folder with ``model.safetensors``, ``encoder.json`` and the normaliser is all that is needed.

Legend: N subject, M modality, D H W the grid, E value of the embedding.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from isthmus.core.errors import ConfigError
from isthmus.model.families import FusionModel
from isthmus.training.card import (
    ENCODER_FILE,
    NORMALISER_FILE,
    WEIGHTS_FILE,
    EncoderCard,
    initial_model,
    read_card,
)
from isthmus.training.prefetch import Reading, prefetch
from isthmus.training.ranks import choose_device
from isthmus.volumes.intensity import Normaliser, load_normaliser
from isthmus.volumes.store import VolumeStore

FloatArray = npt.NDArray[np.float32]
Given = npt.NDArray[np.bool_]


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
    reading : Reading or None
        How reading keeps ahead of it, as for `prefetch`.
    """

    card: EncoderCard
    model: FusionModel
    normaliser: Normaliser
    device: torch.device
    reading: Reading | None = None

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
            As the network is given them; NaN where there is no image.
        """
        return self.normaliser.apply(store.read(participant_id, self.card.modalities))

    def given(self, store: VolumeStore, participant_id: str) -> Given | None:
        """Tell which images the network is given of a subject: all that there are.

        Parameters
        ----------
        store : VolumeStore
            Holds the subject.
        participant_id : str
            The subject.

        Returns
        -------
        ndarray of bool (M,) or None
            None where the subject has them all.
        """
        known_M = store.known(participant_id, self.card.modalities)
        return None if known_M.all() else known_M

    def embed_volume(self, x_MDHW: FloatArray, given_M: Given | None = None) -> FloatArray:
        """Embed one subject.

        Parameters
        ----------
        x_MDHW : ndarray (M, D, H, W)
            Normalised images.
        given_M : ndarray of bool (M,) or None
            Which of them the network is given; None: all.

        Returns
        -------
        ndarray of float32 (E,)
            The embedding.
        """
        with torch.no_grad():
            z_BE = self.model.embed(self._batch(x_MDHW), **self._mask(given_M))
        return np.asarray(z_BE[0].float().cpu().numpy(), dtype=np.float32)

    def reconstruct_volume(
        self,
        x_MDHW: FloatArray,
        z_E: FloatArray | None = None,
        zero_skips: bool = False,
        given_M: Given | None = None,
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
        given_M : ndarray of bool (M,) or None
            Which images the network is given; None: all.

        Returns
        -------
        ndarray of float32 (M, D, H, W)
            Reconstruction on the normalised scale, of every modality, given or not.
        """
        z_BE = None if z_E is None else torch.from_numpy(z_E)[None].to(self.device)
        with torch.no_grad():
            output = self.model(
                self._batch(x_MDHW),
                embedding=z_BE,
                zero_skips=zero_skips,
                **self._mask(given_M),
            )
        return np.asarray(output.y_BMDHW[0].float().cpu().numpy(), dtype=np.float32)

    def embed_and_reconstruct(
        self, x_MDHW: FloatArray, given_M: Given | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Embed and reconstruct one subject in a single pass.

        Parameters
        ----------
        x_MDHW : ndarray (M, D, H, W)
            Normalised images.
        given_M : ndarray of bool (M,) or None
            Which of them the network is given; None: all.

        Returns
        -------
        z : ndarray of float32 (E,)
            What `embed_volume` returns.
        y : ndarray of float32 (M, D, H, W)
            What `reconstruct_volume` returns.
        """
        with torch.no_grad():
            output = self.model(self._batch(x_MDHW), **self._mask(given_M))
        z_E, y_MDHW = (part[0].float().cpu().numpy() for part in (output.z_BE, output.y_BMDHW))
        return np.asarray(z_E, dtype=np.float32), np.asarray(y_MDHW, dtype=np.float32)

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
        rows = [
            self.embed_volume(x_MDHW, self.given(store, name))
            for name, x_MDHW in self.volumes(store, ids)
        ]
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
            Participant, input and reconstruction, both on the normalised scale; the input NaN
            where there is no image.
        """
        for name, x_MDHW in self.volumes(store, ids):
            y_MDHW = self.reconstruct_volume(x_MDHW, given_M=self.given(store, name))
            yield name, x_MDHW, y_MDHW

    def volumes(self, store: VolumeStore, ids: Sequence[str]) -> Iterator[tuple[str, FloatArray]]:
        """Read subjects' normalised images, some ahead.

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
        with closing(prefetch(lambda name: self.read(store, name), ids, self.reading)) as volumes:
            yield from zip(ids, volumes, strict=True)

    def _mask(self, given_M: Given | None) -> dict[str, torch.Tensor]:
        """Make the argument that tells a batch of one what is given, where anything is not."""
        if given_M is None:
            return {}
        return {"given_BM": torch.from_numpy(given_M)[None]}

    def _batch(self, x_MDHW: FloatArray) -> torch.Tensor:
        """Make a batch of one."""
        return torch.from_numpy(np.ascontiguousarray(x_MDHW))[None].to(self.device)


def load_encoder(
    directory: Path, device: str = "auto", reading: Reading | None = None
) -> LoadedEncoder:
    """Load a fitted encoder.

    Parameters
    ----------
    directory : Path
        Folder of a finished training.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute.
    reading : Reading, optional
        How reading keeps ahead of it, as for `prefetch`.

    Returns
    -------
    LoadedEncoder
        With the best epoch's weights.

    Raises
    ------
    ConfigError
        If the folder holds no complete encoder, or the weights are damaged.
    """
    loaded = untrained(directory, device, reading)
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


def untrained(
    directory: Path, device: str = "auto", reading: Reading | None = None
) -> LoadedEncoder:
    """Build the network of a fitted encoder as it was before its first step.

    It is the control ``random_encoder``: what an embedding holds that needed no training.

    Parameters
    ----------
    directory : Path
        Folder of a finished training.
    device : {'auto', 'cpu', 'cuda'}
        Where to compute.
    reading : Reading, optional
        How reading keeps ahead of it, as for `prefetch`.

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
    normaliser = load_normaliser(directory / NORMALISER_FILE)
    return LoadedEncoder(card, model, normaliser, where, reading)
