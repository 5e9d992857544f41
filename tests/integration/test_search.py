"""A search that is killed, ended, changed and begun beside another: real Ray, MLflow and study."""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import yaml
from tiny_search import (
    Command,
    Run,
    isthmus,
    mlflow_runs,
    search_folder,
    started,
    study_records,
    write_search,
)

from isthmus.backends.worker_share import usable_cores
from isthmus.study.record_json import read_study, study_from_json
from isthmus.study.records import TrialRecord

pytestmark = [pytest.mark.long, pytest.mark.ray, pytest.mark.timeout(900)]
SEARCH = ("search", "experiment.yaml", "space.yaml")
OVER = ("finished", "stopped")
# What trains, and nearly all else of Ray's, ends within seconds of its driver. Two agents of its
# node, which do nothing, first try for a minute to report that to a head that is gone.
SECONDS_TO_VANISH = 30.0
SECONDS_TO_LINGER = 150.0
LINGERING = ("ray::Dashboard", "ray::RuntimeEnv")
SECONDS_TO_END = 30.0

ASHA = {
    "scheduler": {"kind": "asha", "unit": "fold", "reduction_factor": 2},
    "objectives": [
        {"metric": "validation_mse", "direction": "minimize"},
        {"metric": "robustness_score", "direction": "maximize"},
    ],
}
SERIAL = {"sampler": {"kind": "tpe", "n_startup_trials": 2}}
two_cores = pytest.mark.skipif(usable_cores() < 2, reason="two at a time need two cores")


def n_over(search: Path) -> int:
    return sum(record.state in OVER for record in study_records(search))


def trained_files(runs: Path, records: tuple[TrialRecord, ...]) -> dict[Path, tuple[int, int]]:
    """What training and evaluating folds wrote, told from the same written again."""
    files = [
        file
        for record in records
        for name in ("fold.json", "model.safetensors")
        for file in (runs / str(record.folder)).glob(f"fold-*/{name}")
    ]
    return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def training_process(command: Command) -> psutil.Process:
    """The process that Tune gave to the only trial that runs."""
    named = command.names()
    (found,) = [process for process, name in named.items() if name.startswith("ray::Implicit")]
    return found


def wait_until(condition: Callable[[], bool], seconds: float, what: Callable[[], object]) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, what()
        time.sleep(0.2)


def at_work(command: Command) -> list[str]:
    """Name what is left of a command, but for what can do no harm."""
    return [name for name in command.names().values() if not name.startswith(LINGERING)]


@dataclass(frozen=True)
class Killed:
    """A search whose driver was killed: its ledger and its trials' files, as they were then."""

    folder: Path
    command: Command
    before: tuple[TrialRecord, ...]
    files: dict[Path, tuple[int, int]]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """A search of 12, two at a time, whose driver was killed once 5 were over."""
    folder = tmp_path_factory.mktemp("killed")
    write_search(folder, 12, settings={"execution.concurrent_trials": 2}, **ASHA)
    search = search_folder(folder)
    with started(*SEARCH, folder=folder) as command:
        command.wait_until(lambda: n_over(search) >= 5)
        os.kill(command.process.pid, signal.SIGKILL)
        command.wait()
        wait_until(lambda: not at_work(command), SECONDS_TO_VANISH, lambda: at_work(command))
        before = study_records(search)
        over = tuple(record for record in before if record.state in OVER)
        yield Killed(folder, command, before, trained_files(folder / "runs", over))


@pytest.fixture(scope="module")
def continued(killed) -> tuple[Path, tuple[TrialRecord, ...]]:
    """The same, started again: its place and its ledger at the end."""
    folder = killed.folder
    done = isthmus(*SEARCH, "--json", folder=folder)
    assert done.returncode == 0, done.stderr
    records = study_records(search_folder(folder))
    assert study_from_json(told(done.stdout)).trials == records
    return folder, records


def told(stdout: str) -> dict:
    """The study within what `--json` prints."""
    beside = ("directory", "why_halted", "is_unfinished", "mlflow_run_id", "tracking_uri")
    return {name: value for name, value in json.loads(stdout).items() if name not in beside}


@two_cores
def test_killed_after_five_trials_it_finishes_the_same_twelve(killed, continued):
    folder, after = continued
    before, files = killed.before, killed.files
    assert 5 <= len({file.parents[1] for file in files}) < 12
    assert any(record.state == "running" for record in before)
    assert len(after) == 12
    assert {record.state for record in after} == set(OVER)
    assert len({record.digest for record in after}) == 12
    for was, record in zip(before, after, strict=False):
        assert (record.number, record.point) == (was.number, was.point)
        if was.state in OVER:
            assert record == was
        else:
            assert record.attempts == was.attempts + 1
    assert all(record.attempts == 1 for record in after[len(before) :])
    now = trained_files(folder / "runs", after)
    assert files.items() <= now.items()
    folds = {file.parent for file in now if file.name == "fold.json"}
    for record in after:
        done = [place for place in folds if place.parent.name == record.folder]
        assert len(done) == 2 if record.state == "finished" else 1 <= len(done) <= 2
    assert {place.parent.name for place in folds} == {record.folder for record in after}


