"""Normalised volumes as a torch dataset.

Shapes: M modalities, grid D, H, W.
"""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from isthmus.volumes.intensity import Normaliser
from isthmus.volumes.store import VolumeStore, open_store


class VolumeDataset(Dataset[torch.Tensor]):
    """Subjects of the development partition, normalised.

    The store is opened at the first item, in whichever process asks for it: an open one must not
    be sent to a loader's workers. Threads may share a dataset; the first to ask opens the store
    for all.

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
        self._opening = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of each item, (M, D, H, W)."""
        return (len(self.modalities), *self.normaliser.mask_DHW.shape)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Read and normalise one subject: float32, shape (M, D, H, W)."""
        return self.read_into(index, torch.empty(self.shape))

    def read_into(self, index: int, out_MDHW: torch.Tensor) -> torch.Tensor:
        """Read and normalise one subject into memory that is there, as of a batch.

        Parameters
        ----------
        index : int
            Which of `ids`.
        out_MDHW : Tensor of float32 (M, D, H, W)
            On the CPU; overwritten.

        Returns
        -------
        Tensor of float32 (M, D, H, W)
            The same tensor.

        Raises
        ------
        ImageError
            If the store has no such subject, or its volumes are lost or damaged.
        """
        x_MDHW = self._opened().read(self.ids[index], self.modalities)
        self.normaliser.apply(x_MDHW, out_MDHW.numpy())
        return out_MDHW

    def _opened(self) -> VolumeStore:
        """Open the store, once a process: it reads a record of every subject."""
        with self._opening:
            if self._store is None:
                self._store = open_store(self.store_url)
            return self._store

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open store behind, and the lock."""
        return {**self.__dict__, "_store": None, "_opening": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up the state in another process."""
        self.__dict__.update(state, _opening=threading.Lock())
