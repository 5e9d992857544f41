"""`isthmus check` on ablations, alone and against the experiment before them."""

import json
from pathlib import Path

import pytest
import yaml
from phantom_experiment import SETTINGS
from typer.testing import CliRunner

from isthmus.cli.main import app
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig

ABLATIONS = Path(__file__).resolve().parents[3] / "ablations"
SPACES = ABLATIONS.parent / "search_spaces"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment on a phantom cohort that is not ingested."""
    folder = tmp_path_factory.mktemp("check")
    make_phantom(folder / "cohort", PhantomConfig(n_subjects=12, grid=(16, 16, 16)))
    (folder / "experiment.yaml").write_text(yaml.safe_dump(SETTINGS))
    return folder / "experiment.yaml"


def check(*words: object) -> tuple[int, str, str]:
    """Run the command; return its exit code and what it printed."""
    done = CliRunner().invoke(app, ["check", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_an_ablation_is_shown_without_an_ingested_cohort(experiment):
    code, shown, _ = check(experiment, ABLATIONS / "skips.yaml", "--ablation-set", "n_seeds=4")
    assert code == 0
    assert f"{ABLATIONS / 'skips.yaml'}  skips  for small" in shown
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines()]
    for row in (
        ["primary", "embedding_shuffle_delta_mse", "larger", "not asked"],
        ["design", "one_factor_out"],
        ["seeds", "4"],
        ["correction", "holm"],
    ):
        assert row in rows
    assert any(row[:3] == ["model.skips", "all; deep; none", "all"] for row in rows if len(row) > 3)


def test_every_shipped_file_is_checked_beside_spaces(experiment):
    files = [*sorted(ABLATIONS.glob("*.yaml")), SPACES / "smoke.yaml"]
    code, shown, _ = check(experiment, *files, "--json")
    assert code == 0
    told = json.loads(shown)
    assert [Path(one["file"]) for one in told] == [experiment, *files]
    assert told[1]["ablation"]["name"] == "embedding_size"
    assert told[1]["experiment"] == "small"
    assert told[-1]["search"]["name"] == "smoke"


def test_overrides_must_be_for_a_file_that_is_given(experiment):
    code, _, told = check(experiment, "--ablation-set", "n_seeds=4")
    assert code == 2
    assert "--ablation-set: must be for an ablation, but none is among the files." in told
    code, _, told = check(experiment, ABLATIONS / "skips.yaml", "--ablation-set", "n_seed=4")
    assert code == 2
    assert "Did you mean 'n_seeds'?" in told
