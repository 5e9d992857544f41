"""The benchmarks of convolutions and steps run, on the smallest grid there is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def _run(script: Path, *arguments: object) -> str:
    command = [sys.executable, str(script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_convolutions(tmp_path: Path) -> None:
    file = tmp_path / "convolution.json"
    sizes = ("--grid", 32, 32, 32, "--tables", "paper", "--rounds", 1)
    told = _run(BENCHMARKS / "convolution.py", *sizes, "--json", file)
    rows = json.loads(file.read_text())["tables"]["paper"]
    assert sum(row["count"] for row in rows) == 60  # two encoders' and two decoders' mid-flows
    for row in rows:
        assert row["shape"]["groups"] == row["shape"]["n_in"]
        assert all(sum(parts) > 0 for turns in row["seconds"].values() for parts in turns)
    assert len([line for line in told.splitlines() if line.startswith("|")]) == 2 + len(rows)


@pytest.mark.long
def test_training_steps(tmp_path: Path) -> None:
    file, figure = tmp_path / "step.json", tmp_path / "step.svg"
    sizes = ("--grid", 64, 32, 32, "--rounds", 1, "--steps", 1, "--threads", 1)
    ways = ("--presets", "paper", "--ways", "isthmus", "torch", "--device", "cpu")
    told = _run(BENCHMARKS / "training_step.py", *sizes, *ways, "--json", file, "--figure", figure)
    variants = json.loads(file.read_text())["variants"]
    assert [one["way"] for one in variants] == ["isthmus", "torch"]
    for one in variants:
        assert one["peak_mib"] > one["before_mib"] > 0
        assert 0 < one["convolving_s"] < one["step_s"]
        shares = one["profile"]
        # Two gradients are more than one output, however it is computed.
        assert shares["backward"] > shares["forward"] > 0
    assert "`paper` | PyTorch, contiguous | **" in told
    assert figure.read_text().count("convolutions") >= 1


def test_what_there_is_not_is_refused() -> None:
    command = [sys.executable, str(BENCHMARKS / "training_step.py"), "--grid", "32", "32", "32"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "one voxel" in done.stderr
