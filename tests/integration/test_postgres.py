"""Tracking and studies on a real PostgreSQL, artifacts in an S3-style store: first use, kills."""

import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from kept_study import make_ledger, start_python
from mlflow import MlflowClient
from mlflow_server import MlflowServer
from postgres_server import PASSWORD, PostgresServer
from s3_server import S3Server
from served_case import train_case
from small_space import make_space, search

from isthmus.backends.mlflow_registry import MlflowModelRegistry
from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.backends.optuna_study import open_ledger
from isthmus.backends.tracking_uri import TrackingUnavailable, engine_uri
from isthmus.core.errors import ConfigError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with PostgresServer() as running:
        yield running


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as running:
        running.create_bucket("artifacts")
        yield running


@pytest.fixture(scope="module")
def server(
    database: PostgresServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """As on a cluster: runs in PostgreSQL, artifacts through the server into the object store."""
    backend = engine_uri(database.create_database("served"))
    home = tmp_path_factory.mktemp("served")
    running = MlflowServer(home, backend, "s3://artifacts/mlflow", s3.environment())
    try:
        running.start()
        yield running
    finally:
        running.kill()


FIRST_USER = """if True:
    import sys
    from kept_study import make_ledger
    from small_space import make_space, search
    from isthmus.backends.mlflow_store import MlflowRunStore
    from isthmus.backends.optuna_search import OptunaLedger
    import mlflow.store.tracking.sqlalchemy_store
    print("ready", flush=True)
    sys.stdin.readline()
    store = MlflowRunStore(sys.argv[1])
    store.open_run("shared", "n", sys.argv[3], {}).log_metrics({"m": 1.0}, 1)
    with OptunaLedger(sys.argv[2], "study-" + sys.argv[3], make_space("random"), 0) as ledger:
        search(ledger, 2)
    """


@pytest.mark.long
def test_first_users_at_once_make_the_tables_once(database: PostgresServer) -> None:
    runs, studies = database.create_database("runs"), database.create_database("studies")
    users = [start_python(FIRST_USER, runs, studies, str(number)) for number in range(3)]
    try:
        for user in users:
            assert user.stdout is not None
            assert user.stdout.readline() == "ready\n"
        for user in users:
            user.communicate("\n", timeout=120)
    finally:
        for user in users:
            user.kill()
            user.wait(timeout=30)
    assert [user.returncode for user in users] == [0, 0, 0]
    assert database.sql("SELECT count(*) FROM runs", "runs") == [["3"]]
    assert database.sql("SELECT count(*) FROM metrics", "runs") == [["3"]]
    assert database.sql("SELECT name FROM experiments ORDER BY 1", "runs") == [
        ["Default"],
        ["shared"],
    ]
    assert database.sql("SELECT count(*), count(DISTINCT study_id) FROM trials", "studies") == [
        ["6", "3"]
    ]


def test_a_database_is_for_runs_or_for_studies(database: PostgresServer) -> None:
    studies = database.create_database("only_studies")
    with make_ledger(studies, make_space("random")):
        pass
    runs = database.create_database("only_runs")
    MlflowRunStore(runs)
    for url, opened in ((studies, MlflowRunStore), (runs, make_ledger)):
        with pytest.raises(ConfigError, match="Name another database") as refused:
            opened(url)
        assert PASSWORD not in str(refused.value)
    with open_ledger(studies, "study") as reader:
        assert reader.trials() == ()
    MlflowRunStore(runs)


DRIVER = """if True:
    import sys
    from kept_study import make_ledger
    from small_space import make_space, search
    with make_ledger(sys.argv[1], make_space("random")) as ledger:
        search(ledger, 100_000, told=True)
    """


def test_a_search_that_was_killed_goes_on_without_a_password_in_its_url(
    database: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.create_database("killed")
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"127.0.0.1:{database.port}:*:*:{PASSWORD}\n")
    passwords.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passwords))
    url = database.url("killed", password=None)
    driver = start_python(DRIVER, url)
    try:
        assert driver.stdout is not None
        lines = [driver.stdout.readline() for _ in range(20)]
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.communicate(timeout=30)
    assert all(lines)
    with open_ledger(url, "study") as reader:
        kept = reader.trials()
    assert sum(record.state != "running" for record in kept) >= 10
    with make_ledger(url, make_space("random")) as ledger:
        assert ledger.trials() == kept
        more = search(ledger, 3)
        numbers = [record.number for record in ledger.trials()]
        points = [dict(record.point) for record in ledger.trials()]
    assert numbers == list(range(len(kept) + 3))
    journal = f"journal:///{tmp_path}/undisturbed"
    with make_ledger(journal, make_space("random")) as undisturbed:
        assert search(undisturbed, len(points)) == points
    assert points[-3:] == more


