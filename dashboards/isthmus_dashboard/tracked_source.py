"""Studies in a tracking store, read through the port that the platform reads it by."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from isthmus.config.search_load import load_space
from isthmus.core.errors import IsthmusError, StoreUnavailable
from isthmus.core.ports import RunReader, StoredRun
from isthmus.report.parent_publish import REASON_TAG, STATE_TAG
from isthmus.study.ablation.result_json import RESULT_FILE, read_result
from isthmus.study.record_json import STUDY_FILE, read_study
from isthmus.study.records import StudyResult
from isthmus.study.search import SPACE_FILE
from isthmus.trial.records import TrialResult
from isthmus.trial.run import TRIAL_FILE
from isthmus_dashboard.folder_source import read_trial
from isthmus_dashboard.runs_below import RunsBelow
from isthmus_dashboard.source import Entry, FoldProgress, Kind, Missing, Standing, TrialEntry
from isthmus_dashboard.stored_trials import NUMBER_TAG, STUDY_ID_TAG, live_study

ABLATION_ID_TAG, TRIAL_TAG, FOLD_TAG = "isthmus.ablation_id", "isthmus.trial", "isthmus.fold"
_LOSS = "train_loss"


class TrackedSource:
    """Read studies from a tracking store.

    Parameters
    ----------
    place : str
        The store's URI as it may be shown.
    connect : callable
        Opens the store; called when it is first needed, and again until it succeeds.
    scratch : Path
        Folder for what is fetched.
    output : Path or None
        Folder of the trials' folders, for files that no tracking store holds, such as slices.
    """

    def __init__(
        self, place: str, connect: Callable[[], RunReader], scratch: Path, output: Path | None
    ) -> None:
        self._place, self._connect, self._scratch, self._output = place, connect, scratch, output
        self._opened: RunReader | None = None
        self._below = RunsBelow()
        # Requests come from many threads, and the store is to be opened from one.
        self._alone = threading.RLock()

    @property
    def place(self) -> str:
        """Say where the studies are."""
        return self._place

    def entries(self) -> tuple[Entry, ...]:
        """List searches, ablations and trials that stand alone, the newest first.

        Returns
        -------
        tuple of Entry
            Of all experiments of the store.
        """
        kinds: tuple[tuple[Kind, str], ...] = (
            ("search", STUDY_ID_TAG),
            ("ablation", ABLATION_ID_TAG),
            ("trial", TRIAL_TAG),
        )
        with self._alone:
            found = [
                _entry(run, kind)
                for kind, tag in kinds
                for run in self._reader().tagged(tag, alone=True)
            ]
        return tuple(sorted(found, key=lambda one: (-(one.started or 0.0), one.key)))

    def standing(self, key: str) -> Standing:
        """Say how a study stands now.

        Parameters
        ----------
        key : str
            Identifier of its run.

        Returns
        -------
        Standing
            Of a search that runs, from the runs of its trials.

        Raises
        ------
        Missing
            If there is no such run.
        """
        with self._alone:
            entry = next((one for one in self.entries() if one.key == key), None)
            if entry is None:
                raise Missing(f"{self._place} has no study {key!r}. Choose one from the list.")
            run, below = self._reader().run(key), self._below.of(self._reader(), key)
            if entry.kind == "trial":
                return Standing(entry, trials=(self._trial(run, below),), output=self._output)
            trials = tuple(self._trial(child) for child in below if TRIAL_TAG in child.tags)
            if entry.kind == "search":
                return self._search(entry, run, below, trials)
            standing = Standing(entry, trials=trials, output=self._output)
            try:
                folder = self._fetched(run, (RESULT_FILE,))
            except Missing:
                note = (
                    "No sitting of this ablation has ended yet, so nothing is concluded. It goes "
                    "on when its command is run again."
                )
                return replace(standing, note=note)
            return replace(standing, ablation=read_result(folder))

    def trial(self, study: str, trial: str) -> TrialResult:
        """Read a trial's result.

        Parameters
        ----------
        study : str
            Not needed to find it.
        trial : str
            Identifier of its run.

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
        """Fetch files of a trial, or of one of its folds.

        Parameters
        ----------
        study : str
            Not needed to find it.
        trial : str
            Identifier of the trial's run.
        fold : int or None
            Number of the fold.
        names : tuple of str
            Files that must be there.

        Returns
        -------
        Path
            A folder that has them: the trial's own, where it is below the folder of runs.

        Raises
        ------
        Missing
            If there is no such run, or it lacks one of the files.
        """
        with self._alone:
            try:
                run = self._reader().run(trial)
                if fold is not None:
                    below = self._reader().children(trial)
                    run = next(one for one in below if one.tags.get(FOLD_TAG) == str(fold))
            except StopIteration:
                raise Missing(f"Run {trial} has no fold {fold}. Choose another fold.") from None
            except StoreUnavailable:
                raise
            except IsthmusError as error:
                raise Missing(str(error)) from None
            beside = self._beside(run, fold)
            if beside is not None and all((beside / name).is_file() for name in names):
                return beside
            return self._fetched(run, names)

    def _search(
        self,
        entry: Entry,
        run: StoredRun,
        below: tuple[StoredRun, ...],
        trials: tuple[TrialEntry, ...],
    ) -> Standing:
        """Say how a search stands: by its record, or by its runs while there is none."""
        study, note = self._record(run), ""
        if study is None:
            try:
                space = load_space(self._fetched(run, (SPACE_FILE,)) / SPACE_FILE)
                study = live_study(run, space, below)
                note = (
                    "The search runs, or was cut short: this is told by the runs of its trials. "
                    "Importance, hypervolume and adjusted p-values come when a sitting ends."
                )
            except Missing as error:
                note = f"What this search asks for is not known. {error}"
        return Standing(entry, study=study, trials=trials, note=note, output=self._output)

    def _record(self, run: StoredRun) -> StudyResult | None:
        """Read the record that a search leaves when a sitting ends, unless it goes on since."""
        if run.running:
            return None
        try:
            return read_study(self._fetched(run, (STUDY_FILE,)))
        except Missing:
            return None

    def _trial(self, run: StoredRun, below: tuple[StoredRun, ...] | None = None) -> TrialEntry:
        """Describe a trial by its run."""
        number = run.tags.get(NUMBER_TAG)
        told = "finished" if run.finished else "not over" if run.running else "failed"
        state = run.tags.get(STATE_TAG, told)
        label = f"trial {number}" if number is not None else run.name or run.run_id[:8]
        folds: tuple[FoldProgress, ...] = ()
        if run.running and STATE_TAG not in run.tags:
            below = self._reader().children(run.run_id) if below is None else below
            folds = tuple(self._fold(run, one) for one in below if FOLD_TAG in one.tags)
        whole = run.finished and state != "stopped"
        order = None if number is None else int(number)
        return TrialEntry(
            run.run_id, label, state, order, run.tags.get(REASON_TAG, ""), whole, folds
        )

    def _fold(self, trial: StoredRun, fold: StoredRun) -> FoldProgress:
        """Say how far a fold is, by the newest epoch of its run."""
        course = self._reader().history(fold.run_id, _LOSS)
        epoch, loss = course[-1] if course else (None, None)
        planned = trial.params.get("training.epochs", "")
        state = "finished" if fold.finished else "not over" if fold.running else "failed"
        n_epochs = int(planned) if planned.isdecimal() else None
        return FoldProgress(int(fold.tags[FOLD_TAG]), state, epoch, n_epochs, loss)

    def _beside(self, run: StoredRun, fold: int | None) -> Path | None:
        """Find the folder of a trial below the folder of runs, by the trial's digest."""
        digest = run.tags.get(TRIAL_TAG, "")
        if self._output is None or not digest.isalnum():
            return None
        folder = next(iter(sorted(self._output.glob(f"*-{digest[:12]}"))), None)
        return folder if folder is None or fold is None else folder / f"fold-{fold}"

    def _fetched(self, run: StoredRun, names: tuple[str, ...]) -> Path:
        """Copy files of a run, unless it is over and they were copied before."""
        folder = self._scratch / run.run_id
        for name in names:
            if run.running or not (folder / name).is_file():
                try:
                    self._reader().fetch(run.run_id, name, folder)
                except StoreUnavailable:
                    raise
                except IsthmusError as error:
                    raise Missing(str(error)) from None
        return folder

    def _reader(self) -> RunReader:
        """Open the store the first time."""
        if self._opened is None:
            self._opened = self._connect()
        return self._opened


def _entry(run: StoredRun, kind: Kind) -> Entry:
    """Describe a run in the list."""
    state = "finished" if run.finished else "not over" if run.running else "did not succeed"
    return Entry(run.run_id, kind, run.name or run.run_id, state, run.started)
