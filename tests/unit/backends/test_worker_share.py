"""What workers are given: pure arithmetic over nodes."""

import pytest

from isthmus.backends import worker_share
from isthmus.backends.worker_share import (
    WorkerShare,
    check_task_workers,
    check_workers,
    require_cores,
    share_out,
)
from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ResourceError


def execution(**settings: object) -> ExecutionConfig:
    return ExecutionConfig.model_validate(settings)


@pytest.mark.parametrize(
    ("cores", "workers", "threads"),
    [([2], 2, 1), ([2], 1, 2), ([8], 3, 2), ([3, 3], 3, 1), ([4, 4], 2, 4), ([0, 8], 2, 4)],
)
def test_cores_are_shared_out_node_by_node(cores, workers, threads):
    nodes = [{"CPU": float(n)} for n in cores]
    assert share_out(execution(), workers, nodes) == WorkerShare(threads, on_gpu=False)


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
    assert share_out(execution(device="cpu"), 3, nodes) == WorkerShare(4, on_gpu=False)
    with pytest.raises(ResourceError, match=r"3 workers .* 2 GPUs.*device: cpu"):
        share_out(execution(), 3, nodes)
    with pytest.raises(ResourceError, match="0 GPUs"):
        share_out(execution(device="cuda"), 1, [{"CPU": 8.0}])


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
