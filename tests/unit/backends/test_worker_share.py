"""What workers are given: pure arithmetic over nodes."""

from pathlib import Path

import psutil
import pytest

from isthmus.backends import worker_share
from isthmus.backends.device_memory import device_memory
from isthmus.backends.submitted_job import in_submitted_job, require_lasting
from isthmus.backends.worker_share import (
    TrialShare,
    WorkerShare,
    check_task_workers,
    check_trials,
    check_workers,
    require_cores,
    share_out,
    share_out_trials,
)
from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ConfigError, ResourceError


def execution(**settings: object) -> ExecutionConfig:
    return ExecutionConfig.model_validate(settings)


@pytest.mark.parametrize(
    ("cores", "workers", "threads"),
    [([2], 2, 1), ([2], 1, 2), ([8], 3, 2), ([3, 3], 3, 1), ([4, 4], 2, 4), ([0, 8], 2, 4)],
)
def test_cores_are_shared_out_node_by_node(cores, workers, threads):
    nodes = [{"CPU": float(n)} for n in cores]
    assert share_out(execution(), workers, nodes) == WorkerShare(threads)


def test_threads_that_were_asked_for_are_kept():
    share = share_out(execution(threads_per_worker=2), 3, [{"CPU": 8.0}])
    assert share.resources == {"CPU": 2.0}


@pytest.mark.parametrize(
    ("settings", "workers", "cores", "named"),
    [
        ({}, 3, [2], "execution.workers to 2 or less"),
        ({"threads_per_worker": 2}, 3, [3, 3], "execution.workers to 2 or less"),
        ({"threads_per_worker": 4}, 1, [2], "execution.threads_per_worker lower"),
        ({}, 1, [], "0 cores"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_set(settings, workers, cores, named):
    with pytest.raises(ResourceError, match=named):
        share_out(execution(**settings), workers, [{"CPU": float(n)} for n in cores])


def test_each_worker_has_a_gpu_of_its_own():
    nodes = [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0, "GPU": 1.0}]
    assert share_out(execution(), 2, nodes).resources == {"CPU": 8.0, "GPU": 1.0}
    assert share_out(execution(device="cpu"), 3, nodes) == WorkerShare(4)
    with pytest.raises(ResourceError, match=r"3 workers .* 2 GPUs.*device: cpu"):
        share_out(execution(), 3, nodes)
    with pytest.raises(ResourceError, match="0 GPUs"):
        share_out(execution(device="cuda"), 1, [{"CPU": 8.0}])


def test_fewer_workers_will_do_before_anything_starts(monkeypatch):
    monkeypatch.setattr(worker_share, "usable_cores", lambda: 2)
    check_workers(execution(workers=4, min_workers=2))
    with pytest.raises(ResourceError, match=r"3 workers .*Set execution\.min_workers to 2 or less"):
        check_workers(execution(workers=4, min_workers=3))


@pytest.mark.parametrize(
    ("cores", "trials", "threads"),
    [([8], 2, 1), ([8, 8], 4, 1), ([3], 1, 1), ([1], 1, 1), ([1, 1], 1, 1)],
)
def test_a_search_begins_with_as_many_workers_as_there_is_room_for(cores, trials, threads):
    share = share_out_trials(
        execution(workers=4, min_workers=1), [{"CPU": float(n)} for n in cores]
    )
    # With several workers a trial only waits for them, also where one will do at first.
    assert share == TrialShare(trials, 4, WorkerShare(threads))
    assert set(share.resources) == {"memory"}


def test_a_search_without_room_for_the_fewest_is_refused():
    with pytest.raises(ResourceError, match=r"execution\.min_workers to 1 or less"):
        share_out_trials(execution(workers=4, min_workers=2), [{"CPU": 1.0}])


def test_more_workers_than_cores_are_refused_before_anything_starts(monkeypatch):
    monkeypatch.setattr(worker_share, "usable_cores", lambda: 2)
    check_workers(execution(workers=2))
    check_workers(execution(workers=2, device="cuda"))
    with pytest.raises(ResourceError, match=r"3 workers of 1 core each.* 2 cores"):
        check_workers(execution(workers=3))
    check_workers(execution(workers=3, address="head:6379"))


def test_each_process_of_the_robustness_job_needs_a_core(monkeypatch):
    require_cores(3, [{"CPU": 2.5}, {"CPU": 1.0, "GPU": 1.0}])
    with pytest.raises(ResourceError, match=r"stratification_workers is 4 .* 3 cores.*to 3 or"):
        require_cores(4, [{"CPU": 2.5}, {"CPU": 1.0}])
    with pytest.raises(ResourceError, match="0 cores"):
        require_cores(1, [])
    monkeypatch.setattr(worker_share, "usable_cores", lambda: 2)
    for check in (check_workers, check_task_workers):
        check(execution(stratification_workers=2))
        check(execution(stratification_workers=3, address="head:6379"))
        with pytest.raises(ResourceError, match="stratification_workers is 3"):
            check(execution(stratification_workers=3))
    # who only stratifies needs no room for training
    check_task_workers(execution(workers=3))


GPU_NODE = {"CPU": 16.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("settings", "nodes", "expected"),
    [
        # as many as fit with a thread each, or as many as asked for with the cores shared out
        ({}, [{"CPU": 2.0}], (2, 1, 0.0)),
        ({"concurrent_trials": 1}, [{"CPU": 2.0}], (1, 2, 0.0)),
        ({"concurrent_trials": 2}, [{"CPU": 9.0}], (2, 4, 0.0)),
        ({"workers": 2}, [{"CPU": 5.0}], (2, 1, 0.0)),
        ({"workers": 2, "threads_per_worker": 2}, [{"CPU": 3.0}, {"CPU": 5.0}], (1, 2, 0.0)),
        # no worker lies on two nodes
        ({"threads_per_worker": 2}, [{"CPU": 3.0}, {"CPU": 3.0}], (2, 2, 0.0)),
        ({"concurrent_trials": 3}, [{"CPU": 4.0}, {"CPU": 4.0}], (3, 2, 0.0)),
        # GPUs decide, and are shared
        ({}, [GPU_NODE], (2, 8, 1.0)),
        ({"gpus_per_worker": 0.5}, [GPU_NODE], (4, 4, 0.5)),
        ({"gpus_per_worker": 0.4}, [GPU_NODE], (4, 4, 0.4)),
        ({"gpus_per_worker": 0.1}, [GPU_NODE], (16, 1, 0.1)),
        ({"gpus_per_worker": 0.6}, [GPU_NODE], (2, 8, 0.6)),
        ({"workers": 2}, [GPU_NODE, GPU_NODE], (2, 8, 1.0)),
        ({"device": "cpu"}, [GPU_NODE], (16, 1, 0.0)),
    ],
)
def test_trials_are_packed(settings, nodes, expected):
    n_trials, threads, gpus = expected
    share = share_out_trials(execution(**settings), nodes)
    workers = settings.get("workers", 1)
    assert share == TrialShare(n_trials, workers, WorkerShare(threads, gpus))
    assert share.gpus == workers * gpus


@pytest.mark.parametrize(
    ("settings", "nodes", "named"),
    [
        ({"concurrent_trials": 3}, [{"CPU": 2.0}], "3 trials .* 2 cores.*concurrent_trials to 2"),
        (
            {"concurrent_trials": 2, "workers": 2},
            [{"CPU": 3.0}],
            "2 trials with 2 workers of 1 core .*to 1 or less",
        ),
        ({"workers": 3}, [{"CPU": 2.0}], "execution.workers to 2 or less"),
        ({"concurrent_trials": 3}, [GPU_NODE], "a GPU of its own .* and 2 GPUs: room for 2"),
        ({"concurrent_trials": 5, "gpus_per_worker": 0.5}, [GPU_NODE], "0.5 of a GPU .*to 4 or"),
        # three halves of two GPUs' rests are no place
        ({"concurrent_trials": 3, "gpus_per_worker": 0.7}, [GPU_NODE], "room for 2"),
        ({"device": "cuda", "gpus_per_worker": 0.5}, [{"CPU": 8.0}], "0.5 of a GPU.* 0 GPUs"),
    ],
)
def test_trials_that_can_never_be_placed_are_refused_at_once(settings, nodes, named):
    with pytest.raises(ResourceError, match=named):
        share_out_trials(execution(**settings), nodes)


def test_a_trial_reserves_its_worker_or_lets_its_workers_have_the_cores():
    alone = share_out_trials(execution(concurrent_trials=1), [{"CPU": 2.0}])
    assert alone.resources == {"CPU": 2.0}
    several = share_out_trials(execution(workers=2), [{"CPU": 2.0}])
    assert set(several.resources) == {"memory"}
    assert several.resources["memory"] > 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"workers": 2}, "NCCL"), ({"device": "cpu"}, "would ignore it")],
)
def test_a_share_of_a_gpu_is_for_one_worker_on_gpus(settings, named):
    with pytest.raises(ValueError, match=named):
        execution(gpus_per_worker=0.5, **settings)


