"""One experiment, cross-validated and resumable: folds -> train -> evaluate -> strata -> result.

The trial's folder holds everything that can be read later:

    experiment.yaml  split.json  provenance.json  identity.json
    across_encoders.json  trial.json
    fold-<i>/        checkpoints, weights, history, tables, embeddings, strata.json, fold.json
"""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.cohort.participants import Participants, load_participants
from isthmus.cohort.splits import Fold, Split, save_split
from isthmus.config.load import Experiment, dump_experiment
from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError, TrainingDiverged
from isthmus.core.files import write_json, write_text
from isthmus.core.ports import TaskRunner, TrainLauncher
from isthmus.core.seeds import derive_seed
from isthmus.stratification.across import AcrossEncoders
from isthmus.stratification.embedding_table import load_parquet
from isthmus.stratification.runner import InProcessRunner
from isthmus.training.fitted import FittedEncoder
from isthmus.training.lock import lock_folder
from isthmus.training.shortage import typed_failures
from isthmus.training.task import TrainTask
from isthmus.trial.events import (
    EncodersComparing,
    FoldEvaluating,
    FoldFailed,
    FoldFinished,
    FoldStarted,
    TrialFinished,
    TrialListener,
    TrialStarted,
)
from isthmus.trial.facts import Facts, trial_facts
from isthmus.trial.fold import FoldInputs, evaluate_fold
from isthmus.trial.preflight import require_images, require_strata_possible
from isthmus.trial.probe import is_categorical
from isthmus.trial.provenance import take_provenance
from isthmus.trial.records import FoldFailure, FoldResult, TrialResult
from isthmus.trial.split import split_of
from isthmus.trial.strata import ACROSS_FILE, StrataJob, strata_job
from isthmus.volumes.membership import require_fits
from isthmus.volumes.store import VolumeStore, open_store

FOLD_FILE = "fold.json"
TRIAL_FILE = "trial.json"
EXPERIMENT_FILE, IDENTITY_FILE = "experiment.yaml", "identity.json"
_log = logging.getLogger("isthmus.trial")

Launcher = TrainLauncher[TrainTask, FittedEncoder]


@dataclass(frozen=True)
class PreparedTrial:
    """A trial whose inputs are open and whose identity is known.

    Attributes
    ----------
    experiment : Experiment
        Settings and folders.
    participants : Participants
        Development subjects with usable images.
    store : VolumeStore
        Their volumes.
    split : Split
        Folds over families.
    identity : dict of str to str
        Digests of settings, images, participants and split.
    digest : str
        Identity of the trial.
    """

    experiment: Experiment
    participants: Participants
    store: VolumeStore
    split: Split
    identity: dict[str, str]
    digest: str

    @property
    def directory(self) -> Path:
        """Folder of the trial, named so that people and programs find it."""
        return self.experiment.output / f"{self.experiment.config.name}-{self.digest[:12]}"


def prepare_trial(experiment: Experiment) -> PreparedTrial:
    """Open the inputs of a trial and fix its folds.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.

    Returns
    -------
    PreparedTrial
        With the split drawn, or read from ``cross_validation.split_file``.

    Raises
    ------
    IsthmusError
        If the store is missing, was made with other settings, or has a lockbox with whose families
        these participants share one; or the split leaks; or a subject has no image of a fused
        modality, or too few of a training fold have one of some modality.
    """
    config = experiment.config
    store = open_store(experiment.store_url)
    listed = load_participants(experiment)
    require_fits(experiment.store_url, experiment, listed)
    participants = listed.select(store.participant_ids)
    for target in config.controls.probe_targets:
        is_categorical(participants.column(target))  # refuses labels by the dozen
    split = split_of(experiment, participants)
    require_images(config, store, split)
    require_strata_possible(config, participants, split)
    identity = {
        "experiment": config.digest,
        "images": store.digest,
        "participants": participants.digest,
        "split": split.digest,
    }
    return PreparedTrial(experiment, participants, store, split, identity, digest_of(identity))


def run_trial(
    experiment: Experiment,
    launcher: Launcher,
    tell: TrialListener,
    runner: TaskRunner | None = None,
) -> TrialResult:
    """Run a trial to its end, continuing what its folder already holds.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.
    launcher : TrainLauncher
        Where folds are trained.
    tell : callable
        Hears of each event.
    runner : TaskRunner, optional
        Where the robustness job's pieces are computed; by default in this process.

    Returns
    -------
    TrialResult
        Finished folds, and those that failed by type.

    Raises
    ------
    IsthmusError
        If the inputs cannot be used, memory or the disk does not suffice, or another process is at
        the same trial. A diverged fold is no exception: it is in the result.
    """
    trial = prepare_trial(experiment)
    with typed_failures(trial.directory, experiment.config), lock_folder(trial.directory):
        return _run(trial, launcher, tell, runner or InProcessRunner())


