"""The benchmarks are scripts: their folder is put where they find each other."""

from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the scripts, importable."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return BENCHMARKS