def test_concurrent_trials_are_checked_before_anything_starts(monkeypatch):
    monkeypatch.setattr(worker_share, "usable_cores", lambda: 2)
    check_trials(execution(concurrent_trials=2))
    check_trials(execution(concurrent_trials=2, gpus_per_worker=0.5))
    with pytest.raises(ResourceError, match="room for 2"):
        check_trials(execution(concurrent_trials=3))
    check_trials(execution(concurrent_trials=3, address="head:6379"))
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    check_trials(execution(concurrent_trials=3))
    check_workers(execution(workers=3))


def test_memory_is_shared_out_among_all_workers_at_a_time():
    total = psutil.virtual_memory().total
    share = TrialShare(2, 2, WorkerShare(1))
    assert device_memory(execution(workers=2), share) == total // 4
    assert device_memory(execution(workers=2, address="head:6379"), share) is None


def test_what_a_job_throws_away_is_refused(monkeypatch, tmp_path):
    assert not in_submitted_job()
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    assert in_submitted_job()
    copy = tmp_path / "runtime_resources" / "working_dir_files" / "_ray_pkg_0"
    copy.mkdir(parents=True)
    require_lasting(tmp_path / "runs", "execution.output")
    monkeypatch.chdir(copy)
    for path in (Path("runs"), copy / "a" / ".." / "runs"):
        with pytest.raises(ConfigError, match=r"execution\.output .* absolute path"):
            require_lasting(path, "execution.output")
