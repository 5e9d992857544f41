"""A registered model, served by MLflow's own commands: what it answers over HTTP, and what not."""

import base64
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from mlflow_server import environment
from served_case import SHARED_DATA, Case, train_case

from isthmus.backends.mlflow_registry import MlflowModelRegistry

START_SECONDS = 90.0
ANSWER_SECONDS = 120.0
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Registered:
    """A model in a registry of its own, and the environment in which it is used."""

    case: Case
    uri: str
    folder: Path
    environment: dict[str, str]


@dataclass(frozen=True)
class Server:
    """A scoring server that answers."""

    registered: Registered
    address: str
    log: Path

    def post(self, body: Any, content_type: str = "application/json") -> tuple[int, str]:
        """Send a request; the status and the answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.address}/invocations", content, {"Content-Type": content_type}
        )
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def predictions(self, body: Any) -> list[dict[str, Any]]:
        """Send a request that must be answered."""
        status, text = self.post(body)
        assert status == 200, f"{text[:2000]}\n{self.log.read_text()[-3000:]}"
        return json.loads(text)["predictions"]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Registered:
    """A model of real images, where there are any; else of a phantom's."""
    folder = tmp_path_factory.mktemp("serving")
    case = train_case(folder, real=SHARED_DATA.is_dir())
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    registry = MlflowModelRegistry(uri)
    version = registry.register(
        "brain", case.bundle, run_id=None, tags={}, description="A model.", extras={}
    )
    registry.set_alias("brain", "champion", version.version)
    asked = {
        **environment(),
        "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        "ISTHMUS_SERVE_IMAGES": str(case.cohort),
    }
    return Registered(case, "models:/brain@champion", folder, asked)


@pytest.fixture(scope="module")
def server(registered: Registered) -> Iterator[Server]:
    """The model, served on loopback until the last test is over."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = registered.folder / "serve.log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "models", "serve", "-m", registered.uri),
                *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
            ],
            cwd=registered.folder,
            env=_with_scripts(registered.environment),
            stdout=written,
            stderr=written,
            start_new_session=True,
        )
    found = Server(registered, f"http://127.0.0.1:{port}", log)
    try:
        _wait(found, process)
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _with_scripts(variables: dict[str, str]) -> dict[str, str]:
    """MLflow starts uvicorn by its name."""
    return {**variables, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Wait until it answers."""
    limit = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{server.address}/ping", timeout=5).close()
            return
        assert process.poll() is None, server.log.read_text()
        assert time.monotonic() < limit, server.log.read_text()
        time.sleep(0.3)


def inline(path: Path) -> str:
    return f"data:application/gzip;base64,{base64.b64encode(path.read_bytes()).decode()}"


def sent(case: Case) -> dict[str, str]:
    """One subject's images, sent along."""
    return {name: inline(case.cohort / case.file(name)) for name in case.record.modalities}


def named(case: Case) -> dict[str, str]:
    """One subject's images, by their paths on the server."""
    return {name: case.file(name) for name in case.record.modalities}


def test_a_nifti_over_http_has_the_embedding_that_training_logged(server):
    case = server.registered.case
    if not case.is_real:
        pytest.skip(f"needs the real images in {SHARED_DATA}")
    bodies = [
        {"dataframe_records": [{**sent(case), "participant_id": case.participant_id}]},
        {"dataframe_records": [named(case)], "params": {"reconstruct": True}},
    ]
    for body in bodies:
        (found,) = server.predictions(body)
        np.testing.assert_allclose(found["embedding"], case.embedding_E, rtol=0, atol=TOLERANCE)
    assert found["stratum"] in range(len(case.record.strata.sizes))
    assert 0 <= found["membership"] <= 1
    assert 0 <= found["error_percentile"] <= 100
    assert set(found["reconstruction"]) == set(case.record.modalities)


