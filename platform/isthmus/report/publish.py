"""Publishing a trial: a listener that writes its course and results to a tracking store.

Run = the trial, runs below it = its folds. Runs are found again, so that a trial that is continued
continues its runs. Every event may be told again: what the store has is not written twice.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from isthmus.core.errors import StoreUnavailable
from isthmus.core.files import write_text
from isthmus.core.ports import EpochEvent, RunLogger, RunStore
from isthmus.report.across_summary import across_metrics
from isthmus.report.fold_files import ACROSS, STRATA, draw_fold, draw_trial, summary_text
from isthmus.report.run_naming import (
    described,
    flat_params,
    leading_first,
    legal_names,
    run_name,
)
from isthmus.report.strata_words import stability_in_words, strata_in_words
from isthmus.stratification.across import AcrossEncoders
from isthmus.stratification.record import RobustnessReport
from isthmus.training.history import read_history
from isthmus.trial.events import (
    FoldFailed,
    FoldFinished,
    FoldStarted,
    TrialEvent,
    TrialFinished,
    TrialStarted,
)
from isthmus.trial.fold import FIDELITY_FILE, RANDOM_STRATA_FILE
from isthmus.trial.records import TrialResult
from isthmus.trial.replay import mark_published
from isthmus.trial.strata import ACROSS_FILE, STRATA_FILE
from isthmus.trial.subset_grid import AGREEMENT_TABLE, GRID_TABLE
from isthmus.trial.tables import STRATA_TABLES

_log = logging.getLogger("isthmus.report")

TRIAL_FILES = ("experiment.yaml", "split.json", "provenance.json")
FOLD_FILES = (
    "embeddings.parquet",
    FIDELITY_FILE,
    STRATA_FILE,
    RANDOM_STRATA_FILE,
    *STRATA_TABLES,
    GRID_TABLE,
    AGREEMENT_TABLE,
    "history.jsonl",
    "model.safetensors",
    "encoder.json",
    "normaliser.npz",
    "fold.json",
)
NOTE_TAG = "mlflow.note.content"

# Opens the run of a trial with these labels.
OpenTrial = Callable[[TrialStarted, Mapping[str, str]], RunLogger]


class TrackingPublisher:
    """Writes a trial to a tracking store as it goes.

    Parameters
    ----------
    open_trial : callable
        Opens the run of the trial, as `opened_in` makes one.
    note : str
        Begins the run's description, which the trial's tables follow once there are any.
    """

    def __init__(self, open_trial: OpenTrial, note: str = "") -> None:
        self._open = open_trial
        self._note = note
        self._trial: RunLogger | None = None
        self._folds: dict[int, RunLogger] = {}
        self._unfinished: dict[str, RunLogger] = {}
        self._tags: dict[str, str] = {}
        self._directory: Path | None = None
        # What was sent for an event, in case that it has to be told again.
        self._sent: set[tuple[str, Path, str]] = set()

    def __call__(self, event: TrialEvent) -> None:
        """Hear of one event and write what it brings."""
        match event:
            case TrialStarted():
                self._open_trial(event)
            case FoldStarted(number):
                self._fold(number)
            case EpochEvent():
                metrics = {**event.metrics, "subjects_per_second": event.subjects_per_second}
                self._fold(event.fold).log_metrics(legal_names(metrics), step=event.epoch)
            case FoldFinished():
                self._publish_fold(event)
            case FoldFailed(failure):
                run = self._fold(failure.number)
                run.set_tags({"isthmus.failure": failure.kind, "isthmus.message": failure.message})
                self._finish(run, succeeded=False)
            case TrialFinished():
                self._publish_trial(event.result, event.directory)
            case _:
                pass
        self._sent.clear()

    @property
    def run_id(self) -> str | None:
        """The tracking store's identifier of the trial's run, once it is open."""
        return self._trial.run_id if self._trial else None

    @property
    def directory(self) -> Path | None:
        """The trial's folder, once its run is open."""
        return self._directory

    def label(self, tags: Mapping[str, str]) -> None:
        """Label the trial's run, if it is open.

        Parameters
        ----------
        tags : Mapping of str to str
            Labels.
        """
        if self._trial is not None:
            self._trial.set_tags(tags)

    def end(self, succeeded: bool, tags: Mapping[str, str]) -> None:
        """Close the trial's run, and those of folds that are open, with labels that say why.

        Parameters
        ----------
        succeeded : bool
            Whether what was cut short counts as a success, as a trial that a scheduler stopped
            does.
        tags : Mapping of str to str
            Set on each run that is closed.
        """
        if self._trial is not None:
            # The trial's own run comes last, whether it was closed before or not.
            for run in reversed({self._trial.run_id: self._trial, **self._unfinished}.values()):
                run.set_tags(tags)
                self._finish(run, succeeded)

    def close(self) -> None:
        """Close as failed what was opened and has not been finished: the trial was cut short.

        Raises
        ------
        StoreUnavailable
            If the store is away; what is left can be closed by calling this again.
        """
        for run in tuple(reversed(self._unfinished.values())):
            try:
                self._finish(run, succeeded=False)
            except StoreUnavailable:
                raise
            except Exception as error:  # whatever it is, it must not hide what cut the trial short
                _log.warning("run %s could not be closed: %s", run.run_id, error)
                self._unfinished.pop(run.run_id, None)

    def _open_trial(self, event: TrialStarted) -> None:
        """Open the trial's run with settings, digests and facts."""
        config = event.config
        self._tags = {
            "isthmus.family": config.model.family,
            "isthmus.leaky": str(config.volumes.normalisation.leaky).lower(),
            "isthmus.trial": event.digest,
            **{f"isthmus.{name}_digest": digest for name, digest in event.identity.items()},
        }
        run = self._open(event, self._tags)
        if self._trial is not None and self._trial.run_id != run.run_id:
            # An attempt with other settings, such as larger slices, has a run of its own.
            self.end(succeeded=False, tags={"isthmus.state": "retried"})
        self._trial, self._folds = run, {}
        self._unfinished[run.run_id] = run
        run.log_params(flat_params(config))
        run.set_tags({f"isthmus.{key}": str(value) for key, value in event.facts.items()})
        for file in TRIAL_FILES:
            self._send(run, event.directory / file)
        self._directory = event.directory

    def _finish(self, run: RunLogger, succeeded: bool) -> None:
        """Close a run."""
        run.finish(succeeded)
        self._unfinished.pop(run.run_id, None)

    def _fold(self, number: int) -> RunLogger:
        """Return the child run of a fold, opening it the first time."""
        if self._trial is None:
            raise RuntimeError("a fold was published before its trial was opened")
        if number not in self._folds:
            tags = {**self._tags, "isthmus.fold": str(number)}
            run = self._trial.child(f"fold {number}", tags)
            self._folds[number] = self._unfinished[run.run_id] = run
        return self._folds[number]

    def _publish_fold(self, event: FoldFinished) -> None:
        """Write a fold's numbers, tables, pictures and weights, unless it was written before."""
        result, directory = event.result, event.directory
        published = directory / "published"
        run = self._fold(result.number)
        if event.reused and published.exists() and published.read_text() == run.run_id:
            self._finish(run, succeeded=True)
            return
        for record in read_history(directory):
            metrics = {name: value for name, value in record.items() if name != "epoch"}
            run.log_metrics(legal_names(metrics), step=int(record["epoch"]))
        run.log_metrics(legal_names(result.metrics))
        for name in FOLD_FILES:
            if (directory / name).exists():
                self._send(run, directory / name)
        for folder, files in draw_fold(result, directory).items():
            for file in files:
                self._send(run, file, folder)
        run.set_tags(_strata_tags(result.strata))
        self._finish(run, succeeded=True)
        write_text(published, run.run_id)

    def _publish_trial(self, result: TrialResult, directory: Path) -> None:
        """Write the trial's means, standard errors, tables and figures."""
        run = self._trial
        if run is None:
            raise RuntimeError("a trial was published before it was opened")
        metrics = {name: value.mean for name, value in result.summary.items()}
        errors = {
            f"{name}_se": value.standard_error
            for name, value in result.summary.items()
            if value.standard_error is not None and "/" not in name
        }
        run.log_metrics(legal_names(leading_first({**metrics, **errors})))
        self._send(run, directory / "trial.json")
        for folder, files in draw_trial(result, directory).items():
            for file in files:
                self._send(run, file, folder)
        if result.across is not None:
            run.log_metrics(legal_names(across_metrics(result.across)))
            if (directory / ACROSS_FILE).exists():
                self._send(run, directory / ACROSS_FILE, ACROSS)
        tables = "\n\n".join(filter(None, (self._note, summary_text(result))))
        note = described(tables, run.run_id)
        run.set_tags({NOTE_TAG: note, "isthmus.succeeded": str(result.succeeded)})
        self._finish(run, result.succeeded)
        mark_published(directory, run.run_id)

    def _send(self, run: RunLogger, path: Path, folder: str = "") -> None:
        """Copy a file to a run, once for an event."""
        key = (run.run_id, path, folder)
        if key not in self._sent:
            run.log_artifact(path, folder)
            self._sent.add(key)