@two_cores
def test_what_is_written_of_it_agrees_with_the_ledger(continued):
    folder, records = continued
    result = read_study(search_folder(folder))
    assert result.trials == records
    shown = isthmus("compare", "small-search-space", "--json", folder=folder)
    assert shown.returncode == 0, shown.stderr
    compared = json.loads(shown.stdout)
    assert Path(compared.pop("directory")).name == "small-search-space"
    assert study_from_json(compared) == result
    comparison = compared["comparison"]
    assert comparison["address"] is None  # of a server that is yet to be started
    route = f"#/experiments/1/runs?viewStateShareKey=isthmus-{result.study_id[:12]}"
    assert comparison["route"].startswith(route)
    finished = [record for record in records if record.state == "finished"]
    assert result.best == min(finished, key=lambda record: record.values[0]).number


@two_cores
def test_mlflow_has_each_trial_and_each_fold_once(continued):
    folder, records = continued
    (study,) = mlflow_runs(folder / "runs")
    assert study.status == "FINISHED"
    numbers = [int(trial.tags["isthmus.trial_number"]) for trial in study.children]
    assert sorted(numbers) == list(range(12))
    for number, trial in zip(numbers, study.children, strict=True):
        check_trial_run(trial, records[number])
    n_finished = sum(record.state == "finished" for record in records)
    assert study.metrics["n_trials_finished"] == n_finished
    with sqlite3.connect(f"file:{folder / 'runs' / 'mlflow.db'}?mode=ro", uri=True) as store:
        twice = "SELECT run_uuid, key, step FROM metrics GROUP BY 1, 2, 3 HAVING count(*) > 1"
        assert store.execute(twice).fetchall() == []
    store.close()


def check_trial_run(trial: Run, record: TrialRecord) -> None:
    """A trial's run, and its folds' below it, are closed and say what the ledger does."""
    assert trial.status == "FINISHED"
    assert trial.tags["isthmus.state"] == record.state
    assert trial.tags["isthmus.trial"] == record.digest
    folds = [fold.name for fold in trial.children]
    assert len(set(folds)) == len(folds)
    assert {fold.status for fold in trial.children} == {"FINISHED"}
    if record.state == "stopped":
        assert "fold 0" in folds
        return
    assert sorted(folds) == ["fold 0", "fold 1"]
    for i, metric in enumerate(("validation_mse", "strata_robustness_score")):
        assert trial.metrics[metric] == pytest.approx(record.values[i])
        assert trial.metrics[f"{metric}_se"] == pytest.approx(record.standard_errors[i])
    assert {"strata_robustness_replication", "strata_stability_ari"} <= set(trial.metrics)


@two_cores
def test_a_third_start_has_nothing_to_do_and_says_so(continued):
    folder, records = continued
    files = trained_files(folder / "runs", records)
    done = isthmus(*SEARCH, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "begun" not in done.stderr
    assert "12 of 12" in done.stdout
    assert study_records(search_folder(folder)) == records
    assert trained_files(folder / "runs", records) == files
    (study,) = mlflow_runs(folder / "runs")
    assert (study.status, len(study.children)) == ("FINISHED", 12)


@two_cores
def test_the_killed_driver_s_ray_is_gone_to_the_last_process(killed, continued):
    command = killed.command
    wait_until(lambda: not command.names(), SECONDS_TO_LINGER, command.names)


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[TrialRecord, ...]]:
    """A search of five, one at a time, that nothing disturbs."""
    folder = tmp_path_factory.mktemp("serial")
    write_search(folder, 5, settings={"execution.concurrent_trials": 1}, **SERIAL)
    done = isthmus(*SEARCH, folder=folder)
    assert done.returncode == 0, done.stderr
    return folder, study_records(search_folder(folder))


def wait_for_fold(command: Command, search: Path, number: int, fold: int) -> Path:
    """Wait until a trial has a checkpoint of a fold, and is about to go on; give its folder."""
    command.wait_until(lambda: len(study_records(search)) > number)
    command.wait_until(lambda: study_records(search)[number].attempts > 0)
    trial = search.parent / str(study_records(search)[number].folder)
    command.wait_until(lambda: (trial / f"fold-{fold}" / "last.pt").exists())
    return trial


