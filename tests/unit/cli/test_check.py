"""`isthmus check` on search spaces, alone and against the experiment before them."""

import json
from pathlib import Path

import pytest
import yaml
from phantom_experiment import SETTINGS
from typer.testing import CliRunner

from isthmus.cli.main import app
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig

SPACES = Path(__file__).resolve().parents[3] / "search_spaces"
CHECKED = {
    "space": {
        "model.convolution": {"kind": "categorical", "choices": ["separable", "standard"]},
        "model.separable.where": {
            "kind": "categorical",
            "choices": ["mid", "all"],
            "when": {"model.convolution": "separable"},
        },
        "model.dropout": {"kind": "float", "low": 0.0, "high": 0.3, "step": 0.1},
    },
    "try_first": [{"model.dropout": 0.2}],
    "scheduler": {"kind": "median", "min_trials": 2},
    "budget": {"n_trials": 8, "wall_hours": 1.5},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom cohort, an experiment on it, the same on one held-out share, and a space."""
    folder = tmp_path_factory.mktemp("check")
    make_phantom(folder / "cohort", PhantomConfig(n_subjects=26, grid=(16, 16, 16)))
    (folder / "experiment.yaml").write_text(yaml.safe_dump(SETTINGS))
    held_out = {**SETTINGS, "cross_validation": {"method": "hold_out"}}
    (folder / "held_out.yaml").write_text(yaml.safe_dump(held_out))
    (folder / "space.yaml").write_text(yaml.safe_dump(CHECKED, sort_keys=False))
    return folder


def check(*words: object) -> tuple[int, str, str]:
    """Run the command; return its exit code and what it printed."""
    done = CliRunner().invoke(app, ["check", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def test_a_space_is_shown_with_all_that_it_asks_for(folder):
    code, shown, _ = check(folder / "space.yaml")
    assert code == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines()]
    for row in (
        ["model.convolution", "categorical", "separable, standard", "always"],
        ["model.separable.where", "categorical", "mid, all", "model.convolution: separable"],
        ["model.dropout", "float", "0 to 0.3 by 0.1", "always"],
        ["minimize", "validation_mse"],
        ["first points", "{'model.dropout': 0.2}"],
        ["distinct points", "12"],
        ["sampler", "tpe, after 10 random points"],
        ["scheduler", "median, from fold 1 on, beside 2 others"],
        ["trials", "8"],
        ["hours, at most", "1.5"],
        ["GPU hours, at most", "any"],
    ):
        assert row in rows


def test_a_space_is_checked_against_the_experiment_before_it(folder):
    asha = ["--space-set", "scheduler.kind=asha", "--space-set", "scheduler.min_trials=3"]
    files = [folder / "experiment.yaml", folder / "space.yaml"]
    code, shown, _ = check(*files, *asha)
    assert code == 0
    assert f"{files[1]}  space  for small" in shown
    assert "trainable parameters" in shown
    code, _, told = check(folder / "held_out.yaml", folder / "space.yaml", *asha)
    assert code == 2
    assert "scheduler.unit: fold compares trials on their first folds" in " ".join(told.split())
    # the experiment that follows is not the one that is searched
    assert check(folder / "space.yaml", folder / "held_out.yaml", *asha)[0] == 0


def test_scripts_read_the_same_as_json(folder):
    files = (folder / "experiment.yaml", folder / "space.yaml")
    code, shown, _ = check(*files, "--space-set", "budget.n_trials=3", "--json")
    experiment, space = json.loads(shown)
    assert code == 0
    assert experiment["facts"]["embedding_size"] == 64
    assert space["file"] == str(folder / "space.yaml")
    assert (space["experiment"], space["size_of_grid"]) == ("small", 12)
    assert space["search"]["budget"] == {"n_trials": 3, "wall_hours": 1.5, "gpu_hours": None}
    assert space["first_points"] == [
        {"model.convolution": "separable", "model.separable.where": "mid", "model.dropout": 0.2}
    ]
    (alone,) = json.loads(check(folder / "space.yaml", "--json")[1])
    assert (alone["experiment"], alone["first_points"]) == (None, None)


@pytest.mark.parametrize("file", sorted(SPACES.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_shipped_space_checks(file):
    code, shown, _ = check(file)
    assert code == 0
    assert "infinitely many" in shown or file.stem in ("architecture", "embedding_size")


def test_the_smoke_space_fits_the_phantom(folder):
    assert check(folder / "experiment.yaml", SPACES / "smoke.yaml")[0] == 0


def test_options_that_no_file_takes_are_refused(folder):
    code, _, told = check(folder / "space.yaml", "--set", "model.depth=3")
    assert code == 2
    assert "--set: must be for an experiment, but none is among the files." in told
    code, _, told = check(folder / "experiment.yaml", "--space-set", "budget.n_trials=3")
    assert code == 2
    assert "--space-set: must be for a search space, but none is among the files." in told


def test_a_misspelt_override_is_met_with_the_right_one(folder):
    code, _, told = check(folder / "space.yaml", "--space-set", "budget.n_trails=3")
    assert code == 2
    assert "Did you mean 'budget.n_trials'?" in told
