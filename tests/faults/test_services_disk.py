"""A disk that runs full under a search, and one that is slow and hangs for a while."""

import json
import sqlite3
from pathlib import Path

import pytest
from disturbed_search import SEARCH, undisturbed, what_it_found, write_small
from fault_record import FaultClock, record_fault
from faulty_disk import Ballast, slow_disk, small_disk
from tiny_search import isthmus, started

pytestmark = [
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
DISK_MIB = 400
# An idle search writes 60 MiB of output in about half a minute.
WRITE_MIB_S, READ_MIB_S = 4.0, 8.0
# Longer than anybody waits for a lock of sqlite's.
HANG_SECONDS = 15.0


def test_a_disk_that_runs_full_loses_nothing_and_with_room_the_same_command_ends_alike(
    tmp_path_factory, tmp_path
):
    expected, clock = undisturbed(tmp_path_factory), FaultClock()
    with small_disk(tmp_path / "small", DISK_MIB) as disk:
        # the study, MLflow's runs and its files go there too: these are the places by default
        runs, ballast = disk / "runs", Ballast(disk)
        write_small(tmp_path, {"execution.output": str(runs)})
        with started(*SEARCH, folder=tmp_path) as command:
            command.wait_until(lambda: any(runs.glob("*/fold-0/fold.json")))
            ballast.fill()
            clock.start()
            assert command.wait() == 2, command.said()
            clock.notice()
            said = " ".join(command.said().split())
        assert str(disk) in said
        for part in ("full", "make room", "run the same command again"):
            assert part in said.lower()
        assert "Traceback" not in said
        assert "bug" not in said
        done = _whole_files(runs)
        assert done
        ballast.remove()
        again = isthmus(*SEARCH, folder=tmp_path)
        clock.finish()
        assert again.returncode == 0, again.stderr
        assert {file: _written(file) for file in done} == done
        assert what_it_found(runs, f"sqlite:///{runs}/mlflow.db") == expected
        assert not list(runs.rglob("*.tmp"))
    record_fault(
        "services",
        "the disk of the study, the trials and MLflow's runs full",
        "the command ends, names the place and what to do; with room the same command goes on, "
        "and finished folds are not run again",
        clock,
        order=1,
    )


def test_a_disk_that_is_slow_and_hangs_fails_nothing(tmp_path_factory, tmp_path):
    expected, clock = undisturbed(tmp_path_factory), FaultClock()
    with slow_disk(tmp_path / "slow", WRITE_MIB_S, READ_MIB_S) as slow:
        runs = slow.folder / "runs"
        write_small(
            tmp_path,
            {"execution.output": str(runs), "execution.store": str(slow.folder / "store")},
        )
        with started(*SEARCH, folder=tmp_path) as command:
            clock.start()
            command.wait_until(lambda: any(runs.glob("*/fold-0/history.jsonl")))
            slow.hang(HANG_SECONDS)
            assert command.wait() == 0, command.said()
            clock.finish()
            said = command.said()
        assert "away" not in said
        assert "begun again" not in said
        assert what_it_found(runs, f"sqlite:///{runs}/mlflow.db") == expected
    record_fault(
        "services",
        f"the disk of everything slow ({WRITE_MIB_S:g} MiB/s written, {READ_MIB_S:g} read), and "
        f"hanging for {HANG_SECONDS:g} s",
        "the search takes longer",
        clock,
        order=2,
    )


def _whole_files(runs: Path) -> dict[Path, tuple[int, int]]:
    """Look at everything that was written: whole, and nothing but that. Tell finished folds."""
    for file in runs.rglob("*.json"):
        json.loads(file.read_text())
    for file in runs.rglob("*.jsonl"):
        assert [json.loads(line) for line in file.read_text().splitlines()]
    for file in (runs / "mlflow.db", runs / "small-search-space" / "study.db"):
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
    return {file: _written(file) for file in runs.glob("*/fold-*/fold.json")}


def _written(file: Path) -> tuple[int, int]:
    """Tell a file from the same written again."""
    return file.stat().st_ino, file.stat().st_mtime_ns
