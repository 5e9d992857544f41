"""`isthmus stratify` as a user has it: on a trial's run, its folder, another tool's table."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from foreign_embeddings import DECLARED, QUICK, write_foreign
from phantom_experiment import write_experiment
from typer.testing import CliRunner

from isthmus.backends.worker_share import usable_cores
from isthmus.cli.main import app
from isthmus.cli.train import Trained, run_and_publish
from isthmus.cohort.participants import load_participants
from isthmus.config.load import load_experiment
from isthmus.volumes.ingest import ingest

pytestmark = [
    pytest.mark.slow,
    # MLflow's own queries use what SQLAlchemy 2.1 calls deprecated
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
SETTINGS = [item for override in (*QUICK, *DECLARED) for item in ("--set", override)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A trial of two folds, in its folder and in MLflow."""
    file = write_experiment(tmp_path_factory.mktemp("trial"))
    experiment = load_experiment(file, ["training.epochs=1"])
    ingest(experiment, load_participants(experiment))
    return run_and_publish(experiment)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_foreign(tmp_path_factory.mktemp("foreign"))


def isthmus(*arguments: object, code: int = 0) -> str:
    """Run the command in this process; return what it said, stdout alone where it succeeded."""
    done = CliRunner().invoke(app, ["stratify", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output if code else done.stdout


def in_json(*arguments: object) -> dict:
    """Run the command with `--json`."""
    return json.loads(isthmus(*arguments, "--json"))


def client(trained: Trained):
    """A client of its own: what is asserted is what anyone else would read."""
    from mlflow import MlflowClient

    return MlflowClient(trained.tracking_uri)


def test_a_trials_folder_gives_what_the_trial_gave_and_a_run_below_it(trained):
    found = in_json(trained.directory)
    (trial,) = found["trials"]
    folder = Path(found["directory"])
    assert folder.parent == trained.directory.parent
    assert folder.name == f"{trained.directory.name}-stratified-{trial['key'][:8]}"
    for fold in ("fold-0", "fold-1"):
        made = (folder / fold / "strata.json").read_bytes()
        assert made == (trained.directory / fold / "strata.json").read_bytes()
    across = (folder / "across_encoders.json").read_bytes()
    assert across == (trained.directory / "across_encoders.json").read_bytes()

    reader = client(trained)
    run = reader.get_run(trial["mlflow_run_id"])
    assert run.info.run_name == f"stratify {trial['key'][:8]}"
    assert run.info.status == "FINISHED"
    assert run.data.tags["mlflow.parentRunId"] == trained.run_id
    assert run.data.params["stratification.n_permutations"] == "99"
    assert reader.get_run(trained.run_id).info.status == "FINISHED"
    below = reader.search_runs(
        [run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    )
    assert {child.info.run_name for child in below} == {"fold-0", "fold-1"}
    for child in below:
        expected = trial["encoders"][child.info.run_name]["metrics"]
        assert child.data.metrics["strata_stability_ari"] == expected["stability_ari"]
        names = {item.path for item in reader.list_artifacts(child.info.run_id, "strata")}
        endings = {Path(name).suffix for name in names}
        assert {".png", ".html", ".json", ".tsv"} <= endings

    # again: nothing is computed, drawn or written anew
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    again = in_json(trained.directory)
    assert again == found
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_a_runs_id_gives_the_same_as_its_folder(trained, tmp_path):
    store = ("--tracking-uri", trained.tracking_uri)
    found = in_json(trained.run_id, *store, "--output", tmp_path / "out")
    (trial,) = found["trials"]
    assert trial["label"] == trained.directory.name
    of_folder = in_json(trained.directory)["trials"][0]
    for name in ("key", "mlflow_run_id", "across"):
        assert trial[name] == of_folder[name]


def test_folds_are_stratified_anew_each_below_its_own_run_and_judged_together(
    trained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    runs = [(trained.directory / f"fold-{i}" / "published").read_text() for i in range(2)]
    store = ("--tracking-uri", trained.tracking_uri)
    changes = ("--set", "stratification.clusterer=ward", "--set", "stratification.n_strata=2")
    found = in_json(*runs, *store, *changes)
    folder = tmp_path / found["directory"]
    assert folder.parent == tmp_path
    assert folder.name.startswith("stratified-")
    reader = client(trained)
    for fold, (run_id, trial) in enumerate(zip(runs, found["trials"], strict=True)):
        (encoder,) = trial["encoders"].values()
        report = json.loads((tmp_path / encoder["report"]).read_text())
        assert report["strata"]["clusterer"] == "ward"
        assert len(report["strata"]["sizes"]) == 2
        assert trial["label"].endswith(f"fold-{fold}")
        run = reader.get_run(trial["mlflow_run_id"])
        assert run.data.tags["mlflow.parentRunId"] == run_id
    assert {item["trial"] for item in found["selection"]["trials"]} == {
        trial["label"] for trial in found["trials"]
    }
    assert (folder / "selection.html").exists()


def test_a_folder_whose_store_is_gone_is_stratified_all_the_same(trained, tmp_path):
    moved = tmp_path / "moved"
    (moved / "fold-0").mkdir(parents=True)
    for name in ("fold-0/embeddings.parquet", "fold-0/published"):
        (moved / name).write_bytes((trained.directory / name).read_bytes())
    text = (trained.directory / "experiment.yaml").read_text()
    output = str(trained.directory.parent)
    (moved / "experiment.yaml").write_text(text.replace(output, str(tmp_path / "elsewhere")))
    said = isthmus(moved, "--output", tmp_path / "out")
    assert "strata" in said
    assert (tmp_path / "out" / "fold-0" / "strata.json").exists()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.ray
@pytest.mark.skipif(usable_cores() < 2, reason="two workers need two cores")
def test_two_workers_on_ray_give_the_same_report_byte_for_byte(foreign, tmp_path):
    embeddings, people = foreign
    call = ("--embeddings", embeddings, "--participants", people, *SETTINGS)
    alone = in_json(*call, "-o", tmp_path / "alone")
    two = ("--set", "execution.stratification_workers=2")
    shared = in_json(*call, *two, "-o", tmp_path / "two")
    assert shared["trials"][0]["key"] == alone["trials"][0]["key"]
    for name in ("vae/strata.json", "vae/associations.tsv", "across_encoders.json"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    verdicts = {
        (found["kind"], found["target"]): found["verdict"]
        for found in alone["trials"][0]["encoders"]["vae"]["associations"]
    }
    assert verdicts["phenotype", "verbal"] == "robust"
    assert verdicts["category", "handedness"] == "not_significant"
    assert not (tmp_path / "alone" / "vae" / "strata").exists()


def kill_when(condition: Callable[[], bool], *arguments: object) -> None:
    """Start the command in a process of its own and kill it hard once a condition holds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "isthmus", "stratify", *map(str, arguments)],
        env={**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[2] / "platform")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 200
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < limit
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_killed_in_the_middle_it_goes_on_from_its_pieces_to_the_same_report(foreign, tmp_path):
    embeddings, people = foreign
    call = ("--embeddings", embeddings, "--participants", people, *SETTINGS)
    call = (*call, "--set", "stratification.robustness.n_draws=400")
    pieces = tmp_path / "killed" / "vae" / "strata"
    kill_when(
        lambda: len(list(pieces.rglob("*.npz"))) >= 10, *call, "--output", tmp_path / "killed"
    )
    assert not (tmp_path / "killed" / "vae" / "strata.json").exists()
    altered = tmp_path / "altered"
    shutil.copytree(tmp_path / "killed", altered)
    for path in (altered / "vae" / "strata").rglob("nulls-*.npz"):
        with np.load(path) as arrays:
            content = dict(arrays)
        np.savez(path, **{**content, "ari": 0.0 * content["ari"]})
    for name in ("killed", "altered", "undisturbed"):
        isthmus(*call, "--output", tmp_path / name)
    report, changed, expected = (
        (tmp_path / name / "vae" / "strata.json").read_bytes()
        for name in ("killed", "altered", "undisturbed")
    )
    assert report == expected
    assert changed != expected, "what was kept is to be read, not made again"


def test_another_tools_table_is_logged_where_a_store_is_named(foreign, trained, tmp_path):
    embeddings, people = foreign
    call = ("--embeddings", embeddings, "--participants", people, *SETTINGS, "-o", tmp_path)
    assert in_json(*call)["trials"][0]["mlflow_run_id"] is None
    (trial,) = in_json(*call, "--tracking-uri", trained.tracking_uri)["trials"]
    run = client(trained).get_run(trial["mlflow_run_id"])
    assert run.info.run_name == f"vae stratify {trial['key'][:8]}"
    assert run.data.metrics["strata_n_strata"] == 3


def test_the_tables_are_printed_for_people_and_the_settings_may_be_a_file(foreign, tmp_path):
    embeddings, people = foreign
    settings = tmp_path / "settings.yaml"
    settings.write_text("cohort: {phenotypes: [verbal, memory], confounds: [age]}\nseed: 3\n")
    quick = [item for override in QUICK for item in ("--set", override)]
    call = ("--embeddings", embeddings, "--participants", people, "--config", settings, *quick)
    done = CliRunner().invoke(app, ["stratify", *map(str, call), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "verbal" in done.stdout
    assert "Survival across encoders" in done.stdout
    assert "note: The participants have a column 'family_id'" in " ".join(done.stderr.split())


def test_what_cannot_be_stratified_is_refused_with_what_to_do(foreign, trained, tmp_path):
    embeddings, people = foreign
    table = pd.read_csv(embeddings, sep="\t")
    broken = {
        "twice": pd.concat([table, table.iloc[:1]]),
        "nan": table.assign(z3=[float("nan"), *table["z3"][1:]]),
        "constant": table.assign(**{f"z{k}": 1.0 for k in range(10)}),
        "strangers": table.assign(participant_id=[f"x{i}" for i in range(len(table))]),
        "nameless": table.rename(columns={"participant_id": "participant"}),
        "words": table.assign(site="east"),
        "few": table.iloc[:9],
    }
    said = {}
    for name, frame in broken.items():
        frame.to_csv(tmp_path / f"{name}.tsv", sep="\t", index=False)
        call = ("--embeddings", tmp_path / f"{name}.tsv", "--participants", people)
        said[name] = " ".join(isthmus(*call, *SETTINGS, code=2).split())
    assert "'sub-000' has several" in said["twice"]
    assert "sub-000 in column 'z3'" in said["nan"]
    assert "at least one column must vary" in said["constant"]
    assert "60 of 60 are not in it" in said["strangers"]
    assert "Did you mean 'participant'?" in said["nameless"]
    assert "'site' is not" in said["words"]
    assert "at least 10 subjects, got 9" in said["few"]


def test_a_call_that_means_nothing_is_refused(foreign, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    embeddings, people = foreign
    store = ("--tracking-uri", trained.tracking_uri)
    found = in_json(trained.directory)["trials"][0]["mlflow_run_id"]
    for call, named in (
        ((), "got neither"),
        ((trained.directory, "--embeddings", embeddings), "got both"),
        ((trained.directory, "--config", people), "--config is for --embeddings"),
        (("--embeddings", embeddings), "--participants"),
        (("nowhere",), "is neither"),
        (("0" * 32,), "no runs/mlflow.db here"),
        (("0" * 32, "--tracking-uri", f"sqlite:///{tmp_path}/gone.db"), "there is no file"),
        (("0" * 32, *store), "There must be a run 00000000"),
        ((found, *store), "is of `isthmus stratify`"),
        ((trained.directory, trained.directory), "named once"),
        ((trained.directory, "--set", "model.depth=2"), "trains nothing"),
        ((trained.directory, "--set", "stratification.alpa=2"), "Did you mean"),
        ((trained.directory, "--set", "execution.stratification_workers=4096"), "cores"),
    ):
        said = " ".join(isthmus(*call, code=2).split())
        assert named in said, (call, said)
        assert "Traceback" not in said
    assert not (tmp_path / "gone.db").exists()
