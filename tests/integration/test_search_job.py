"""A search as a job of a cluster: `ray job submit`, `ray job stop`, and submitted again."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from phantom_experiment import write_experiment
from tiny_search import study_records, write_search

from isthmus.backends.worker_share import usable_cores
from isthmus.study.records import OVER

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(usable_cores() < 2, reason="two trials at a time need two cores"),
]

PROGRAMS = Path(sys.executable).parent
# Starting a head, or a job that ends at once, and a search, on a busy machine.
SHORT, LONG = 120.0, 400.0
N_TRIALS = 12
SPACE_FILE = "search_spaces/architecture.yaml"
SEARCH = ("isthmus", "search", "experiment.yaml", SPACE_FILE)


@dataclass(frozen=True)
class Cluster:
    """A head on this machine, with a token of its own."""

    jobs: str
    head: str
    environment: dict[str, str]
    log: Path

    def ray(self, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a command of Ray's to its end."""
        return subprocess.run(
            [PROGRAMS / "ray", *arguments],
            cwd=folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONG,
            check=False,
        )

    def submit(self, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
        """Submit the search as README says; its log, and whether Ray calls it a success."""
        where = ("--address", self.jobs, "--working-dir", ".", *options)
        return self.ray("job", "submit", *where, "--", *SEARCH, folder=folder)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    # Sockets lie in it, and their paths may not be long.
    folder = Path(tempfile.mkdtemp(prefix="is-", dir="/tmp"))
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    environment.pop("RAY_ADDRESS", None)
    (folder / "token").write_text(os.urandom(32).hex())
    head_port, jobs_port, client_port = _free_ports(3)
    command = [
        *(PROGRAMS / "ray", "start", "--head", "--block", "--num-cpus", "2"),
        *("--temp-dir", folder / "r", "--object-store-memory", str(128 * 2**20)),
        *("--port", head_port, "--ray-client-server-port", client_port),
        *("--dashboard-host", "127.0.0.1", "--dashboard-port", jobs_port),
        *("--dashboard-agent-listen-port", "0", "--dashboard-agent-grpc-port", "0"),
        *("--metrics-export-port", "0"),
    ]
    log = folder / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    head = Cluster(
        f"http://127.0.0.1:{jobs_port}", f"127.0.0.1:{head_port}", environment, log
    )
    try:
        _wait_until(
            lambda: head.ray("job", "list", "--address", head.jobs, folder=folder).returncode == 0,
            lambda: log.read_text(),
            process,
        )
        yield head
    finally:
        _end(process)
        shutil.rmtree(folder, ignore_errors=True)
