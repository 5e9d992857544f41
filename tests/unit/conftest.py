"""A small cohort, ingested once, and a trial run on it once, in this process."""

from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest
from phantom_experiment import write_experiment

from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import TrialEvent
from isthmus.trial.records import TrialResult
from isthmus.trial.run import run_trial
from isthmus.volumes.ingest import ingest

# How long an example takes is the machine's affair: no test asserts a time.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@dataclass(frozen=True)
class Ran:
    """A trial that was run, and what was told of it."""

    experiment: Experiment
    result: TrialResult
    events: list[TrialEvent]
    directory: Path


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment file whose cohort is ingested."""
    file = write_experiment(tmp_path_factory.mktemp("trial"))
    experiment = load_experiment(file)
    ingest(experiment, load_participants(experiment))
    return file


@pytest.fixture(scope="session")
def ran(ingested: Path) -> Ran:
    """A trial of two folds, run to its end."""
    experiment, events = load_experiment(ingested), []
    result = run_trial(experiment, InProcessLauncher(), events.append)
    return Ran(experiment, result, events, events[-1].directory)
