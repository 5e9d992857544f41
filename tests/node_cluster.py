"""A Ray cluster over the nodes of `node_network`: a head, workers, and what can befall them."""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
from node_network import INTERFACE, Network, node_network, wait_until
from tiny_search import ENVIRONMENT, Command

PROGRAMS = Path(sys.executable).parent
HEAD, PORT, JOBS_PORT = 0, 6379, 8265
START_SECONDS = 150.0
"""Within which a head or a node is up on a busy machine; 10 s on an idle one."""

# How soon a node that says nothing is taken for dead: Ray asks every 3 s, waits 10 s for an answer
# and wants 5 to be missing. Here it is to be seen in seconds.
HEALTH_CHECKS: Mapping[str, str] = {
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}

_ALIVE = """
import json, sys
from ray._raylet import GcsClient
nodes = GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10).values()
print(json.dumps([node.node_manager_address for node in nodes if node.state == 0]))
"""


@dataclass(frozen=True)
class ClusterOptions:
    """What a cluster is to be like.

    Attributes
    ----------
    n_workers : int
        Nodes beside the head, with one core each.
    dashboard : bool
        Whether the head has one, which takes jobs.
    redis : str or None
        ``host:port`` of a Redis in which the head keeps what it knows.
    locks_end_at_nodes : bool
        Whether each command sees the shared folder through a mount of its own, beyond which file
        locks do not reach: as on network file systems that are mounted so.
    """

    n_workers: int = 2
    dashboard: bool = False
    redis: str | None = None
    locks_end_at_nodes: bool = False


