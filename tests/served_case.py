"""A model trained in seconds, on real images or a phantom, to be registered and served."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from phantom_experiment import SETTINGS, write_experiment

from isthmus.cohort.participants import load_participants
from isthmus.config.load import load_experiment
from isthmus.promotion.bundle.inputs import BundleInputs
from isthmus.promotion.bundle.record import BundleRecord
from isthmus.promotion.bundle.write import write_bundle
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.run import prepare_trial, run_fold
from isthmus.volumes.ingest import ingest

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
N_REAL_SUBJECTS = 10


@dataclass(frozen=True)
class Case:
    """A bundle, and what the trial that it comes of knows of one subject."""

    bundle: Path
    record: BundleRecord
    cohort: Path
    participant_id: str
    embedding_E: np.ndarray
    is_real: bool

    def file(self, modality: str) -> str:
        """The subject's image, from the cohort's folder."""
        return f"{self.participant_id}/{self.participant_id}_{modality}.nii.gz"


def train_case(folder: Path, real: bool) -> Case:
    """Train the first fold of a trial in this process, and write its bundle."""
    file = _write_real(folder) if real else write_experiment(folder)
    experiment = load_experiment(file)
    ingest(experiment, load_participants(experiment))
    run_fold(experiment, 0, InProcessLauncher(), lambda event: None)
    trial = prepare_trial(experiment)
    inputs = BundleInputs.of_fold(trial, 0)
    record = write_bundle(inputs, folder / "bundle")
    table = pd.read_parquet(trial.directory / "fold-0" / "embeddings.parquet")
    row = table[table["role"] == "validation"].iloc[0]
    values_E = row.filter(like="embedding_").to_numpy(np.float64)
    return Case(folder / "bundle", record, folder / "cohort", row["participant_id"], values_E, real)


def _write_real(folder: Path) -> Path:
    """Copy a few subjects of IXI, and write an experiment on them."""
    source, cohort = SHARED_DATA / "ixi", folder / "cohort"
    ids = sorted(path.name for path in source.glob("sub-*"))[:N_REAL_SUBJECTS]
    for name in ids:
        shutil.copytree(source / name, cohort / name)
    shutil.copy(source / "mask.nii.gz", cohort)
    people = pd.read_csv(source / "participants.tsv", sep="\t").set_index("participant_id")
    people.loc[ids].to_csv(cohort / "participants.tsv", sep="\t")
    settings = {
        **SETTINGS,
        "cohort": {
            **SETTINGS["cohort"],
            "modalities": ["T1w", "JAC"],
            "phenotypes": ["height_cm", "weight_kg"],
            "group_by": None,
            "lockbox_share": 0.0,
        },
        "model": {"depth": 4, "base_channels": 2, "embedding_size": 160},
        "training": {"epochs": 1, "global_batch_size": 2},
    }
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file
