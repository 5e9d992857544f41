"""`isthmus check` on files of gates."""

import json
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from isthmus.cli.main import app
from isthmus.config.promotion.load import gate_names

FOLDER = Path(str(resources.files("isthmus.config"))) / "gates"


@pytest.mark.parametrize("name", gate_names())
def test_every_shipped_file_is_shown_gate_by_gate(name):
    done = CliRunner().invoke(app, ["check", str(FOLDER / f"{name}.yaml")])
    assert done.exit_code == 0, done.output
    for gate in ("integrity", "mean_image", "champion", "lockbox.error_ratio"):
        assert gate in done.output


def test_overrides_reach_the_thresholds_and_scripts_read_them():
    options = ["--gates-set", "gates.pca.max_ratio=0.9", "--gates-set", "gates.latency=false"]
    done = CliRunner().invoke(app, ["check", str(FOLDER / "standard.yaml"), "--json", *options])
    assert done.exit_code == 0, done.output
    (found,) = json.loads(done.stdout)
    assert found["gates"]["gates"]["pca"]["max_ratio"] == 0.9
    assert "latency" not in found["gates"]["gates"]


def test_a_misspelt_gate_is_met_with_the_right_one(tmp_path):
    file = tmp_path / "gates.yaml"
    file.write_text("gates: {mean_imgae: true}\n")
    done = CliRunner().invoke(app, ["check", str(file)])
    assert done.exit_code == 2
    assert "mean_image" in " ".join(done.output.split())