@dataclass
class NodeCluster:
    """A head on node 0, workers on the others; `folder` is what all of them share."""

    network: Network
    place: Path
    folder: Path
    environment: dict[str, str]
    options: ClusterOptions
    started: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where drivers reach the head."""
        return f"{self.network.address(HEAD)}:{PORT}"

    @property
    def jobs(self) -> str:
        """Where the head takes jobs, on its own node."""
        return f"http://127.0.0.1:{JOBS_PORT}"

    def start(self, nodes: Sequence[int]) -> None:
        """Start the head or workers, at the same time, and wait until they are up."""
        logs = {node: self._start(node) for node in nodes}
        for node, log in logs.items():
            wait_until(
                lambda log=log: "Ray runtime started" in log.read_text(),  # type: ignore[misc]
                START_SECONDS,
                lambda node=node, log=log: f"Ray on node {node}:\n{log.read_text()}",  # type: ignore[misc]
            )
        self.wait_for_nodes(set(nodes), True)

    def alive(self) -> set[int]:
        """Ask the head which nodes it takes for alive."""
        asked = self.network.run(
            HEAD, [sys.executable, "-c", _ALIVE, self.address], self.environment, self.folder
        )
        if asked.returncode:
            return set()
        known = {self.network.address(node): node for node in range(self.network.n_nodes)}
        return {known[each] for each in json.loads(asked.stdout.splitlines()[-1])}

    def wait_for_nodes(self, nodes: set[int], alive: bool, seconds: float = START_SECONDS) -> None:
        """Wait until the head takes these nodes for alive, or for dead."""
        wait_until(
            lambda: nodes <= self.alive() if alive else not nodes & self.alive(),
            seconds,
            lambda: f"nodes {sorted(nodes)} {'alive' if alive else 'dead'}; alive: {self.alive()}",
        )

    def raylet(self, node: int) -> psutil.Process:
        """The process that is Ray's on a node."""
        return self._process(node, "raylet")

    def kill_raylet(self, node: int) -> None:
        """Kill Ray's process of a node: its workers follow, as when a machine fails."""
        self.raylet(node).kill()

    def kill_head(self) -> None:
        """Kill everything of Ray's on the head, and what else runs there."""
        self.network.end_processes(HEAD)

    def come_back(self, node: int) -> None:
        """Start a node again that was lost, once the head knows that it was."""
        self.wait_for_nodes({node}, False)
        self.network.end_processes(node)
        self.start([node])

    def raylets(self, nodes: set[int]) -> set[int]:
        """Tell which of some nodes have a raylet."""
        return {
            node for node in nodes if "raylet" in {_name(each) for each in self._processes(node)}
        }

    def training(self, node: int, runs: Path) -> Path | None:
        """The folder of the trial that a node has begun to train, told by the lock it holds."""
        for each in self.working(node):
            with suppress(psutil.NoSuchProcess):
                for opened in each.open_files():
                    trial = Path(opened.path).parent
                    is_lock = Path(opened.path).name == ".lock" and trial.parent == runs
                    if is_lock and any(trial.glob("fold-*/last.pt")):
                        return trial
        return None

    def working(self, node: int) -> list[psutil.Process]:
        """Ray's worker processes of a node that run a trial, or a task, at the moment."""
        idle = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::_Autoscaling")
        return [
            each
            for each in self._processes(node)
            if (title := _title(each)).startswith("ray::") and not title.startswith(idle)
        ]

    def _start(self, node: int) -> Path:
        """Start Ray on a node, in a folder of the node's own; return where it logs."""
        own = self.place / f"{len(self.started)}"
        own.mkdir()
        role: list[str] = [f"--address={self.address}", "--num-cpus=1"]
        if node == HEAD:
            # No trial runs there: what befalls a trial does not befall the head.
            dashboard = ["--dashboard-host=127.0.0.1", f"--dashboard-port={JOBS_PORT}"]
            role = ["--head", "--num-cpus=0", f"--port={PORT}", "--include-dashboard"]
            role += ["true", *dashboard] if self.options.dashboard else ["false"]
        command = [
            *(PROGRAMS / "ray", "start", *role, f"--temp-dir={own / 'r'}", "--block"),
            *(f"--node-ip-address={self.network.address(node)}", "--disable-usage-stats"),
            f"--object-store-memory={80 * 2**20}",
        ]
        log = own / "log"
        with log.open("wb") as out:
            self.started.append(self._popen(node, command, self._environment(node), out))
        return log

    def _environment(self, node: int) -> dict[str, str]:
        """Name Redis to the head alone."""
        redis = self.options.redis if node == HEAD else None
        return {**self.environment, **({"RAY_REDIS_ADDRESS": redis} if redis else {})}

    def _popen(
        self,
        node: int,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        out: IO[bytes],
        err: IO[bytes] | int = subprocess.STDOUT,
    ) -> "subprocess.Popen[bytes]":
        """Start a command that sees the shared folder as the cluster's options have it."""
        if self.options.locks_end_at_nodes:
            mounted = f'bindfs "{self.folder}" "{self.folder}" && cd "{self.folder}" && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", mounted, "sh", *command]
        return self.network.popen(node, command, environment, self.folder, out, err)

    def _processes(self, node: int) -> list[psutil.Process]:
        found = []
        for pid in self.network.pids(node):
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(pid))
        return found

    def _process(self, node: int, name: str) -> psutil.Process:
        found = [each for each in self._processes(node) if _name(each) == name]
        assert found, f"node {node} has no process {name}"
        return found[0]

    @contextmanager
    def isthmus(self, *arguments: str | Path, node: int = HEAD) -> Iterator[Command]:
        """Have one of isthmus' commands run on a node; nothing of it is left after the block."""
        streams = Path(tempfile.mkdtemp(prefix="d-", dir=self.place))
        with (streams / "out").open("wb") as out, (streams / "err").open("wb") as err:
            process = self._popen(
                node,
                [sys.executable, "-m", "isthmus", *map(str, arguments)],
                {**self.environment, "TMPDIR": str(streams)},
                out,
                err,
            )
        command = Command(process, streams)
        try:
            yield command
        finally:
            for left in command.names():
                with suppress(psutil.NoSuchProcess):
                    left.kill()
            process.wait(timeout=30)


@contextmanager
def node_cluster(folder: Path, options: ClusterOptions | None = None) -> Iterator[NodeCluster]:
    """Have a head and workers on nodes of their own, which ask for a token."""
    options = options or ClusterOptions()
    started: list[subprocess.Popen[bytes]] = []
    # Ray keeps sockets in its folder, and their paths may not be long.
    place = Path(tempfile.mkdtemp(prefix="is-", dir="/tmp"))
    (place / "token").write_text(secrets.token_hex(32))
    environment = {
        **{name: value for name, value in ENVIRONMENT.items() if name != "RAY_ADDRESS"},
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(place / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "GLOO_SOCKET_IFNAME": INTERFACE,
        **HEALTH_CHECKS,
    }
    try:
        with node_network(options.n_workers + 1) as network:
            cluster = NodeCluster(network, place, folder, environment, options, started)
            cluster.start(range(network.n_nodes))
            yield cluster
    finally:
        for each in started:  # killed with the network
            each.wait(timeout=30)
        shutil.rmtree(place, ignore_errors=True)


def _name(process: psutil.Process) -> str:
    """A process's name; empty where it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return str(process.name())
    return ""


def _title(process: psutil.Process) -> str:
    """What a process calls itself; empty where it has just ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline()).strip()
    return ""
