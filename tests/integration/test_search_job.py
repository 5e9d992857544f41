"""A search as a job of a cluster: `ray job submit`, `ray job stop`, and submitted again."""

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tiny_search import ENVIRONMENT, isthmus, study_records, write_search

from isthmus.backends.worker_share import usable_cores
from isthmus.study.records import OVER, TrialRecord

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(usable_cores() < 2, reason="two trials at a time need two cores"),
]

PROGRAMS = Path(sys.executable).parent
SEARCH = ("isthmus", "search", "experiment.yaml", "search_spaces/architecture.yaml")
# What starting a cluster, and all of a search, may take on a busy machine.
START_SECONDS, SEARCH_SECONDS = 120.0, 400.0


@dataclass(frozen=True)
class Cluster:
    """A head on this machine that takes jobs, and a folder to submit."""

    jobs: str
    head: str
    environment: dict[str, str]
    folder: Path

    def ray(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Ray's to its end; standard error is with its output."""
        return subprocess.run(
            [PROGRAMS / "ray", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SEARCH_SECONDS,
            check=False,
        )

    def job(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the commands for jobs."""
        return self.ray("job", action, "--address", self.jobs, *arguments)

    def submit(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Submit the search; without `--no-wait` this returns with the job's end and its log."""
        options = ("--submission-id", name, "--working-dir", ".", *options)
        return self.job("submit", *options, "--", *SEARCH)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with two cores, and a search whose places are absolute, ready to be submitted."""
    shared = tmp_path_factory.mktemp("shared")
    places = {"cohort.root": "cohort", "execution.output": "runs", "execution.store": "store"}
    experiment, space = write_search(
        shared,
        n_trials=12,
        settings={
            **{setting: str(shared / name) for setting, name in places.items()},
            "execution.concurrent_trials": 2,
        },
        scheduler={"kind": "asha", "unit": "fold", "reduction_factor": 2},
    )
    folder = tmp_path_factory.mktemp("submitted")
    (folder / "search_spaces").mkdir()
    shutil.copy(experiment, folder / "experiment.yaml")
    shutil.copy(space, folder / "search_spaces" / "architecture.yaml")
    # Ray keeps sockets in its folder, and their paths may not be long.
    place = Path(tempfile.mkdtemp(prefix="is-", dir="/tmp"))
    (place / "token").write_text(secrets.token_hex(32))
    environment = {
        **{name: value for name, value in ENVIRONMENT.items() if name != "RAY_ADDRESS"},
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(place / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    try:
        with ray_head(place, environment) as (head, jobs):
            yield Cluster(jobs, head, environment, folder)
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def ray_head(place: Path, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Have a head; its addresses for drivers and for jobs."""
    head, jobs, client = _free_ports(3)
    command = [
        *("start", "--head", "--block", "--num-cpus=2", f"--temp-dir={place / 'r'}"),
        *(f"--port={head}", f"--ray-client-server-port={client}"),
        *("--dashboard-host=127.0.0.1", f"--dashboard-port={jobs}"),
        *("--dashboard-agent-listen-port=0", "--dashboard-agent-grpc-port=0"),
        *("--metrics-export-port=0", f"--object-store-memory={128 * 2**20}"),
    ]
    log = place / "log"
    with log.open("wb") as written:
        process = psutil.Popen(
            [PROGRAMS / "ray", *command],
            cwd=place,
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "Ray runtime started" in log.read_text(), START_SECONDS, log.read_text)
        yield f"127.0.0.1:{head}", f"http://127.0.0.1:{jobs}"
    finally:
        # The drivers of jobs have sessions of their own, but are below it too.
        below = process.children(recursive=True) if process.is_running() else []
        for each in [process, *below]:
            try:
                each.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        process.wait()
        psutil.wait_procs(below, timeout=30)


def wait_until(condition: Callable[[], bool], seconds: float, said: Callable[[], str]) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not so after {seconds:g} s:\n{said()}"
        time.sleep(0.2)


def _free_ports(n: int) -> list[int]:
    """Find ports that nobody listens at, outside of those that Ray gives its workers."""
    taken = [socket.socket() for _ in range(n)]
    for each in taken:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in taken]
    for each in taken:
        each.close()
    return ports


def kept_trials(cluster: Cluster) -> tuple[TrialRecord, ...]:
    """Read the ledger of the search, which is in the shared folder."""
    return study_records(_output(cluster) / "small-search-architecture")


def _output(cluster: Cluster) -> Path:
    content = (cluster.folder / "experiment.yaml").read_text()
    found = re.search(r"^  output: (.+)$", content, re.MULTILINE)
    assert found is not None
    return Path(found[1])


def begun(log: str) -> list[int]:
    """List the trials that a job's log says were begun, in order."""
    return [int(number) for number in re.findall(r"^trial (\d+): begun", log, re.MULTILINE)]


def test_a_stopped_job_is_finished_by_the_next(cluster):
    submitted = cluster.submit("first", "--no-wait")
    assert submitted.returncode == 0, submitted.stdout
    wait_until(
        lambda: sum(record.state in OVER for record in kept_trials(cluster)) >= 5,
        SEARCH_SECONDS,
        lambda: cluster.job("logs", "first").stdout,
    )
    stopped = cluster.job("stop", "first")
    assert "was stopped" in stopped.stdout, stopped.stdout
    first_log = cluster.job("logs", "first").stdout
    # what was running when Ray was left does not join it again
    assert "Connecting to existing Ray cluster" not in first_log, first_log
    before = {record.number: record for record in kept_trials(cluster)}
    over = {number for number, record in before.items() if record.state in OVER}
    assert len(over) < 12, first_log
    assert over <= set(begun(first_log)) <= set(before), first_log
    assert re.search(r"trial \d+: finished \(\d+ of 12\): validation_mse", first_log), first_log

    again = cluster.submit("second")
    assert again.returncode == 0, again.stdout
    assert "'second' succeeded" in again.stdout
    after = {record.number: record for record in kept_trials(cluster)}
    assert sorted(after) == list(range(12))
    assert {record.state for record in after.values()} <= set(OVER)
    assert len({record.digest for record in after.values()}) == 12
    assert {number: after[number] for number in over} == {number: before[number] for number in over}
    # none that was over is begun again, none is begun twice, none is left out
    assert sorted(begun(again.stdout)) == sorted(set(after) - over), again.stdout
    for number in before.keys() - over:
        # the job may have been stopped between the choice of a trial and its start
        assert after[number].attempts == before[number].attempts + 1
        if before[number].attempts:
            assert f"trial {number}: begun again, attempt 2" in again.stdout


def test_a_job_whose_results_would_be_lost_is_refused_in_its_log(cluster):
    file = cluster.folder / "experiment.yaml"
    absolute = file.read_text()
    file.write_text(absolute.replace(f"output: {_output(cluster)}", "output: runs"))
    try:
        refused = cluster.submit("relative")
    finally:
        file.write_text(absolute)
    assert refused.returncode == 1
    assert "Set execution.output to an absolute path that all nodes share" in refused.stdout
    assert "failed with exit code 2" in refused.stdout


def test_a_command_joins_the_cluster_by_its_address(cluster):
    """It goes on with the jobs' search, or begins one where this test is run alone."""
    n_trials = len(kept_trials(cluster)) + 1
    done = isthmus(
        *SEARCH[1:],
        *("--address", cluster.head, "--space-set", f"budget.n_trials={n_trials}"),
        folder=cluster.folder,
        environment=cluster.environment,
    )
    assert done.returncode == 0, done.stderr
    assert begun(done.stderr) == [n_trials - 1]
    assert kept_trials(cluster)[-1].state in OVER
