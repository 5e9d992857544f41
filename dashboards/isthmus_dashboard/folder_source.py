"""Studies in a folder of runs, as `isthmus search`, `ablate` and `train` leave them."""

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from isthmus.core.errors import IsthmusError, StoreUnavailable
from isthmus.study.ablation.place import ABLATION
from isthmus.study.ablation.result_json import RESULT_FILE, read_result
from isthmus.study.record_json import STUDY_FILE
from isthmus.study.records import StudyResult, TrialRecord
from isthmus.study.search import SEARCH_FILE
from isthmus.training.history import HISTORY_FILE, read_history
from isthmus.trial.records import TrialResult
from isthmus.trial.replay import fold_folders
from isthmus.trial.run import EXPERIMENT_FILE, FOLD_FILE, IDENTITY_FILE, TRIAL_FILE
from isthmus_dashboard.source import Entry, FoldProgress, Kind, Missing, Standing, TrialEntry


class FolderSource:
    """Read studies from a folder of runs.

    Parameters
    ----------
    output : Path
        The folder that ``execution.output`` names.
    load_study : callable
        Reads how the search kept in a folder stands, also while it runs.
    """

    def __init__(self, output: Path, load_study: Callable[[Path], StudyResult]) -> None:
        self._output = output.resolve()
        self._load_study = load_study

    @property
    def place(self) -> str:
        """Say where the studies are."""
        return str(self._output)

    def entries(self) -> tuple[Entry, ...]:
        """List searches, ablations and trials, the newest first.

        Returns
        -------
        tuple of Entry
            Trials of searches and ablations among them.

        Raises
        ------
        StoreUnavailable
            If there is no such folder.
        """
        if not self._output.is_dir():
            raise StoreUnavailable(
                f"There must be a folder of runs at {self._output}, but there is none. Start a "
                "search there, or name another folder with --output."
            )
        found = [
            Entry(folder.name, kind, folder.name, started=folder.stat().st_mtime)
            for folder in self._output.iterdir()
            if folder.is_dir() and (kind := kind_of(folder)) is not None
        ]
        return tuple(sorted(found, key=lambda one: (-(one.started or 0.0), one.key)))

    def standing(self, key: str) -> Standing:
        """Say how a study stands now.

        Parameters
        ----------
        key : str
            Name of its folder.

        Returns
        -------
        Standing
            With the progress of trials that are not over.

        Raises
        ------
        Missing
            If there is no such study.
        """
        entry = next((one for one in self.entries() if one.key == key), None)
        if entry is None:
            raise Missing(f"{self._output} has no study {key!r}. Choose one from the list.")
        folder = self._output / key
        if entry.kind == "search":
            study = self._load_study(folder)
            trials = tuple(map(self._of_search, filter(lambda one: one.folder, study.trials)))
            return Standing(entry, study=study, trials=trials, output=self._output)
        if entry.kind == "trial":
            return Standing(entry, trials=(self._entry(key, key),), output=self._output)
        if not (folder / RESULT_FILE).exists():
            note = (
                "No sitting of this ablation has ended yet, so nothing is concluded. `isthmus "
                "ablate` with --plan says how far it is; without --plan it goes on."
            )
            return Standing(entry, note=note, output=self._output)
        result = read_result(folder)
        trials = tuple(
            self._entry(run.folder, f"{run.arm}, seed {run.seed}") for run in result.plan.runs
        )
        return Standing(entry, ablation=result, trials=trials, output=self._output)

    def trial(self, study: str, trial: str) -> TrialResult:
        """Read a trial's result.

        Parameters
        ----------
        study : str
            Not needed to find it.
        trial : str
            Name of its folder.

        Returns
        -------
        TrialResult
            Of all its folds.

        Raises
        ------
        Missing
            If it has none yet.
        """
        return read_trial(self.files(study, trial, None, (TRIAL_FILE,)) / TRIAL_FILE)

    def files(self, study: str, trial: str, fold: int | None, names: tuple[str, ...]) -> Path:
        """Find the folder of a trial, or of one of its folds.

        Parameters
        ----------
        study : str
            Not needed to find it.
        trial : str
            Name of the trial's folder.
        fold : int or None
            Number of the fold.
        names : tuple of str
            Files that must be there.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        Missing
            If one of the files is not there.
        """
        known = {one.key for one in self.entries()}
        if trial not in known:  # an address may say anything, a path that leads elsewhere too
            raise Missing(f"{self._output} has no trial {trial!r}. Choose one from the list.")
        folder = self._output / trial if fold is None else self._output / trial / f"fold-{fold}"
        for name in names:
            if not (folder / name).is_file():
                raise Missing(
                    f"{folder} has no {name}: the trial has not come that far, or the file was "
                    "removed. Run the search's command again to finish it."
                )
        return folder

    def _of_search(self, record: TrialRecord) -> TrialEntry:
        """Describe a trial of a search; the course of one that does not run is not read."""
        folder = self._output / str(record.folder)
        running = record.state == "running"
        return TrialEntry(
            str(record.folder),
            f"trial {record.number}",
            record.state,
            record.number,
            record.reason,
            whole=not running and (folder / TRIAL_FILE).is_file(),
            folds=folds_of(folder) if running else (),
        )

    def _entry(self, name: str, label: str) -> TrialEntry:
        """Describe a trial by what its folder holds."""
        folder = self._output / name
        whole = (folder / TRIAL_FILE).is_file()
        state = "finished" if whole else "not over" if folder.is_dir() else "not begun"
        return TrialEntry(name, label, state, whole=whole, folds=() if whole else folds_of(folder))


