"""A tracking store with the runs of a large search, and what it takes to write and read it."""

import random
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from mlflow import MlflowClient

from isthmus.backends.mlflow_reader import MlflowRunReader
from isthmus.backends.mlflow_store import PARENT_TAG, MlflowRunStore
from isthmus.promotion.tracked import TRIAL_TAG, find_run
from isthmus.report.study_publish import StudyPublisher
from isthmus.study.records import StudyResult, TrialRecord
from isthmus.study.search import PreparedSearch
from isthmus.trial.replay import replay
from isthmus_dashboard.tracked_source import TrackedSource

_TABLES = ("params", "tags", "metrics", "latest_metrics")


class Rows(Protocol):
    """Where what was measured is kept."""

    def add(self, what: str, said: str) -> None:
        """Keep a row."""
        ...

    def time(self, what: str, act: Callable[[], Any], more: str = "") -> Any:
        """Time something once."""
        ...


def tracking_rows(
    folder: Path, prepared: PreparedSearch, study: StudyResult, n_published: int, table: Rows
) -> None:
    """Publish some trials, fill the store with rows like theirs, publish again, read."""
    database = folder.parent / "mlflow.db"
    database.unlink(missing_ok=True)
    uri = f"sqlite:///{database}"
    publisher = StudyPublisher(
        MlflowRunStore(uri),
        folder.name,
        prepared.study_id,
        prepared.trial.experiment.config.name,
        {},
        {"isthmus.study": folder.name, "isthmus.study_id": prepared.study_id},
    )
    publisher.open()
    parent = str(publisher.run_id)
    done = [record for record in study.trials if record.folder is not None]
    first, last = done[:n_published], done[-n_published:]
    _publish(publisher, folder.parent, first, study, table, "an empty store")
    n_rows = fill(database, parent, done[len(first) : -n_published or None])
    table.add("runs filled in", f"{n_rows:,} rows, {database.stat().st_size / 1e6:.0f} MB")
    _publish(publisher, folder.parent, last, study, table, f"a store of {len(done):,} trials")
    client = MlflowClient(uri)
    wanted = [one.experiment_id for one in client.search_experiments()]
    table.time(
        "MLflow: first page of its list (100 runs, newest)",
        lambda: client.search_runs(wanted, max_results=100, order_by=["start_time DESC"]),
    )
    table.time(
        "MLflow: runs with metrics.validation_mse < 0.11, 100 best",
        lambda: client.search_runs(
            wanted,
            "metrics.validation_mse < 0.11",
            max_results=100,
            order_by=["metrics.validation_mse ASC"],
        ),
    )
    reader = MlflowRunReader(uri)
    found = table.time("MLflow: all runs below the search", lambda: reader.children(parent))
    if len(found) != len(done):
        raise SystemExit(f"{len(found)} of {len(done)} trials are below the search's run")
    table.time(
        "promotion: one trial's run", lambda: find_run(reader, TRIAL_TAG, str(done[0].digest))
    )
    source = TrackedSource(uri, lambda: reader, folder.parent / "fetched", None)
    table.time("live view, MLflow: list of studies", source.entries)
    table.time("live view, MLflow: a search that runs", lambda: source.standing(parent))
    table.time("live view, MLflow: the same, later", lambda: source.standing(parent))


def _publish(
    publisher: StudyPublisher,
    output: Path,
    records: list[TrialRecord],
    study: StudyResult,
    table: Rows,
    where: str,
) -> None:
    """Publish trials as a search does, from their folders."""
    began, busy = time.perf_counter(), time.process_time()
    for record in records:
        trial = publisher.trial(record.number, record.point)
        for event in replay(output / str(record.folder)):
            trial(event)
        trial.end(True, {"isthmus.state": record.state})
    n = max(1, len(records))
    table.add(
        f"publishing a trial into {where}",
        f"{(time.perf_counter() - began) / n:.2f} s, "
        f"processor {(time.process_time() - busy) / n:.2f} s",
    )


def fill(database: Path, parent: str, records: list[TrialRecord]) -> int:
    """Copy the rows of one published trial and of its folds, for each of the others."""
    rng, n_rows = random.Random(0), 0
    with closing(sqlite3.connect(database)) as store, store:
        (model,) = store.execute(
            "SELECT run_uuid FROM tags WHERE key = ? AND value = ? LIMIT 1", (PARENT_TAG, parent)
        ).fetchone()
        folds = store.execute(
            "SELECT run_uuid FROM tags WHERE key = ? AND value = ?", (PARENT_TAG, model)
        ).fetchall()
        for record in records:
            own = uuid.UUID(int=rng.getrandbits(128)).hex
            n_rows += _copy_run(store, model, own, record, parent)
            for (fold,) in folds:
                n_rows += _copy_run(
                    store, fold, uuid.UUID(int=rng.getrandbits(128)).hex, record, own
                )
    return n_rows


def _copy_run(
    store: sqlite3.Connection, model: str, own: str, record: TrialRecord, parent: str
) -> int:
    """Copy one run's rows under another identifier, with what is its own."""
    n_rows = 0
    for name in ("runs", *_TABLES):
        columns = [row[1] for row in store.execute(f"PRAGMA table_info({name})")]
        others = ", ".join(column for column in columns if column != "run_uuid")
        n_rows += store.execute(
            f"INSERT INTO {name} (run_uuid, {others}) SELECT ?, {others} FROM {name} "
            "WHERE run_uuid = ?",
            (own, model),
        ).rowcount
    store.execute(
        "UPDATE runs SET start_time = start_time + ?, end_time = end_time + ? WHERE run_uuid = ?",
        (60_000 * record.number, 60_000 * record.number, own),  # a trial a minute
    )
    labels = {
        PARENT_TAG: parent,
        "isthmus.trial_number": str(record.number),
        "isthmus.trial": str(record.digest),
        "isthmus.key": f"{parent}/{record.number}/{own}",
    }
    for key, value in labels.items():
        store.execute("UPDATE tags SET value = ? WHERE run_uuid = ? AND key = ?", (value, own, key))
    for metric, found in zip(("validation_mse",), record.values or (), strict=False):
        for table in ("metrics", "latest_metrics"):
            store.execute(
                f"UPDATE {table} SET value = ? WHERE run_uuid = ? AND key = ?",
                (found, own, metric),
            )
    return n_rows
