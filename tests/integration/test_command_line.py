"""The command line as a user has it: a process of its own, real files, real MLflow."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from phantom_experiment import write_experiment

from isthmus.backends.worker_share import usable_cores

pytestmark = pytest.mark.slow
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def isthmus(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "isthmus", *map(str, arguments)],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


def kill_when(condition: Callable[[], bool], *arguments: str, folder: Path) -> str:
    """Start a command, kill it hard once a condition holds, and return what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", "isthmus", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a cohort and an experiment file, nothing ingested."""
    folder = tmp_path_factory.mktemp("cohort")
    write_experiment(folder)
    return folder


@pytest.fixture(scope="module")
def trained(cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The same, ingested and trained without disturbance; and what `--json` printed."""
    folder = tmp_path_factory.mktemp("trained") / "work"
    shutil.copytree(cohort, folder)
    assert isthmus("ingest", "experiment.yaml", folder=folder).returncode == 0
    done = isthmus("train", "experiment.yaml", "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def without_times(result: dict) -> dict:
    """What two runs must have in common."""
    folds = [{k: v for k, v in fold.items() if k != "training_seconds"} for fold in result["folds"]]
    return {**{k: result[k] for k in ("digest", "facts", "summary", "identity")}, "folds": folds}


def test_train_prints_tables_and_the_next_command(trained):
    folder, _ = trained
    shown = isthmus("train", "experiment.yaml", folder=folder)
    assert shown.returncode == 0
    for phrase in ("Held-out fidelity", "CNR ratio", "mean training image", "mlflow ui"):
        assert phrase in shown.stdout
    assert "finished by an earlier run" in shown.stderr


# MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_mlflow_has_the_trial_its_folds_and_their_artifacts(trained):
    from mlflow import MlflowClient

    _, result = trained
    client = MlflowClient(result["tracking_uri"])
    parent = client.get_run(result["mlflow_run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.params["model.embedding_size"] == "64"
    assert parent.data.tags["isthmus.trial"] == result["digest"]
    mean = result["summary"]["validation_mse"]["mean"]
    assert parent.data.metrics["validation_mse"] == pytest.approx(mean)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    assert len(children) == 2
    for child in children:
        steps = [m.step for m in client.get_metric_history(child.info.run_id, "train_loss")]
        assert steps == [1, 2]
        names = {item.path for item in client.list_artifacts(child.info.run_id)}
        assert {"embeddings.parquet", "strata.json", "model.safetensors"} <= names
        pictures = client.list_artifacts(child.info.run_id, "reconstructions")
        assert all(item.path.endswith(".png") and item.file_size > 5000 for item in pictures)
        assert len(pictures) == 2
    names = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert {"experiment.yaml", "split.json", "provenance.json", "controls.png"} <= names


@pytest.mark.long
def test_a_training_killed_halfway_ends_like_an_undisturbed_one(cohort, trained, tmp_path):
    _, undisturbed = trained
    folder = tmp_path / "work"
    shutil.copytree(cohort, folder)
    isthmus("ingest", "experiment.yaml", folder=folder)
    runs = folder / "runs"
    kill_when(lambda: any(runs.glob("*/fold-1/last.pt")), "train", "experiment.yaml", folder=folder)
    assert len(list(runs.glob("*/fold-*/fold.json"))) == 1
    again = isthmus("train", "experiment.yaml", "--json", folder=folder)
    assert again.returncode == 0, again.stderr
    assert "fold 0 is finished already" in " ".join(again.stderr.split())
    assert "fold 1: resumed at epoch" in " ".join(again.stderr.split())
    assert without_times(json.loads(again.stdout)) == without_times(undisturbed)


@pytest.mark.long
def test_an_ingest_killed_halfway_ends_like_an_undisturbed_one(cohort, trained, tmp_path):
    _, undisturbed = trained
    folder = tmp_path / "work"
    shutil.copytree(cohort, folder)
    records = folder / "store"
    kill_when(
        lambda: len(list(records.glob("**/records/**/*.json"))) >= 5,
        "ingest",
        "experiment.yaml",
        folder=folder,
    )
    refused = isthmus("train", "experiment.yaml", folder=folder)
    assert refused.returncode == 2
    assert "ingest" in refused.stderr
    again = json.loads(isthmus("ingest", "experiment.yaml", "--json", folder=folder).stdout)
    assert again["n_reused"] >= 5
    assert again["n_read"] + again["n_reused"] == 2 * again["n_participants"]
    assert again["digest"] == undisturbed["identity"]["images"]


def test_interrupted_politely_it_says_how_to_go_on(trained, tmp_path):
    folder, _ = trained
    output = tmp_path / "runs"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "isthmus", "train", "experiment.yaml"),
            *("--set", f"execution.output={output}", "--set", "training.epochs=50"),
        ],
        cwd=folder,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not any(output.glob("*/fold-0/last.pt")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Run the same command again" in said


def test_init_writes_an_experiment_that_checks(cohort, tmp_path):
    done = isthmus("init", cohort / "cohort", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    seen = isthmus("check", "experiment.yaml", "--json", folder=tmp_path)
    (found,) = json.loads(seen.stdout)
    assert found["facts"]["modalities"] == "T1w FA"
    assert found["facts"]["n_listed"] == 26
    kept = isthmus("init", cohort / "cohort", folder=tmp_path)
    assert kept.returncode == 2
    assert "--force" in kept.stderr


def test_a_misspelt_setting_is_named_with_its_neighbour(cohort):
    done = isthmus("check", "experiment.yaml", "--set", "model.embeding_size=8", folder=cohort)
    assert done.returncode == 2
    assert "Did you mean 'model.embedding_size'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_is_json_for_scripts_and_a_stack_on_request(cohort):
    done = isthmus("check", "nowhere.yaml", "--json", "--traceback", folder=cohort)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"] == "ConfigError"
    assert "Traceback" in done.stderr


def test_more_workers_than_cores_are_refused_at_once(trained):
    folder, _ = trained
    workers = usable_cores() + 1
    started = time.monotonic()
    done = isthmus(
        "train", "experiment.yaml", "--set", f"execution.workers={workers}", folder=folder
    )
    assert done.returncode == 2
    assert f"{workers} workers" in done.stderr
    assert time.monotonic() - started < 120


def test_one_bad_image_costs_its_subject_not_the_run(cohort, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(cohort, folder)
    names = sorted(path.name for path in (folder / "cohort").glob("sub-*"))
    truncated = folder / "cohort" / names[0] / f"{names[0]}_T1w.nii.gz"
    truncated.write_bytes(truncated.read_bytes()[:-200])
    constant = folder / "cohort" / names[1] / f"{names[1]}_FA.nii.gz"
    image = nib.load(constant)
    nib.save(nib.Nifti1Image(np.ones(image.shape, np.float32), image.affine), constant)
    (folder / "cohort" / names[2] / f"{names[2]}_FA.nii.gz").unlink()
    strict = isthmus("ingest", "experiment.yaml", "--strict", folder=folder)
    assert strict.returncode == 2
    assert names[0] in strict.stderr
    report = json.loads(isthmus("ingest", "experiment.yaml", "--json", folder=folder).stdout)
    assert set(report["refused"]) == set(names[:3])
    assert "constant" in report["refused"][names[1]]
    assert report["n_accepted"] == 23


def test_a_participant_listed_twice_is_refused_with_the_lines(cohort, tmp_path):
    folder = tmp_path / "work"
    shutil.copytree(cohort, folder)
    table = folder / "cohort" / "participants.tsv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1]]) + "\n")
    done = isthmus("ingest", "experiment.yaml", folder=folder)
    assert done.returncode == 2
    name = lines[1].split("\t")[0]
    assert f"{name} is on lines 2 and {len(lines) + 1}" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("../outside/{participant_id}_{modality}.nii.gz", "climbs out by '..'"),
        ("link/{participant_id}_{modality}.nii.gz", "is a link to"),
    ],
)
def test_a_pattern_that_leaves_the_cohort_is_refused(cohort, tmp_path, pattern, reason):
    folder = tmp_path / "work"
    shutil.copytree(cohort, folder)
    (folder / "outside").mkdir()
    for image in (folder / "cohort").glob("sub-*/*.nii.gz"):
        shutil.copy(image, folder / "outside" / image.name)
    (folder / "cohort" / "link").symlink_to(folder / "outside")
    done = isthmus("check", "experiment.yaml", "--set", f"cohort.images='{pattern}'", folder=folder)
    assert done.returncode == 2
    said = " ".join(done.stderr.split())
    assert "A path must stay within the cohort's folder" in said
    assert reason in said
    assert "Traceback" not in done.stderr
