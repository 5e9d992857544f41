"""The services of compose.yaml as plain processes on loopback: their commands and health checks.

What this leaves out is the containers' own: images, users, mounts, limits. PostgreSQL is the
machine's. Names and ports are replaced by this machine's, and nothing else.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from deploy_files import DEPLOY, PROGRAMS, compose, image_environment, run
from postgres_server import PostgresServer
from process_ends import kill_tree

pytestmark = [pytest.mark.ray, pytest.mark.long]

START_SECONDS = 240.0


@dataclass(frozen=True)
class Services:
    """What runs, and where."""

    ports: Mapping[str, int]
    environment: Mapping[str, str]
    token: str

    def ask(self, name: str, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Ask one of the services by HTTP, whatever it is called; its status and its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=30)
        try:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, headers=named)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """Start what compose.yaml starts, in its order, each once it depends on are healthy."""
    made = compose()["services"]
    # Ray keeps sockets in its folder, and their paths may not be long.
    place = Path(tempfile.mkdtemp(prefix="is-", dir="/tmp"))
    with ExitStack() as held:
        held.callback(shutil.rmtree, place, ignore_errors=True)
        shutil.copy(DEPLOY / "make-secrets", place)
        subprocess.run([place / "make-secrets"], check=True, timeout=30, capture_output=True)
        database = held.enter_context(PostgresServer())
        _make_databases(database, place / "secrets")
        ports = {"database": database.port, **_free_ports("gcs", "mlflow", "head", "dashboard")}
        replaced = _replaced(place, ports)
        (place / "shared").mkdir()
        for name in ("mlflow", "head", "worker", "dashboard"):
            held.enter_context(_service(name, made[name], place, replaced(made[name], name)))
        variables = replaced(made["head"], "head")[1]
        yield Services(ports, variables, (place / "secrets" / "ray_token").read_text())


def test_mlflow_keeps_its_host_checks(services: Services) -> None:
    path = "/api/2.0/mlflow/experiments/get-by-name?experiment_name=Default"
    status, answer = services.ask("mlflow", path, Host="mlflow:5000")
    assert (status, json.loads(answer)["experiment"]["artifact_location"]) == (
        200,
        "mlflow-artifacts:/0",
    )
    assert services.ask("mlflow", path, Host="127.0.0.1:5000")[0] == 200
    assert services.ask("mlflow", path, Host="evil.example")[0] == 403
    assert services.ask("mlflow", path, Host="10.1.2.3:5000")[0] == 403
    create = "/api/2.0/mlflow/experiments/create"
    refused = services.ask("mlflow", create, "POST", Origin="http://evil.example")
    assert refused[0] == 403


def test_ray_asks_for_the_token_and_has_both_nodes(services: Services) -> None:
    assert services.ask("head", "/api/jobs/")[0] == 401
    assert services.ask("head", "/nodes?view=summary", Authorization="Bearer wrong")[0] != 200
    shown = {"Authorization": f"Bearer {services.token}"}
    status, answer = services.ask("head", "/nodes?view=summary", **shown)
    assert status == 200
    nodes = json.loads(answer)["data"]["summary"]
    assert sorted(node["raylet"]["isHeadNode"] for node in nodes) == [False, True]
    assert {node["raylet"]["state"] for node in nodes} == {"ALIVE"}


def test_a_job_reaches_both_databases_and_runs_on_the_worker(
    services: Services, tmp_path: Path
) -> None:
    (tmp_path / "job.py").write_text(JOB)
    done = run(
        *("ray", "job", "submit", "--address", f"http://127.0.0.1:{services.ports['head']}"),
        *("--working-dir", ".", "--", "python", "job.py"),
        *(str(services.ports[name]) for name in ("database", "mlflow")),
        cwd=tmp_path,
        env={**services.environment},
    )
    assert done.returncode == 0, done.stdout
    # The head has no core of its own: the task can only have run on the worker.
    assert "studies: isthmus; mlflow: 200; worker: 1 core" in done.stdout, done.stdout


def test_the_live_view_answers(services: Services) -> None:
    status, page = services.ask("dashboard", "/", Host="127.0.0.1:8050")
    assert (status, "isthmus" in page) == (200, True)
    assert services.ask("dashboard", "/", Host="evil.example")[0] == 403


JOB = """
import sys
import urllib.request

import ray
import sqlalchemy

database, mlflow = sys.argv[1:]
engine = sqlalchemy.create_engine(f"postgresql+psycopg2://isthmus@127.0.0.1:{database}/studies")
with engine.connect() as connection:
    user = connection.execute(sqlalchemy.text("SELECT current_user")).scalar_one()
with urllib.request.urlopen(f"http://127.0.0.1:{mlflow}/health", timeout=30) as answer:
    status = answer.status
ray.init(log_to_driver=False)


