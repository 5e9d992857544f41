"""A subject's images and what a fold's network makes of them, as volumes or as kept slices.

Legend: M modality, D H W the grid's three axes.
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from isthmus.training.card import ENCODER_FILE, NORMALISER_FILE, WEIGHTS_FILE
from isthmus.training.encoder import LoadedEncoder, load_encoder
from isthmus.trial.panels import Panel
from isthmus.volumes.layout import COMPLETE_FILE
from isthmus.volumes.store import VolumeStore, open_store

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scan:
    """One subject's volumes, on the scale that the network is given them.

    Attributes
    ----------
    participant_id : str
        Whose.
    modalities : tuple of str
        Labels of the first axis.
    x_MDHW, y_MDHW : ndarray of float32 (M, D, H, W)
        Input and reconstruction, 0 outside the mask; the input NaN where there is no image.
    affine : ndarray of float64 (4, 4)
        From voxel indices to mm.
    centre : tuple of int
        Voxel in the middle of the mask.
    """

    participant_id: str
    modalities: tuple[str, ...]
    x_MDHW: FloatArray
    y_MDHW: FloatArray
    affine: npt.NDArray[np.float64]
    centre: tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Cut:
    """One plane of one modality.

    Attributes
    ----------
    input, reconstruction : ndarray of float32, two-dimensional
        As cut from the volume; the input NaN where there is no image.
    """

    input: FloatArray
    reconstruction: FloatArray


@dataclass(frozen=True)
class _State:
    """A folder, and when its files were written; of one elsewhere only what it is called."""

    place: str
    written: tuple[int | None, ...]


def _state(place: str, names: tuple[str, ...]) -> _State:
    """Look when files of a folder were written."""
    written: list[int | None] = []
    for name in names if "://" not in place else ():
        try:
            written.append((Path(place) / name).stat().st_mtime_ns)
        except OSError:
            written.append(None)
    return _State(place, tuple(written))


class Scans:
    """Read and reconstruct on demand, and keep the last few.

    Parameters
    ----------
    most : int
        Subjects that are kept in memory.

    Notes
    -----
    Only the development partition is opened: whoever is in the lockbox cannot be shown.
    """

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._alone = threading.Lock()
        self._kept: OrderedDict[tuple[_State, _State, str], Scan] = OrderedDict()
        self._store: tuple[_State, VolumeStore] | None = None
        self._encoder: tuple[_State, LoadedEncoder] | None = None

    def of(self, folder: Path, store_url: str, participant_id: str) -> Scan:
        """Read one subject and have it reconstructed.

        Parameters
        ----------
        folder : Path
            Of a finished fold: weights, settings, normalisation.
        store_url : str
            The volume store.
        participant_id : str
            The subject.

        Returns
        -------
        Scan
            On the normalised scale.

        Raises
        ------
        ConfigError
            If there is no store, or no complete network in the folder.
        ImageError
            If the store has no such subject, as of one in the lockbox.
        """
        with self._alone:
            # Either may be made anew while the view is open.
            trained = _state(str(folder), (ENCODER_FILE, WEIGHTS_FILE, NORMALISER_FILE))
            ingested = _state(store_url, (COMPLETE_FILE,))
            key = (trained, ingested, participant_id)
            if key not in self._kept:
                self._kept[key] = self._read(trained, ingested, participant_id)
                while len(self._kept) > self._most:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(key)
            return self._kept[key]

    def _read(self, trained: _State, ingested: _State, participant_id: str) -> Scan:
        """Read and reconstruct, with the store and the network of the last time where it is them.

        The CPU is used: a training on the same machine keeps its GPU.
        """
        if self._store is None or self._store[0] != ingested:
            self._store = (ingested, open_store(ingested.place))
        if self._encoder is None or self._encoder[0] != trained:
            self._encoder = (trained, load_encoder(Path(trained.place), "cpu"))
        store, encoder = self._store[1], self._encoder[1]
        x_MDHW = encoder.read(store, participant_id)
        given_M = encoder.given(store, participant_id)
        y_MDHW = encoder.reconstruct_volume(x_MDHW, given_M=given_M)
        mask_DHW = encoder.normaliser.mask_DHW
        i, j, k = (round(float(axis.mean())) for axis in np.nonzero(mask_DHW))
        return Scan(
            participant_id,
            tuple(encoder.card.modalities),
            x_MDHW * mask_DHW,
            y_MDHW * mask_DHW,
            store.affine,
            (i, j, k),
        )


def cuts_of(scan: Scan, modality: int, at: tuple[int, int, int]) -> tuple[Cut, Cut, Cut]:
    """Cut the three planes through a voxel.

    Parameters
    ----------
    scan : Scan
        One subject.
    modality : int
        Position of the modality.
    at : tuple of int
        The voxel.

    Returns
    -------
    tuple of Cut
        Sagittal, coronal, axial.
    """
    x_DHW, y_DHW = scan.x_MDHW[modality], scan.y_MDHW[modality]
    first, second, third = (
        Cut(np.take(x_DHW, at[axis], axis=axis), np.take(y_DHW, at[axis], axis=axis))
        for axis in range(3)
    )
    return first, second, third


def cuts_kept(panel: Panel, modality: int) -> tuple[Cut, Cut, Cut]:
    """Take the three planes that a trial kept of a subject.

    Parameters
    ----------
    panel : Panel
        As the trial cut them.
    modality : int
        Position of the modality.

    Returns
    -------
    tuple of Cut
        Sagittal, coronal, axial.
    """
    inputs, made = panel.inputs[modality], panel.reconstructions[modality]
    first, second, third = (Cut(inputs[k], made[k]) for k in range(3))
    return first, second, third
