"""A small cohort, ingested once, and a trial run on it once, in this process."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.config.load import Experiment, load_experiment
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import TrialEvent
from isthmus.trial.records import TrialResult
from isthmus.trial.run import run_trial
from isthmus.volumes.ingest import ingest

SETTINGS = {
    "preset": "smoke",
    "name": "small",
    "cohort": {
        "root": "cohort",
        "images": "{participant_id}/{participant_id}_{modality}.nii.gz",
        "mask": "mask.nii.gz",
        "modalities": ["T1w", "FA"],
        "phenotypes": [
            "memory_recall",
            "memory_recognition",
            "reaction_time_ms",
            "processing_speed",
        ],
        "confounds": ["age", "sex"],
        "group_by": "family_id",
        "lockbox_share": 0.1,
    },
    "model": {"depth": 2, "base_channels": 2, "embedding_size": 64},
    "training": {"epochs": 2, "global_batch_size": 2},
    "cross_validation": {"n_folds": 2},
    "controls": {"probe_targets": ["age", "sex"]},
    "stratification": {"n_permutations": 99},
    "execution": {"device": "cpu", "threads_per_worker": 1, "ingest_processes": 1},
}


@dataclass(frozen=True)
class Ran:
    """A trial that was run, and what was told of it."""

    experiment: Experiment
    result: TrialResult
    events: list[TrialEvent]
    directory: Path


def write_cohort(folder: Path) -> Path:
    """Make a phantom cohort and its experiment file."""
    make_phantom(folder / "cohort", PhantomConfig(n_subjects=26, grid=(16, 16, 16)))
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(SETTINGS))
    return file


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment file whose cohort is ingested."""
    file = write_cohort(tmp_path_factory.mktemp("trial"))
    experiment = load_experiment(file)
    ingest(experiment, load_participants(experiment))
    return file


@pytest.fixture(scope="session")
def ran(ingested: Path) -> Ran:
    """A trial of two folds, run to its end."""
    experiment, events = load_experiment(ingested), []
    result = run_trial(experiment, InProcessLauncher(), events.append)
    return Ran(experiment, result, events, events[-1].directory)
