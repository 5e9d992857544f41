"""What the terminal shows of an ablation: shortly at its end, all of it by `isthmus compare`."""

import io
import json
from dataclasses import replace

import pytest
import typer
from example_ablation import FAILED, skips_ablation, subsets_ablation
from rich.console import Console
from typer.testing import CliRunner

from isthmus.cli import ablate_summary, terminal
from isthmus.cli.ablate import ablate
from isthmus.cli.ablate_summary import MOST_VERDICTS, show_verdicts, verdicts_table
from isthmus.cli.compare import compare
from isthmus.report.ablation.files import write_ablation_files
from isthmus.study.ablation.result_json import result_from_json


@pytest.fixture
def typed(tmp_path, monkeypatch):
    """Type `isthmus compare` in an empty folder; give exit code and output."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(compare)
    return lambda *words: CliRunner().invoke(app, list(words), env={"COLUMNS": "140"})


@pytest.fixture
def shown(monkeypatch):
    """Show an ablation on a terminal of a width; give its lines."""

    def show(result, columns):
        console = Console(file=io.StringIO(), width=columns, soft_wrap=True, highlight=False)
        for module in (terminal, ablate_summary):
            monkeypatch.setattr(module, "out", console)
        show_verdicts(result)
        return console.file.getvalue().splitlines()

    return show


def _with_rows(result, n):
    """Repeat the primary metric's contrasts; the last one alone is significant."""
    first, *others = result.findings
    one = first.contrasts[0]
    many = (*[replace(one, verdict="equivalent")] * (n - 1), replace(one, verdict="worse"))
    return replace(result, findings=(replace(first, contrasts=many), *others))


def test_many_comparisons_fit_a_screen_and_the_significant_ones_come_first(tmp_path, shown):
    many = _with_rows(skips_ablation(tmp_path), 43)
    table = verdicts_table(many)
    assert len(table.rows) == MOST_VERDICTS
    assert [row[1] for row in table.rows[:2]] == ["worse", "equivalent"]
    assert table.note.startswith("The first 20 of 43 rows.")
    for columns in (80, 100):
        lines = shown(many, columns)
        assert len(lines) < 60
        drawn = [line for line in lines if line[:1] in "┏┃┡│└"]
        assert max(map(len, drawn)) <= columns


def test_every_other_metric_is_a_line_and_what_failed_is_said(tmp_path, shown):
    result = subsets_ablation(tmp_path)
    text = "\n".join(shown(result, 100))
    for finding in result.findings:
        assert finding.metric in text
    assert f"! {FAILED}" in text
    assert "cannot be built" in text


def test_compare_shows_all_tables_of_an_ablation(typed, tmp_path):
    result = skips_ablation(tmp_path / "runs")
    write_ablation_files(result, tmp_path / "runs", tmp_path / "runs" / "small-ablation-skips")
    found = typed("small-ablation-skips")
    assert found.exit_code == 0, found.output
    for said in ("Comparisons by the primary", "Arms", "Spent so far", "ablation.html"):
        assert said in found.stdout
    assert "The first 1 of" in typed("small-ablation-skips", "--limit", "1").stdout
    content = json.loads(typed("small-ablation-skips", "--json").stdout)
    assert content.pop("directory") == "runs/small-ablation-skips"
    assert result_from_json(content) == result


def test_compare_of_an_ablation_whose_first_sitting_goes_on(typed, tmp_path):
    folder = tmp_path / "runs" / "small-ablation-skips"
    folder.mkdir(parents=True)
    (folder / "ablation.json").write_text("{}")
    refused = typed("small-ablation-skips")
    assert refused.exit_code == 2
    assert "ablation.yaml --plan` says how far it is" in " ".join(refused.output.split())
    assert "Did you mean 'small-ablation-skips'?" in " ".join(
        typed("small-ablation").output.split()
    )


def test_files_in_the_wrong_order_are_told_apart(tmp_path):
    app = typer.Typer()
    app.command()(ablate)
    written = {"a.yaml": "design: factorial\n", "e.yaml": "cohort: {}\n", "s.yaml": "space: {}\n"}
    for name, content in written.items():
        (tmp_path / name).write_text(content)

    def said(*names):
        refused = CliRunner().invoke(app, [str(tmp_path / name) for name in names])
        assert refused.exit_code == 2
        return " ".join(refused.output.split())

    assert "a.yaml is an ablation. Type isthmus ablate EXPERIMENT" in said("a.yaml", "e.yaml")
    assert "e.yaml is an experiment." in said("e.yaml", "e.yaml")
    assert "s.yaml is a search space." in said("e.yaml", "s.yaml")
