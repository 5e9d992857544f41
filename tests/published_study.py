"""Two trials run in this process and published as those of a search are."""

from dataclasses import dataclass
from pathlib import Path

from tiny_search import write_ingested

from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.config.load import load_experiment
from isthmus.report.comparison_view import SavedComparison, comparison_view, keep_comparison
from isthmus.report.study_files import SUMMARY_FILE, write_study_files
from isthmus.report.study_publish import StudyPublisher
from isthmus.study.records import Objective, StudyResult, TrialRecord
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import TrialEvent
from isthmus.trial.records import TrialResult
from isthmus.trial.run import run_trial

POINTS = (
    {"model.embedding_size": 64, "model.convolution": "separable"},
    {"model.embedding_size": 128, "model.convolution": "standard"},
)
SOUGHT = (
    Objective("validation_mse", "minimize"),
    Objective("strata_robustness_score", "maximize"),
)
STUDY, STUDY_ID = "small-search-sizes", "5eed" * 16


@dataclass(frozen=True)
class Published:
    """A study whose runs are in a tracking store."""

    folder: Path
    result: StudyResult
    comparison: SavedComparison
    run_id: str
    trial_run_ids: tuple[str, ...]


@dataclass(frozen=True)
class RanStudy:
    """The trials of a study, and what each has told."""

    folder: Path
    results: tuple[TrialResult, ...]
    events: tuple[tuple[TrialEvent, ...], ...]


def run_study(folder: Path) -> RanStudy:
    """Make a cohort below a folder and run the trials of a study on it."""
    file = write_ingested(folder)
    study = folder / "runs" / STUDY
    study.mkdir(parents=True)
    results, told = [], []
    for point in POINTS:
        experiment = load_experiment(file, [f"{path}={value}" for path, value in point.items()])
        events: list[TrialEvent] = []
        results.append(run_trial(experiment, InProcessLauncher(), events.append))
        told.append(tuple(events))
    return RanStudy(study, tuple(results), tuple(told))


def publish_study(ran: RanStudy, tracking_uri: str) -> Published:
    """Write a study to a store."""
    publisher = StudyPublisher(
        MlflowRunStore(tracking_uri),
        STUDY,
        STUDY_ID,
        "small",
        {"search.sampler.kind": "random"},
        {"isthmus.study": STUDY, "isthmus.study_id": STUDY_ID},
    )
    publisher.open()
    view = comparison_view(STUDY, STUDY_ID, SOUGHT, POINTS[0])
    saved = SavedComparison(tracking_uri, publisher.save_view(view), view.key)
    keep_comparison(saved, ran.folder)
    records: list[TrialRecord] = []
    run_ids = []
    for number, point in enumerate(POINTS):
        trial, done = publisher.trial(number, point), ran.results[number]
        for event in ran.events[number]:
            trial(event)
        run_ids.append(str(trial.run_id))
        found = [done.summary[objective.metric] for objective in SOUGHT]
        records.append(
            TrialRecord(
                number,
                point,
                "finished",
                values=tuple(value.mean for value in found),
                standard_errors=tuple(value.standard_error for value in found),
                digest=done.digest,
                folder=str(trial.directory.name) if trial.directory else None,
                facts={"embedding_size": point["model.embedding_size"]},
            )
        )
        publisher.after_trial(records[-1], _result(records))
    result = _result(records)
    publisher.publish_files(write_study_files(result, ran.folder))
    publisher.describe((ran.folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    publisher.finish(succeeded=True)
    return Published(ran.folder, result, saved, str(publisher.run_id), tuple(run_ids))


def _result(records: list[TrialRecord]) -> StudyResult:
    """Sum up what is known after some trials."""
    best = min(records, key=lambda record: record.values[0])
    front = tuple(
        record.number
        for record in records
        if not any(
            other.values[0] < record.values[0] and other.values[1] > record.values[1]
            for other in records
        )
    )
    return StudyResult(
        STUDY,
        STUDY_ID,
        "small",
        len(POINTS),
        SOUGHT,
        tuple(records),
        best.number,
        (best.number,),
        best.number,
        front,
    )
