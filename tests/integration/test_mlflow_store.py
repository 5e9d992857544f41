"""The tracking store against real MLflow: sqlite in a folder, and a server on loopback."""

import contextlib
import math
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer, environment

from isthmus.backends.mlflow_store import KEY_TAG, PARENT_TAG, MlflowRunStore
from isthmus.backends.tracking_limits import PARAM_LENGTH
from isthmus.backends.tracking_uri import (
    TrackingError,
    TrackingUnavailable,
    checked_uri,
    require_answer,
    sqlite_uri,
)
from isthmus.core.errors import ConfigError, StoreUnavailable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a folder with spaces")


@pytest.fixture(scope="module")
def store(folder: Path) -> MlflowRunStore:
    return MlflowRunStore(sqlite_uri(folder / "below" / "mlflow.db"))


@pytest.fixture(scope="module")
def reader(store: MlflowRunStore) -> MlflowClient:
    """A client of its own: what is asserted is what anyone else would read."""
    return MlflowClient(tracking_uri=store.tracking_uri)


def test_a_run_is_found_again_by_its_key_and_continued(store, reader):
    first = store.open_run("continued", "trial", "digest-1", {"cohort": "phantom"})
    first.finish(succeeded=False)
    assert reader.get_run(first.run_id).info.status == "FAILED"
    again = store.open_run("continued", "trial", "digest-1", {"cohort": "phantom", "try": "2"})
    run = reader.get_run(again.run_id)
    assert again.run_id == first.run_id
    assert run.info.status == "RUNNING"
    assert run.data.tags["try"] == "2"
    assert run.data.tags[KEY_TAG] == "digest-1"
    again.finish(succeeded=True)
    assert reader.get_run(first.run_id).info.status == "FINISHED"


def test_other_keys_and_other_experiments_are_other_runs(store):
    ids = {
        store.open_run(experiment, "trial", key, {}).run_id
        for experiment in ("one", "two")
        for key in ("a", "b")
    }
    assert len(ids) == 4


def test_children_hang_below_their_own_parent(store, reader):
    parents = [store.open_run("families", "trial", key, {}) for key in ("p", "q")]
    children = [parent.child("fold-0", {"fold": "0"}) for parent in parents]
    assert children[0].run_id != children[1].run_id
    assert parents[0].child("fold-0", {}).run_id == children[0].run_id
    tags = reader.get_run(children[0].run_id).data.tags
    assert tags[PARENT_TAG] == parents[0].run_id
    assert tags[KEY_TAG] == "p/fold-0"
    assert tags["fold"] == "0"
    grandchild = children[0].child("probe", {})
    assert reader.get_run(grandchild.run_id).data.tags[KEY_TAG] == "p/fold-0/probe"


def test_a_step_is_written_once_also_by_the_next_process(store, reader):
    for attempt in range(2):
        run = store.open_run("steps", "trial", "k", {})
        for step in range(1, 4):
            run.log_metrics({"train_loss": float(attempt), "monitor_mse": 0.5}, step)
            run.log_metrics({"train_loss": 99.0}, step)
    run.log_metrics({"train_loss": 7.0, "new": 1.0}, 4)
    history = reader.get_metric_history(run.run_id, "train_loss")
    assert [(m.step, m.value) for m in history] == [(1, 0.0), (2, 0.0), (3, 0.0), (4, 7.0)]
    assert [m.step for m in reader.get_metric_history(run.run_id, "new")] == [4]


def test_a_step_that_was_skipped_can_still_be_written(store, reader):
    store.open_run("gaps", "trial", "k", {}).log_metrics({"m": 2.0}, 2)
    store.open_run("gaps", "trial", "k", {}).log_metrics({"m": 1.0}, 1)
    run = store.open_run("gaps", "trial", "k", {})
    assert {m.step for m in reader.get_metric_history(run.run_id, "m")} == {1, 2}


def test_a_number_of_the_whole_run_is_replaced(store, reader):
    for value in (1.0, 1.0, 2.0):
        run = store.open_run("whole", "trial", "k", {})
        run.log_metrics({"robustness": value})
    assert reader.get_run(run.run_id).data.metrics["robustness"] == 2.0
    assert len(reader.get_metric_history(run.run_id, "robustness")) == 2


