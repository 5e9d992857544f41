"""Partitions that a refactor must reproduce, label for label."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "partition.json").read_text())


def _regenerate() -> ModuleType:
    """Load the script that wrote the golden file; tests are no package to import it from."""
    spec = importlib.util.spec_from_file_location(
        "regenerate_partition", HERE / "regenerate_partition.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _regenerate()
NOW = SCRIPT.outcomes(np.array(GOLDEN["embedding"]))


def test_the_settings_are_those_of_the_file() -> None:
    assert sorted(NOW) == sorted(GOLDEN["outcomes"])


@pytest.mark.parametrize("name", sorted(SCRIPT.SETTINGS))
def test_outcome_is_reproduced(name: str) -> None:
    expected, found = GOLDEN["outcomes"][name], NOW[name]
    for field in {"setting", "silhouette"} & set(expected):
        assert found.pop(field) == pytest.approx(expected.pop(field), rel=1e-6)
    for now, then in zip(found.pop("sweep"), expected.pop("sweep"), strict=True):
        assert now == {
            name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
            for name, value in then.items()
        }
    assert found == expected


def test_the_file_shows_every_kind_of_outcome() -> None:
    kinds = {outcome["kind"] for outcome in GOLDEN["outcomes"].values()}
    assert kinds == {"partition", "degenerate_partition", "non_convergence"}
