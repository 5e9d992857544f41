"""MLflow as docs/mlflow.md starts it: who may ask it, and what passwords it and we write down."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests
from mlflow_server import environment
from tiny_search import isthmus, search_folder, started, write_search

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "Tr0ub4dor-and-3"
START_SECONDS, ANSWER_SECONDS, END_SECONDS = 180.0, 30.0, 60.0


@dataclass(frozen=True)
class Server:
    """A running one."""

    uri: str
    home: Path
    process: psutil.Process

    def get(self, path: str, **headers: str) -> requests.Response:
        return requests.get(self.uri + path, headers=headers, timeout=ANSWER_SECONDS)


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    """What the page says, at a port that is free, and smaller: one worker, no jobs of its own."""
    page = (ROOT / "docs" / "mlflow.md").read_text()
    written = re.search(r"`mlflow (ui --backend-store-uri sqlite:///runs/mlflow\.db)`", page)
    assert written is not None, "docs/mlflow.md must say how the server is started"
    home = tmp_path_factory.mktemp("mlflow")
    (home / "runs").mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *written[1].split(), f"--port={port}", "--workers=1"],
            cwd=home,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
    try:
        made = Server(f"http://127.0.0.1:{port}", home, psutil.Process(process.pid))
        limit = time.monotonic() + START_SECONDS
        while not _answers(made):
            said = (home / "log").read_text()
            assert process.poll() is None, said
            assert time.monotonic() < limit, f"no answer after {START_SECONDS:g} s: {said}"
            time.sleep(0.2)
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"MLflow was killed, and is not over after {END_SECONDS:g} s")


def _answers(server: Server) -> bool:
    with contextlib.suppress(requests.RequestException):
        return server.get("/health").ok
    return False


@pytest.mark.parametrize("path", ["/", "/api/2.0/mlflow/experiments/get?experiment_id=0"])
@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1.nip.io", "localhost.evil.example"]
)
def test_a_name_from_elsewhere_is_refused(server, path, host):
    """A page that has its own name resolve to this machine gets nothing."""
    assert server.get(path).status_code == 200
    assert server.get(path, Host=host).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://localhost.evil.example"]
)
def test_a_page_from_elsewhere_can_change_nothing(server, origin):
    """A browser sends such a request without asking first."""
    answer = requests.post(
        f"{server.uri}/api/2.0/mlflow/experiments/create",
        data='{"name": "planted"}',
        headers={"Origin": origin, "Content-Type": "text/plain"},
        timeout=ANSWER_SECONDS,
    )
    assert answer.status_code == 403
    assert "Access-Control-Allow-Origin" not in answer.headers
    named = server.get("/api/2.0/mlflow/experiments/get-by-name?experiment_name=planted")
    assert named.status_code == 404


def test_it_listens_on_loopback_alone(server):
    processes = [server.process, *server.process.children(recursive=True)]
    places = [place for one in processes for place in one.net_connections(kind="inet")]
    assert {one.laddr.ip for one in places if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "path",
    [
        "../../../../../../etc/hostname",
        "..%2f..%2f..%2f..%2fetc%2fhostname",
        "/etc/hostname",
        "%2fetc%2fhostname",
        "a/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/hostname",
    ],
)
def test_artifacts_lead_nowhere_else(server, path):
    secret = Path("/etc/hostname").read_text().strip() or "nothing"
    asked = f"{server.uri}/api/2.0/mlflow-artifacts/artifacts/{path}"
    for method in ("GET", "PUT"):
        # prepared by hand: requests would take the dots out of the path
        prepared = requests.Request(method, asked, data=b"x").prepare()
        prepared.url = asked
        with requests.Session() as session:
            answer = session.send(prepared, timeout=ANSWER_SECONDS)
        assert answer.status_code >= 400, (method, answer.text[:200])
        assert secret not in answer.text


@pytest.fixture(scope="module")
def searched(server, tmp_path_factory) -> Path:
    """A search that tracked to the server by a name and a password, its page and its ranking."""
    folder = tmp_path_factory.mktemp("searched")
    uri = server.uri.replace("://", f"://somebody:{PASSWORD}@")
    experiment, space = write_search(
        folder, n_trials=1, settings={"execution.tracking_uri": uri}, sampler={"kind": "random"}
    )
    lines: set[str] = set()
    with started("search", experiment, space, "--json", folder=folder) as command:
        limit = time.monotonic() + 500
        while command.process.poll() is None:
            assert time.monotonic() < limit, command.said()
            for process in command.names():
                with contextlib.suppress(psutil.Error):
                    lines.add(" ".join(process.cmdline()))
            time.sleep(0.3)
        (folder / "search.out").write_text(command.stdout() + command.said())
        assert command.process.returncode == 0, command.said()
    (folder / "processes").write_text("\n".join(sorted(lines)))
    for name, arguments in {
        "compare": ("compare", search_folder(folder)),
        "report": ("report", search_folder(folder), "-o", folder / "page"),
    }.items():
        done = isthmus(*arguments, folder=folder)
        (folder / f"{name}.out").write_text(done.stdout + done.stderr)
        assert done.returncode == 0, done.stderr
    return folder


def holding(place: Path) -> set[str]:
    """Name the files in which the password stands; databases are files too."""
    return {
        path.name
        for path in place.rglob("*")
        if path.is_file() and PASSWORD.encode() in path.read_bytes()
    }


def test_a_password_is_where_its_owner_wrote_it_and_nowhere_else(server, searched):
    assert (searched / "runs" / "small-search-space" / "search.json").exists()
    assert (
        "ray::" in (searched / "processes").read_text()
        or "raylet" in (searched / "processes").read_text()
    )
    assert holding(searched) == {"experiment.yaml"}
    assert PASSWORD in (searched / "experiment.yaml").read_text()
    kept = [path for path in (searched / "runs").rglob("experiment.yaml") if path.is_file()]
    assert kept
    assert not [path for path in kept if PASSWORD in path.read_text()]
    # parameters, tags, artifacts and the log of requests
    assert (server.home / "runs" / "mlflow.db").stat().st_size > 0
    assert holding(server.home) == set()


@pytest.mark.parametrize(
    ("setting", "uri"),
    [
        ("tracking_uri", f"http://somebody:{PASSWORD}@127.0.0.1:1"),
        ("tracking_uri", f"http://{PASSWORD}@127.0.0.1:1"),
        ("tracking_uri", f"ftp://somebody:{PASSWORD}@127.0.0.1:1"),
        ("study_storage", f"postgresql://somebody:{PASSWORD}@127.0.0.1:1/studies"),
        ("study_storage", f"postgresql://127.0.0.1:1/studies?user=me&password={PASSWORD}"),
        ("study_storage", f"nosuch://somebody:{PASSWORD}/more@127.0.0.1:1/studies"),
    ],
)
def test_no_message_tells_a_password(tmp_path, setting, uri):
    """In this process, by the functions that every command calls first."""
    from isthmus.backends.study_storage import checked_storage, require_storage
    from isthmus.backends.tracking_uri import checked_uri, require_answer
    from isthmus.core.errors import IsthmusError

    checked, answers = {
        "tracking_uri": (checked_uri, require_answer),
        "study_storage": (checked_storage, require_storage),
    }[setting]
    with pytest.raises(IsthmusError) as refused:
        answers(checked(uri))
    assert "127.0.0.1:1" in str(refused.value)
    assert PASSWORD not in str(refused.value)