def test_more_metrics_than_one_request_takes(store, reader):
    run = store.open_run("many", "trial", "k", {})
    run.log_metrics({f"voxel/{number:04d}": float(number) for number in range(1001)}, 1)
    run.log_params({f"model.setting_{number}": number for number in range(101)})
    data = reader.get_run(run.run_id).data
    assert data.metrics["voxel/1000"] == 1000.0
    assert len(data.params) == 101


def test_numbers_that_are_not_finite_are_kept(store, reader):
    run = store.open_run("nonfinite", "trial", "k", {})
    run.log_metrics({"nan": math.nan, "inf": math.inf, "ninf": -math.inf}, 1)
    metrics = reader.get_run(run.run_id).data.metrics
    assert math.isnan(metrics["nan"])
    assert metrics["inf"] == sys.float_info.max
    assert metrics["ninf"] == -sys.float_info.max


def test_params_may_repeat_but_not_change(store, reader):
    long = "x" * (PARAM_LENGTH + 1)
    values = {"model.depth": 5, "training.learning_rate": 1e-3, "volumes.leaky": False, "c": long}
    run = store.open_run("params", "trial", "k", {})
    run.log_params(values)
    run.log_params(values)
    again = store.open_run("params", "trial", "k", {})
    again.log_params(values)
    with pytest.raises(TrackingError, match=r"model\.depth.*'5'.*'4'"):
        again.log_params({"model.depth": 4})
    # Beyond the length that is kept, the digest still tells two values apart.
    with pytest.raises(TrackingError, match="must not change"):
        again.log_params({"c": long + "y"})
    stored = reader.get_run(run.run_id).data.params
    assert stored["model.depth"] == "5"
    assert len(stored["c"]) == PARAM_LENGTH


def test_artifacts_lie_beside_the_database(store, reader, folder, tmp_path):
    file = tmp_path / "resolved.yaml"
    file.write_text("seed: 0\n")
    run = store.open_run("artifacts", "trial", "k", {})
    run.log_artifact(file)
    run.log_artifact(file, "fold-0/figures")
    assert [item.path for item in reader.list_artifacts(run.run_id, "fold-0/figures")] == [
        "fold-0/figures/resolved.yaml"
    ]
    written = list((folder / "below" / "mlartifacts").rglob("resolved.yaml"))
    assert len(written) == 2
    assert written[0].read_text() == "seed: 0\n"
    with pytest.raises(TrackingError, match="existing file"):
        run.log_artifact(tmp_path / "missing.txt")


def test_names_that_mlflow_refuses_are_named(store):
    run = store.open_run("names", "trial", "k", {})
    run.log_metrics(
        {"validation/mse.T1w": 1.0, "CNR ratio (GM:WM)".replace("(", "").replace(")", ""): 1.0}
    )
    with pytest.raises(TrackingError, match=r"bad\*name"):
        run.log_metrics({"bad*name": 1.0})
    with pytest.raises(TrackingError, match="single quote"):
        run.child("it's", {})


@pytest.mark.long
@pytest.mark.slow
def test_a_locked_database_is_away_and_what_was_unsure_is_written_once(store, reader, monkeypatch):
    run = store.open_run("locked", "trial", "k", {})
    run.log_metrics({"m": 1.0}, 1)
    database = store.tracking_uri.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("begin exclusive")
        with pytest.raises(TrackingUnavailable, match="database is locked"):
            run.log_metrics({"m": 2.0}, 2)  # sqlite itself waits for 20 s
        other.execute("rollback")
    run.log_metrics({"m": 2.0}, 2)
    # An answer that is lost: the request was heard.
    taken = run._client.log_batch

    def loses_its_answer(*arguments, **named):
        taken(*arguments, **named)
        raise ConnectionResetError("the connection was lost")

    with monkeypatch.context() as patched:
        patched.setattr(run._client, "log_batch", loses_its_answer)
        for step in (3, None):
            with pytest.raises(TrackingUnavailable):
                run.log_metrics({"m": 3.0, "whole": 1.0}, step)
    time.sleep(0.01)
    for step in (3, None):
        run.log_metrics({"m": 3.0, "whole": 1.0}, step)
    written = [metric.step for metric in reader.get_metric_history(run.run_id, "m")]
    assert sorted(written) == [0, 1, 2, 3]
    assert len(reader.get_metric_history(run.run_id, "whole")) == 2


