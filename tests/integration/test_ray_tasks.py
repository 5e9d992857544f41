"""Pieces of work on Ray for real: every result once, errors as they were, kills, no room."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import task_pieces

from isthmus.backends import ray_tasks
from isthmus.backends.ray_session import ray_session
from isthmus.backends.ray_tasks import RayTaskRunner
from isthmus.backends.worker_share import usable_cores
from isthmus.core.errors import ResourceError, StratificationError

TESTS = Path(task_pieces.__file__).parent
PLATFORM = TESTS.parent / "platform"

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(usable_cores() < 2, reason="two workers need two cores"),
]


@pytest.fixture(scope="module")
def runner() -> Iterator[RayTaskRunner]:
    """Two workers, which can import the pieces, for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(TESTS))
        with RayTaskRunner(2) as opened:
            yield opened


def results_of(runner, function, shared, pieces):
    """Run, and gather what was told."""
    told = []
    runner.run(function, shared, pieces, lambda piece, result: told.append((piece, result)))
    return told


def test_every_piece_is_told_of_once_with_its_result(runner):
    told = results_of(runner, task_pieces.weigh, np.arange(4.0), range(20))
    assert sorted((piece, total) for piece, (total, _) in told) == [
        (piece, 6.0 + piece) for piece in range(20)
    ]
    workers = {worker for _, (_, worker) in told}
    assert os.getpid() not in workers
    assert len(workers) <= 2


def test_two_workers_work_at_the_same_time_and_one_worker_alone(runner, tmp_path):
    for folder in ("two", "one"):
        (tmp_path / folder).mkdir()
    told = results_of(runner, task_pieces.meet, (str(tmp_path / "two"), 60.0), range(4))
    assert max(n for _, n in told) == 2
    # in the same session, which has two cores
    told = results_of(RayTaskRunner(1), task_pieces.meet, (str(tmp_path / "one"), 0.5), range(4))
    assert max(n for _, n in told) == 1


def test_a_worker_computes_on_one_thread_and_cannot_change_what_others_read(runner):
    shared = np.ones((200, 200))
    assert {n for _, n in results_of(runner, task_pieces.count_threads, shared, range(2))} == {1}
    changed = results_of(runner, task_pieces.write_to_shared, np.ones(200_000), range(2))
    assert {written for _, written in changed} == {False}


def test_what_is_shared_may_be_large_and_another_one_takes_its_place(runner):
    # the points of 40,000 subjects in 800 columns
    for value in (1.0, 2.0):
        shared = np.full((40_000, 800), value)
        told = results_of(runner, task_pieces.weigh, shared, range(3))
        assert {total - piece for piece, (total, _) in told} == {value * 40_000 * 800}


def test_a_refusal_arrives_under_its_own_class_and_ends_the_rest(runner, tmp_path, capfd):
    started = time.monotonic()
    with pytest.raises(StratificationError, match="piece 1 must not be"):
        results_of(runner, task_pieces.refuse, str(tmp_path), range(100))
    assert time.monotonic() - started < 20
    time.sleep(2.5)
    # what was at work then may have come to its end
    assert len(list(tmp_path.iterdir())) <= 2
    assert capfd.readouterr() == ("", "")


def test_a_fault_arrives_as_it_was(runner):
    with pytest.raises(ZeroDivisionError, match="a bug"):
        results_of(runner, task_pieces.fail, None, range(3))


def test_an_error_of_the_listener_ends_the_run(runner):
    def stop(piece, result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runner.run(task_pieces.weigh, np.ones(3), range(10), stop)
    assert len(results_of(runner, task_pieces.weigh, np.ones(3), range(3))) == 3


def test_the_piece_of_a_killed_worker_is_done_by_another(runner, tmp_path, capfd):
    told = results_of(runner, task_pieces.die_once, str(tmp_path), range(6))
    assert (tmp_path / "died").exists()
    assert sorted(told) == [(piece, piece) for piece in range(6)]
    assert capfd.readouterr() == ("", "")


@pytest.mark.long
def test_workers_that_keep_dying_are_given_up_readably(runner):
    with pytest.raises(ResourceError, match=r"may die 3 times.*fewer"):
        results_of(runner, task_pieces.die, None, [0])


def test_more_workers_than_cores_are_refused(runner):
    n = usable_cores() + 1
    with pytest.raises(ResourceError, match=f"stratification_workers is {n}"):
        results_of(RayTaskRunner(n), task_pieces.weigh, np.ones(3), [0])


def test_a_busy_cluster_is_not_waited_for_for_ever(runner, monkeypatch):
    import ray  # not before the backends, which set how

    results_of(runner, task_pieces.weigh, np.ones(3), [0])
    monkeypatch.setattr(ray_tasks, "_ROOM_SECONDS", 1.0)
    busy = ray.remote(num_cpus=usable_cores())(lambda: time.sleep(60)).remote()
    time.sleep(2)
    try:
        with pytest.raises(ResourceError, match=r"not one for 1 s.*stratification_workers: 1"):
            results_of(runner, task_pieces.weigh, np.ones(3), [0])
    finally:
        ray.cancel(busy, force=True)
    monkeypatch.undo()
    assert len(results_of(runner, task_pieces.weigh, np.ones(3), [0])) == 1


def test_without_a_piece_ray_is_not_asked():
    told = results_of(RayTaskRunner(10_000, "nowhere:1"), task_pieces.weigh, None, [])
    assert told == []


@pytest.mark.long
def test_another_process_joins_by_address(runner):
    import ray  # not before the backends, which set how

    results_of(runner, task_pieces.weigh, np.ones(3), [0])
    script = (
        "import sys, numpy as np\n"
        "from isthmus.backends.ray_tasks import RayTaskRunner\n"
        # of the package, which the cluster is sent: not importable there otherwise
        "from isthmus.stratification.stability import compare_partitions\n"
        "told = []\n"
        "with RayTaskRunner(2, sys.argv[1]) as runner:\n"
        "    runner.run(compare_partitions, np.array([0, 0, 1]), [np.array([1, 1, 0])],\n"
        "               lambda piece, result: told.append(result))\n"
        "print(told)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, ray.get_runtime_context().gcs_address],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(PLATFORM)},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[(1.0, 1.0)]\n", "")


@pytest.mark.long
def test_interrupted_it_ends_at_once_and_leaves_nothing(tmp_path):
    script = (
        "import signal, sys\n"
        # as the command line has it
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        "import task_pieces\n"
        "from isthmus.backends.ray_tasks import RayTaskRunner\n"
        "try:\n"
        "    with RayTaskRunner(1) as runner:\n"
        "        runner.run(task_pieces.take_long, sys.argv[1], [0, 1], print)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (PLATFORM, TESTS)))},
    )
    try:
        limit = time.monotonic() + 100
        while not list(tmp_path.iterdir()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.05)
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60) == ("", "")
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == 130
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive
    (worker,) = tmp_path.iterdir()
    assert not psutil.pid_exists(int(worker.name))


def test_a_session_that_is_open_already_is_used_and_left_open(runner):
    import ray  # not before the backends, which set how

    results_of(runner, task_pieces.weigh, np.ones(3), [0])
    before = ray.get_runtime_context().gcs_address
    with ray_session(None):
        assert len(results_of(RayTaskRunner(1), task_pieces.weigh, np.ones(3), range(3))) == 3
    assert ray.get_runtime_context().gcs_address == before
