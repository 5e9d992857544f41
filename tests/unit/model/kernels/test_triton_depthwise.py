"""The GPU's depthwise convolution: interpreted on the CPU, compiled, and run where a GPU is."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from isthmus.model.kernels import triton_depthwise
from isthmus.model.kernels.triton_plan import axis_classes

ROOT = Path(__file__).resolve().parents[4]
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="needs Triton: pip install triton"
)


def _run(folder: Path, *arguments: str, interpret: bool) -> str:
    """Run the checks in a process whose Triton interprets, or compiles."""
    kept = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    added = {
        "PYTHONPATH": str(ROOT / "platform"),
        "OMP_NUM_THREADS": "1",
        "TRITON_CACHE_DIR": str(folder),
        **({"TRITON_INTERPRET": "1"} if interpret else {}),
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("triton_checks.py")), *arguments],
        env=kept | added, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@needs_triton
def test_interpreted_programs_agree_with_pytorch_in_float64(tmp_path: Path) -> None:
    assert "checked 29" in _run(tmp_path, "check", "cpu", interpret=True)


@needs_triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU and PyTorch for CUDA")
def test_compiled_programs_agree_with_pytorch_in_float64(tmp_path: Path) -> None:
    assert "checked 29" in _run(tmp_path, "check", "cuda", interpret=False)


@needs_triton
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton compiles on Linux")
def test_programs_compile_for_a_gpu_that_need_not_be_there(tmp_path: Path) -> None:
    assert "compiled 4" in _run(tmp_path, "compile", interpret=False)


def test_says_why_it_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("triton") is not None and not os.environ.get("TRITON_INTERPRET"):
        assert "on cpu" in str(triton_depthwise.unavailable(torch.device("cpu")))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install triton" in str(triton_depthwise.unavailable(torch.device("cuda")))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("edge", "before"), [(1, 0), (3, 1), (4, 1), (5, 4), (2, 3)])
def test_classes_of_voxels_meet_every_tap_once(edge: int, before: int, stride: int) -> None:
    n_voxels = 9
    found = set()
    for one in axis_classes(n_voxels, edge, before, stride):
        for nth, voxel in enumerate(range(one.first, n_voxels, stride)):
            for k in range(one.n_taps):
                found.add((voxel, nth - one.before + k, one.last_tap - stride * k))
    expected = {
        (voxel, (voxel + before - tap) // stride, tap)
        for voxel in range(n_voxels)
        for tap in range(edge)
        if (voxel + before - tap) % stride == 0
    }
    assert found == expected
