"""A folder of runs to look at: one real trial, a search and an ablation that know of it, one open.

The search's other trials and the ablation's scores are made up, as `example_study` and
`example_ablation` make them; nothing but the one trial is trained.
"""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from example_ablation import skips_ablation
from example_study import make_study, study_of
from phantom_experiment import write_experiment

from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.study.ablation.result_json import write_result
from isthmus.study.record_json import write_study
from isthmus.study.records import StudyResult
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.records import TrialResult
from isthmus.trial.run import run_trial
from isthmus.volumes.ingest import ingest

SEARCH, ABLATION, OPEN_TRIAL = "architecture", "small-ablation-skips", "small-0a0b0c0d0e0f"
REAL, RUNNING, FAILED = 0, 11, 5
"""Numbers of the search's trials: the one that was trained, one that runs, one that failed."""


@dataclass(frozen=True)
class ShownRuns:
    """What `make_runs` made."""

    runs: Path
    experiment: Experiment
    trial: Path
    result: TrialResult
    study: StudyResult


def make_runs(folder: Path) -> ShownRuns:
    """Train one small trial in this process and lay a search and an ablation around it."""
    file = write_experiment(folder)
    experiment = load_experiment(file)
    ingest(experiment, load_participants(experiment))
    result = run_trial(experiment, InProcessLauncher(), lambda event: None)
    return lay_out(folder / "runs", experiment, result)


def lay_out(runs: Path, experiment: Experiment, result: TrialResult) -> ShownRuns:
    """Lay a search, an ablation and an open trial around a trial that is there."""
    trial = next(iter(sorted(runs.glob(f"*-{result.digest[:12]}"))))
    study = study_with(result, trial.name)
    write_study(study, runs / SEARCH)
    write_result(skips_ablation(runs), runs / ABLATION)
    leave_open(trial, runs / OPEN_TRIAL)
    return ShownRuns(runs, experiment, trial, result, study)


def study_with(result: TrialResult, folder: str) -> StudyResult:
    """A made-up search in which one trial is real and one runs."""
    trials = list(make_study(12).trials)
    values = tuple(result.summary[name].mean for name in ("validation_mse", "validation_ssim"))
    own = {"digest": result.digest, "folder": folder, "facts": result.facts}
    trials[REAL] = replace(trials[REAL], values=values, **own)
    trials[RUNNING] = replace(trials[RUNNING], folder=OPEN_TRIAL)
    objectives = make_study(1).objectives
    return study_of(trials, objectives)


def leave_open(trial: Path, folder: Path) -> None:
    """A trial as it lies there after the first epoch of its first fold."""
    (folder / "fold-0").mkdir(parents=True)
    for name in ("experiment.yaml", "identity.json", "split.json"):
        shutil.copy(trial / name, folder / name)
    first = (trial / "fold-0" / "history.jsonl").read_text().splitlines()[0]
    assert json.loads(first)["epoch"] == 1
    (folder / "fold-0" / "history.jsonl").write_text(first + "\n")
