"""Several machines on one: network namespaces with a switch between them, and links to cut.

All of it, the switch's bridge too, is inside namespaces of its own, so the machine's own network
is as it was. The nodes share the kernel, the file system and the process numbers: what is put to
the test is the network and what dies, not another kernel.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from process_ends import told_to_end_is_an_exception

SECONDS = 60.0
"""What a command of iproute2, or ending a node's processes, may take."""

INTERFACE = "eth0"
"""What a node calls its end of the link to the switch."""

_NAME = re.compile(r"\bis-(?P<pid>\d+)-\w+")
_made = 0


def why_not() -> str | None:
    """Why no namespaces can be made here, and what to do about it; None where they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root: run the tests as root, or in a privileged container"
    if shutil.which("ip") is None:
        return "network namespaces need ip: apt-get install iproute2"
    name = f"is-{os.getpid()}-try"
    try:
        tried = subprocess.run(
            ["ip", "netns", "add", name], capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"`ip netns add` has made no network namespace within {SECONDS:g} s"
    if tried.returncode:
        return f"no network namespace can be made here: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=True, timeout=SECONDS)
    return None


@dataclass(frozen=True)
class Network:
    """Nodes, numbered from 0, each in a namespace of its own, with a link to one switch."""

    name: str
    n_nodes: int

    @property
    def switch(self) -> str:
        """The namespace that only forwards."""
        return f"{self.name}-sw"

    def namespace(self, node: int) -> str:
        """Name of a node's namespace."""
        return f"{self.name}-n{node}"

    def address(self, node: int) -> str:
        """Where the other nodes reach a node."""
        return f"10.77.0.{node + 1}"

    def within(self, node: int, command: Sequence[str | Path]) -> list[str]:
        """Write a command so that it runs on a node."""
        return ["ip", "netns", "exec", self.namespace(node), *map(str, command)]

    def run(
        self,
        node: int,
        command: Sequence[str | Path],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        seconds: float = SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on a node to its end; standard error is with its output."""
        return subprocess.run(
            self.within(node, command),
            env=None if environment is None else dict(environment),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )

    def popen(
        self,
        node: int,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        folder: Path,
        out: IO[bytes] | int = subprocess.DEVNULL,
        err: IO[bytes] | int = subprocess.STDOUT,
    ) -> "subprocess.Popen[bytes]":
        """Start a command on a node, in a session of its own, and go on."""
        return subprocess.Popen(
            self.within(node, command),
            env=dict(environment),
            cwd=folder,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )

    def cut(self, node: int) -> None:
        """Pull a node's cable: what is sent is lost, and neither side is told."""
        _ip("-n", self.switch, "link", "set", f"n{node}", "down")

    def restore(self, node: int) -> None:
        """Plug a node's cable in again."""
        _ip("-n", self.switch, "link", "set", f"n{node}", "up")

    def pids(self, node: int) -> list[int]:
        """List the processes of a node."""
        return _pids(self.namespace(node))

    def end_processes(self, node: int) -> None:
        """Kill whatever runs on a node, at once, as when its power fails."""
        _end(self.namespace(node))

    def traffic(self, node: int) -> tuple[int, int]:
        """Bytes that a node has received and sent over its link, since it was made."""
        shown = _ip("-n", self.namespace(node), "-s", "-j", "link", "show", INTERFACE)
        counted: Mapping[str, Any] = json.loads(shown)[0]["stats64"]
        return int(counted["rx"]["bytes"]), int(counted["tx"]["bytes"])


@contextmanager
def node_network(n_nodes: int) -> Iterator[Network]:
    """Have a switch and nodes for the length of a block; nothing of them is left after it."""
    global _made
    _sweep()
    _made += 1
    network = Network(f"is-{os.getpid()}-{_made}", n_nodes)
    with told_to_end_is_an_exception():
        try:
            _ip("netns", "add", network.switch)
            _ip("-n", network.switch, "link", "add", "br0", "type", "bridge")
            _ip("-n", network.switch, "link", "set", "br0", "up")
            for node in range(n_nodes):
                _plug_in(network, node)
            yield network
        finally:
            for name in [*map(network.namespace, range(n_nodes)), network.switch]:
                _remove(name)


def wait_until(
    condition: Callable[[], bool], seconds: float, what: str | Callable[[], str]
) -> None:
    """Wait for a condition, for so long; the error says what was waited for."""
    limit = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > limit:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not so after {seconds:g} s: {said}")
        time.sleep(0.1)


def _plug_in(network: Network, node: int) -> None:
    """Make a node and its link."""
    name = network.namespace(node)
    _ip("netns", "add", name)
    _ip(
        *("-n", network.switch, "link", "add", f"n{node}", "type", "veth"),
        *("peer", "name", INTERFACE, "netns", name),
    )
    _ip("-n", network.switch, "link", "set", f"n{node}", "master", "br0", "up")
    _ip("-n", name, "address", "add", f"{network.address(node)}/24", "dev", INTERFACE)
    _ip("-n", name, "link", "set", "lo", "up")
    _ip("-n", name, "link", "set", INTERFACE, "up")


def _ip(*arguments: str) -> str:
    """Run a command of iproute2, which must succeed."""
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _pids(namespace: str) -> list[int]:
    listed = subprocess.run(
        ["ip", "netns", "pids", namespace], capture_output=True, text=True, timeout=SECONDS
    )
    return [int(pid) for pid in listed.stdout.split()]


def _end(namespace: str) -> None:
    """Kill what runs in a namespace, and what that starts meanwhile."""

    def is_empty() -> bool:
        left = _pids(namespace)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    wait_until(is_empty, SECONDS, lambda: f"processes of {namespace} ended: {_pids(namespace)}")


def _remove(namespace: str) -> None:
    """Take a namespace away, if it was made."""
    if not Path("/run/netns", namespace).exists():
        return
    try:
        _end(namespace)
    finally:
        subprocess.run(["ip", "netns", "delete", namespace], timeout=SECONDS, check=False)


def _sweep() -> None:
    """Remove what tests that were killed left behind."""
    for name in _ip("netns", "list").splitlines():
        found = _NAME.match(name)
        if found and not Path("/proc", found["pid"]).exists():
            _remove(found[0])
