import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest

from isthmus.config.load import dump_experiment
from isthmus.core.errors import ResourceError
from isthmus.core.machine import usable_cores
from isthmus.volumes.ingest import ingest
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.lock import LOCK_FILE, ingest_lock
from isthmus.volumes.lockbox_store import open_lockbox_store
from isthmus.volumes.store import open_store

two_cores = pytest.mark.skipif(usable_cores() < 2, reason="two processes need two cores")
N_SUBJECTS = 12
PLATFORM = Path(__file__).parents[3] / "platform"
PROGRAM = """
import sys
from pathlib import Path
from isthmus.cohort.participants import load_participants
from isthmus.config.load import load_experiment
from isthmus.volumes.ingest import ingest
experiment = load_experiment(Path(sys.argv[1]))
ingest(experiment, load_participants(experiment))
"""


@pytest.fixture
def large_cohort(make_cohort, write):
    """Images that take long enough to be interrupted at."""
    cohort = make_cohort(0)
    stream = np.random.default_rng(0)
    for number in range(N_SUBJECTS):
        name = f"sub-{number:02d}"
        cohort.ids.append(name)
        for modality in cohort.modalities:
            write(cohort.path(name, modality), stream.normal(size=(48, 56, 48)).astype(np.float32))
    lines = ["participant_id", *cohort.ids]
    (cohort.folder / "cohort" / "participants.tsv").write_text("\n".join(lines) + "\n")
    return cohort


def start(cohort, experiment) -> subprocess.Popen:
    """Run an ingest in a process group of its own."""
    path = cohort.folder / "experiment.yaml"
    path.write_text(dump_experiment(experiment.config))
    environment = {**os.environ, "PYTHONPATH": str(PLATFORM), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path)], env=environment, start_new_session=True
    )


def records(folder: Path) -> dict[str, int]:
    """Finished subjects' records and when they were written."""
    found = folder.glob("store/*/records/*.json")
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in found}


def await_records(folder: Path, n_records: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while len(records(folder)) < n_records:
        assert process.poll() is None, "the ingest ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.001)


def await_end(workers: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive, "workers outlived the command that started them"


@pytest.mark.parametrize(
    ("n_records", "n_processes", "whole_group"),
    [
        (0, 1, True),
        pytest.param(1, 2, False, marks=two_cores),
        pytest.param(3, 2, True, marks=two_cores),
    ],
)
def test_killed_ingest_is_completed_by_running_it_again(
    large_cohort, n_records, n_processes, whole_group
):
    cohort = large_cohort
    settings = {"cohort__lockbox_share": 0.3, "execution__ingest_processes": n_processes}
    experiment = cohort.experiment(**settings)
    process = start(cohort, experiment)
    workers = []
    try:
        while not (cohort.folder / "store" / "index.json").exists():
            assert process.poll() is None
            time.sleep(0.001)
        await_records(cohort.folder, n_records, process)
        workers = psutil.Process(process.pid).children(recursive=True)
        assert bool(workers) == (n_processes > 1)
        if not whole_group:
            process.kill()
            await_end(workers)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        await_end(workers)
    finished = records(cohort.folder)
    assert n_records <= len(finished) < N_SUBJECTS
    participants = cohort.participants()
    participants = type(participants)(participants.table[[]])
    settings["execution__ingest_processes"] = 1
    resumed = ingest(cohort.experiment(**settings), participants)
    assert resumed.n_reused == 2 * len(finished)
    assert resumed.n_read == 2 * (N_SUBJECTS - len(finished))
    assert finished.items() <= records(cohort.folder).items()

    calm = cohort.experiment(**settings, execution__store="calm")
    undisturbed = ingest(calm, participants)
    assert undisturbed.digest == resumed.digest
    assert undisturbed.verdicts == resumed.verdicts
    for name in ("verdicts.tsv", "lockbox.json", "index.json"):
        ours, theirs = (cohort.folder / folder / name for folder in ("store", "calm"))
        assert ours.read_text() == theirs.read_text()
    for opened in (open_store, partial(open_lockbox_store, participant_ids=cohort.ids)):
        ours, theirs = (opened(one.store_url) for one in (experiment, calm))
        assert ours.participant_ids == theirs.participant_ids
        for name in ours.participant_ids:
            both = [store.read(name, cohort.modalities) for store in (ours, theirs)]
            np.testing.assert_array_equal(*both)


@two_cores
def test_a_dead_worker_is_said_so_and_the_rest_resumes(large_cohort):
    experiment = large_cohort.experiment(execution__ingest_processes=2)
    participants = large_cohort.participants()

    def kill_one(verdict):
        if children := multiprocessing.active_children():
            os.kill(children[0].pid, signal.SIGKILL)

    with pytest.raises(ResourceError, match=r"ended unexpectedly.*fewer execution\.ingest_proc"):
        ingest(experiment, participants, kill_one)
    n_finished = len(records(large_cohort.folder))
    assert 1 <= n_finished < N_SUBJECTS
    assert ingest(experiment, participants).n_reused == 2 * n_finished


def test_two_ingests_at_once_are_refused(make_cohort):
    cohort = make_cohort(2)
    experiment = cohort.experiment()
    with (
        ingest_lock(StoreLocation(experiment.store_url)),
        pytest.raises(ResourceError, match=f"one ingest at a time, but process {os.getpid()} on"),
    ):
        ingest(experiment, cohort.participants())
    assert ingest(experiment, cohort.participants()).n_accepted == 2


def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("store", ["store", "memory://lock-test/store"])
def test_a_lock_left_behind_is_taken_over(make_cohort, caplog, store):
    cohort = make_cohort(2)
    experiment = cohort.experiment(execution__store=store)
    pid = ended_pid()
    left = {"pid": pid, "host": os.uname().nodename, "since": "before"}
    StoreLocation(experiment.store_url).write_json(LOCK_FILE, left)
    assert ingest(experiment, cohort.participants()).n_accepted == 2
    assert f"taking over from process {pid}, which ended" in caplog.text


def test_locks_behind_a_url(make_cohort):
    location = StoreLocation("memory://lock-test/other")
    with ingest_lock(location), pytest.raises(ResourceError, match=r"remove ingest.lock there"):
        ingest_lock(location).__enter__()
    with ingest_lock(location):
        pass
    location.write_json(LOCK_FILE, {"pid": ended_pid(), "host": "elsewhere", "since": "before"})
    with pytest.raises(ResourceError, match="on elsewhere has been writing it since before"):
        ingest_lock(location).__enter__()


def test_a_damaged_lock_file_does_not_stop_anybody(make_cohort, tmp_path):
    cohort = make_cohort(2)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / LOCK_FILE).write_text(json.dumps(["?"]))
    assert ingest(cohort.experiment(), cohort.participants()).n_accepted == 2
