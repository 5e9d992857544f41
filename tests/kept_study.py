"""A study of the small space in a storage, as its ledger and as Optuna's own tools see it."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
from small_space import make_space

from isthmus.backends.optuna_search import OptunaLedger
from isthmus.config.search_space import SearchSpace


def make_ledger(url: str, space: SearchSpace | None = None, **more: Any) -> OptunaLedger:
    """Open the ledger of the study, or make it."""
    return OptunaLedger(url, "study", space or make_space(), 0, **more)


def seen_by_optuna(url: str) -> optuna.Study:
    """Load the study with nothing but Optuna."""
    storage: Any = optuna.storages.RDBStorage(url) if url.startswith("sqlite") else None
    if storage is None:
        backend = optuna.storages.journal.JournalFileBackend(url.removeprefix("journal:///"))
        storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="study", storage=storage)


def start_python(
    script: str, *arguments: str, before: tuple[str, ...] = (), **environment: str
) -> subprocess.Popen[str]:
    """Start a Python process that can import what a test can."""
    tests = Path(__file__).parent
    paths = os.pathsep.join([str(tests), str(tests.parent / "platform")])
    return subprocess.Popen(
        [*before, sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
