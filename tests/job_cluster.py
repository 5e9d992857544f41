"""A Ray head on this machine that takes jobs, and a folder whose content is submitted."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from process_ends import kill_tree
from tiny_search import ENVIRONMENT

PROGRAMS = Path(sys.executable).parent
# What starting a cluster, and all of a job, may take on a busy machine.
START_SECONDS, JOB_SECONDS = 120.0, 400.0


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
            timeout=JOB_SECONDS,
            check=False,
        )

    def job(self, action: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the commands for jobs."""
        return self.ray("job", action, "--address", self.jobs, *arguments)

    def submit(
        self, name: str, command: Sequence[str], *options: str
    ) -> subprocess.CompletedProcess[str]:
        """Submit a command; without `--no-wait` this returns with the job's end and its log."""
        options = ("--submission-id", name, "--working-dir", ".", *options)
        return self.job("submit", *options, "--", *command)


@contextmanager
def job_cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster with two cores, which is asked for a token, and a folder to be submitted."""
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
        kill_tree(process)


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
