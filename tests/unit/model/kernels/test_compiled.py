"""Machine code that is kept: found by the next process, made anew where any source has changed."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]

SCRIPT = """
import json, torch
from isthmus.model.kernels import lanes, loops
from isthmus.model.kernels.choice import convolve
x, weight = torch.ones(1, 2, 3, 3, 3), torch.ones(2, 2, 3, 3, 3)
y = convolve(x, weight, None, (1, 1, 1), (1, 1, 1))
stats = loops.convolve_tasks.stats
print(json.dumps({
    "middle": y[0, 0, 1, 1, 1].item(), "bytes": lanes.VECTOR_BYTES,
    "found": sum(stats.cache_hits.values()), "made": sum(stats.cache_misses.values()),
}))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package's sources, as if installed elsewhere."""
    copied = tmp_path / "installed"
    shutil.copytree(
        ROOT / "platform" / "isthmus", copied / "isthmus",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    return copied


def _run(package: Path, **variables: str) -> dict[str, float]:
    """Convolve in a process of its own, the innermost loops at their simplest."""
    environment = {name: value for name, value in os.environ.items() if name[:6] != "NUMBA_"}
    environment |= {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    assert found["middle"] == 54.0
    return found


def test_the_next_process_compiles_nothing_until_a_source_changes(package: Path) -> None:
    first, second = _run(package), _run(package)
    assert (first["found"], first["made"]) == (0, 1)
    assert (second["found"], second["made"]) == (1, 0)
    # What the loops inline is written in another file than the loops are.
    other = package / "isthmus" / "model" / "kernels" / "microkernels.py"
    other.write_text(other.read_text(encoding="utf-8") + "\n# Changed.\n", encoding="utf-8")
    assert _run(package)["made"] == 1


def test_where_nothing_can_be_written_each_process_compiles(package: Path, tmp_path: Path) -> None:
    # A file in a folder's place: not even the superuser can write into it.
    for folder in ("model/kernels", "stratification"):
        (package / "isthmus" / folder / "__pycache__").write_bytes(b"")
    nowhere, home = tmp_path / "file", tmp_path / "home"
    nowhere.write_bytes(b"")
    found = _run(package, HOME=str(nowhere), XDG_CACHE_HOME=str(nowhere))
    assert (found["found"], found["made"]) == (0, 1)
    _run(package, HOME=str(home), XDG_CACHE_HOME=str(home))
    assert list(home.rglob("loops.convolve_tasks-*.nbi")), "the user's own folder is next"
