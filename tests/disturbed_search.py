"""A small search that nothing disturbs, and all of it that must be the same after a fault.

Compared are points, values and errors of each trial; the weights, embeddings, strata and histories
in the trials' folders, to the byte; and what MLflow has: each run once, its settings, each number
of each step once, its files. Left out is what says when, where and how long.
"""

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tiny_search import isthmus, search_folder, write_search

from isthmus.backends.tracking_uri import engine_uri
from isthmus.study.record_json import read_study

SEARCH = ("search", "experiment.yaml", "space.yaml")
N_TRIALS, N_FOLDS, N_EPOCHS = 2, 2, 2
ALONE: Mapping[str, Any] = {"execution.concurrent_trials": 1}
# Files of a fold that hold nothing of when, where and how long.
SAME_BYTES = (
    "model.safetensors",
    "embeddings.parquet",
    "strata.json",
    "random_encoder_strata.json",
    "associations.tsv",
    "fidelity.tsv",
)
_TIMES = ("seconds", "subjects_per_second", "n_attempts")
_PLACES = ("execution.",)
_OF_RUNS = ("mlflow.", "isthmus.state", "isthmus.host")


def write_small(folder: Path, settings: Mapping[str, Any] | None = None) -> Path:
    """Make the search that all faults happen to, one trial at a time; return where it is kept."""
    write_search(folder, N_TRIALS, {**ALONE, **(settings or {})})
    return search_folder(folder)


def undisturbed(tmp_path_factory: Any) -> Mapping[str, Any]:
    """Run the search once for all tests of this process; tell what it found."""
    if "found" not in _kept:
        folder = tmp_path_factory.mktemp("undisturbed")
        write_small(folder)
        done = isthmus(*SEARCH, folder=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        _kept["found"] = what_it_found(folder / "runs", f"sqlite:///{folder}/runs/mlflow.db")
    return _kept["found"]


_kept: dict[str, Mapping[str, Any]] = {}


def what_it_found(runs: Path, tracking_uri: str) -> dict[str, Any]:
    """Read all that is compared."""
    study = read_study(runs / "small-search-space")
    trials = {
        record.number: {
            "point": dict(record.point),
            "state": record.state,
            "values": record.values,
            "standard_errors": record.standard_errors,
            "changed": dict(record.changed),
            "digest": record.digest,
        }
        for record in study.trials
    }
    assert len(trials) == len(study.trials)
    files = {
        str(record.folder): _files(runs / str(record.folder))
        for record in study.trials
        if record.folder
    }
    return {"trials": trials, "files": files, "runs": tracked(tracking_uri)}


def _files(trial: Path) -> dict[str, str]:
    """Digest the files of a trial that say nothing of when, where and how long."""
    found = {
        str(file.relative_to(trial)): hashlib.sha256(file.read_bytes()).hexdigest()
        for name in SAME_BYTES
        for file in sorted(trial.glob(f"fold-*/{name}"))
    }
    for file in sorted(trial.glob("fold-*/history.jsonl")):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        found[str(file.relative_to(trial))] = repr([_timeless(row) for row in rows])
    return found


def tracked(tracking_uri: str) -> dict[str, Any]:
    """Read all that MLflow has, by the names of runs from the study's down."""
    from mlflow import MlflowClient

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own queries use what SQLAlchemy deprecates
        client = MlflowClient(engine_uri(tracking_uri))
        experiments = [found.experiment_id for found in client.search_experiments()]
        runs = {run.info.run_id: run for run in client.search_runs(experiments)}
        found = {}
        for run in runs.values():
            name = _full_name(run, runs)
            assert name not in found, f"MLflow has the run {name} twice"
            found[name] = _content(client, run)
        return found


def _full_name(run: Any, runs: Mapping[str, Any]) -> str:
    """Name a run with those above it."""
    above = run.data.tags.get("mlflow.parentRunId")
    before = f"{_full_name(runs[above], runs)}/" if above else ""
    return f"{before}{run.info.run_name}"


def _content(client: Any, run: Any) -> dict[str, Any]:
    """Read a run: each number of each step must be there once."""
    courses = {}
    for name in _timeless(run.data.metrics):
        history = client.get_metric_history(run.info.run_id, name)
        if run.data.tags.get("isthmus.fold"):
            courses[name] = sorted((metric.step, metric.value) for metric in history)
            steps = [metric.step for metric in history]
            assert len(set(steps)) == len(steps), f"{name} of {run.info.run_name}: {steps}"
        else:  # of the whole run: what counts is the number that MLflow shows
            courses[name] = run.data.metrics[name]
    took = run.info.end_time - run.info.start_time if run.info.end_time else None
    return {
        "status": run.info.status,
        "params": {k: v for k, v in run.data.params.items() if not k.startswith(_PLACES)},
        "tags": {k: v for k, v in run.data.tags.items() if not k.startswith(_OF_RUNS)},
        "metrics": courses,
        "artifacts": _artifacts(client, run.info.run_id, None),
        "is over": took is not None,
    }


def _artifacts(client: Any, run_id: str, folder: str | None) -> dict[str, str]:
    """List a run's files, with the digests of those that are to be the same to the byte."""
    found: dict[str, str] = {}
    for item in client.list_artifacts(run_id, folder):
        if item.is_dir:
            found |= _artifacts(client, run_id, item.path)
        elif item.path in SAME_BYTES:
            with tempfile.TemporaryDirectory() as place:
                file = Path(client.download_artifacts(run_id, item.path, place))
                found[item.path] = hashlib.sha256(file.read_bytes()).hexdigest()
        else:
            assert item.file_size > 0 or Path(item.path).name.startswith("."), item.path
            found[item.path] = "there"
    return found


def _timeless(numbers: Mapping[str, float]) -> dict[str, float]:
    """Leave out how long things took."""
    return {name: value for name, value in numbers.items() if not name.endswith(_TIMES)}
