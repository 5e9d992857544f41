"""Normalised volumes as a torch dataset.

Shapes: M modalities, grid D, H, W.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from isthmus.volumes.intensity import Normaliser
from isthmus.volumes.store import VolumeStore, open_store


class VolumeDataset(Dataset[torch.Tensor]):
    """Subjects of the development partition, normalised.

    The store is opened at the first item, in whichever process asks for it: an open one must not
    be sent to a loader's workers.

    Parameters
    ----------
    store_url : str
        Folder or fsspec URL.
    ids : sequence of str
        participant_ids; item i is the i-th.
    normaliser : Normaliser
        Fitted on the training fold, with the same modalities.
    modalities : sequence of str
        Which volumes, in order.

    Raises
    ------
    ValueError
        If the normaliser was fitted for other modalities or another order of them.
    """

    def __init__(
        self,
        store_url: str,
        ids: Sequence[str],
        normaliser: Normaliser,
        modalities: Sequence[str],
    ) -> None:
        if tuple(modalities) != normaliser.modalities:
            raise ValueError(
                f"modalities must be the normaliser's {list(normaliser.modalities)}, got "
                f"{list(modalities)}"
            )
        self.store_url = store_url
        self.ids = tuple(ids)
        self.normaliser = normaliser
        self.modalities = tuple(modalities)
        self._store: VolumeStore | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Read and normalise one subject: float32, shape (M, D, H, W)."""
        if self._store is None:
            self._store = open_store(self.store_url)
        x_MDHW = self._store.read(self.ids[index], self.modalities)
        return torch.from_numpy(self.normaliser.apply(x_MDHW))

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open store behind."""
        return {**self.__dict__, "_store": None}