def test_a_database_that_says_nothing_is_given_up(database: PostgresServer) -> None:
    url = f"{database.url('postgres')}?connect_timeout=2"
    os.kill(database.process_id, signal.SIGSTOP)
    try:
        with pytest.raises(TrackingUnavailable, match=f"127.0.0.1:{database.port}"):
            MlflowRunStore(url)
    finally:
        os.kill(database.process_id, signal.SIGCONT)


def test_a_model_comes_back_from_the_object_store_as_it_was(
    server: MlflowServer, database: PostgresServer, s3: S3Server, tmp_path: Path
) -> None:
    case = train_case(tmp_path, real=False)
    store = MlflowRunStore(server.uri)
    run = store.open_run("small", "trial", "digest", {})
    run.log_params({"model.depth": 2})
    run.log_metrics({"validation_mse": 0.5}, 1)
    run.log_artifact(case.bundle / "bundle.json", "tables")
    registry = MlflowModelRegistry(server.uri)
    version = registry.register(
        "brain", case.bundle, run_id=run.run_id, tags={}, description="A card.", extras={}
    )
    registry.set_alias("brain", "champion", version.version)
    run.finish(succeeded=True)
    registry.download(version, tmp_path / "fetched")
    kept = {file.name: file.read_bytes() for file in case.bundle.iterdir()}
    fetched = {file.name: file.read_bytes() for file in (tmp_path / "fetched").iterdir()}
    assert fetched == kept
    stored = s3.objects("artifacts", "mlflow/")
    weights = [body for name, body in stored.items() if name.endswith(".safetensors")]
    assert weights == [kept[name] for name in kept if name.endswith(".safetensors")]
    assert any(name.endswith("/tables/bundle.json") for name in stored)
    assert database.sql("SELECT status FROM runs", "served") == [["FINISHED"]]
    assert database.sql("SELECT alias, version FROM registered_model_aliases", "served") == [
        ["champion", version.version]
    ]


DIRECT = """if True:
    import sys
    from pathlib import Path
    from isthmus.backends.mlflow_store import MlflowRunStore
    run = MlflowRunStore(sys.argv[1]).open_run("direct", "trial", "digest", {})
    run.log_artifact(Path(sys.argv[2]), "tables")
    run.finish(succeeded=True)
    """


def test_runs_go_straight_to_the_database_and_artifacts_to_the_bucket(
    database: PostgresServer, s3: S3Server, tmp_path: Path
) -> None:
    uri = database.create_database("direct")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own queries use what SQLAlchemy deprecates
        MlflowRunStore(uri)
        client = MlflowClient(engine_uri(uri))
        client.create_experiment("direct", "s3://artifacts/direct")
    file = tmp_path / "strata.tsv"
    file.write_text("participant_id\tstratum\n")
    process = start_python(DIRECT, uri, str(file), **s3.environment())
    assert (process.communicate(timeout=120)[0], process.returncode) == ("", 0)
    stored = s3.objects("artifacts", "direct/")
    assert [name.split("/", 2)[2] for name in stored] == ["artifacts/tables/strata.tsv"]
    assert list(stored.values()) == [file.read_bytes()]
