"""Sixty subjects embedded for real: killed and continued, on Ray, and from the registry."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from served_case import train_case
from typer.testing import CliRunner

from isthmus.backends.ray_embed import RayEmbedRunner
from isthmus.backends.ray_session import ray_session
from isthmus.backends.worker_share import usable_cores
from isthmus.cli.main import app
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle.record import BundleRecord
from isthmus.promotion.embedding.files import ModelLabel
from isthmus.promotion.embedding.run import EmbedReport, embed
from isthmus.promotion.embedding.source import find_cohort, subjects_of
from isthmus.promotion.embedding.subject import EmbedJob

PLATFORM = Path(__file__).parents[2] / "platform"
N_SUBJECTS, N_PARTS_BEFORE_THE_KILL = 60, 5

pytestmark = pytest.mark.slow
NEEDS_CORES = pytest.mark.skipif(usable_cores() < 2, reason="two workers need two cores")

# The command itself, which dies by SIGKILL once it has written some parts.
KILLED = f"""
import os, signal, sys
from isthmus.cli.main import app
from isthmus.promotion.embedding.parts import PartFolder

write, written = PartFolder.write, []

def write_and_die(self, rows):
    write(self, rows)
    written.append(rows)
    if len(written) == {N_PARTS_BEFORE_THE_KILL}:
        os.kill(os.getpid(), signal.SIGKILL)

PartFolder.write = write_and_die
app()
"""


@dataclass(frozen=True)
class Sixty:
    """A model, a cohort that it never saw, and its embeddings by an undisturbed run."""

    bundle: Path
    record: BundleRecord
    cohort: Path
    output: Path
    reconstructions: Path


@pytest.fixture(scope="module")
def sixty(tmp_path_factory) -> Sixty:
    folder = tmp_path_factory.mktemp("sixty")
    case = train_case(folder, real=False)
    cohort = folder / "sixty"
    make_phantom(cohort, PhantomConfig(n_subjects=N_SUBJECTS, grid=(16, 16, 16), seed=7))
    made = Sixty(case.bundle, case.record, cohort, folder / "whole.parquet", folder / "whole")
    arguments = [case.bundle, cohort, "-o", made.output, "--reconstructions", made.reconstructions]
    done = CliRunner().invoke(app, ["embed", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    return made


def states(folder: Path, pattern: str) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.glob(pattern))}


def test_killed_and_run_again_it_does_nothing_twice_and_makes_the_same_file(sixty, tmp_path):
    output, made = tmp_path / "e.parquet", tmp_path / "made"
    command = ["embed", sixty.bundle, sixty.cohort, "-o", output, "--reconstructions", made]
    arguments = [*map(str, command), "--json"]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments],
        env={**os.environ, "PYTHONPATH": str(PLATFORM)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not output.exists()
    parts = states(tmp_path / "e.parts", "part-*")
    assert len(parts) == N_PARTS_BEFORE_THE_KILL
    finished = [json.loads(line) for part in parts for line in Path(part).read_text().splitlines()]
    images = {
        path: n
        for path, n in states(made, "*/*.nii.gz").items()
        if Path(path).parent.name in {row["participant_id"] for row in finished}
    }
    assert len(images) == 2 * len(finished) > 0

    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["n_found"], report["n_embedded"]) == (len(finished), N_SUBJECTS)
    assert states(tmp_path / "e.parts", "part-*").items() >= parts.items()
    assert states(made, "*/*.nii.gz").items() >= images.items()
    assert output.read_bytes() == sixty.output.read_bytes()
    whole = sorted(sixty.reconstructions.rglob("*.nii.gz"))
    assert len(whole) == 2 * N_SUBJECTS
    for path in whole:
        there = made / path.relative_to(sixty.reconstructions)
        assert there.read_bytes() == path.read_bytes()


def test_a_version_of_the_registry_is_embedded_with_like_its_folder(sixty, tmp_path):
    from isthmus.backends.mlflow_registry import MlflowModelRegistry

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = MlflowModelRegistry(uri)
    version = registry.register(
        "brain", sixty.bundle, run_id=None, tags={}, description="", extras={}
    )
    registry.set_alias("brain", "champion", version.version)
    output = tmp_path / "e.parquet"
    arguments = [sixty.cohort, "-o", output, "--tracking-uri", uri, "--json"]
    done = CliRunner().invoke(app, ["embed", "brain@champion", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["model"] == f"models:/brain/{version.version}"
    assert report["model_digest"] == sixty.record.digest
    # the copy of the model is gone, the subjects are kept
    assert {path.suffix for path in (tmp_path / "e.parts").iterdir()} <= {".jsonl", ".json", ""}
    assert not list((tmp_path / "e.parts").glob("model-*"))
    absent = CliRunner().invoke(app, ["embed", "brain/7", *map(str, arguments)])
    assert absent.exit_code == 2
    assert "models:/brain/7 must be in the registry" in absent.stderr
    assert "its versions are 1" in absent.stderr


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
    with ray_session(None):
        yield


def embedded(sixty, output: Path, on_progress, digest: str | None = None) -> EmbedReport:
    execution = ExecutionConfig(workers=2, threads_per_worker=1, device="cpu")
    record = sixty.record
    cohort = subjects_of(find_cohort(sixty.cohort), record.modalities, True)
    told = EmbedJob(sixty.bundle, digest or record.digest, "cpu", None, None)
    return embed(
        cohort,
        ModelLabel(record.encoder_id, record.digest, str(sixty.bundle)),
        told,
        None,
        output,
        RayEmbedRunner(execution),
        on_progress,
    )


@pytest.mark.long
@pytest.mark.ray
@NEEDS_CORES
def test_two_workers_find_the_same_numbers_though_both_die_on_the_way(
    sixty, on_ray, tmp_path, capfd
):
    told = []

    def kill_them_once(done: int, total: int) -> None:
        told.append(done)
        if len(told) == 2:
            below = psutil.Process().children(recursive=True)
            workers = [process for process in below if "MapWorker" in process.name()]
            assert len(workers) == 2
            for worker in workers:
                worker.kill()

    report = embedded(sixty, tmp_path / "e.parquet", kill_them_once)
    assert told == sorted(told)
    assert (told[0], told[-1], report.n_embedded) == (0, N_SUBJECTS, N_SUBJECTS)
    assert (tmp_path / "e.parquet").read_bytes() == sixty.output.read_bytes()
    assert capfd.readouterr() == ("", "")


@pytest.mark.ray
@NEEDS_CORES
def test_what_a_worker_refuses_arrives_under_its_own_class(sixty, on_ray, tmp_path, capfd):
    with pytest.raises(ConfigError, match="must be the bundle of digest 9999"):
        embedded(sixty, tmp_path / "e.parquet", lambda *_: None, digest="9" * 64)
    assert capfd.readouterr() == ("", "")