def test_disturbed_in_two_ways_it_ends_as_if_it_had_not_been(serial, tmp_path):
    write_search(tmp_path, 5, settings={"execution.concurrent_trials": 1}, **SERIAL)
    search = search_folder(tmp_path)
    # first it is told to end, politely
    with started(*SEARCH, folder=tmp_path) as command:
        wait_for_fold(command, search, number=1, fold=0)
        command.process.send_signal(signal.SIGTERM)
        assert command.wait(SECONDS_TO_END) == 130, command.said()
        assert "Run the same command again" in command.said()
        assert at_work(command) == []
    left = study_records(search)
    assert [record.state for record in left] == ["finished", "running"]
    # then the process of a trial is killed
    with started(*SEARCH, folder=tmp_path) as command:
        trial = wait_for_fold(command, search, number=3, fold=1)
        training_process(command).kill()
        history = (trial / "fold-1" / "history.jsonl").read_text().splitlines()
        files = trained_files(search.parent, study_records(search))
        assert command.wait() == 0, command.said()
        assert "trial 3: its process died" in command.said()
    # a row holds the seconds it took: the same row is the same epoch
    assert (trial / "fold-1" / "history.jsonl").read_text().splitlines()[: len(history)] == history
    after = study_records(search)
    assert files.items() <= trained_files(search.parent, after).items()
    assert [record.attempts for record in after] == [1, 2, 1, 2, 1]
    _, undisturbed = serial
    assert [record.point for record in after] == [record.point for record in undisturbed]
    assert [record.values for record in after] == [record.values for record in undisturbed]
    (study,) = mlflow_runs(search.parent)
    assert {(trial.status, len(trial.children)) for trial in study.children} == {("FINISHED", 2)}
    assert len(study.children) == 5


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        (
            ("--space-set", "space.training.learning_rate.high=0.02"),
            'space.training.learning_rate: was {"high": 0.01,',
        ),
        (("--set", "model.base_channels=4"), "model.base_channels: was 2, is 4"),
    ],
    ids=["space", "experiment"],
)
def test_another_search_of_the_name_is_refused_with_the_difference(serial, changed, difference):
    folder, records = serial
    done = isthmus(*SEARCH, *changed, folder=folder)
    assert done.returncode == 2, done.stderr
    assert difference in done.stderr
    assert "--fork" in done.stderr
    assert study_records(search_folder(folder))[:5] == records
    assert not (folder / "runs" / "small-search-space-2").exists()


def test_forked_it_takes_over_the_trials_in_common(serial):
    folder, records = serial
    files = trained_files(folder / "runs", records)
    content = yaml.safe_load((folder / "space.yaml").read_text())
    content["space"]["training.learning_rate"]["high"] = 0.02
    forked = {**content, "name": "space", "try_first": [dict(records[2].point)]}
    (folder / "forked.yaml").write_text(yaml.safe_dump({**forked, "budget": {"n_trials": 1}}))
    done = isthmus("search", "experiment.yaml", "forked.yaml", "--fork", folder=folder)
    assert done.returncode == 0, done.stderr
    (record,) = study_records(folder / "runs" / "small-search-space-2")
    assert (record.digest, record.values) == (records[2].digest, records[2].values)
    assert trained_files(folder / "runs", records) == files
    study = {run.name: run for run in mlflow_runs(folder / "runs")}["small-search-space-2"]
    (trial,) = study.children
    assert trial.metrics["validation_mse"] == pytest.approx(record.values[0])
    assert len(trial.children) == 2


def test_a_larger_budget_goes_on(serial):
    folder, records = serial
    files = trained_files(folder / "runs", records)
    done = isthmus(*SEARCH, "--space-set", "budget.n_trials=6", folder=folder)
    assert done.returncode == 0, done.stderr
    after = study_records(search_folder(folder))
    assert (len(after), after[:5]) == (6, records)
    assert after[5].state == "finished"
    assert files.items() <= trained_files(folder / "runs", after).items()


@two_cores
def test_trials_of_two_workers_find_what_those_of_one_do(serial):
    folder, records = serial
    nested = ("execution.output=nested", "execution.workers=2")
    options = [part for setting in nested for part in ("--set", setting)]
    done = isthmus(*SEARCH, *options, "--space-set", "budget.n_trials=2", folder=folder)
    assert done.returncode == 0, done.stderr
    found = study_records(folder / "nested" / "small-search-space")
    assert [record.point for record in found] == [record.point for record in records[:2]]
    assert [record.values[0] for record in found] == pytest.approx(
        [record.values[0] for record in records[:2]], abs=1e-4
    )
