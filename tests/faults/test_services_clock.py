"""The wall clock set forward by a day and back by an hour while a search runs, Ray's included.

libfaketime stands between each process and its clock: the command, Ray's head, raylet and workers.
The day is told by a file that all of them read at each call. CLOCK_MONOTONIC stays true, as it does
where a person or NTP sets a machine's clock, and so do sleeps. Times of files are the kernel's, as
on a file server with a clock of its own.
"""

import importlib.util
import sqlite3
import time
from pathlib import Path

import pytest
from disturbed_search import SEARCH, undisturbed, what_it_found, write_small
from fault_record import FaultClock, record_fault
from tiny_search import started

from isthmus.study.record_json import read_study

pytestmark = [
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
DAY, HOUR = 86_400, 3_600


class FakedClock:
    """A wall clock for processes that are started with its environment."""

    def __init__(self, file: Path) -> None:
        package = importlib.util.find_spec("libfaketime")
        if package is None or package.origin is None:
            pytest.skip("a clock that can be set needs libfaketime: pip install libfaketime")
        library = Path(package.origin).parent / "vendor/libfaketime/src/libfaketime.so.1"
        if not library.exists():
            pytest.skip(f"libfaketime has no library for this machine: {library}")
        self._file = file
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(0)

    def set(self, seconds: int) -> None:
        """Have it show so much more than the true time, from now on."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{seconds:+d}\n")
        beside.replace(self._file)


def test_a_clock_set_forward_and_back_changes_nothing_and_spends_nothing(
    tmp_path_factory, tmp_path
):
    expected = undisturbed(tmp_path_factory)
    search = write_small(tmp_path)
    clock, fault = FakedClock(tmp_path / "clock"), FaultClock()
    began = time.monotonic()
    # An hour of searching and of trials: a day, were it counted, would be more than enough.
    limit = ("--space-set", "budget.wall_hours=1")
    with started(*SEARCH, *limit, folder=tmp_path, environment=clock.environment) as command:
        command.wait_until(lambda: _n_trained(tmp_path) == 1)
        clock.set(DAY)
        fault.start()
        command.wait_until(lambda: "trial 0: finished" in command.said())
        command.wait_until(lambda: _n_trained(tmp_path) == 2)
        clock.set(-HOUR)
        assert command.wait() == 0, command.said()
        fault.finish()
        said = command.said()
    took = time.monotonic() - began
    assert "away" not in said
    assert what_it_found(tmp_path / "runs", f"sqlite:///{tmp_path}/runs/mlflow.db") == expected
    study = read_study(search)
    assert 0 < study.wall_seconds < took
    assert all(0 < record.seconds < took and record.attempts == 1 for record in study.trials)
    with sqlite3.connect(f"file:{tmp_path}/runs/mlflow.db?mode=ro", uri=True) as store:
        lasted = store.execute("SELECT name, end_time - start_time FROM runs").fetchall()
        stamps = store.execute("SELECT min(timestamp), max(timestamp) FROM metrics").fetchone()
    store.close()
    assert min(milliseconds for _, milliseconds in lasted) >= 0, lasted
    # The faked clock was what they saw.
    assert stamps[1] - stamps[0] > 1000 * DAY
    record_fault(
        "services",
        "the clock set forward by a day, then back to an hour before the true time",
        "nothing: time-outs, budgets and durations go by a clock that nobody sets",
        fault,
        order=6,
    )


def _n_trained(folder: Path) -> int:
    """Count the trials that have trained an epoch."""
    return len(list((folder / "runs").glob("*/fold-0/history.jsonl")))