def kind_of(folder: Path) -> Kind | None:
    """Tell what a folder of runs' folder is of.

    Parameters
    ----------
    folder : Path
        Any.

    Returns
    -------
    {"search", "ablation", "trial"} or None
        None of a folder that isthmus did not make.
    """
    if (folder / SEARCH_FILE).is_file() or (folder / STUDY_FILE).is_file():
        return "search"
    if ABLATION.is_begun(folder) or (folder / RESULT_FILE).is_file():
        return "ablation"
    has_settings = (folder / EXPERIMENT_FILE).is_file()
    known = (folder / IDENTITY_FILE).is_file() or (folder / TRIAL_FILE).is_file()
    return "trial" if has_settings and known else None


def read_trial(path: Path) -> TrialResult:
    """Read a trial's record.

    Parameters
    ----------
    path : Path
        Its ``trial.json``.

    Returns
    -------
    TrialResult
        As it was written.

    Raises
    ------
    Missing
        If the file cannot be read as one.
    """
    try:
        written = path.stat()
        return _parsed(path, written.st_mtime_ns, written.st_size)
    except (OSError, ValueError, KeyError, TypeError, IsthmusError) as error:
        reason = str(error).split("\n")[0]
        raise Missing(
            f"{path} must be a trial's record, but cannot be read ({type(error).__name__}: "
            f"{reason:.120}). Run the trial again: what is finished is not repeated."
        ) from None


@lru_cache(maxsize=8)
def _parsed(path: Path, changed: int, size: int) -> TrialResult:
    """Read a record, once for as long as its file stays what it is."""
    return TrialResult.from_json(json.loads(path.read_text(encoding="utf-8")))


def folds_of(folder: Path) -> tuple[FoldProgress, ...]:
    """Say how far each fold of a trial is.

    Parameters
    ----------
    folder : Path
        The trial's.

    Returns
    -------
    tuple of FoldProgress
        Of those that were begun, by number.
    """
    n_epochs = _n_epochs(folder / EXPERIMENT_FILE)
    found = []
    for fold in fold_folders(folder):
        history: list[Any] = list(read_history(fold)) if (fold / HISTORY_FILE).exists() else []
        last = history[-1] if history else {}
        done = (fold / FOLD_FILE).is_file()
        found.append(
            FoldProgress(
                int(fold.name.removeprefix("fold-")),
                "finished" if done else "not over",
                int(last["epoch"]) if last else None,
                n_epochs,
                last.get("train_loss"),
            )
        )
    return tuple(found)


def _n_epochs(file: Path) -> int | None:
    """Read how many epochs were planned; the rest of the settings does not matter here."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        return int(content["training"]["epochs"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError):
        return None
