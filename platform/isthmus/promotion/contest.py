"""Among which trials a model is chosen: those of a search, or one trial by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.cohort.participants import Participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.core.errors import ConfigError
from isthmus.stratification.across import SelectionReport
from isthmus.study.records import StudyResult
from isthmus.study.search import SEARCH_FILE, read_search
from isthmus.study.significance import adjust_study
from isthmus.trial.records import TrialResult
from isthmus.trial.run import EXPERIMENT_FILE, TRIAL_FILE, PreparedTrial, load_trial, prepare_trial

ALONE = 0
"""The number of a trial that is no part of a search."""


@dataclass(frozen=True, eq=False)
class Contest:
    """Finished trials of one experiment, of which at most one goes to production.

    Attributes
    ----------
    folder : Path
        Of the search, or of the trial; what promotion finds is kept below it.
    name : str
        What people call it.
    key : str
        What its run in the tracking store is found by: the study's id, or the trial's digest.
    experiment : Experiment
        The one that the search varies, or the trial's own.
    study : StudyResult or None
        The search; None for one trial.
    directories : Mapping of int to Path
        Folder of each finished trial by its number.
    """

    folder: Path
    name: str
    key: str
    experiment: Experiment
    study: StudyResult | None
    directories: Mapping[int, Path]

    def prepared(self, number: int) -> PreparedTrial:
        """Open the inputs of one of the trials.

        Parameters
        ----------
        number : int
            Of `directories`.

        Returns
        -------
        PreparedTrial
            Its own settings, the development subjects and their folds.
        """
        return prepare_trial(load_experiment(self.directories[number] / EXPERIMENT_FILE))

    def selection(self, participants: Participants) -> SelectionReport | None:
        """Adjust the trials' p-values for having been chosen among, unless the search did.

        Parameters
        ----------
        participants : Participants
            Everybody who is in a trial.

        Returns
        -------
        SelectionReport or None
            None for a trial by itself, which was not chosen among any, and without phenotypes.
        """
        if self.study is None:
            return None
        if self.study.selection is not None:
            return self.study.selection
        return adjust_study(self.experiment, participants, self.directories)


def contest_of_search(folder: Path, study: StudyResult) -> Contest:
    """Take the finished trials of a search.

    Parameters
    ----------
    folder : Path
        The search's.
    study : StudyResult
        How it stands.

    Returns
    -------
    Contest
        Repeated trials are left out: the experiment counts once.

    Raises
    ------
    ConfigError
        If no trial has finished, or the folder of one is gone.
    """
    kept = read_search(folder)
    finished = {
        record.number: kept.experiment.output / record.folder
        for record in study.trials
        if record.state == "finished" and record.folder is not None
    }
    if not finished:
        raise ConfigError(
            f"{folder}: a model is promoted out of finished trials, but of {len(study.trials)} "
            "trials none has finished. `isthmus compare` says why; `isthmus search` goes on."
        )
    gone = sorted(number for number, path in finished.items() if not (path / TRIAL_FILE).is_file())
    if gone:
        raise ConfigError(
            f"{finished[gone[0]] / TRIAL_FILE}: each finished trial must have its folder, but that "
            f"of {len(gone)} ({', '.join(map(str, gone[:5]))}) is not there. Restore it, or run "
            f"`isthmus train {finished[gone[0]] / EXPERIMENT_FILE}`."
        )
    return Contest(folder, folder.name, kept.study_id, kept.experiment, study, finished)


def contest_of_trial(folder: Path) -> Contest:
    """Take one trial by itself.

    Parameters
    ----------
    folder : Path
        As `isthmus train` leaves it.

    Returns
    -------
    Contest
        Under the number `ALONE`.

    Raises
    ------
    ConfigError
        If the trial has not finished, or the folder is none of a trial or a search.
    """
    if not (folder / EXPERIMENT_FILE).is_file() or (folder / SEARCH_FILE).exists():
        raise ConfigError(
            f"{folder}: must be the folder of a search or of a trial. `isthmus search` and "
            "`isthmus train` name it at their end; of an ablation name one arm's trial."
        )
    if not (folder / TRIAL_FILE).is_file():
        raise ConfigError(
            f"{folder}: a trial must have finished, but there is no {TRIAL_FILE}. "
            f"`isthmus train {folder / EXPERIMENT_FILE}` goes on."
        )
    experiment = load_experiment(folder / EXPERIMENT_FILE)
    digest = load_trial(folder).digest
    return Contest(folder, folder.name, digest, experiment, None, {ALONE: folder})


def typical_fold(result: TrialResult, metric: str = "validation_mse") -> int:
    """Choose the encoder that stands for a cross-validated trial.

    Each fold has an encoder of its own, and only one can be used. The best would be picked for its
    luck, so that its own held-out error flattered it; the one in the middle is not.

    Parameters
    ----------
    result : TrialResult
        All folds finished.
    metric : str
        By what folds are put in order.

    Returns
    -------
    int
        Number of the fold with the median; of two in the middle, the one with the larger error.

    Raises
    ------
    ConfigError
        If a fold failed.
    """
    if not result.succeeded or not result.folds:
        raise ConfigError(
            f"Trial {result.digest[:12]}: every fold must have finished to choose the encoder of "
            f"one, but {len(result.failures)} failed."
        )
    order = sorted(result.folds, key=lambda fold: (fold.metrics[metric], fold.number))
    return order[len(order) // 2].number
