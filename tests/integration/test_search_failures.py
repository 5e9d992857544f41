"""Failures that a search must live through, each caused for real: real Ray, MLflow and study."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from phantom_experiment import SETTINGS
from tiny_search import (
    Run,
    isthmus,
    mlflow_runs,
    search_folder,
    study_records,
    write_search,
)

from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.config.load import load_experiment
from isthmus.study.record_json import read_study
from isthmus.volumes.ingest import ingest

pytestmark = [
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(900),
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
# Beyond the imports eight subjects at a time take 3170 MiB, four 2470, two 1610, one 1000: eight do
# not fit by far, one does by as much.
ROOM_MIB = 2000
SEARCH = ("search", "experiment.yaml", "space.yaml")

# Python reads this file at the start of each process: those that Ray starts are recognised by it.
IN_WORKERS = """
import sys

if any(part.endswith("default_worker.py") for part in sys.orig_argv):
    import threading

    threading.Thread(target={function}, daemon=True).start()
"""
# Once all that a trial needs is imported the process may have so much more memory.
BOUNDED = """
def bound():
    import resource, sys, time
    while not hasattr(sys.modules.get("isthmus.backends.tune_worker"), "_let_go"):
        time.sleep(0.01)
    lines = open("/proc/self/status").read().splitlines()
    now = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))
    most = now + {room_mib} * 2**20
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
"""
# Once a trial trains, the first process that finds nobody did it before takes a lot of memory.
HOG = """
def hog():
    import pathlib, sys, time
    runs = pathlib.Path({runs!r})
    while not hasattr(sys.modules.get("isthmus.backends.tune_worker"), "_let_go"):
        time.sleep(0.05)
    while not any(runs.glob("*/fold-0/history.jsonl")):
        time.sleep(0.05)
    try:
        (runs / "taken").open("x").close()
    except FileExistsError:
        return
    taken = []
    while len(taken) < 600:
        taken.append(b"x" * (10 * 2**20))
        time.sleep(0.005)
    time.sleep(600)
"""


def in_workers(folder: Path, code: str, function: str) -> Mapping[str, str]:
    """Have code run in each process that Ray starts, beside what it does there."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code + IN_WORKERS.format(function=function))
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path}


def by_number(study: Run) -> dict[int, list[Run]]:
    """A study's runs of trials."""
    runs: dict[int, list[Run]] = {}
    for run in study.children:
        runs.setdefault(int(run.tags["isthmus.trial_number"]), []).append(run)
    return runs


def write_larger(folder: Path, settings: Mapping[str, Any], n_trials: int) -> None:
    """A search on images so large that subjects, not weights, take the memory."""
    make_phantom(folder / "cohort", PhantomConfig(n_subjects=26, grid=(48, 48, 48)))
    content = {**SETTINGS, **settings}
    (folder / "experiment.yaml").write_text(yaml.safe_dump(content))
    experiment = load_experiment(folder / "experiment.yaml")
    ingest(experiment, load_participants(experiment))
    space = {
        "space": {"training.learning_rate": {"kind": "float", "low": 0.001, "high": 0.002}},
        "sampler": {"kind": "random"},
        "budget": {"n_trials": n_trials},
    }
    (folder / "space.yaml").write_text(yaml.safe_dump(space))


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all memory on Linux only")
def test_out_of_memory_a_trial_is_begun_again_in_smaller_slices(tmp_path):
    settings = {
        "model": {"depth": 4, "base_channels": 12, "embedding_size": 216},
        "training": {"epochs": 1, "global_batch_size": 8},
    }
    write_larger(tmp_path, settings, n_trials=1)
    environment = in_workers(tmp_path / "start", BOUNDED.format(room_mib=ROOM_MIB), "bound")
    done = isthmus(*SEARCH, folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ran out of memory and is begun again with training.accumulation_steps: 2" in done.stderr
    (record,) = study_records(search_folder(tmp_path))
    assert record.state == "finished"
    n_slices = record.changed["training.accumulation_steps"]
    assert record.attempts == {2: 2, 4: 3, 8: 4}[n_slices]
    (written,) = read_study(search_folder(tmp_path)).trials
    assert dict(written.changed) == {"training.accumulation_steps": n_slices}
    trial = yaml.safe_load((tmp_path / "runs" / str(record.folder) / "experiment.yaml").read_text())
    assert trial["training"]["global_batch_size"] == 8
    assert trial["training"]["accumulation_steps"] == n_slices
    (study,) = mlflow_runs(tmp_path / "runs")
    runs = by_number(study)[0]
    assert [run.params["training.accumulation_steps"] for run in runs] == [
        str(2**i) for i in range(record.attempts)
    ]
    for run in runs[:-1]:
        assert run.status == "FAILED"
        assert run.tags["isthmus.state"] == "retried"
    assert runs[-1].status == "FINISHED"
    assert runs[-1].tags["isthmus.state"] == "finished"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk with room for one trial and a half."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=28m", "none", str(disk)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        pytest.skip(f"a small disk needs mount: {error}")
    if done.returncode:
        pytest.skip(f"a small disk needs root and the right to mount: {done.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_study_on_a_full_disk_is_a_clear_error(tmp_path, small_disk):
    write_search(tmp_path, 2, {"execution.study_storage": f"sqlite:///{small_disk / 'study.db'}"})
    with (small_disk / "ballast").open("wb") as ballast:
        ballast.write(bytes(28 * 2**20 - 40 * 2**10))
    refused = isthmus(*SEARCH, folder=tmp_path)
    said = " ".join(refused.stderr.split())
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert str(small_disk) in said
    assert "bug" not in said
    (small_disk / "ballast").unlink()
    done = isthmus(*SEARCH, "--space-set", "budget.n_trials=1", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="Ray watches memory on Linux only")
def test_ray_kills_a_process_for_memory_and_the_search_goes_on(tmp_path):
    # Ray looks at the whole machine. The search takes 3 GiB and its hog 6, so 6 are between.
    memory = psutil.virtual_memory()
    if memory.available < 12 * 2**30:
        pytest.skip("takes 9 GiB of memory, and 12 GiB are to be free")
    settings = {"execution.concurrent_trials": 1, "training.epochs": 6}
    write_search(tmp_path, 2, {**settings, "training.global_batch_size": 8})
    code = HOG.format(runs=str(tmp_path / "runs"))
    most = (memory.total - memory.available + 6 * 2**30) / memory.total
    environment = {
        **in_workers(tmp_path / "start", code, "hog"),
        "RAY_memory_usage_threshold": f"{most:.4f}",
        "RAY_memory_monitor_refresh_ms": "250",
    }
    done = isthmus(*SEARCH, folder=tmp_path, environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "runs" / "taken").exists()
    assert "trial 0: it ran out of memory and is begun again" in done.stderr
    records = study_records(search_folder(tmp_path))
    assert [record.state for record in records] == ["finished"] * 2
    assert [record.attempts for record in records] == [2, 1]
    assert dict(records[0].changed) == {"training.accumulation_steps": 2}
