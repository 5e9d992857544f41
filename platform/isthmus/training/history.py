"""What is recorded of each epoch, and what follows from it: the best epoch, when to stop.

The best epoch and the patience are functions of the history alone, so nothing of them can get
lost between a kill and a resume.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from isthmus.config.training import EarlyStoppingConfig
from isthmus.core.files import write_text

HISTORY_FILE = "history.jsonl"
MONITORED = "monitor_loss"

EpochRecord = Mapping[str, float]


def best_epoch(history: Sequence[EpochRecord]) -> int:
    """Find the epoch whose weights are kept.

    Parameters
    ----------
    history : sequence of Mapping
        One record an epoch.

    Returns
    -------
    int
        Number, from 1, of the epoch with the lowest monitored loss (the first of equals); the last
        epoch where nothing is monitored; 0 before the first.

    Examples
    --------
    >>> best_epoch([{"monitor_loss": 3.0}, {"monitor_loss": 1.0}, {"monitor_loss": 2.0}])
    2
    """
    if not history or MONITORED not in history[0]:
        return len(history)
    losses = [record[MONITORED] for record in history]
    return losses.index(min(losses)) + 1


def stale_epochs(history: Sequence[EpochRecord], min_delta: float) -> int:
    """Count the epochs since the monitored loss last fell by more than a threshold.

    Parameters
    ----------
    history : sequence of Mapping
        One record an epoch.
    min_delta : float
        Fall that counts as improvement on the last loss that did.

    Returns
    -------
    int
        0 where the last epoch improved, or nothing is monitored.

    Examples
    --------
    >>> stale_epochs([{"monitor_loss": 3.0}, {"monitor_loss": 2.95}, {"monitor_loss": 2.9}], 0.2)
    2
    """
    reference, since = float("inf"), 0
    for record in history:
        if MONITORED not in record:
            return 0
        improved = record[MONITORED] < reference - min_delta
        reference, since = (record[MONITORED], 0) if improved else (reference, since + 1)
    return since


def is_over(history: Sequence[EpochRecord], n_epochs: int, config: EarlyStoppingConfig) -> bool:
    """Tell whether a training has come to its end.

    Parameters
    ----------
    history : sequence of Mapping
        One record for each finished epoch.
    n_epochs : int
        Epochs planned.
    config : EarlyStoppingConfig
        Patience, and what counts as improvement.

    Returns
    -------
    bool
        True when all epochs are done or patience is out.
    """
    if len(history) >= n_epochs:
        return True
    return (
        config.patience is not None and stale_epochs(history, config.min_delta) >= config.patience
    )


def write_history(history: Sequence[EpochRecord], directory: Path) -> None:
    """Write the history, one line of JSON an epoch, atomically.

    The whole file is written each time: after a resume it holds no epoch twice.

    Parameters
    ----------
    history : sequence of Mapping
        One record for each finished epoch.
    directory : Path
        The task's folder.
    """
    lines = (json.dumps(dict(record), allow_nan=False) + "\n" for record in history)
    write_text(directory / HISTORY_FILE, "".join(lines))


def read_history(directory: Path) -> tuple[EpochRecord, ...]:
    """Read the history.

    Parameters
    ----------
    directory : Path
        The task's folder.

    Returns
    -------
    tuple of Mapping
        One record an epoch.
    """
    text = (directory / HISTORY_FILE).read_text(encoding="utf-8")
    return tuple(json.loads(line) for line in text.splitlines())
