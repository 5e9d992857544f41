"""What the launcher decides and says by itself; tests/integration/test_ray_train.py trains."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from isthmus.backends import ray_train
from isthmus.backends.ray_train import RayTrainLauncher
from isthmus.backends.worker_share import TrialShare, WorkerShare
from isthmus.config.load import resolve
from isthmus.core.errors import ResourceError
from isthmus.training.task import TrainTask

COHORT = {"images": "{participant_id}_{modality}.nii.gz", "modalities": ["T1w", "FA"]}


def task_of(folder: Path, **execution: object) -> TrainTask:
    config = resolve({"cohort": COHORT, "execution": {"max_failures": 1, **execution}})
    fold = SimpleNamespace(number=3)
    return SimpleNamespace(config=config, fold=fold, directory=folder, workers=2)  # type: ignore[return-value]


def died_of(folder: Path, *errors: BaseException) -> BaseException:
    failures = dict(enumerate(errors))
    return ray_train._readable(WorkerGroupError("workers failed", failures), task_of(folder))


def raised(error: BaseException) -> UserExceptionWithTraceback:
    trace = "Traceback (most recent call last):\n" + 9 * '  File "/a/long/path.py", line 1\n'
    return UserExceptionWithTraceback(error, trace)


def test_workers_that_die_are_told_of_with_what_was_raised(tmp_path: Path) -> None:
    broken = RuntimeError("Connection closed by peer [10.0.0.2]:31")
    told = died_of(tmp_path, raised(broken), ActorDiedError())
    assert isinstance(told, ResourceError)
    assert "The last said: RuntimeError: Connection closed by peer [10.0.0.2]:31" in str(told)
    assert "fold 3 may die 1 times (execution.max_failures), but died 2 times" in str(told)


def test_a_bug_in_a_worker_is_no_shortage(tmp_path: Path) -> None:
    bug = KeyError("embedding")
    assert died_of(tmp_path, raised(bug), raised(RuntimeError("closed by peer"))) is bug


def test_nodes_that_were_there_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [{"CPU": 4.0}]
    monkeypatch.setattr(ray_train, "cluster_nodes", lambda: list(nodes))
    task = task_of(tmp_path, device="cpu", threads_per_worker=2)
    assert RayTrainLauncher()._share(task, (2,)) == WorkerShare(2)
    nodes.clear()
    with pytest.raises(ResourceError, match="must fit at once"):
        RayTrainLauncher()._share(task, (2,))
    assert RayTrainLauncher(WorkerShare(2))._share(task, (1, 2)) == WorkerShare(2)


def test_a_trial_is_told_what_was_decided_for_it() -> None:
    on_gpus = TrialShare(n_trials=2, workers=2, worker=WorkerShare(threads=3, gpus=0.5))
    assert on_gpus.settings == {
        "threads_per_worker": 3,
        "stratification_workers": 1,
        "device": "cuda",
    }
    assert "device" not in TrialShare(2, 2, WorkerShare(3)).settings
