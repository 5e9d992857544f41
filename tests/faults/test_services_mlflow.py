"""MLflow's server killed while a search trains, and again while it is being written to."""

from pathlib import Path

import pytest
from disturbed_search import SEARCH, undisturbed, what_it_found, write_small
from fault_record import FaultClock, record_fault
from mlflow_server import MlflowServer
from tiny_search import started

pytestmark = [
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


def test_mlflow_killed_twice_has_each_run_and_each_number_once(tmp_path_factory, tmp_path):
    expected = undisturbed(tmp_path_factory)
    write_small(tmp_path)
    server, clock = MlflowServer(tmp_path / "server"), FaultClock()
    stored = tmp_path / "server" / "artifacts"
    # MLflow itself would sit out a minute; here it is the outbox that is tried.
    once = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
    try:
        server.start()
        with started(
            *SEARCH, "--tracking-uri", server.uri, folder=tmp_path, environment=once
        ) as command:
            command.wait_until(lambda: any(_trials(tmp_path, "fold-0/history.jsonl")))
            server.kill()
            clock.start()
            command.wait_until(lambda: "tracking store is away" in command.said())
            clock.notice()
            command.wait_until(lambda: "trial 0: finished" in command.said())
            server.start()
            # what was kept is being written now: files of the first fold have arrived
            command.wait_until(lambda: any(stored.rglob("strata.json")))
            server.kill()
            server.start()
            assert command.wait() == 0, command.said()
            clock.finish()
            said = command.said()
        found = what_it_found(tmp_path / "runs", server.uri)
    finally:
        server.kill()
    assert "trial 1: finished" in said
    assert "tracking store is back" in said
    assert found == expected
    record_fault(
        "services",
        "MLflow's server killed while a trial trains, and again while it is written to",
        "training goes on; what is to be written is kept and written once the server is back: "
        "each run, number and file once",
        clock,
        order=3,
    )


def _trials(folder: Path, pattern: str):
    """Files of trials, whichever."""
    return (folder / "runs").glob(f"*/{pattern}")
