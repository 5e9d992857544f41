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


def publish_study(folder: Path, tracking_uri: str) -> Published:
    """Run the trials of a study below a folder and write them to a store."""
    file = write_ingested(folder)
    study = folder / "runs" / STUDY
    study.mkdir(parents=True)
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
    keep_comparison(saved, study)
    records: list[TrialRecord] = []
    run_ids = []
    for number, point in enumerate(POINTS):
        experiment = load_experiment(file, [f"{path}={value}" for path, value in point.items()])
        trial = publisher.trial(number, point)
        done = run_trial(experiment, InProcessLauncher(), trial)
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
    publisher.publish_files(write_study_files(result, study))
    publisher.describe((study / SUMMARY_FILE).read_text(encoding="utf-8"))
    publisher.finish(succeeded=True)
    return Published(study, result, saved, str(publisher.run_id), tuple(run_ids))


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
        STUDY, STUDY_ID, "small", len(POINTS), SOUGHT, tuple(records), best.number, front=front
    )