def test_every_format_of_mlflow_says_the_same(server):
    case = server.registered.case
    row, second = named(case), sent(case)
    lists = {
        name: nib.load(case.cohort / case.file(name)).get_fdata(dtype=np.float32).tolist()
        for name in case.record.modalities
    }
    split = {"columns": list(row), "data": [list(row.values()), list(second.values())]}
    answered = [
        server.predictions(body)
        for body in (
            {"dataframe_split": split},
            {"dataframe_records": [row, second]},
            {"inputs": [row, second]},
            {"instances": [row, second]},
            {"dataframe_records": [lists, row]},
            {"inputs": [lists, row]},
            {"instances": [lists, lists]},
        )
    ]
    assert all(found == answered[0] for found in answered)
    assert answered[0][0] == answered[0][1]
    np.testing.assert_allclose(answered[0][0]["embedding"], case.embedding_E, atol=TOLERANCE)


def test_the_example_that_is_kept_with_the_model_is_answered(server):
    (example,) = server.registered.folder.rglob("serving_input_example.json")
    status, text = server.post(example.read_bytes())
    assert status == 200
    assert json.loads(text)["predictions"][0]["participant_id"] == "example"


def test_malformed_requests_are_told_why_and_the_server_lives_on(server):
    case = server.registered.case
    good = named(case)
    first, last = case.record.modalities[0], case.record.modalities[-1]
    grid = "x".join(map(str, case.record.grid))
    with_nan = np.ones(case.record.grid)
    with_nan[0, 0, 0] = np.nan

    def record(**changes: Any) -> dict[str, Any]:
        return {"dataframe_records": [{**good, **changes}]}

    malformed: list[tuple[Any, str]] = [
        ({"dataframe_records": [{first: good[first]}]}, f"missing inputs ['{last}']"),
        ({"dataframe_records": [{first: "x", f"{last}s": "y"}]}, f"missing inputs ['{last}']"),
        (record(**{last: None}), f"none of {last}"),
        (record(**{last: [[[1.0, 2.0]]]}), f"{grid} finite numbers, got 1x1x2"),
        (record(**{last: with_nan.tolist()}), "1 are not finite"),
        (record(**{last: "/etc/passwd"}), "must lie within the folder"),
        (record(**{last: "../experiment.yaml"}), "must lie within the folder"),
        (record(**{last: "nobody.nii.gz"}), "there must be a file"),
        (record(**{last: "participants.tsv"}), "must be a .nii or .nii.gz file"),
        (record(**{last: "data:application/gzip;base64,AAAA"}), "whole NIfTI header"),
        (record(**{last: 5}), "must be a string"),
        (record(participant_id=5), "must be a string"),
        ({"dataframe_records": []}, "missing inputs"),
        ({"dataframe_split": {"columns": list(good), "data": []}}, "1 to 64 rows, got 0"),
        ({"dataframe_records": [good] * 65}, "1 to 64 rows, got 65"),
        (
            {"dataframe_split": {"columns": [*good, last], "data": [[*good.values(), "x"]]}},
            "Failed to enforce schema",
        ),
        ({**record(), "params": {"reconstruct": "maybe"}}, "Invalid parameters"),
        ({"rows": [good]}, "exactly one of the input fields"),
        (b"{", "valid JSON"),
        (b"", "valid JSON"),
    ]
    for body, reason in malformed:
        status, text = server.post(body)
        assert status == 400, (reason, text[:2000])
        assert reason in text, text[:2000]
        assert "Traceback" not in text
    assert server.post(record(), "text/plain")[0] == 415
    assert len(server.predictions(record())) == 1


def test_mlflows_predict_answers_from_a_file(registered):
    case, folder = registered.case, registered.folder
    (folder / "in.json").write_text(json.dumps({"dataframe_records": [named(case)]}))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mlflow", "models", "predict", "-m", registered.uri),
            *("--env-manager", "local", "-i", "in.json", "-o", "out.json"),
        ],
        cwd=folder,
        env=registered.environment,
        capture_output=True,
        text=True,
        timeout=ANSWER_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((folder / "out.json").read_text())["predictions"]
    np.testing.assert_allclose(found["embedding"], case.embedding_E, rtol=0, atol=TOLERANCE)
