"""A small cohort, ingested once, and tasks on it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from small_cohort import make_task as task_on
from small_cohort import write_cohort

from isthmus.config.load import Experiment
from isthmus.training.task import TrainTask

MakeTask = Callable[..., TrainTask]


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


def task_maker(experiment: Experiment, folder: Path) -> MakeTask:
    def make(*overrides: str, directory: str = "fold-0", seed: int = 5) -> TrainTask:
        file = experiment.folder / "experiment.yaml"
        return task_on(file, folder / directory, *overrides, seed=seed)

    return make


@pytest.fixture
def make_task(experiment: Experiment, tmp_path: Path) -> MakeTask:
    return task_maker(experiment, tmp_path)


@pytest.fixture(scope="module")
def make_module_task(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> MakeTask:
    return task_maker(experiment, tmp_path_factory.mktemp("module"))