def opened_in(store: RunStore) -> OpenTrial:
    """Open a trial's run by itself, found again by the trial's digest.

    Parameters
    ----------
    store : RunStore
        Where to write.

    Returns
    -------
    callable
        For a `TrackingPublisher`.
    """

    def open_trial(event: TrialStarted, tags: Mapping[str, str]) -> RunLogger:
        name = run_name(event.config, event.digest)
        return store.open_run(event.config.name, name, event.digest, tags)

    return open_trial


def publish_stratification(run: RunLogger, report: RobustnessReport, files: Sequence[Path]) -> None:
    """Write one encoder's report to a run: its numbers, pictures, page and tables.

    Parameters
    ----------
    run : RunLogger
        Open; it is not closed.
    report : RobustnessReport
        What the robustness job found.
    files : sequence of Path
        Go into the artifact folder ``strata``; as `write_strata_files` returns them, with others.
    """
    metrics = {f"strata_{name}": value for name, value in report.metrics().items()}
    run.log_metrics(legal_names(metrics))
    run.set_tags(_strata_tags(report))
    for file in files:
        run.log_artifact(file, STRATA)


def publish_across(run: RunLogger, across: AcrossEncoders, files: Sequence[Path]) -> None:
    """Write what several encoders have in common to a run.

    Parameters
    ----------
    run : RunLogger
        Open; it is not closed.
    across : AcrossEncoders
        What the encoders have in common.
    files : sequence of Path
        Go into the artifact folder ``across_encoders``; those that do not exist are left out.
    """
    run.log_metrics(legal_names(across_metrics(across)))
    for file in files:
        if file.exists():
            run.log_artifact(file, ACROSS)


def _strata_tags(report: RobustnessReport) -> dict[str, str]:
    """Say in words what one encoder's strata are worth."""
    verdict = f"{strata_in_words(report)}; stability {stability_in_words(report)}"
    return {"isthmus.encoder_id": report.encoder_id, "isthmus.strata": verdict}
