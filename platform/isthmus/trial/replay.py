"""What a trial's folder has to tell again: to a tracking store that did not hear all of it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import load_experiment
from isthmus.core.digest import digest_file, digest_of
from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json
from isthmus.core.ports import EpochEvent
from isthmus.training.history import HISTORY_FILE, read_history
from isthmus.trial.events import (
    FoldFailed,
    FoldFinished,
    FoldStarted,
    TrialEvent,
    TrialFinished,
    TrialStarted,
)
from isthmus.trial.records import FoldFailure, FoldResult, TrialResult
from isthmus.trial.run import EXPERIMENT_FILE, FOLD_FILE, IDENTITY_FILE, TRIAL_FILE

PUBLISHED_FILE = "published.json"


def replay(directory: Path) -> Iterator[TrialEvent]:
    """Tell of a trial what its folder holds, as a run of it would if nothing were left to do.

    Parameters
    ----------
    directory : Path
        The trial's folder, which nobody writes to now.

    Yields
    ------
    TrialEvent
        The trial's start; of each fold, by number, that it finished, or failed, or was begun and
        which epochs it came to; the trial's end where it has come to one.

    Raises
    ------
    ConfigError
        If the folder is not a trial's.
    """
    started = _started(directory)
    yield started
    result = _result(directory)
    failures = {failure.number: failure for failure in result.failures} if result else {}
    for folder in fold_folders(directory):
        yield from _fold(folder, failures.get(_number(folder)), started.config)
    if result is not None:
        yield TrialFinished(result, directory)


def is_published(directory: Path, run_id: str) -> bool:
    """Tell whether all results of a trial are in a run, or below it, already.

    Parameters
    ----------
    directory : Path
        The trial's folder.
    run_id : str
        A tracking store's identifier: the trial's run, or that of the study above it.

    Returns
    -------
    bool
        False also where there are results that were not there when it was published.
    """
    return _marks(directory).get(run_id) == _results(directory)


def mark_published(directory: Path, *run_ids: str) -> None:
    """Remember that all results of a trial, as they are now, are in a run.

    Parameters
    ----------
    directory : Path
        The trial's folder.
    *run_ids : str
        The trial's run and, in a search, that of the study above it.
    """
    marks = {**_marks(directory), **dict.fromkeys(run_ids, _results(directory))}
    write_json(directory / PUBLISHED_FILE, marks)


def fold_folders(directory: Path) -> tuple[Path, ...]:
    """List the folders of a trial's folds.

    Parameters
    ----------
    directory : Path
        The trial's folder.

    Returns
    -------
    tuple of Path
        By the folds' numbers.
    """
    found = (path for path in directory.glob("fold-*") if path.name[5:].isdecimal())
    return tuple(sorted(found, key=_number))


def _number(folder: Path) -> int:
    """Read a fold's number off the name of its folder."""
    return int(folder.name.removeprefix("fold-"))


def _started(directory: Path) -> TrialStarted:
    """Tell of the trial's start."""
    config = load_experiment(directory / EXPERIMENT_FILE).config
    identity = _read(directory / IDENTITY_FILE) or _read(directory / TRIAL_FILE)
    if identity is None:
        raise ConfigError(
            f"{directory}: must be a trial's folder, with {IDENTITY_FILE} or {TRIAL_FILE}, but "
            "has neither. Run the trial again: what is finished is not repeated."
        )
    return TrialStarted(
        identity["digest"], config, identity["identity"], identity["facts"], directory
    )


def _result(directory: Path) -> TrialResult | None:
    """Read the trial's result, if it has one."""
    content = _read(directory / TRIAL_FILE)
    return TrialResult.from_json(content) if content else None


def _fold(
    folder: Path, failure: FoldFailure | None, config: ExperimentConfig
) -> Iterator[TrialEvent]:
    """Tell of one fold."""
    content = _read(folder / FOLD_FILE)
    if content is not None:
        yield FoldFinished(FoldResult.from_json(content), folder, reused=True)
        return
    if (folder / HISTORY_FILE).exists():
        yield FoldStarted(_number(folder))
        for record in read_history(folder):
            metrics = {
                name: value
                for name, value in record.items()
                if name not in ("epoch", "subjects_per_second")
            }
            yield EpochEvent(
                _number(folder),
                int(record["epoch"]),
                config.training.epochs,
                metrics,
                record["subjects_per_second"],
            )
    if failure is not None:
        yield FoldFailed(failure, folder)


def _marks(directory: Path) -> dict[str, str]:
    """Read which runs hold which results."""
    return _read(directory / PUBLISHED_FILE) or {}


def _results(directory: Path) -> str:
    """Identify all results that a trial's folder holds."""
    files = [directory / TRIAL_FILE]
    for folder in fold_folders(directory):
        files += [folder / FOLD_FILE, folder / HISTORY_FILE]
    return digest_of(
        {
            file.relative_to(directory).as_posix(): digest_file(file)
            for file in files
            if file.exists()
        }
    )


def _read(path: Path) -> dict[str, Any] | None:
    """Read a JSON object, if the file is there."""
    if not path.exists():
        return None
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
