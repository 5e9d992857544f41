"""Training on Ray Train for real: the same numbers as one process, kills, refusals, no room."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml

from isthmus.backends import ray_train
from isthmus.backends.permit import LOOK_SECONDS, grant, withdraw
from isthmus.backends.ray_session import ray_session
from isthmus.backends.ray_train import RayTrainLauncher
from isthmus.backends.ray_worker import Noticeboard, killed_for_memory
from isthmus.backends.worker_share import usable_cores
from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.cohort.splits import Fold
from isthmus.config.load import load_experiment
from isthmus.core.errors import OutOfMemory, ResourceError, TrainingDiverged
from isthmus.core.ports import EpochEvent
from isthmus.training.fit import fit
from isthmus.training.task import TrainTask
from isthmus.volumes.ingest import ingest

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(usable_cores() < 2, reason="two training workers need two cores"),
]

N_EPOCHS = 40
OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")
SETTINGS = {
    "preset": "smoke",
    "cohort": {
        "root": "cohort",
        "images": "{participant_id}/{participant_id}_{modality}.nii.gz",
        "modalities": ["T1w", "FA"],
        "lockbox_share": 0.0,
    },
    "volumes": {"normalisation": {"method": "robust_percentile"}},
    "model": {"depth": 2, "base_channels": 2, "embedding_size": 64, "norm": "batch"},
    "training": {"epochs": N_EPOCHS, "global_batch_size": 2},
    "execution": {"device": "cpu", "threads_per_worker": 1, "ingest_processes": 1},
}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TrainTask:
    """A fold of four training subjects: two optimiser steps an epoch."""
    folder = tmp_path_factory.mktemp("ray")
    recipe = PhantomConfig(n_subjects=6, grid=(16, 16, 16), twin_share=0.0, sibling_share=0.0)
    make_phantom(folder / "cohort", recipe)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(SETTINGS))
    experiment = load_experiment(folder / "experiment.yaml")
    ingest(experiment, load_participants(experiment))
    ids = load_participants(experiment).ids
    return TrainTask(
        config=experiment.config,
        store_url=experiment.store_url,
        fold=Fold(number=0, train=ids[:4], monitor=ids[4:5], validation=ids[5:]),
        directory=folder / "unset",
        encoder_id="encoder-0",
        seed=0,
        workers=2,
    )


@pytest.fixture(scope="module")
def session() -> Iterator[None]:
    """One Ray for all of this file."""
    with ray_session(None):
        yield


@pytest.fixture(scope="module")
def undisturbed(task, session, tmp_path_factory):
    """What two workers end with when they are left alone, and what is told meanwhile."""
    events: list[EpochEvent] = []
    here = replace(task, directory=tmp_path_factory.mktemp("undisturbed"))
    return RayTrainLauncher().launch(here, events.append), events


def test_two_workers_train_what_one_process_trains(task, undisturbed, tmp_path):
    fitted, _ = undisturbed
    one = fit(replace(task, workers=1, directory=tmp_path))
    # Two steps an epoch: twenty steps. The monitored loss is not compared: a bias before batch
    # normalisation has no gradient but rounding, which Adam scales up; in training the batch's
    # mean takes it away again, but the running mean comes after.
    for here, there in zip(one.history[:10], fitted.history[:10], strict=True):
        assert there["train_loss"] == pytest.approx(here["train_loss"], rel=1e-5)
    assert fitted.n_epochs == one.n_epochs == N_EPOCHS
    assert fitted.task_digest == one.task_digest


def test_each_epoch_is_told_once_and_as_fit_tells_it(task, undisturbed, tmp_path):
    fitted, events = undisturbed
    assert [event.epoch for event in events] == list(range(1, N_EPOCHS + 1))
    told: list[EpochEvent] = []
    short = task.config.training.model_copy(update={"epochs": 1})
    config = task.config.model_copy(update={"training": short})
    fit(replace(task, config=config, workers=1, directory=tmp_path), told.append)
    assert set(events[0].metrics) == set(told[0].metrics)
    assert (events[0].fold, events[0].n_epochs) == (0, N_EPOCHS)
    assert events[-1].metrics["train_loss"] == fitted.history[-1]["train_loss"]


def test_nothing_of_ray_is_left_behind_and_nothing_is_done_twice(undisturbed, task):
    fitted, _ = undisturbed
    assert not (fitted.directory / "ray").exists()
    start = time.monotonic()
    again = RayTrainLauncher().launch(replace(task, directory=fitted.directory), _unexpected)
    assert again == fitted
    assert time.monotonic() - start < 2


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_costs_nothing_but_time(task, undisturbed, tmp_path, rank):
    fitted, _ = undisturbed
    told: list[int] = []

    def kill_once(event: EpochEvent) -> None:
        if not told:
            os.kill(_workers()[rank].pid, signal.SIGKILL)
        told.append(event.epoch)

    recovered = RayTrainLauncher().launch(replace(task, directory=tmp_path), kill_once)
    assert recovered.digests == fitted.digests
    assert told == list(range(1, N_EPOCHS + 1))


@pytest.mark.long
def test_workers_that_keep_dying_are_given_up_readably(task, session, tmp_path):
    execution = task.config.execution.model_copy(update={"max_failures": 0})
    config = task.config.model_copy(update={"execution": execution})
    dying = replace(task, config=config, directory=tmp_path)

    def kill(_: EpochEvent) -> None:
        for worker in _workers():
            with contextlib.suppress(psutil.NoSuchProcess):
                worker.kill()

    with pytest.raises(ResourceError, match=r"execution\.max_failures.*again to go on"):
        RayTrainLauncher().launch(dying, kill)


def test_a_diverged_loss_arrives_as_such_and_is_not_tried_again(task, session, tmp_path, capfd):
    training = task.config.training.model_copy(update={"learning_rate": 1e30})
    config = task.config.model_copy(update={"training": training})
    diverging = replace(task, config=config, directory=tmp_path)
    alone = replace(diverging, workers=1, directory=tmp_path / "alone")
    with pytest.raises(TrainingDiverged) as in_process:
        fit(alone)
    before = _n_workers_ever()
    with pytest.raises(TrainingDiverged) as on_ray:
        RayTrainLauncher().launch(diverging, lambda _: None)
    assert type(on_ray.value) is type(in_process.value)
    assert "Traceback" not in str(on_ray.value)
    assert "sub-" in str(on_ray.value)
    assert _n_workers_ever() - before == 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(
    not OVERCOMMIT.exists() or OVERCOMMIT.read_text().strip() == "1",
    reason="too large an allocation is refused where vm.overcommit_memory is 0 or 2",
)
def test_a_worker_out_of_memory_arrives_as_such_and_is_not_tried_again(task, session, tmp_path):
    # A fully connected bottleneck larger than the machine: torch asks for it and is refused.
    too_many = 2 * psutil.virtual_memory().total // (4 * 4**3)
    model = task.config.model.model_copy(update={"bottleneck": "dense", "embedding_size": too_many})
    config = task.config.model_copy(update={"model": model})
    before = _n_workers_ever()
    with pytest.raises(OutOfMemory, match=r"with 1 subject at a time .*That is the least"):
        RayTrainLauncher().launch(replace(task, config=config, directory=tmp_path), lambda _: None)
    assert _n_workers_ever() - before == 2


def test_ray_says_whom_it_killed_for_memory():
    from ray.exceptions import ActorDiedError, OutOfMemoryError, WorkerCrashedError
    from ray.train import WorkerGroupError

    killed = OutOfMemoryError("1 worker(s) were killed due to the node running low on memory.")
    assert killed_for_memory(killed)
    assert killed_for_memory(WorkerGroupError("a worker failed", {0: ValueError(), 1: killed}))
    wrapped = RuntimeError("Caught unexpected exception")
    wrapped.__cause__ = killed  # as Tuner.fit raises it
    assert killed_for_memory(wrapped)
    # By signal: whoever sent it.
    for error in (ActorDiedError(), WorkerCrashedError(), MemoryError(), WorkerGroupError("", {})):
        assert not killed_for_memory(error)


@pytest.mark.long
def test_workers_end_with_the_permit_of_the_trial_that_they_work_for(
    task, session, tmp_path, monkeypatch
):
    execution = task.config.execution.model_copy(update={"max_failures": 0})
    config = task.config.model_copy(update={"execution": execution})
    permit = grant(tmp_path / "permits")
    monkeypatch.setattr(ray_train, "held", lambda: permit)  # and this process is not watched

    def give_up(_: EpochEvent) -> None:
        withdraw(permit)
        time.sleep(4 * LOOK_SECONDS)  # no epoch ends them meanwhile

    long = config.model_copy(update={"training": config.training.model_copy(update={"epochs": 99})})
    with pytest.raises(ResourceError, match=r"execution\.max_failures.*again to go on"):
        RayTrainLauncher().launch(replace(task, config=long, directory=tmp_path / "fold"), give_up)


@pytest.mark.long
def test_what_the_listener_raises_ends_the_workers_and_can_be_resumed(task, undisturbed, tmp_path):
    fitted, _ = undisturbed
    here = replace(task, directory=tmp_path)

    def interrupt(event: EpochEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RayTrainLauncher().launch(here, interrupt)
    deadline = time.monotonic() + 30
    while _workers() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not _workers()
    told: list[int] = []
    resumed = RayTrainLauncher().launch(here, lambda event: told.append(event.epoch))
    assert resumed.digests == fitted.digests
    assert told == list(range(told[0], N_EPOCHS + 1))
    assert told[0] > 1


def test_more_workers_than_cores_fail_at_once(task, session, tmp_path):
    training = task.config.training.model_copy(update={"global_batch_size": 4096})
    config = task.config.model_copy(update={"training": training})
    asked = replace(task, config=config, workers=4096, directory=tmp_path)
    start = time.monotonic()
    with pytest.raises(ResourceError, match=r"execution\.workers"):
        RayTrainLauncher().launch(asked, _unexpected)
    assert time.monotonic() - start < 5


def test_a_busy_cluster_is_not_waited_for_for_ever(task, session, tmp_path, monkeypatch):
    import ray

    # A minute an attempt otherwise; Ray Train hands its variables on to its controller.
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "2")
    execution = task.config.execution.model_copy(update={"worker_wait_minutes": 0.05})
    config = task.config.model_copy(update={"execution": execution})
    waiting = replace(task, config=config, directory=tmp_path)

    @ray.remote
    class Occupant:
        def ready(self) -> None:
            pass

    occupant = Occupant.options(num_cpus=usable_cores()).remote()
    ray.get(occupant.ready.remote())
    try:
        with pytest.raises(ResourceError, match=r"2 workers.*find room.*for 0\.05 minutes"):
            RayTrainLauncher().launch(waiting, _unexpected)
    finally:
        ray.kill(occupant)


@pytest.mark.long
def test_another_process_joins_by_address(task, session, undisturbed, tmp_path):
    """The workers get the package from that process, whose folder is not theirs."""
    import ray

    fitted, _ = undisturbed
    script = (
        "import sys; from dataclasses import replace; from pathlib import Path\n"
        "from isthmus.backends.ray_session import ray_session\n"
        "from isthmus.backends.ray_train import RayTrainLauncher\n"
        "from isthmus.cohort.splits import Fold\n"
        "from isthmus.config.load import load_experiment\n"
        "from isthmus.training.task import TrainTask\n"
        "file, address, directory, *ids = sys.argv[1:]\n"
        "e = load_experiment(Path(file))\n"
        "fold = Fold(0, tuple(ids[:4]), tuple(ids[4:5]), tuple(ids[5:]))\n"
        "task = TrainTask(e.config, e.store_url, fold, Path(directory), 'encoder-0', 0, 2)\n"
        "with ray_session(address):\n"
        "    print(RayTrainLauncher().launch(task, lambda _: None).digests['model.safetensors'])\n"
    )
    file = task.directory.parent / "experiment.yaml"
    ids = [name for part in task.fold.parts.values() for name in part]
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            script,
            str(file),
            ray.get_runtime_context().gcs_address,
            "fitted",
            *ids,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "platform")},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == [fitted.digests["model.safetensors"]]


def test_a_refusal_keeps_its_class_but_names_no_other(tmp_path):
    board = Noticeboard(tmp_path)
    assert board.refusal() is None
    board.refuse(TrainingDiverged("loss is nan in epoch 2 (sub-01)"))
    assert board.is_over
    assert isinstance(board.refusal(), TrainingDiverged)
    (tmp_path / "refusal.json").write_text('{"module": "os", "name": "abort", "message": "m"}')
    assert str(board.refusal()) == "m"


def _unexpected(event: EpochEvent) -> None:
    """Be told of nothing."""
    pytest.fail(f"nothing was to be trained, but epoch {event.epoch} was")


def _workers() -> list[psutil.Process]:
    """List the training workers below this process, by rank as far as pids tell."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
    return sorted(found, key=lambda process: process.pid)


def _n_workers_ever() -> int:
    """Count the training workers that Ray started in this session, dead or alive."""
    import ray
    from ray.util.state import list_actors

    # of this session: others may run on the machine
    address = ray.get_runtime_context().gcs_address
    actors = list_actors(address, filters=[("class_name", "=", "RayTrainWorker")], limit=1000)
    return len(actors)
