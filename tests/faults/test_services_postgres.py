"""PostgreSQL, which keeps the study and MLflow's runs, ended politely and by force, and back."""

import time

import pytest
from disturbed_search import SEARCH, undisturbed, what_it_found, write_small
from fault_record import FaultClock, record_fault
from postgres_server import PASSWORD, PostgresServer
from tiny_search import Command, started

pytestmark = [
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
STUDY_AWAY, STUDY_BACK = "the study's storage is away", "the study's storage is back"
RUNS_AWAY, RUNS_BACK = "the tracking store is away", "the tracking store is back"


def test_postgresql_restarted_twice_the_search_waits_and_ends_as_if_it_had_not_been(
    tmp_path_factory, tmp_path, monkeypatch
):
    expected = undisturbed(tmp_path_factory)
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with PostgresServer() as server:
        server.create_database("studies")
        server.create_database("mlflow")
        runs_uri = server.url("mlflow", password=None)
        study_uri = server.url("studies", password=None)
        write_small(
            tmp_path,
            {"execution.study_storage": study_uri, "execution.tracking_uri": runs_uri},
        )
        clocks = [FaultClock(), FaultClock()]
        with started(*SEARCH, folder=tmp_path, environment={"PGPASSWORD": PASSWORD}) as command:
            for number, end in enumerate((server.stop, server.kill)):
                begun, clock = f"trial {number}: begun", clocks[number]
                command.wait_until(lambda begun=begun: begun in command.said())
                command.wait_until(lambda n=number: _n_trained(tmp_path) == n + 1)
                end()
                clock.start()
                _wait_for(command, STUDY_AWAY, number + 1)
                clock.notice()
                server.start()
                _wait_for(command, STUDY_BACK, number + 1)
            assert command.wait() == 0, command.said()
            for clock in clocks:
                clock.finish()
            said = command.said()
        found = what_it_found(tmp_path / "runs", runs_uri)
        numbers = server.sql("SELECT number FROM trials ORDER BY number", "studies")
    assert numbers == [["0"], ["1"]]
    assert said.count(RUNS_AWAY) == said.count(RUNS_BACK)
    assert PASSWORD not in said
    assert found == expected
    for clock, how, order in zip(clocks, ("stopped (fast)", "killed"), (4, 5), strict=True):
        record_fault(
            "services",
            f"PostgreSQL, with the study and MLflow's runs, {how} and started again",
            "the search says so and waits; each trial and each run is there once",
            clock,
            order=order,
        )


def _n_trained(folder) -> int:
    """Count the trials that have trained an epoch."""
    return len(list((folder / "runs").glob("*/fold-0/history.jsonl")))


def _wait_for(command: Command, line: str, n: int) -> None:
    """Wait until something was said so many times."""
    begun = time.monotonic()
    command.wait_until(lambda: command.said().count(line) >= n, 300.0)
    assert time.monotonic() - begun < 300.0
