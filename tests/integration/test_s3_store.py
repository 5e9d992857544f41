"""The volume store in an S3-style object store: the same bytes, the same model, clear refusals."""

import gc
import importlib
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow_server import environment
from phantom_experiment import write_experiment
from s3_server import S3Server

from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.core.errors import ConfigError, ResourceError
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.run import run_fold
from isthmus.volumes import location
from isthmus.volumes.ingest import ingest
from isthmus.volumes.ingest_report import IngestReport
from isthmus.volumes.store import open_store

pytestmark = [
    pytest.mark.slow,
    # aiohttp complains of connections that nobody could close, as those to a server that is gone.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
STORE = "s3://volumes/cohort/store"
CHUNKS = "cohort/store/development/volumes/c/"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as running:
        running.create_bucket("volumes")
        yield running


@pytest.fixture
def signed(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    s3fs = pytest.importorskip("s3fs")
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield s3
    s3fs.S3FileSystem.clear_instance_cache()
    with warnings.catch_warnings():  # said here, and not in another file's test
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_experiment(tmp_path_factory.mktemp("cohort"))


def ingested(experiment: Experiment) -> IngestReport:
    return ingest(experiment, load_participants(experiment))


def with_store(file: Path, url: str, output: str = "runs") -> Experiment:
    places = [f"execution.store={url}", f"execution.output={output}"]
    return load_experiment(file, [*places, "training.epochs=1"])


def test_an_ingest_that_was_killed_goes_on_and_the_model_is_the_same(
    signed: S3Server, file: Path
) -> None:
    here, there = with_store(file, "store", "here"), with_store(file, STORE, "there")
    local = ingested(here)
    command = [sys.executable, "-m", "isthmus", "ingest", str(file)]
    killed = subprocess.Popen(
        [*command, "--set", f"execution.store={STORE}"],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + 120
        while len(signed.names("volumes", CHUNKS)) < 8:
            assert killed.poll() is None, "the ingest was over before it could be killed"
            assert time.monotonic() < limit, "8 volumes must be stored within 120 s"
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait(timeout=30)
    with pytest.raises(ConfigError, match="has not finished"):
        open_store(STORE)
    rest, again = ingested(there), ingested(there)
    assert rest.n_read + rest.n_reused == local.n_read
    assert rest.n_reused >= 6
    assert (again.n_read, again.n_reused) == (0, local.n_read)
    assert local.digest == rest.digest == again.digest
    one, other = open_store(here.store_url), open_store(STORE)
    for name in one.participant_ids:
        np.testing.assert_array_equal(
            one.read(name, one.modalities), other.read(name, one.modalities)
        )
    for experiment in (here, there):
        run_fold(experiment, 0, InProcessLauncher(), lambda event: None)
    written = [
        {
            name: next(experiment.output.rglob(f"fold-0/{name}")).read_bytes()
            for name in ("model.safetensors", "embeddings.parquet")
        }
        for experiment in (here, there)
    ]
    assert written[0] == written[1]


@pytest.mark.parametrize(
    ("changed", "url", "reason"),
    [
        ({}, "s3://no-such-bucket/store", "bucket does not exist"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, STORE, "signature|Forbidden"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, STORE, "credentials"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, STORE, "Could not connect"),
    ],
    ids=["no bucket", "wrong key", "no key", "nobody there"],
)
def test_what_refuses_is_told_of(
    signed: S3Server,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, str],
    url: str,
    reason: str,
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ResourceError, match=reason) as refused:
        ingested(with_store(file, url))
    assert url in str(refused.value)
    assert "Check execution.store" in str(refused.value)
    assert signed.secret not in str(refused.value)


def test_a_store_that_says_nothing_is_given_up(
    signed: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = {"connect_timeout": 1, "read_timeout": 1, "retries": {"total_max_attempts": 1}}
    monkeypatch.setattr(location, "_S3_PATIENCE", impatient)
    signed.freeze()
    try:
        with pytest.raises(ResourceError, match="must answer"):
            open_store(STORE)
    finally:
        signed.thaw()


def test_the_client_that_is_missing_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.delitem(known, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"pip install 'isthmus\[s3\]'"):
        ingested(with_store(file, STORE))


def test_trials_cannot_be_kept_there(file: Path) -> None:
    with pytest.raises(ConfigError, match="must be a folder that all nodes share, got 's3://"):
        load_experiment(file, ["execution.output=s3://volumes/runs"])
    assert not (file.parent / "s3:").exists()
