"""`isthmus report`: what it writes, what it refuses, what it prints."""

import json

import pytest
from example_bundle import make_trial, write_trial_folder
from example_study import make_study
from typer.testing import CliRunner

from isthmus.cli.main import app
from isthmus.study.record_json import write_study


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["report", *map(str, words)])


def test_a_study_is_found_by_name_and_told(run, tmp_path):
    write_study(make_study(4), tmp_path / "runs" / "small-search")
    done = run("small-search", "-o", "out", "--json")
    assert done.exit_code == 0
    files = json.loads(done.stdout)["files"]
    assert files[0] == "out/index.html"
    assert all((tmp_path / file).is_file() for file in files)


def test_what_cannot_be_done_is_refused_before_anything_is_written(run, tmp_path, monkeypatch):
    trial = write_trial_folder(tmp_path / "runs", make_trial(n_folds=1))
    monkeypatch.setenv("PATH", "")
    for words, said in (
        (("nothing", "-o", "out"), "there is no 'nothing'"),
        ((trial.name, "-o", "runs"), "must be a new folder"),
        ((trial.name, "-o", "out", "--trial", 3), "is one trial"),
        ((trial.name, "-o", "out", "--pdf"), "apt-get install chromium"),
    ):
        done = run(*words)
        assert done.exit_code == 2
        assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()
