"""32 processes write at once, to MLflow and to Optuna on PostgreSQL; then everything is counted."""

import json
import os
import signal
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from many_writers import N_PARAMS, N_STEPS, N_TRIALS, SECONDS
from mlflow_server import MlflowServer
from postgres_server import PostgresServer
from s3_server import S3Server

from isthmus.backends.tracking_uri import engine_uri

TESTS = Path(__file__).parents[1]
N_WRITERS = 32

pytestmark = [pytest.mark.long, pytest.mark.timeout(2 * SECONDS)]


def written(what: str, url: str, folder: Path) -> list[dict[str, Any]]:
    """Let them write; say what each had to tell."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent / "platform")])
    process = subprocess.Popen(
        [sys.executable, TESTS / "many_writers.py", what, url, str(N_WRITERS), folder],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        told = process.communicate(timeout=SECONDS)[0]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
    writers = [json.loads(line) for line in told.splitlines()]
    assert sorted(writer["number"] for writer in writers) == list(range(N_WRITERS))
    seconds = sorted(writer["seconds"] for writer in writers)
    print(f"{what}: median {statistics.median(seconds):.1f} s, longest {seconds[-1]:.1f} s")
    assert [writer for writer in writers if writer["error"]] == []
    return writers


def rows(server: PostgresServer, database: str, statement: str) -> list[tuple[int, ...]]:
    return [tuple(int(cell) for cell in row) for row in server.sql(statement, database)]


def test_every_run_number_and_file_is_there_once(tmp_path: Path) -> None:
    with PostgresServer() as database, S3Server() as s3:
        s3.create_bucket("artifacts")
        backend = engine_uri(database.create_database("runs"))
        server = MlflowServer(tmp_path / "server", backend, "s3://artifacts", s3.environment())
        try:
            server.start()
            written("runs", server.uri, tmp_path)
        finally:
            server.kill()
        asked = {
            "SELECT count(*) FROM experiments WHERE name = 'many'": [(1,)],
            "SELECT count(*), count(DISTINCT run_uuid) FROM runs WHERE status = 'FINISHED'": [
                (2 * N_WRITERS, 2 * N_WRITERS)
            ],
            "SELECT count(DISTINCT value) FROM tags WHERE key = 'isthmus.key'": [(2 * N_WRITERS,)],
            "SELECT count(*) FROM params": [(N_WRITERS * N_PARAMS,)],
            "SELECT key = 'loss', step, count(*), count(DISTINCT value) FROM metrics "
            "WHERE key = 'loss' GROUP BY 1, 2 HAVING count(*) <> 32": [],
            "SELECT count(*), count(DISTINCT (run_uuid, key, step)) FROM metrics": [
                (2 * N_STEPS * N_WRITERS, 2 * N_STEPS * N_WRITERS)
            ],
        }
        for statement, expected in asked.items():
            assert rows(database, "runs", statement) == expected, statement
        artifacts = sorted(s3.objects("artifacts").values())
    assert artifacts == sorted(f"written by {n}\n".encode() for n in range(N_WRITERS))


def test_every_trial_and_state_is_there_once(tmp_path: Path) -> None:
    with PostgresServer() as database:
        url = database.create_database("studies")
        written("studies", url, tmp_path)
        n_trials = N_WRITERS * N_TRIALS
        asked = {
            "SELECT count(*), count(DISTINCT study_name) FROM studies": [(N_WRITERS, N_WRITERS)],
            "SELECT count(*), count(DISTINCT (study_id, number)) FROM trials "
            "WHERE state = 'COMPLETE'": [(n_trials, n_trials)],
            "SELECT count(*) FROM trials": [(n_trials,)],
            "SELECT count(*), count(DISTINCT trial_id) FROM trial_values": [(n_trials, n_trials)],
            "SELECT count(*), count(DISTINCT trial_id) FROM trial_intermediate_values": [
                (n_trials, n_trials)
            ],
            "SELECT count(DISTINCT trial_id) FROM trial_user_attributes": [(n_trials,)],
        }
        for statement, expected in asked.items():
            assert rows(database, "studies", statement) == expected, statement
        log = database.log.read_text()
    assert "deadlock" not in log
    assert "too many clients" not in log
