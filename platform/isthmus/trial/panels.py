"""Slices of an image and of its reconstruction, kept for pictures.

Legend: M modality, D H W the grid's three axes, P plane.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isthmus.core.files import write_atomically

FloatArray = npt.NDArray[np.float32]
PLANES = ("sagittal", "coronal", "axial")
# Of the held-out subject that every model of the same fold shows.
COMPARED = "compared"


@dataclass(frozen=True)
class Panel:
    """Three planes of one subject, for every modality.

    Attributes
    ----------
    participant_id : str
        Whose images these are.
    why : str
        Why this subject was chosen, such as ``"median error"``.
    modalities : tuple of str
        In the order of the slices.
    inputs, reconstructions : tuple of tuple of array
        ``[modality][plane]``, two-dimensional, normalised intensity in [0, 1].
    """

    participant_id: str
    why: str
    modalities: tuple[str, ...]
    inputs: tuple[tuple[FloatArray, ...], ...]
    reconstructions: tuple[tuple[FloatArray, ...], ...]


def cut_panel(
    participant_id: str,
    why: str,
    modalities: Sequence[str],
    x_MDHW: FloatArray,
    y_MDHW: FloatArray,
    mask_DHW: npt.NDArray[np.bool_],
) -> Panel:
    """Cut the three planes through the middle of the mask.

    Parameters
    ----------
    participant_id, why : str
        Whose images, and why they were chosen.
    modalities : sequence of str
        Labels of the first axis.
    x_MDHW, y_MDHW : ndarray (M, D, H, W)
        Input and reconstruction, normalised; set to 0 outside the mask.
    mask_DHW : ndarray of bool (D, H, W)
        Brain mask.

    Returns
    -------
    Panel
        Planes at the mask's centre of mass.
    """
    centre = [round(float(axis.mean())) for axis in np.nonzero(mask_DHW)]
    x_MDHW, y_MDHW = x_MDHW * mask_DHW, y_MDHW * mask_DHW

    def planes(volume_DHW: FloatArray) -> tuple[FloatArray, ...]:
        return tuple(np.take(volume_DHW, at, axis=axis) for axis, at in enumerate(centre))

    return Panel(
        participant_id,
        why,
        tuple(modalities),
        tuple(planes(volume) for volume in x_MDHW),
        tuple(planes(volume) for volume in y_MDHW),
    )


def compared_subject(held_out: Sequence[str], fold: int) -> str:
    """Choose the held-out subject that is shown for every model of a fold.

    The subjects of median and largest error are other ones for each model; to see two models side
    by side, both must show the same person, whom no result has chosen.

    Parameters
    ----------
    held_out : sequence of str
        Participants that the fold held out; their order does not matter.
    fold : int
        Number of the fold, from 0.

    Returns
    -------
    str
        One of them.

    Examples
    --------
    >>> compared_subject(("sub-3", "sub-1", "sub-2"), 1)
    'sub-2'
    """
    ordered = sorted(held_out)
    return ordered[fold % len(ordered)]


def save_panels(panels: Sequence[Panel], path: Path) -> None:
    """Write panels as one compressed numpy archive, without pickled objects.

    Parameters
    ----------
    panels : sequence of Panel
        What to keep.
    path : Path
        The ``.npz`` to write.
    """
    arrays: dict[str, Any] = {}
    for i, panel in enumerate(panels):
        arrays[f"{i}.labels"] = np.array([panel.participant_id, panel.why, *panel.modalities])
        for j in range(len(panel.modalities)):
            for k in range(len(PLANES)):
                arrays[f"{i}.{j}.{k}.input"] = panel.inputs[j][k].astype(np.float32)
                arrays[f"{i}.{j}.{k}.reconstruction"] = panel.reconstructions[j][k].astype(
                    np.float32
                )
    write_atomically(path, lambda file: np.savez_compressed(file, **arrays))


def load_panels(path: Path) -> tuple[Panel, ...]:
    """Read what `save_panels` wrote.

    Parameters
    ----------
    path : Path
        The archive.

    Returns
    -------
    tuple of Panel
        In the order they were written.
    """
    with np.load(path, allow_pickle=False) as archive:
        n_panels = sum(name.endswith(".labels") for name in archive.files)
        panels = []
        for i in range(n_panels):
            participant_id, why, *modalities = (str(text) for text in archive[f"{i}.labels"])
            inputs, reconstructions = (
                tuple(
                    tuple(archive[f"{i}.{j}.{k}.{kind}"] for k in range(len(PLANES)))
                    for j in range(len(modalities))
                )
                for kind in ("input", "reconstruction")
            )
            panels.append(Panel(participant_id, why, tuple(modalities), inputs, reconstructions))
    return tuple(panels)