@ray.remote(num_cpus=1)
def core():
    return 1


print(f"studies: {user}; mlflow: {status}; worker: {ray.get(core.remote(), timeout=60)} core")
"""


def _make_databases(server: PostgresServer, secrets: Path) -> None:
    """Do what the image of PostgreSQL does with an empty volume."""
    password = (secrets / "database_password").read_text()
    server.sql(f"CREATE ROLE isthmus SUPERUSER LOGIN PASSWORD '{password}'")
    server.sql("CREATE DATABASE mlflow OWNER isthmus")
    server.sql((DEPLOY / "postgres" / "studies.sql").read_text())


def _replaced(
    place: Path, ports: Mapping[str, int]
) -> Callable[[Mapping[str, Any], str], tuple[list[str], dict[str, str], list[str]]]:
    """Give what replaces a container's names: a service's command, variables and health check."""
    agents = _free_ports("head", "worker", "client")
    gcs = f"127.0.0.1:{ports['gcs']}"

    def one(text: str) -> str:
        for old, new in (
            ("@database/", f"@127.0.0.1:{ports['database']}/"),
            ("http://mlflow:5000", f"http://127.0.0.1:{ports['mlflow']}"),
            ("--address=head:6379", f"--address={gcs}"),
            ("--port=6379", f"--port={ports['gcs']}"),
            ("port=5000", f"port={ports['mlflow']}"),
            ("port=8265", f"port={ports['head']}"),
            ("port=8050", f"port={ports['dashboard']}"),
            ("host=0.0.0.0", "host=127.0.0.1"),
            ("/run/secrets", str(place / "secrets")),
            ("=/shared", f"={place / 'shared'}"),
            ("127.0.0.1:5000/health", f"127.0.0.1:{ports['mlflow']}/health"),
            ("127.0.0.1:8265/", f"127.0.0.1:{ports['head']}/"),
            ("127.0.0.1:8050/", f"127.0.0.1:{ports['dashboard']}/"),
        ):
            text = text.replace(old, new)
        return text

    def all_of(
        service: Mapping[str, Any], name: str
    ) -> tuple[list[str], dict[str, str], list[str]]:
        command = [one(text) for text in service["command"]]
        check = [one(text) for text in service["healthcheck"]["test"][1:]]
        if command[0] == "ray":
            # Two nodes share one machine here, as containers do not.
            command += [f"--temp-dir={place / name}", "--metrics-export-port=0"]
            command += [f"--dashboard-agent-listen-port={agents[name]}"]
            command += ["--min-worker-port=0", "--max-worker-port=0"]
            command += ["--node-ip-address=127.0.0.1"]
            if name == "head":
                command += [f"--ray-client-server-port={agents['client']}"]
            check = [text.replace(":52365/", f":{agents[name]}/") for text in check]
        variables = {key: one(value) for key, value in service.get("environment", {}).items()}
        return command, {**_plain_environment(), **image_environment(), **variables}, check

    return all_of


def _plain_environment() -> dict[str, str]:
    """What a container would have of this process's variables, and the way to the programs."""
    kept = {name: os.environ[name] for name in ("HOME", "PYTHONPATH") if name in os.environ}
    sources = os.pathsep.join(str(DEPLOY.parent / name) for name in ("platform", "dashboards"))
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    # Interfaces are the container's: here all is on loopback.
    return {**kept, "PYTHONPATH": sources, "PATH": path, "OMP_NUM_THREADS": "1"}


@contextmanager
def _service(
    name: str, service: Mapping[str, Any], place: Path, what: tuple[Sequence[str], Any, Any]
) -> Iterator[None]:
    """Start a service, wait until its own check says that it is healthy, and end it after use."""
    command, variables, check = what
    variables.update({"GLOO_SOCKET_IFNAME": "lo"} if "GLOO_SOCKET_IFNAME" in variables else {})
    log = place / f"{name}.log"
    with log.open("wb") as written:
        process = psutil.Popen(
            [PROGRAMS / command[0], *command[1:]],
            cwd=place,
            env=variables,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until = time.monotonic() + START_SECONDS
        check = [sys.executable if text == "python" else text for text in check]
        while subprocess.run(check, capture_output=True, timeout=60, check=False).returncode:
            said = f"{name} must pass its health check {check}: {log.read_text()[-3000:]}"
            assert process.poll() is None, said
            assert time.monotonic() < until, f"after {START_SECONDS:g} s {said}"
            time.sleep(0.3)
        yield
    finally:
        kill_tree(process)


def _free_ports(*names: str) -> dict[str, int]:
    """Find ports that nobody listens at."""
    taken = {name: socket.socket() for name in names}
    for each in taken.values():
        each.bind(("127.0.0.1", 0))
    ports = {name: each.getsockname()[1] for name, each in taken.items()}
    for each in taken.values():
        each.close()
    return ports
