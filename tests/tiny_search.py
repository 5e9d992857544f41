"""A search small enough to run in a minute, started as a user does, and what it leaves behind."""

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from phantom_experiment import write_experiment

from isthmus.backends.optuna_study import open_ledger
from isthmus.cohort.participants import load_participants
from isthmus.config.load import load_experiment
from isthmus.config.paths import put
from isthmus.study.records import TrialRecord
from isthmus.volumes.ingest import ingest

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
DEADLINE = 600.0
"""Seconds within which a small search is over: ten times what an idle machine takes."""
END_SECONDS = 60.0
"""Seconds within which a process that was killed is gone."""

SPACE: Mapping[str, Any] = {
    "space": {
        "model.embedding_size": {"kind": "categorical", "choices": [64, 128, 192, 256]},
        "training.learning_rate": {"kind": "float", "low": 0.0005, "high": 0.01, "log": True},
    },
    "objectives": [{"metric": "validation_mse", "direction": "minimize"}],
    "sampler": {"kind": "random"},
}


def write_search(
    folder: Path, n_trials: int = 4, settings: Mapping[str, Any] | None = None, **space: Any
) -> tuple[Path, Path]:
    """Make a cohort that is ingested, an experiment on it and a space; return the two files.

    `settings` are the experiment's, by dotted path; `space` replaces parts of the space's file.
    The search's folder is then ``folder / "runs" / "small-search-space"``.
    """
    experiment_file = write_ingested(folder, settings)
    space_file = folder / "space.yaml"
    searched = {**SPACE, "budget": {"n_trials": n_trials}, **space}
    space_file.write_text(yaml.safe_dump(searched))
    return experiment_file, space_file


def write_ingested(folder: Path, settings: Mapping[str, Any] | None = None) -> Path:
    """Make a cohort that is ingested and an experiment on it; return its file."""
    experiment_file = write_experiment(folder)
    content = yaml.safe_load(experiment_file.read_text())
    for path, value in (settings or {}).items():
        put(content, path, value)
    experiment_file.write_text(yaml.safe_dump(content))
    experiment = load_experiment(experiment_file)
    ingest(experiment, load_participants(experiment))
    return experiment_file


def search_folder(folder: Path) -> Path:
    """Where `write_search(folder)`'s search is kept once it is begun."""
    return folder / "runs" / "small-search-space"


def study_records(search: Path) -> tuple[TrialRecord, ...]:
    """Read the ledger of a search's folder; empty before there is one."""
    file = search / "study.db"
    if not _is_made(file):
        return ()
    study_id = json.loads((search / "search.json").read_text())["study_id"]
    with open_ledger(f"sqlite:///{file}", f"{search.name}-{study_id[:12]}") as ledger:
        return ledger.trials()


def _is_made(file: Path) -> bool:
    """Whether a study is kept there. Optuna, opening a file half made, would make the rest of it
    at the same time as the driver, and one of them would fail."""
    if not file.exists():
        return False
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        try:
            return database.execute("SELECT count(*) FROM study_user_attributes").fetchone()[0] > 0
        except sqlite3.OperationalError:  # no such table, so far
            return False


@dataclass(frozen=True)
class Run:
    """One of MLflow's runs, with all runs below it in the order of their start."""

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    children: tuple["Run", ...] = field(default=())


def mlflow_runs(runs: Path) -> tuple[Run, ...]:
    """Read the trees of runs in the sqlite store beside the trials (``folder / "runs"``)."""
    from mlflow import MlflowClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own queries use what SQLAlchemy deprecates
        client = MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        found = client.search_runs(experiments, order_by=["attributes.start_time ASC"])

    def tree(parent: str | None) -> tuple[Run, ...]:
        return tuple(
            Run(
                run.info.run_id,
                run.info.run_name,
                run.info.status,
                dict(run.data.params),
                dict(run.data.tags),
                dict(run.data.metrics),
                tree(run.info.run_id),
            )
            for run in found
            if run.data.tags.get("mlflow.parentRunId") == parent
        )

    return tree(None)


def isthmus(
    *arguments: str | Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    seconds: float = DEADLINE,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; leave no process of it behind, however it ends."""
    with started(*arguments, folder=folder, environment=environment) as command:
        code = command.wait(seconds)
        return subprocess.CompletedProcess(
            command.process.args, code, command.stdout(), command.said()
        )


@dataclass(frozen=True)
class Command:
    """A command that runs, in a session of its own."""

    process: subprocess.Popen[bytes]
    streams: Path

    def stdout(self) -> str:
        """What it has written so far to standard output."""
        return (self.streams / "out").read_text(errors="replace")

    def said(self) -> str:
        """What it has written so far to standard error."""
        return (self.streams / "err").read_text(errors="replace")

    def wait(self, seconds: float = DEADLINE) -> int:
        """Wait for its end; its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not over after {seconds:g} s:\n{self.said()}") from None

    def wait_until(self, condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
        """Wait until a condition holds, while it runs."""
        limit = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, f"over too early:\n{self.stdout()}{self.said()}"
            assert time.monotonic() < limit, f"not so after {seconds:g} s:\n{self.said()}"
            time.sleep(0.1)

    def names(self) -> dict[psutil.Process, str]:
        """List all processes of its session, also once it is dead itself, with their names."""
        mine = {}
        for process in psutil.process_iter():
            try:
                if os.getsid(process.pid) == self.process.pid and process.status() != "zombie":
                    mine[process] = process.name()
            except (OSError, psutil.NoSuchProcess):
                continue
        return mine


@contextmanager
def started(
    *arguments: str | Path, folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Command]:
    """Start a command and go on; at the end of the block nothing of it is left."""
    # Ray's folder, which a killed driver leaves behind, goes there too; its path must be short
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as streams:
        with (Path(streams) / "out").open("wb") as out, (Path(streams) / "err").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "isthmus", *map(str, arguments)],
                cwd=folder,
                env={**ENVIRONMENT, "TMPDIR": streams, **(environment or {})},
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        command = Command(process, Path(streams))
        try:
            yield command
        finally:
            for left in command.names():
                with suppress(psutil.NoSuchProcess):
                    left.kill()
            _wait_for_end(process)


def _wait_for_end(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a process that was killed."""
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError(
            f"killed, and not over after {END_SECONDS:g} s: {process.args}"
        ) from None
