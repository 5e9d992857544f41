"""Publishing a trial: a listener that writes its course and results to a tracking store.

Parent run = the trial, child run = a fold. Runs are found again by digest, so that a trial that is
continued continues its runs.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isthmus.config.experiment import ExperimentConfig
from isthmus.core.files import write_text
from isthmus.core.ports import EpochEvent, RunLogger, RunStore
from isthmus.report.across_summary import across_metrics
from isthmus.report.figures import controls_figure, learning_curves
from isthmus.report.pictures import reconstruction_figure, save_png
from isthmus.report.strata_files import write_across_files, write_strata_files
from isthmus.report.strata_words import stability_in_words, strata_in_words
from isthmus.report.summary import summary_tables
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
from isthmus.trial.fold import RANDOM_STRATA_FILE
from isthmus.trial.panels import load_panels
from isthmus.trial.records import TrialResult
from isthmus.trial.strata import ACROSS_FILE, STRATA_FILE
from isthmus.trial.tables import STRATA_TABLES

_log = logging.getLogger("isthmus.report")

TRIAL_FILES = ("experiment.yaml", "split.json", "provenance.json")
FOLD_FILES = (
    "embeddings.parquet",
    "fidelity.tsv",
    STRATA_FILE,
    RANDOM_STRATA_FILE,
    *STRATA_TABLES,
    "history.jsonl",
    "model.safetensors",
    "encoder.json",
    "normaliser.npz",
    "fold.json",
)
# Local folder of what is drawn; "strata" itself is where the job keeps its pieces.
STRATA_FOLDER, STRATA_ARTIFACTS = "strata_report", "strata"
ACROSS_FOLDER = "across_encoders"


class TrackingPublisher:
    """Writes a trial to a tracking store as it goes.

    Parameters
    ----------
    store : RunStore
        Where to write.
    """

    def __init__(self, store: RunStore) -> None:
        self._store = store
        self._trial: RunLogger | None = None
        self._folds: dict[int, RunLogger] = {}
        self._unfinished: list[RunLogger] = []
        self._tags: dict[str, str] = {}

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

    @property
    def run_id(self) -> str | None:
        """The tracking store's identifier of the trial's run, once it is open."""
        return self._trial.run_id if self._trial else None

    def _open_trial(self, event: TrialStarted) -> None:
        """Open the parent run with settings, digests and facts."""
        config = event.config
        self._tags = {
            "isthmus.trial": event.digest,
            **{f"isthmus.{name}_digest": digest for name, digest in event.identity.items()},
            "isthmus.family": config.model.family,
            "isthmus.leaky": str(config.volumes.normalisation.leaky).lower(),
        }
        name = run_name(config, event.digest)
        run = self._store.open_run(config.name, name, event.digest, self._tags)
        run.log_params(flat_params(config))
        run.set_tags({f"isthmus.{key}": str(value) for key, value in event.facts.items()})
        for file in TRIAL_FILES:
            run.log_artifact(event.directory / file)
        self._trial = run
        self._unfinished.append(run)

    def close(self) -> None:
        """Close as failed what was opened and has not been finished: the trial was cut short."""
        while self._unfinished:
            run = self._unfinished.pop()
            try:
                run.finish(succeeded=False)
            except Exception as error:  # whatever it is, it must not hide what cut the trial short
                _log.warning("run %s could not be closed: %s", run.run_id, error)

    def _finish(self, run: RunLogger, succeeded: bool) -> None:
        """Close a run."""
        run.finish(succeeded)
        self._unfinished.remove(run)

    def _fold(self, number: int) -> RunLogger:
        """Return the child run of a fold, opening it the first time."""
        if self._trial is None:
            raise RuntimeError("a fold was published before its trial was opened")
        if number not in self._folds:
            tags = {**self._tags, "isthmus.fold": str(number)}
            self._folds[number] = self._trial.child(f"fold {number}", tags)
            self._unfinished.append(self._folds[number])
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
        for file in FOLD_FILES:
            if (directory / file).exists():
                run.log_artifact(directory / file)
        for i, panel in enumerate(load_panels(directory / "panels.npz")):
            picture = directory / "reconstructions" / f"{i}_{panel.participant_id}.png"
            save_png(reconstruction_figure(panel, result.leaky), picture)
            run.log_artifact(picture, "reconstructions")
        publish_stratification(
            run,
            result.strata,
            write_strata_files(result.strata, directory / STRATA_FOLDER, result.leaky),
            with_metrics=False,
        )
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
        run.log_metrics(legal_names({**metrics, **errors}))
        histories = {
            fold.number: read_history(directory / f"fold-{fold.number}") for fold in result.folds
        }
        figures = {"learning_curves.png": learning_curves(histories, result.leaky)}
        if result.succeeded:
            figures["controls.png"] = controls_figure(result)
        for file, figure in figures.items():
            save_png(figure, directory / file)
            run.log_artifact(directory / file)
        tables = "\n".join(table.to_markdown() for table in summary_tables(result))
        write_text(directory / "summary.md", tables)
        for file in ("summary.md", "trial.json"):
            run.log_artifact(directory / file)
        if result.across is not None:
            files = write_across_files(result.across, directory / ACROSS_FOLDER, result.leaky)
            publish_across(run, result.across, (*files, directory / ACROSS_FILE))
        run.set_tags({"mlflow.note.content": tables, "isthmus.succeeded": str(result.succeeded)})
        self._finish(run, result.succeeded)


def publish_stratification(
    run: RunLogger, report: RobustnessReport, files: Sequence[Path], with_metrics: bool = True
) -> None:
    """Write one encoder's report to a run: its numbers, pictures, page and tables.

    Parameters
    ----------
    run : RunLogger
        Open; it is not closed.
    report : RobustnessReport
        What the robustness job found.
    files : sequence of Path
        Go into the artifact folder ``strata``; as `write_strata_files` returns them, with others.
    with_metrics : bool
        Whether the run still lacks the report's numbers, as a trial's fold does not.
    """
    if with_metrics:
        metrics = {f"strata_{name}": value for name, value in report.metrics().items()}
        run.log_metrics(legal_names(metrics))
    verdict = f"{strata_in_words(report)}; stability {stability_in_words(report)}"
    run.set_tags({"isthmus.encoder_id": report.encoder_id, "isthmus.strata": verdict})
    for file in files:
        run.log_artifact(file, STRATA_ARTIFACTS)


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
            run.log_artifact(file, ACROSS_FOLDER)


def run_name(config: ExperimentConfig, digest: str) -> str:
    """Name a run so that a list of runs can be read without opening them.

    Parameters
    ----------
    config : ExperimentConfig
        Settings of the trial.
    digest : str
        Identity of the trial.

    Returns
    -------
    str
        Such as ``"T1w+FA E512 depth 3 separable 4f6e2a1c"``.
    """
    model = config.model
    leaky = " LEAKY" if config.volumes.normalisation.leaky else ""
    return (
        f"{'+'.join(config.fused_modalities)} E{model.embedding_size} depth {model.depth} "
        f"{model.convolution}{leaky} {digest[:8]}"
    )


def flat_params(config: ExperimentConfig) -> dict[str, str | int | float | bool]:
    """List the settings that can change a result by dotted path.

    Parameters
    ----------
    config : ExperimentConfig
        Settings of the trial.

    Returns
    -------
    dict
        Exactly the settings that the digest covers, which is what the run is found by. Numbers
        and booleans as they are, the rest as compact JSON or text.
    """
    return dict(_flatten(config.identifying_settings(), ""))


def legal_names(metrics: Mapping[str, float]) -> dict[str, float]:
    """Name metrics so that a tracking store takes them.

    Parameters
    ----------
    metrics : Mapping of str to float
        Named with the user's column and modality labels.

    Returns
    -------
    dict of str to float
        Characters other than letters, digits and ``_-. :/`` are replaced by ``_``.

    Examples
    --------
    >>> legal_names({"probe_IQ (full).r/pca": 0.5})
    {'probe_IQ _full_.r/pca': 0.5}
    """
    return {
        re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII): value for name, value in metrics.items()
    }


def _flatten(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, str | int | float | bool]]:
    """List leaves by dotted path."""
    leaves: list[tuple[str, str | int | float | bool]] = []
    for key, value in tree.items():
        if isinstance(value, Mapping):
            leaves += _flatten(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float):
            leaves.append((f"{prefix}{key}", value))
        else:
            leaves.append((f"{prefix}{key}", json.dumps(value)))
    return leaves
