"""All that a killed training needs to go on as if nothing had happened, in one file.

``last.pt`` is the newest state, ``best.pt`` the state at the end of the best epoch. Both are read
with ``weights_only=True``: a checkpoint from elsewhere cannot run code.
"""

import logging
import pickle
import random
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.core.errors import ConfigError, IsthmusError
from isthmus.core.files import write_atomically

LAST_FILE = "last.pt"
BEST_FILE = "best.pt"
FORMAT = 1
_log = logging.getLogger("isthmus.training")

StateDict = dict[str, Any]


class UnreadableCheckpoint(IsthmusError):
    """A checkpoint that is damaged, or was not written by this version of isthmus."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training between two optimiser steps.

    Attributes
    ----------
    task : str
        Digest of the task. A checkpoint of another one is refused.
    epoch : int
        Epoch in progress, from 1.
    step : int
        Optimiser steps done in it: the position in the order of subjects, which is itself a
        function of seed and epoch. The learning rate is a function of epoch and step too.
    model, optimiser, scaler : dict
        ``state_dict`` of each; the scaler's is empty without float16.
    best_model : dict or None
        Weights of the best epoch so far; None where the last epoch is the best by definition.
    history : list of dict of str to float
        One record for each finished epoch.
    loss_sums : list of float
        Per modality, the losses of the epoch in progress, summed over its subjects.
    seconds : float
        Time spent in the epoch in progress.
    random_states : list of dict
        For each worker, the state of every global random generator. The training draws from none
        of them; they are kept so that code which does would go on undisturbed.
    """

    task: str
    epoch: int
    step: int
    model: StateDict
    optimiser: StateDict
    scaler: StateDict
    best_model: StateDict | None
    history: list[dict[str, float]]
    loss_sums: list[float]
    seconds: float
    random_states: list[StateDict]


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a checkpoint whole or not at all.

    Parameters
    ----------
    checkpoint : Checkpoint
        What to keep.
    path : Path
        ``last.pt`` or ``best.pt``.
    """
    content = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
    write_atomically(path, lambda file: torch.save({"format": FORMAT, **content}, file))


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, onto the CPU.

    Parameters
    ----------
    path : Path
        As `save_checkpoint` wrote it.

    Returns
    -------
    Checkpoint
        The same state.

    Raises
    ------
    UnreadableCheckpoint
        If the file is damaged, or of another format.
    """
    try:
        # torch does not compare the checksums that it writes.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (
        OSError,
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        zipfile.BadZipFile,
        pickle.UnpicklingError,
    ) as error:
        reason = str(error).split("\n")[0]
        raise UnreadableCheckpoint(
            f"{path}: must be a checkpoint of isthmus, but cannot be read ({reason:.120})."
        ) from None
    known = {field.name for field in fields(Checkpoint)}
    if not isinstance(content, Mapping) or content.get("format") != FORMAT:
        raise UnreadableCheckpoint(f"{path}: must be a checkpoint of format {FORMAT}.")
    if set(content) != {"format", *known}:
        raise UnreadableCheckpoint(f"{path}: must hold {sorted(known)}, got {sorted(content)}.")
    return Checkpoint(**{name: content[name] for name in known})


def find_checkpoint(directory: Path, task: str) -> Path | None:
    """Find the newest checkpoint from which a training can go on.

    A damaged ``last.pt`` is reported and passed over: ``best.pt`` serves, or else the training
    starts again. It comes to the same weights either way, later.

    Parameters
    ----------
    directory : Path
        The task's folder.
    task : str
        Digest of the task.

    Returns
    -------
    Path or None
        None: there is nothing to go on from.

    Raises
    ------
    ConfigError
        If the folder holds the checkpoint of another task.
    """
    for name in (LAST_FILE, BEST_FILE):
        path = directory / name
        if not path.exists():
            continue
        try:
            found = load_checkpoint(path).task
        except UnreadableCheckpoint as error:
            _log.warning("%s It is passed over; training goes on from an earlier state.", error)
            continue
        require_same_task(path, found, task)
        return path
    return None


def require_same_task(path: Path, found: str, task: str) -> None:
    """Refuse what another configuration left in the folder.

    Parameters
    ----------
    path : Path
        The file, for the message.
    found, task : str
        Digest in the file, and of the task at hand.

    Raises
    ------
    ConfigError
        If they differ.
    """
    if found != task:
        raise ConfigError(
            f"{path}: must be of the task that is trained ({task[:12]}), but is of another "
            f"({found[:12]}): settings, seed, subjects or images differ. Train into another "
            f"folder, or delete this one."
        )


def random_state() -> StateDict:
    """Take the state of every global random generator of this process.

    Returns
    -------
    dict
        Tensors, numbers and lists only.
    """
    name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - kept, never drawn from
    version, internal, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(name), [int(key) for key in keys], *(float(value) for value in rest)],
        "python": [version, list(internal), gauss],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Put every global random generator of this process back.

    Parameters
    ----------
    state : Mapping
        From `random_state`. GPU states are restored where there are as many GPUs.
    """
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    legacy = (name, np.array(keys, dtype=np.uint32), int(position), int(has_gauss), gauss)
    np.random.set_state(legacy)  # noqa: NPY002 - see random_state
    version, internal, python_gauss = state["python"]
    random.setstate((version, tuple(internal), python_gauss))


def remove_leftovers(directory: Path) -> None:
    """Delete the half-written files of a killed process.

    Parameters
    ----------
    directory : Path
        The task's folder; nobody else may be writing into it.
    """
    for path in directory.glob(".*.tmp"):
        path.unlink(missing_ok=True)
