"""The record of a finished training, which marks it as finished."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from isthmus.core.files import write_json
from isthmus.training.card import digest_encoder
from isthmus.training.checkpoint import require_same_task
from isthmus.training.history import EpochRecord, read_history

FITTED_FILE = "fitted.json"
_log = logging.getLogger("isthmus.training")


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