def run_fold(
    experiment: Experiment,
    number: int,
    launcher: Launcher,
    tell: TrialListener,
    runner: TaskRunner | None = None,
) -> FoldResult | FoldFailure:
    """Run one fold of a trial to its end, continuing what its folder already holds.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.
    number : int
        Which fold.
    launcher : TrainLauncher
        Where it is trained.
    tell : callable
        Hears of the trial's start and of the fold's events.
    runner : TaskRunner, optional
        Where the robustness job's pieces are computed; by default in this process.

    Returns
    -------
    FoldResult or FoldFailure
        What `run_trial` takes up for this fold; a failure leaves nothing to be taken up.

    Raises
    ------
    IsthmusError
        As `run_trial`.

    Notes
    -----
    Folds of one trial may run at the same time in several processes: each holds its own fold, and
    all of them share the trial's folder, which `run_trial` wants for itself alone. Once all folds
    are there `run_trial` compares their encoders and writes the trial's result.
    """
    trial = prepare_trial(experiment)
    folds = {fold.number: fold for fold in trial.split.folds}
    if number not in folds:
        raise ConfigError(f"A fold must be one of {sorted(folds)} of its trial, got {number}.")
    with (
        typed_failures(trial.directory, experiment.config),
        lock_folder(trial.directory, shared=True),
        lock_folder(trial.directory, f".fold-{number}.lock"),
    ):
        _begin(trial, tell)
        strata = _strata(trial, runner or InProcessRunner())
        return _run_fold(trial, folds[number], launcher, strata, tell)


def _begin(trial: PreparedTrial, tell: TrialListener) -> Facts:
    """Write down what is run, and tell of it."""
    config = trial.experiment.config
    facts = trial_facts(config, trial.store, trial.participants, trial.split)
    _write_inputs(trial, facts)
    tell(TrialStarted(trial.digest, config, trial.identity, facts, trial.directory))
    return facts


def _strata(trial: PreparedTrial, runner: TaskRunner) -> StrataJob:
    """Describe the robustness job, which is the same for all folds."""
    config = trial.experiment.config
    return strata_job(trial.participants, config.cohort, config.stratification, config.seed, runner)


def _run(
    trial: PreparedTrial, launcher: Launcher, tell: TrialListener, runner: TaskRunner
) -> TrialResult:
    """Run a trial in a folder that nobody else writes."""
    config, directory = trial.experiment.config, trial.directory
    facts = _begin(trial, tell)
    strata = _strata(trial, runner)
    finished: list[FoldResult] = []
    failed: list[FoldFailure] = []
    for fold in trial.split.folds:
        outcome = _run_fold(trial, fold, launcher, strata, tell)
        if isinstance(outcome, FoldResult):
            finished.append(outcome)
        else:
            failed.append(outcome)
    result = TrialResult(
        digest=trial.digest,
        name=config.name,
        identity=trial.identity,
        facts=facts,
        leaky=config.volumes.normalisation.leaky,
        folds=tuple(finished),
        failures=tuple(failed),
        across=None if failed else _compare(trial, strata, tell),
    )
    write_json(directory / TRIAL_FILE, result.to_json())
    tell(TrialFinished(result, directory))
    return result


def load_trial(directory: Path) -> TrialResult:
    """Read the result of a finished trial.

    Parameters
    ----------
    directory : Path
        The trial's folder.

    Returns
    -------
    TrialResult
        As `run_trial` returned it.
    """
    return TrialResult.from_json(json.loads((directory / TRIAL_FILE).read_text(encoding="utf-8")))


def _compare(trial: PreparedTrial, strata: StrataJob, tell: TrialListener) -> AcrossEncoders:
    """Compare the encoders of all folds, or take that from an earlier run."""
    tables = [
        load_parquet(trial.directory / f"fold-{fold.number}" / "embeddings.parquet")
        for fold in trial.split.folds
    ]
    tell(EncodersComparing(len(tables)))
    return strata.across(tables, trial.directory / ACROSS_FILE)


def _run_fold(
    trial: PreparedTrial, fold: Fold, launcher: Launcher, strata: StrataJob, tell: TrialListener
) -> FoldResult | FoldFailure:
    """Train and evaluate one fold, or take it from an earlier run."""
    directory = trial.directory / f"fold-{fold.number}"
    done = directory / FOLD_FILE
    if done.exists():
        result = FoldResult.from_json(json.loads(done.read_text(encoding="utf-8")))
        _log.info("fold %d is finished already and is not repeated", fold.number)
        tell(FoldFinished(result, directory, reused=True))
        return result
    config = trial.experiment.config
    task = TrainTask(
        config=config,
        store_url=trial.experiment.store_url,
        fold=fold,
        directory=directory,
        encoder_id=f"{trial.digest[:12]}-fold{fold.number}",
        seed=derive_seed(config.seed, "fold", fold.number),
        workers=config.execution.workers,
    )
    tell(FoldStarted(fold.number))
    try:
        fitted = launcher.launch(task, tell)
    except TrainingDiverged as error:
        failure = FoldFailure(fold.number, type(error).__name__, str(error))
        tell(FoldFailed(failure, directory))
        return failure
    tell(FoldEvaluating(fold.number))
    inputs = FoldInputs(config, trial.participants, trial.store, fold, directory, task.seed, strata)
    result = evaluate_fold(inputs, fitted, tell)
    write_json(done, result.to_json())
    tell(FoldFinished(result, directory, reused=False))
    return result


def _write_inputs(trial: PreparedTrial, facts: Facts) -> None:
    """Leave beside the results what is needed to run them again, and to tell what they are of."""
    directory = trial.directory
    known = {"digest": trial.digest, "identity": trial.identity, "facts": facts}
    write_json(directory / IDENTITY_FILE, known)
    save_split(trial.split, directory / "split.json")
    here = trial.experiment.located(split_file=directory / "split.json")
    write_text(directory / EXPERIMENT_FILE, dump_experiment(here))
    if not (directory / "provenance.json").exists():
        write_json(directory / "provenance.json", asdict(take_provenance()))
