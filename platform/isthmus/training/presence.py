"""Which images a subject has, and which of these a training step withholds from the encoders.

Two masks: *known* images exist, and are what reconstructions are compared with; *given* images are
what the encoders see. Modality dropout makes given a subset of known: what is withheld is still
reconstructed and compared, which is how a model learns to synthesise it.

Legend: B subject, M modality, D H W the grid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from isthmus.config.training import LossConfig
from isthmus.core.errors import CohortError
from isthmus.core.seeds import generator
from isthmus.model.families import FusionModel, Output
from isthmus.volumes.store import VolumeStore


@dataclass(frozen=True)
class Presence:
    """Who lacks which images, and how many more are withheld.

    Attributes
    ----------
    modalities : tuple of str
        In the order of axis M.
    lacking : Mapping of str to tuple of bool
        Of each subject who lacks an image, which ones there are; whoever is not named has all.
    dropout : float
        Probability with which a known image is withheld in a training step.
    seed : int
        Root of the fold's random streams.
    """

    modalities: tuple[str, ...]
    lacking: Mapping[str, tuple[bool, ...]]
    dropout: float
    seed: int

    def known(self, subjects: Sequence[str]) -> torch.Tensor | None:
        """Tell which images there are.

        Parameters
        ----------
        subjects : sequence of str
            Participants.

        Returns
        -------
        Tensor of bool (B, M) or None
            None where nobody at all lacks one, so that nothing need be masked.
        """
        if not self.lacking:
            return None
        return torch.tensor([self._known(name) for name in subjects])

    def given(self, subjects: Sequence[str], epoch: int) -> torch.Tensor | None:
        """Tell which images the encoders see in a training step.

        Parameters
        ----------
        subjects : sequence of str
            Participants.
        epoch : int
            Number of the epoch, from 1; in each a subject is seen once.

        Returns
        -------
        Tensor of bool (B, M) or None
            At least one a subject; None where all are always given.

        Notes
        -----
        Each known image is withheld with probability ``dropout``, apart from the others; of a
        subject of whom all k would be, one stays, each with probability 1 / k. So an image is
        withheld with probability ``dropout - dropout**k / k``. The draw is a function of seed,
        epoch and subject alone: workers, slices and a resumed run draw the same.
        """
        if not self.dropout:
            return self.known(subjects)
        return torch.tensor(np.array([self._drawn(name, epoch) for name in subjects]))

    def n_known(self, batches: Sequence[Sequence[str]]) -> tuple[int, ...]:
        """Count the images of each modality in some batches.

        Parameters
        ----------
        batches : sequence of sequences of str
            Participants; one who comes twice counts twice.

        Returns
        -------
        tuple of int
            In the order of `modalities`.
        """
        counts = np.zeros(len(self.modalities), dtype=np.int64)
        for batch in batches:
            for name in batch:
                counts += np.array(self._known(name))
        return tuple(counts.tolist())

    def _known(self, subject: str) -> tuple[bool, ...]:
        """Tell which images a subject has."""
        return self.lacking.get(subject, (True,) * len(self.modalities))

    def _drawn(self, subject: str, epoch: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Draw which of a subject's images are given in an epoch."""
        given_M = np.array(self._known(subject), dtype=np.bool_)
        places = np.flatnonzero(given_M)
        rng = generator(self.seed, "modality_dropout", epoch, subject)
        stays = rng.random(len(places)) >= self.dropout
        if not stays.any():
            stays[rng.integers(len(places))] = True
        given_M[places] = stays
        return given_M


def presence_of(
    store: VolumeStore,
    ids: Sequence[str],
    modalities: tuple[str, ...],
    dropout: float,
    seed: int,
) -> Presence:
    """Look up who has which images.

    Parameters
    ----------
    store : VolumeStore
        Holds the subjects.
    ids : sequence of str
        Participants.
    modalities : tuple of str
        In the order of axis M.
    dropout : float
        ``training.modality_dropout``.
    seed : int
        Root of the fold's random streams.

    Returns
    -------
    Presence
        Without a look at any volume.
    """
    known = {name: tuple(store.known(name, modalities).tolist()) for name in ids}
    lacking = {name: own for name, own in known.items() if not all(own)}
    return Presence(modalities, lacking, dropout, seed)


def require_some_image(store: VolumeStore, ids: Sequence[str], modalities: Sequence[str]) -> None:
    """Refuse subjects who have none of the images that a model fuses.

    They are not left out quietly: models that fuse different modalities are compared on the same
    subjects.

    Parameters
    ----------
    store : VolumeStore
        Holds the subjects.
    ids : sequence of str
        Participants.
    modalities : sequence of str
        What the model fuses.

    Raises
    ------
    CohortError
        If there are any; the message names up to ten.
    """
    without = [name for name in ids if not store.known(name, modalities).any()]
    if without:
        raise CohortError(
            f"Every subject must have an image of a fused modality ({', '.join(modalities)}), but "
            f"{len(without)} of {len(ids)} have none: {', '.join(without[:10])}"
            f"{', ...' if len(without) > 10 else ''}. Fuse more modalities (model.modalities), or "
            "take these subjects out of the table of participants."
        )


def known_losses(
    model: FusionModel,
    output: Output,
    x_BMDHW: torch.Tensor,
    known_BM: torch.Tensor | None,
    mask_DHW: torch.Tensor,
    config: LossConfig,
) -> torch.Tensor:
    """Compare reconstructions with the images that there are.

    Parameters
    ----------
    model : FusionModel
        Whose loss it is.
    output : Output
        Of a forward pass.
    x_BMDHW : Tensor
        Images; what they hold where there is none has no influence, NaN neither.
    known_BM : Tensor of bool (B, M) or None
        Which there are; None: all.
    mask_DHW : Tensor of bool
        The brain.
    config : LossConfig
        Kind of loss.

    Returns
    -------
    Tensor (B, M), float32
        0 where there is no image, and nothing flows back from there.
    """
    if known_BM is None:
        return model.loss(output, x_BMDHW, mask_DHW, config)
    known_BM = known_BM.to(x_BMDHW.device)
    # Before the loss, not after it alone: on the way back 0 x NaN is NaN.
    x_BMDHW = torch.where(known_BM[..., None, None, None], x_BMDHW, 0.0)
    return torch.where(known_BM, model.loss(output, x_BMDHW, mask_DHW, config), 0.0)
