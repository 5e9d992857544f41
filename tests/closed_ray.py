"""A Ray that isthmus started as a command does, and how it is knocked at without its token."""

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import requests

SOURCES = Path(__file__).resolve().parents[1] / "platform"
WRONG = "0" * 64
START_SECONDS, ANSWER_SECONDS, END_SECONDS = 120.0, 20.0, 30.0
_SESSION = """
import json, os, sys
os.umask(0o022)
from isthmus.backends.ray_session import ray_session
import ray
with ray_session(None):
    node = ray._private.worker._global_node
    print(json.dumps([node.address, node.webui_url, node.get_session_dir_path()]), flush=True)
    sys.stdin.read()
"""
# One method of each service; which does not matter, since the token is asked for before.
_METHODS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.ObjectManagerService/Push",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/GetTraceback",
)


@dataclass(frozen=True)
class LocalRay:
    """A running one: its addresses, its folder, its owner's home, its processes' environment."""

    address: str
    dashboard: str
    session: Path
    home: Path
    environment: dict[str, str]
    process: psutil.Process

    @property
    def token_file(self) -> Path:
        return self.home / ".ray" / "auth_token"

    def listening(self) -> dict[tuple[str, int], str]:
        """Where its processes listen, and which does."""
        found = {}
        for process in [self.process, *self.process.children(recursive=True)]:
            try:
                name, places = process.name(), process.net_connections(kind="inet")
            except psutil.Error:
                continue
            for place in places:
                if place.status == psutil.CONN_LISTEN:
                    found[place.laddr.ip, place.laddr.port] = name
        return found


@contextmanager
def local_ray() -> Iterator[LocalRay]:
    """Start one in a process of its own, with nothing of Ray's in its environment or home."""
    with tempfile.TemporaryDirectory(prefix="is-", dir="/tmp") as home:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "HOME": home,
            "TMPDIR": home,
            "PYTHONPATH": str(SOURCES),
        }
        started = subprocess.Popen(
            [sys.executable, "-c", _SESSION],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )
        process = psutil.Process(started.pid)
        try:
            assert started.stdin is not None
            address, dashboard, session = json.loads(_first_line(started))
            yield LocalRay(
                address,
                f"http://{dashboard}",
                Path(session),
                Path(home),
                environment,
                process,
            )
        finally:
            below = process.children(recursive=True) if process.is_running() else []
            try:
                started.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                started.kill()
            for left in psutil.wait_procs(below, timeout=END_SECONDS)[1]:
                left.kill()
            try:
                started.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                said = f"a local Ray was killed, and is not over after {END_SECONDS:g} s"
                raise AssertionError(said) from None


def _first_line(started: "subprocess.Popen[str]") -> str:
    """Wait for what it prints once it is up."""
    assert started.stdout is not None
    ready, _, _ = select.select([started.stdout], [], [], START_SECONDS)
    assert ready, f"a local Ray was not up after {START_SECONDS:g} s"
    return started.stdout.readline()


def grpc_refusals(host: str, port: int, token: str | None) -> list[str]:
    """Call a method of each service; what each call ended with."""
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        metadata = [] if token is None else [("authorization", f"Bearer {token}")]
        codes = []
        for method in _METHODS:
            call = channel.unary_unary(method, lambda _: b"", lambda answer: answer)
            try:
                call(b"", metadata=metadata, timeout=ANSWER_SECONDS)
                codes.append("OK")
            except grpc.RpcError as error:
                codes.append(error.code().name)
        return codes


def http_status(url: str, method: str = "GET", token: str | None = None) -> int | None:
    """Ask over HTTP; None where nobody there speaks it."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        return requests.request(
            method, url, headers=headers, json={}, timeout=ANSWER_SECONDS
        ).status_code
    except requests.RequestException:
        return None
