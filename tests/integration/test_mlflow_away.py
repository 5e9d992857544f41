"""A tracking server that is killed and comes back, and many trials written to one sqlite file."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer, environment
from phantom_experiment import write_experiment

from isthmus.backends.mlflow_store import PARENT_TAG, MlflowRunStore
from isthmus.backends.tracking_uri import sqlite_uri
from isthmus.cohort.participants import load_participants
from isthmus.config.load import load_experiment
from isthmus.core.ports import EpochEvent
from isthmus.report.fold_files import draw_pictures
from isthmus.report.outbox import Outbox
from isthmus.report.publish import TrackingPublisher, opened_in
from isthmus.report.study_publish import StudyPublisher
from isthmus.study.records import Objective, StudyResult, TrialRecord
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import FoldStarted, TrialStarted, tell_all
from isthmus.trial.run import run_trial
from isthmus.volumes.ingest import ingest

# MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
pytestmark = [
    pytest.mark.long,
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]

N_TRIALS, N_EPOCHS = 8, 12


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("server"))
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = write_experiment(tmp_path_factory.mktemp("trial"))
    experiment = load_experiment(file)
    ingest(experiment, load_participants(experiment))
    return file


def kept(client: MlflowClient, run_id: str) -> list[dict]:
    """All that a store has of a run and of those below it, apart from what names the runs."""
    top = client.get_run(run_id)
    below = client.search_runs(
        [top.info.experiment_id], f"tags.`{PARENT_TAG}` = '{run_id}'", order_by=["run_name ASC"]
    )
    return [
        {
            "name": run.info.run_name,
            "status": run.info.status,
            "params": run.data.params,
            "tags": {
                name: text
                for name, text in run.data.tags.items()
                if name not in (PARENT_TAG, "mlflow.user", "mlflow.source.name")
            },
            "metrics": {
                name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            },
            "artifacts": sorted(
                item.path
                for folder in (None, "strata", "reconstructions", "across_encoders")
                for item in client.list_artifacts(run.info.run_id, folder)
            ),
        }
        for run in (top, *below)
    ]


def test_a_trial_goes_on_while_the_server_is_dead_and_nothing_is_lost(
    server, ingested, tmp_path, monkeypatch
):
    # MLflow itself would sit out a minute; here it is the outbox that is tried.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    experiment, said, events = load_experiment(ingested), [], []
    publisher = TrackingPublisher(opened_in(MlflowRunStore(server.uri)))

    def kill_in_the_middle(event):
        events.append(event)
        if isinstance(event, EpochEvent) and (event.fold, event.epoch) == (0, 1):
            server.kill()

    with Outbox(said.append) as outbox:
        tell = tell_all(draw_pictures, outbox.listener(publisher), kill_in_the_middle)
        result = run_trial(experiment, InProcessLauncher(), tell)
        assert result.succeeded
        # The trial is over, and the store has not come back since its first epoch.
        assert outbox.n_waiting > 5
        assert len(said) == 1
        server.start()
    assert "away" in said[0]
    assert "is back" in said[-1]
    undisturbed = MlflowRunStore(sqlite_uri(tmp_path / "mlflow.db"))
    reference = TrackingPublisher(opened_in(undisturbed))
    for event in events:
        reference(event)
    found = kept(MlflowClient(server.uri), publisher.run_id)
    expected = kept(MlflowClient(undisturbed.tracking_uri), reference.run_id)
    assert [run["status"] for run in found] == ["FINISHED"] * 3
    assert [step for step, _ in found[1]["metrics"]["train_loss"]] == [1, 2]
    assert found == expected


def test_the_command_ends_well_though_the_server_was_killed_under_it(server, ingested, tmp_path):
    command = [sys.executable, "-m", "isthmus", "train", str(ingested)]
    command += ["--tracking-uri", server.uri, "--set", f"execution.output={tmp_path}"]
    command += ["--set", "name=killed"]
    process = subprocess.Popen(
        command,
        env={**environment(), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "COLUMNS": "300"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        limit = time.monotonic() + 200
        while not list(tmp_path.glob("killed-*/fold-0/history.jsonl")):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < limit
            time.sleep(0.02)
        server.kill()
        while not list(tmp_path.glob("killed-*/trial.json")):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < limit
            time.sleep(0.05)
        server.start()
        shown = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == 0, shown
    assert "tracking store is away" in shown
    assert "tracking store is back" in shown
    client = MlflowClient(server.uri)
    found = client.get_experiment_by_name("killed")
    top = client.search_runs([found.experiment_id], "tags.isthmus.trial != ''")
    top = [run for run in top if PARENT_TAG not in run.data.tags]
    assert len(top) == 1
    runs = kept(client, top[0].info.run_id)
    assert [run["status"] for run in runs] == ["FINISHED"] * 3
    for run in runs[1:]:
        assert [step for step, _ in run["metrics"]["train_loss"]] == [1, 2]
        assert {"model.safetensors", "strata/robustness.html"} <= set(run["artifacts"])


def test_trials_told_at_once_through_two_outboxes_lose_nothing_on_sqlite(ingested, tmp_path):
    uri = sqlite_uri(tmp_path / "mlflow.db")
    config = load_experiment(ingested).config
    for name in ("experiment.yaml", "split.json", "provenance.json"):
        (tmp_path / name).write_text("{}")
    stores = [MlflowRunStore(uri) for _ in range(2)]
    studies = [
        StudyPublisher(store, "s", f"s{i}", "many", {}, {}) for i, store in enumerate(stores)
    ]
    records = [
        TrialRecord(number, {"model.depth": number}, "stopped", "below the median", digest="d")
        for number in range(N_TRIALS)
    ]
    study = StudyResult("s", "id", "many", 8, (Objective("m", "minimize"),), tuple(records))

    def work(number, tell):
        identity = {"experiment": str(number)}
        tell(TrialStarted(f"{number:08d}" * 8, config, identity, {"n": number}, tmp_path))
        for fold in range(2):
            tell(FoldStarted(fold))
            for epoch in range(1, N_EPOCHS + 1):
                metrics = {"train_loss": number + fold / 10 + epoch / 100, "seconds": 0.1}
                tell(EpochEvent(fold, epoch, N_EPOCHS, metrics, 3.0))

    start = time.monotonic()
    with Outbox(print) as first, Outbox(print) as second:
        outboxes = (first, second)
        threads = []
        for number in range(N_TRIALS):
            publisher = studies[number % 2].trial(number, records[number].point)
            tell = outboxes[number % 2].listener(publisher)
            threads.append(threading.Thread(target=work, args=(number, tell)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for record in records:
            own = record.number % 2
            outboxes[own].post(
                lambda record=record, own=own: studies[own].after_trial(record, study)
            )
    print(f"{N_TRIALS * 2 * N_EPOCHS} epochs in {time.monotonic() - start:.1f} s", file=sys.stderr)
    client = MlflowClient(uri)
    for record in records:
        (trial,) = client.search_runs(
            [client.get_experiment_by_name("many").experiment_id],
            f"tags.`isthmus.trial_number` = '{record.number}'",
        )
        assert trial.data.tags["isthmus.state"] == "stopped"
        runs = kept(client, trial.info.run_id)
        assert [run["status"] for run in runs] == ["FINISHED"] * 3
        for fold, run in enumerate(runs[1:]):
            expected = [
                (epoch, record.number + fold / 10 + epoch / 100) for epoch in range(1, N_EPOCHS + 1)
            ]
            assert sorted(run["metrics"]["train_loss"]) == expected
            assert len(run["metrics"]["subjects_per_second"]) == N_EPOCHS
