"""The import contracts of pyproject.toml hold, and each of them bites."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = "Imports point downward; siblings on one floor do not import each other"
CIRCLES = "Siblings do not import each other in a circle"
RAY = "Ray is reached through its own backends alone"
MLFLOW = "MLflow is reached through its own backends alone"
OPTUNA = "Optuna is reached through its own backends alone"
LOCKBOX = "The lockbox is opened by promotion alone"
PARTITION = "Which partition of a store is opened is decided in two modules"
VIEW = "The live view reads records and reaches no backend"
VIEWER = "The live view is started by its command alone"
ALL = {LAYERS, CIRCLES, RAY, MLFLOW, OPTUNA, LOCKBOX, PARTITION, VIEW, VIEWER}

VIOLATIONS = [
    ("core/planted.py", "import isthmus.config", LAYERS),
    ("config/planted.py", "from isthmus.cohort import participants", LAYERS),
    ("cohort/planted.py", "import isthmus.volumes", LAYERS),
    ("model/planted.py", "import isthmus.volumes", LAYERS),
    ("volumes/planted.py", "import isthmus.model", LAYERS),
    ("training/planted.py", "import isthmus.stratification", LAYERS),
    ("stratification/planted.py", "def later():\n    import isthmus.training", LAYERS),
    ("trial/planted.py", "import isthmus.report", LAYERS),
    ("report/planted.py", "import isthmus.backends", LAYERS),
    ("backends/planted.py", "import isthmus.cli", LAYERS),
    ("attic/__init__.py", "", LAYERS),
    ("attic.py", "", LAYERS),
    ("core/one.py", "import isthmus.core.two", CIRCLES),
    ("trial/planted.py", "from ray import train", RAY),
    ("training/planted.py", "import ray.train.torch", RAY),
    ("cli/planted.py", "import ray", RAY),
    ("backends/planted.py", "import ray", RAY),
    ("cli/planted.py", "import mlflow", MLFLOW),
    ("report/planted.py", "from mlflow.tracking import MlflowClient", MLFLOW),
    ("backends/ray_train.py", "import mlflow", MLFLOW),
    ("study/planted.py", "import optuna", OPTUNA),
    ("backends/study_storage.py", "from optuna.storages import RDBStorage", OPTUNA),
    ("trial/planted.py", "from isthmus.cohort import lockbox", LOCKBOX),
    ("volumes/planted.py", "from isthmus.cohort.lockbox import open_lockbox", LOCKBOX),
    ("cli/planted.py", "import isthmus.cohort.lockbox", LOCKBOX),
    ("trial/planted.py", "from isthmus.volumes.lockbox_store import open_lockbox_store", LOCKBOX),
    ("volumes/planted.py", "import isthmus.volumes.lockbox_store", LOCKBOX),
    ("trial/planted.py", "from isthmus.volumes.partition import open_partition", PARTITION),
    ("volumes/planted.py", "from isthmus.volumes import partition", PARTITION),
    ("../isthmus_dashboard/planted.py", "import isthmus.backends.mlflow_reader", VIEW),
    ("../isthmus_dashboard/planted.py", "from mlflow import MlflowClient", VIEW),
    ("../isthmus_dashboard/planted.py", "from isthmus.volumes import lockbox_store", VIEW),
    ("../isthmus_dashboard/pages/planted.py", "from isthmus.cli import compare", VIEW),
    ("report/planted.py", "from isthmus_dashboard import app", VIEWER),
    ("cli/planted.py", "import isthmus_dashboard.source", VIEWER),
]


@pytest.fixture
def copied(tmp_path: Path, root: Path) -> Path:
    """Return a copy of the package, in which every contract has something to look at."""
    package = tmp_path / "isthmus"
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "platform" / "isthmus", package, ignore=left_out)
    viewer = "isthmus_dashboard"
    shutil.copytree(root / "dashboards" / viewer, tmp_path / viewer, ignore=left_out)
    shutil.copy(root / "pyproject.toml", tmp_path)
    _append(package / "backends" / "ray_train.py", "import ray")
    _append(package / "backends" / "mlflow_store.py", "import mlflow")
    _append(package / "cohort" / "lockbox.py", "")
    _append(package / "core" / "two.py", "import isthmus.core.one")
    _append(package / "core" / "one.py", "")
    _append(package / "promotion" / "__init__.py", "")
    _append(package / "promotion" / "evaluation.py", "from isthmus.cohort import lockbox")
    _append(package / "promotion" / "evaluation.py", "import isthmus.volumes.lockbox_store")
    return package


def _append(path: Path, line: str) -> None:
    """Add a line to a file that may not be there yet."""
    path.parent.mkdir(exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def _broken(package: Path) -> set[str]:
    """Run the linter on a copy and return the names of the contracts that it calls broken."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    result = subprocess.run(
        command,
        cwd=package.parent,
        env={**os.environ, "PYTHONPATH": str(package.parent), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    verdicts = dict(re.findall(r"^(.+) (KEPT|BROKEN)$", result.stdout, re.MULTILINE))
    assert set(verdicts) == ALL, result.stdout + result.stderr
    assert (result.returncode == 0) == ("BROKEN" not in verdicts.values())
    return {name for name, verdict in verdicts.items() if verdict == "BROKEN"}


def test_the_package_keeps_every_contract(copied: Path) -> None:
    assert _broken(copied) == set()


@pytest.mark.parametrize(("path", "line", "contract"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract(
    copied: Path, path: str, line: str, contract: str
) -> None:
    _append(copied / path, line)
    assert contract in _broken(copied)
