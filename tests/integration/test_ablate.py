"""`isthmus ablate` from end to end: real Ray, real MLflow, real failures and kills."""

import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from job_cluster import JOB_SECONDS, Cluster, job_cluster, wait_until
from tiny_ablation import SKIPS, ablation_folder, done_folds, noted, result_of, write_ablation
from tiny_search import Command, Run, isthmus, mlflow_runs, started

from isthmus.backends.worker_share import usable_cores

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(900)]
ABLATE = ("ablate", "experiment.yaml", "skips.yaml")
two_cores = pytest.mark.skipif(usable_cores() < 2, reason="two folds at a time need two cores")
ONE_AT_A_TIME = {"execution.concurrent_trials": 1}


def arms_of(ablation: Run) -> dict[str, Run]:
    """An ablation's runs in MLflow, by arm; each is there once."""
    arms = {run.tags["isthmus.arm"]: run for run in ablation.children}
    assert len(arms) == len(ablation.children)
    return arms


def begun(log: str) -> list[str]:
    """List the folds that a log says were begun."""
    return re.findall(r"^(.+, seed \d+, fold \d+): begun", log, re.MULTILINE)


@dataclass(frozen=True)
class Shared:
    """A trial that was run by itself, then an ablation whose baseline it is."""

    folder: Path
    files: dict[Path, tuple[int, int]]
    log: str
    shown: str


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    folder = tmp_path_factory.mktemp("shared")
    write_ablation(folder)
    trained = isthmus("train", "experiment.yaml", folder=folder)
    assert trained.returncode == 0, trained.stderr
    files = done_folds(folder / "runs")
    assert len(files) == 4
    planned = isthmus(*ABLATE, "--plan", "--json", folder=folder)
    assert planned.returncode == 0, planned.stderr
    content = json.loads(planned.stdout)
    assert [fold["state"] for fold in content["progress"]["folds"]] == ["done"] * 2 + [
        "waiting"
    ] * 2
    assert not ablation_folder(folder).exists()
    done = isthmus(*ABLATE, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return Shared(folder, files, done.stderr, done.stdout)


def test_a_trial_that_was_trained_before_is_the_baseline_and_is_not_run_again(shared):
    assert begun(shared.log) == ["none, seed 0, fold 0", "none, seed 0, fold 1"]
    assert "2 of 4 folds are done already" in shared.log
    assert "none, seed 0: gathered" in shared.log
    assert shared.files.items() <= done_folds(shared.folder / "runs").items()
    result = result_of(ablation_folder(shared.folder))
    assert [fold.state for fold in result.progress.folds] == ["done"] * 4
    assert [fold.reused for fold in result.progress.folds] == [True, True, False, False]
    assert [fold.attempts for fold in result.progress.folds] == [0, 0, 1, 1]
    assert result.progress.gathered == (0, 1)
    for run in result.plan.runs:
        trial = json.loads((shared.folder / "runs" / run.folder / "trial.json").read_text())
        assert trial["succeeded"]
        assert trial["identity"]["split"] == run.split


def test_it_says_what_differs_and_leaves_a_report(shared):
    folder = ablation_folder(shared.folder)
    (contrast,) = result_of(folder).findings[0].contrasts
    assert contrast.comparison.name == "none against all"
    assert contrast.n_blocks == 2
    assert contrast.verdict.replace("_", " ") in shared.shown
    assert str(folder / "ablation.html") in shared.shown
    assert "compare runs  mlflow ui --backend-store-uri" in shared.shown
    assert {"ablation.json", "experiment.yaml", "ablation.yaml", "progress.json"} <= {
        file.name for file in folder.iterdir()
    }
    assert SKIPS["question"] in (folder / "ablation.html").read_text()


def test_mlflow_has_the_ablation_its_arms_and_their_folds_once(shared):
    (ablation,) = [r for r in mlflow_runs(shared.folder / "runs") if "isthmus.ablation" in r.tags]
    assert (ablation.name, ablation.status) == ("small-ablation-skips", "FINISHED")
    result = result_of(ablation_folder(shared.folder))
    arms = arms_of(ablation)
    assert sorted(arms) == ["all", "none"]
    for estimate in result.findings[0].arms:
        run = arms[estimate.arm]
        assert run.status == "FINISHED"
        assert run.tags["isthmus.seed"] == "0"
        assert run.tags["isthmus.level.model.skips"] == estimate.arm
        assert run.tags["isthmus.state"] == "gathered"
        assert sorted(fold.name for fold in run.children) == ["fold 0", "fold 1"]
        assert {fold.status for fold in run.children} == {"FINISHED"}
        assert run.metrics["validation_mse"] == pytest.approx(estimate.mean)
        mean = ablation.metrics[f"validation_mse.{estimate.arm}"]
        assert mean == pytest.approx(estimate.mean)
    verdict = result.findings[0].contrasts[0].verdict
    assert ablation.metrics[f"n_contrasts_{verdict}"] == 1
    assert ablation.tags["isthmus.verdicts"] == f"none against all: {verdict}"
    assert ablation.metrics["n_folds_done"] == 4
    assert "Do skip connections" in ablation.tags["mlflow.note.content"]
    artifacts = shared.folder / "runs" / "mlartifacts" / ablation.run_id / "artifacts"
    assert {"ablation.html", "result.json", "ablation.yaml", "summary.md"} <= {
        file.name for file in artifacts.iterdir()
    }


def test_begun_again_nothing_is_done_twice(shared):
    files, notes = done_folds(shared.folder / "runs"), noted(ablation_folder(shared.folder))
    done = isthmus(*ABLATE, "--json", folder=shared.folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    content = json.loads(done.stdout)
    assert (content["is_unfinished"], content["failed_arms"]) == (False, [])
    assert done_folds(shared.folder / "runs") == files
    assert noted(ablation_folder(shared.folder)) == notes
    (ablation,) = [r for r in mlflow_runs(shared.folder / "runs") if "isthmus.ablation" in r.tags]
    assert content["mlflow_run_id"] == ablation.run_id
    assert (ablation.status, len(ablation.children)) == ("FINISHED", 2)


def test_one_that_differs_is_refused_with_the_difference(shared):
    changed = isthmus(*ABLATE, "--ablation-set", "n_seeds=2", folder=shared.folder)
    assert changed.returncode == 2
    assert "n_seeds: was 1, is 2" in changed.stderr
    assert "--fork" in changed.stderr
    forked = isthmus(
        *ABLATE, "--ablation-set", "n_seeds=2", "--fork", "--plan", folder=shared.folder
    )
    assert forked.returncode == 0, forked.stderr
    assert "small-ablation-skips-2" in forked.stdout
    assert not (shared.folder / "runs" / "small-ablation-skips-2").exists()


@pytest.mark.long
def test_an_arm_that_diverges_costs_no_other(tmp_path):
    values = [0.001, 0.002, 1e30]
    factors = {"training.learning_rate": {"hypothesis": "Large ones fail.", "values": values}}
    write_ablation(tmp_path, factors=factors)
    done = isthmus(*ABLATE, folder=tmp_path)
    assert done.returncode == 4, done.stdout + done.stderr
    assert re.search(r"arm .*1e\+?30.* has failed", done.stderr)
    result = result_of(ablation_folder(tmp_path))
    states = {arm.name: [] for arm in result.plan.arms}
    for fold in result.progress.folds:
        states[result.plan.runs[fold.run].arm].append(fold.state)
    *compared, absurd = states
    assert [states[name] for name in compared] == [["done", "done"]] * 2
    assert set(states[absurd]) <= {"failed", "skipped"}
    one, other = result.findings[0].contrasts
    assert (one.verdict == "unpaired", other.verdict) == (False, "unpaired")
    assert "TrainingDiverged" in other.reason
    assert "TrainingDiverged" in (ablation_folder(tmp_path) / "ablation.html").read_text()
    (ablation,) = mlflow_runs(tmp_path / "runs")
    assert ablation.status == "FINISHED"
    assert ablation.tags["isthmus.failed_arms"] == absurd
    arms = arms_of(ablation)
    assert [arms[name].status for name in states] == ["FINISHED", "FINISHED", "FAILED"]
    assert arms[absurd].tags["isthmus.reason"].startswith("TrainingDiverged")


def training_process(command: Command) -> psutil.Process:
    """The process that Tune gave to the only fold that runs."""
    (found,) = [p for p, name in command.names().items() if name.startswith("ray::Implicit")]
    return found


@pytest.mark.long
def test_killed_workers_and_drivers_cost_no_arm_and_no_fold_is_done_twice(tmp_path):
    write_ablation(tmp_path, settings=ONE_AT_A_TIME)
    runs, ablation = tmp_path / "runs", ablation_folder(tmp_path)
    with started(*ABLATE, folder=tmp_path) as command:
        # the second fold has a checkpoint and is about to go on
        command.wait_until(lambda: len(list(runs.glob("small-*/fold-0/last.pt"))) == 2)
        training_process(command).kill()
        command.wait_until(lambda: len(done_folds(runs)) == 4)
        assert "none, seed 0, fold 0: its process died" in command.said()
        command.wait_until(lambda: any(runs.glob("small-*/fold-1/last.pt")))
        os.kill(command.process.pid, signal.SIGKILL)
        command.wait()
        files, notes = done_folds(runs), noted(ablation)
        assert 4 <= len(files) < 8
    again = isthmus(*ABLATE, folder=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert files.items() <= done_folds(runs).items()
    result = result_of(ablation)
    attempts = [fold.attempts for fold in result.progress.folds]
    assert [fold.state for fold in result.progress.folds] == ["done"] * 4
    assert attempts[0::2] == [1, 2]  # fold 0 of all arms, which were done before the kill
    assert sorted(note["attempts"] for note in notes.values()) == sorted([1, 2, 1])
    assert sorted(attempts[1::2]) == [1, 2]
    assert not [name for name in begun(again.stderr) if name.endswith("fold 0")]
    (parent,) = mlflow_runs(runs)
    assert parent.status == "FINISHED"
    assert {arm.status for arm in parent.children} == {"FINISHED"}
    assert [len(arm.children) for arm in parent.children] == [2, 2]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster, and an ablation whose places are absolute, ready to be submitted."""
    places = tmp_path_factory.mktemp("places")
    settings = {"cohort.root": "cohort", "execution.output": "runs", "execution.store": "store"}
    experiment, ablation = write_ablation(
        places,
        settings={path: str(places / name) for path, name in settings.items()},
        factors={"model.skips": {"hypothesis": "Yes.", "values": ["all", "deep", "none"]}},
    )
    folder = tmp_path_factory.mktemp("submitted")
    for file in (experiment, ablation):
        shutil.copy(file, folder / file.name)
    with job_cluster(folder) as made:
        yield made


@pytest.mark.long
@two_cores
def test_a_stopped_job_is_finished_by_the_next(cluster):
    content = yaml.safe_load((cluster.folder / "experiment.yaml").read_text())
    runs = Path(content["execution"]["output"])
    submitted = cluster.submit("first", ("isthmus", *ABLATE), "--no-wait")
    assert submitted.returncode == 0, submitted.stdout
    wait_until(
        lambda: len(done_folds(runs)) >= 6,
        JOB_SECONDS,
        lambda: cluster.job("logs", "first").stdout,
    )
    stopped = cluster.job("stop", "first")
    assert "was stopped" in stopped.stdout, stopped.stdout
    files, log = done_folds(runs), cluster.job("logs", "first").stdout
    assert 6 <= len(files) < 12, log

    again = cluster.submit("second", ("isthmus", *ABLATE))
    assert again.returncode == 0, again.stdout
    assert "'second' succeeded" in again.stdout
    assert files.items() <= done_folds(runs).items()
    result = result_of(runs / "small-ablation-skips")
    assert {fold.state for fold in result.progress.folds} == {"done"}
    assert not any(fold.reused for fold in result.progress.folds)
    n_left = 6 - len(files) // 2
    assert len(begun(again.stdout)) == n_left
    assert sum(fold.attempts for fold in result.progress.folds) == len(begun(log)) + n_left
    assert result.progress.gathered == (0, 1, 2)
    assert "not resolvable" in again.stdout or "equivalent" in again.stdout
