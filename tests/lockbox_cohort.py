"""A small real cohort with a lockbox, and a fold of a trial on it, for tests that open it."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiny_search import write_ingested

from isthmus.config.load import Experiment, load_experiment
from isthmus.promotion.developed import Developed, load_developed
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.run import prepare_trial, run_fold

SETTINGS: Mapping[str, Any] = {
    "cohort.lockbox_share": 0.5,
    "training.epochs": 1,
    "stratification.clusterer": "ward",
    "stratification.n_strata": 2,
    "stratification.n_permutations": 19,
    "stratification.robustness": {
        "n_draws": 10,
        "n_null_phenotypes": 19,
        "n_matched_nulls": 19,
        "n_null_draws": 2,
    },
    # nearly every target is a finding: this is about what becomes of one
    "stratification.alpha": 0.98,
}


@dataclass(frozen=True)
class DevelopedCohort:
    """An experiment of which one fold is finished."""

    file: Path
    fold: Path

    @property
    def experiment(self) -> Experiment:
        """Read anew."""
        return load_experiment(self.file)

    @property
    def store(self) -> Path:
        """Folder of the volume store."""
        return Path(self.experiment.store_url)

    @property
    def developed(self) -> Developed:
        """The fold as it was left."""
        return load_developed(self.fold)

    def copied(self, folder: Path) -> "DevelopedCohort":
        """Copy everything, to be looked into or spoilt."""
        home = self.file.parent
        shutil.copytree(home, folder)
        return DevelopedCohort(
            folder / self.file.relative_to(home), folder / self.fold.relative_to(home)
        )


def develop(folder: Path, settings: Mapping[str, Any] | None = None) -> DevelopedCohort:
    """Make a cohort of 26, set half of its families aside and train one fold on the others."""
    file = write_ingested(folder, {**SETTINGS, **(settings or {})})
    experiment = load_experiment(file)
    run_fold(experiment, 0, InProcessLauncher(), lambda event: None)
    return DevelopedCohort(file, prepare_trial(experiment).directory / "fold-0")
