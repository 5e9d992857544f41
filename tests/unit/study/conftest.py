"""A search's director at work on the small cohort's trial."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from search_bench import Bench

from isthmus.config.load import load_experiment
from isthmus.trial.run import prepare_trial


@pytest.fixture
def bench(ran, tmp_path: Path) -> Iterator[Bench]:
    """A bench with a journal of its own."""
    base = prepare_trial(load_experiment(ran.experiment.folder / "experiment.yaml"))
    made = Bench(base, ran.events, ran.result, f"journal:///{tmp_path / 'study.log'}")
    yield made
    made.close()
