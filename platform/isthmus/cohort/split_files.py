"""The split's file: JSON that a person can write, with a digest that shows later edits."""

import json
from pathlib import Path
from typing import Any

from isthmus.cohort.folds import Fold, Split, check_split
from isthmus.cohort.participants import Participants
from isthmus.config.paths import did_you_mean
from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json

_KEYS = ("folds", "seed", "method", "digest")
_PARTS = ("train", "monitor", "validation")


def save_split(split: Split, path: Path) -> None:
    """Write a split as JSON.

    Parameters
    ----------
    split : Split
        What to write.
    path : Path
        The file to make or to replace.
    """
    folds = [{part: list(ids) for part, ids in fold.parts.items()} for fold in split.folds]
    write_json(
        path,
        {"folds": folds, "seed": split.seed, "method": split.method, "digest": split.digest},
    )


def load_split(path: Path, participants: Participants) -> Split:
    """Read a split and check it against the participants.

    Parameters
    ----------
    path : Path
        As `save_split` writes it, or by hand: ``{"folds": [{"validation": ["sub-01", ...]},
        ...]}``. Without ``train``, all others of a fold are trained on; without ``monitor``, it is
        empty. One fold is a hold-out.
    participants : Participants
        Development participants.

    Returns
    -------
    Split
        Checked by `check_split`.

    Raises
    ------
    ConfigError
        If the file is no such JSON, does not match its own digest, or does not fit the
        participants.
    LeakageError
        If a participant or a family is in two parts of one fold, or is held out by two folds.
    """
    content = _read(path)
    folds = content.get("folds")
    if not isinstance(folds, list) or not folds:
        raise ConfigError(f"{path}: folds: must be a list of at least one fold, got {folds!r:.60}.")
    seed, method = content.get("seed", 0), content.get("method", "written by hand")
    if not isinstance(seed, int) or isinstance(seed, bool) or not isinstance(method, str):
        raise ConfigError(
            f"{path}: seed must be a whole number and method text, got {seed!r} and {method!r}."
        )
    split = Split(
        tuple(
            _fold(number, fold, participants, f"{path}: folds[{number}]")
            for number, fold in enumerate(folds)
        ),
        seed,
        method,
    )
    check_split(split, participants)
    written = content.get("digest")
    if written is not None and written != split.digest:
        raise ConfigError(
            f"{path}: digest: must match the folds, whose digest is {split.digest}, got "
            f"{written!r}: the file was edited after it was written. If that was meant, delete "
            "the digest from it."
        )
    return split


def _read(path: Path) -> dict[str, Any]:
    """Read the JSON object with known keys alone."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such split file.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: must be a split in JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must be a JSON object with folds, got {content!r:.60}.")
    _refuse_unknown(content, _KEYS, str(path))
    return content


def _fold(number: int, content: Any, participants: Participants, where: str) -> Fold:
    """Read one fold, filling in what may be left out."""
    if not isinstance(content, dict):
        raise ConfigError(f"{where}: must be an object with validation, got {content!r:.60}.")
    _refuse_unknown(content, _PARTS, where)
    if "validation" not in content:
        raise ConfigError(f"{where}: validation: must be given.")
    for part, ids in content.items():
        if not isinstance(ids, list) or not all(isinstance(label, str) for label in ids):
            raise ConfigError(
                f"{where}: {part}: must be a list of participant_ids, got {ids!r:.60}."
            )
    validation, monitor = tuple(content["validation"]), tuple(content.get("monitor", ()))
    elsewhere = {*validation, *monitor}
    others = tuple(label for label in participants.ids if label not in elsewhere)
    return Fold(number, tuple(content.get("train", others)), monitor, validation)


def _refuse_unknown(content: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    """Refuse keys that would be ignored."""
    for key in content:
        if key not in known:
            hint = did_you_mean(key, dict.fromkeys(known))
            raise ConfigError(f"{where}: {key}: no such entry; known are {list(known)}.{hint}")
