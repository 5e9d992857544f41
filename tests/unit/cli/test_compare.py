"""`isthmus compare` as it is typed: what it finds, shows and refuses."""

import json

import pytest
import typer
from example_study import MSE, make_study
from typer.testing import CliRunner

from isthmus.cli.compare import compare
from isthmus.report.study_files import write_study_files
from isthmus.study.record_json import study_from_json, write_study


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type the command in an empty folder; give exit code and output."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(compare)

    def call(*words):
        return CliRunner().invoke(app, list(words), env={"COLUMNS": "140"})

    return call


def test_the_ranking_stands_in_the_terminal_with_intervals(typed, tmp_path):
    study = make_study(40)
    write_study_files(study, tmp_path / "runs" / "small-search-size")
    shown = typed("small-search-size")
    assert shown.exit_code == 0, shown.output
    best = study.trials[study.best]
    assert f"{best.values[0]:.4g} +- {best.standard_errors[0]:.2g}" in shown.stdout
    assert "The first 20 of 30 rows." in shown.stdout
    for title in ("Pareto front", "Importance of the dimensions", "Spent so far"):
        assert title in shown.stdout
    assert "runs/small-search-size/study.html" in shown.stdout


def test_a_limit_and_a_path(typed, tmp_path):
    write_study(make_study(40, (MSE,)), tmp_path / "elsewhere")
    assert "The first 3 of 30 rows." in typed(str(tmp_path / "elsewhere"), "--limit", "3").stdout
    assert "figures" not in typed("elsewhere").stdout


def test_programs_get_the_whole_record(typed, tmp_path):
    study = make_study(40)
    write_study(study, tmp_path / "there")
    content = json.loads(typed("there", "--json").stdout)
    assert content["directory"] == "there"
    assert study_from_json(content) == study


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("small-search-siez",), "Did you mean 'small-search-size'?"),
        (("xyz",), "Below runs: small-search-size."),
        (("empty",), "must be the folder of a search"),
        (("small-search-size", "--json", "--limit", "3"), "--limit is for tables"),
    ],
)
def test_what_is_refused_says_what_to_do(typed, tmp_path, words, said):
    write_study(make_study(4), tmp_path / "runs" / "small-search-size")
    (tmp_path / "empty").mkdir()
    refused = typed(*words)
    assert refused.exit_code == 2
    assert said in " ".join(refused.output.split())


def test_an_empty_study_can_be_shown(typed, tmp_path):
    write_study(make_study(0), tmp_path / "s")
    assert "No trial has finished: no trial yet." in typed("s").stdout