def test_a_deleted_experiment_is_not_written_to(store, reader):
    store.open_run("gone", "trial", "k", {})
    reader.delete_experiment(reader.get_experiment_by_name("gone").experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        store.open_run("gone", "trial", "k", {})


def test_nothing_is_printed(tmp_path):
    script = (
        "from pathlib import Path; from isthmus.backends.mlflow_store import MlflowRunStore\n"
        f"store = MlflowRunStore('sqlite:///{tmp_path}/quiet.db')\n"
        "run = store.open_run('e', 'n', 'k', {}); run.log_metrics({'m': 1.0}, 1)\n"
        f"Path('{tmp_path}/f.txt').write_text('x'); run.log_artifact(Path('{tmp_path}/f.txt'))\n"
        "run.finish(True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "mlruns").exists()


def test_a_uri_without_an_answer_is_refused_within_seconds():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    for uri in (f"http://127.0.0.1:{port}", f"postgresql://me:secret@127.0.0.1:{port}/mlflow"):
        start = time.monotonic()
        with pytest.raises(TrackingError, match=f"127.0.0.1:{port}") as caught:
            MlflowRunStore(uri)
        assert time.monotonic() - start < 10
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["mlruns", "./mlruns", "file:///tmp/mlruns", "sqlite://", "http://"]
)
def test_kinds_of_uri_that_cannot_work_are_refused(uri):
    with pytest.raises(ConfigError, match=r"execution\.tracking_uri"):
        checked_uri(uri)


def test_a_relative_database_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert checked_uri("sqlite:///mlflow.db") == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_file_that_is_no_database_is_an_error_of_the_user(tmp_path):
    (tmp_path / "mlflow.db").write_text("this is not a database " * 100)
    with pytest.raises(TrackingError, match=r"mlflow\.db"):
        MlflowRunStore(sqlite_uri(tmp_path / "mlflow.db"))


@pytest.mark.slow
def test_processes_that_start_at_once_share_one_schema(tmp_path):
    script = (
        "import sys; from isthmus.backends.mlflow_store import MlflowRunStore\n"
        f"store = MlflowRunStore('sqlite:///{tmp_path}/shared.db')\n"
        "store.open_run('shared', 'n', sys.argv[1], {}).log_metrics({'m': 1.0}, 1)\n"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(number)], env=environment(), stderr=subprocess.PIPE
        )
        for number in range(3)
    ]
    assert [(start.wait(120), start.communicate()[1]) for start in starts] == [(0, b"")] * 3
    with contextlib.closing(sqlite3.connect(tmp_path / "shared.db")) as database:
        assert database.execute("select count(*) from runs").fetchone() == (3,)
        assert database.execute(
            "select count(*) from experiments where name = 'shared'"
        ).fetchone() == (1,)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(folder / "server")
    try:
        server.start()
        yield server
    finally:
        server.kill()


@pytest.mark.slow
def test_a_server_takes_the_same_runs(server, tmp_path, monkeypatch):
    uri = server.uri
    require_answer(uri)
    store = MlflowRunStore(uri)
    for _ in range(2):
        run = store.open_run("served", "trial", "digest", {"cohort": "phantom"})
        child = run.child("fold-0", {})
        child.log_metrics({"train_loss": math.nan}, 1)
        child.log_metrics({"train_loss": 0.5}, 2)
        run.log_params({"model.depth": 3})
    file = tmp_path / "strata.tsv"
    file.write_text("participant_id\tstratum\n")
    run.log_artifact(file, "tables")
    run.finish(succeeded=True)
    reader = MlflowClient(tracking_uri=uri)
    history = reader.get_metric_history(child.run_id, "train_loss")
    assert [metric.step for metric in history] == [1, 2]
    assert math.isnan(history[0].value)
    assert reader.get_run(child.run_id).data.tags[PARENT_TAG] == run.run_id
    assert [item.path for item in reader.list_artifacts(run.run_id, "tables")] == [
        "tables/strata.tsv"
    ]
    # Then the server goes away in the middle of a run.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    server.kill()
    with pytest.raises(TrackingUnavailable, match=uri) as caught:
        child.log_metrics({"train_loss": 0.4}, 3)
    assert isinstance(caught.value, StoreUnavailable)
    # From then on it is asked whether anybody is there, which is told without MLflow's retries.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
    start = time.monotonic()
    with pytest.raises(TrackingUnavailable):
        child.log_metrics({"train_loss": 0.4}, 3)
    assert time.monotonic() - start < 5
    server.start()
    child.log_metrics({"train_loss": 0.4}, 3)
    history = reader.get_metric_history(child.run_id, "train_loss")
    assert [metric.step for metric in history] == [1, 2, 3]
