"""One last training, on all development subjects."""

import json
from pathlib import Path

import numpy as np

from isthmus.cohort.splits import Fold, draw_undivided
from isthmus.config.load import Experiment
from isthmus.config.stratification import StratificationConfig
from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json
from isthmus.core.ports import EpochListener, TaskRunner
from isthmus.core.seeds import derive_seed
from isthmus.promotion.developed import LABEL_FILE, REFIT
from isthmus.stratification.checks import check_stratification
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.record import RobustnessReport
from isthmus.stratification.runner import InProcessRunner
from isthmus.training.encoder import load_encoder
from isthmus.training.fitted import FittedEncoder
from isthmus.training.prefetch import plan_reading
from isthmus.training.ranks import alone, choose_device, compute_settings
from isthmus.training.shortage import typed_failures
from isthmus.training.task import TrainTask
from isthmus.trial.embedded import EMBEDDINGS_FILE
from isthmus.trial.run import Launcher, PreparedTrial, prepare_trial
from isthmus.trial.strata import STRATA_FILE, OnPieces, strata_job
from isthmus.volumes.enough import require_enough_images


def refit_fold(trial: PreparedTrial) -> Fold:
    """Say whom a refit trains on, and who chooses its epoch.

    Parameters
    ----------
    trial : PreparedTrial
        The experiment's subjects.

    Returns
    -------
    Fold
        Numbered after the trial's own folds, without a validation part. The monitor part is drawn
        by `training.early_stopping.monitor_share`, of whole families, as each fold's is.
    """
    config = trial.experiment.config
    return draw_undivided(
        trial.participants,
        config.training.early_stopping.monitor_share,
        config.cohort.stratify_by,
        derive_seed(config.seed, "split"),
        number=len(trial.split.folds),
    )


def refit(
    experiment: Experiment, directory: Path, launcher: Launcher, on_epoch: EpochListener
) -> FittedEncoder:
    """Train once more with an experiment's settings, on all of its development subjects.

    A refit is not the model that was validated. No number of held-out development subjects exists
    for it: what the folds scored tells how well this way of training does, with fewer subjects,
    and nothing of these weights. Its one honest number is the lockbox's. Nor is its embedding any
    fold's: strata have to be found in it again, and they may be others.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the cohort must be ingested.
    directory : Path
        A folder of its own, which is then labelled as a refit; what an earlier, interrupted refit
        left there is gone on with.
    launcher : TrainLauncher
        Where it is trained.
    on_epoch : callable
        Hears of each epoch; its number of the fold is that after the trial's last.

    Returns
    -------
    FittedEncoder
        The record; `directory` holds the encoder.

    Raises
    ------
    ConfigError
        If the folder is a fold's, or holds another training.
    TrainingDiverged
        If a loss, gradient or step is not finite.
    IsthmusError
        As `isthmus.trial.run.run_trial`.

    Notes
    -----
    Epochs are as the experiment says, by the rule that its folds had: at most `training.epochs`,
    fewer where patience runs out, and of these the one with the least loss over the monitor part
    is kept; without a monitor part, the last. There are more subjects than in a fold, and so more
    steps: an epoch that the folds chose is not taken over. The intensity normalisation is fitted
    on the refit's own training part.
    """
    trial = prepare_trial(experiment)
    fold, config = refit_fold(trial), experiment.config
    modalities, normalisation = config.fused_modalities, config.volumes.normalisation
    require_enough_images(trial.store, fold.train, modalities, normalisation)
    _label(directory, trial)
    task = TrainTask(
        config=config,
        store_url=experiment.store_url,
        fold=fold,
        directory=directory,
        encoder_id=f"{trial.digest[:12]}-{REFIT}",
        seed=derive_seed(config.seed, REFIT),
        workers=config.execution.workers,
    )
    with typed_failures(directory, config):
        return launcher.launch(task, on_epoch)


def refit_strata(
    experiment: Experiment,
    directory: Path,
    fitted: FittedEncoder,
    runner: TaskRunner | None = None,
    on_pieces: OnPieces | None = None,
) -> RobustnessReport:
    """Embed all development subjects with a refit, and find strata in its own space.

    Parameters
    ----------
    experiment : Experiment
        That of the refit.
    directory : Path
        The refit's folder; embeddings and report are written there, or read back.
    fitted : FittedEncoder
        What `refit` returned.
    runner : TaskRunner, optional
        Where the robustness job's pieces are computed; by default in this process.
    on_pieces : callable, optional
        Hears how many pieces are done, of how many.

    Returns
    -------
    RobustnessReport
        Of all development subjects, each of whom had a part in fitting the encoder: with
        `stratification.subjects: held_out` nobody would be left, so that setting is ``all`` here,
        as the report's own settings say.

    Raises
    ------
    IsthmusError
        As `isthmus.stratification.job.stratify`.
    """
    trial, config = prepare_trial(experiment), experiment.config
    fold, execution = refit_fold(trial), config.execution
    ids = (*fold.train, *fold.monitor)
    settings = _of_everybody(config.stratification)
    people = trial.participants.select(ids)
    check_stratification(settings, people, config.cohort, config.model.embedding_size, [len(ids)])
    with typed_failures(directory, config), compute_settings(execution, alone(execution)):
        reading = plan_reading(execution, choose_device(execution.device))
        values = load_encoder(directory, execution.device, reading).embed(trial.store, ids)
        roles = ("train",) * len(fold.train) + ("monitor",) * len(fold.monitor)
        table = EmbeddingTable(fitted.encoder_id, ids, values.astype(np.float64), roles)
        table.save_parquet(directory / EMBEDDINGS_FILE)
        job = strata_job(
            trial.participants, config.cohort, settings, config.seed, runner or InProcessRunner()
        )
        return job.report(table, directory / STRATA_FILE, on_pieces)


def _of_everybody(config: StratificationConfig) -> StratificationConfig:
    """Cluster all subjects, whatever their part in the training."""
    return config.model_copy(update={"subjects": "all"})


def _label(directory: Path, trial: PreparedTrial) -> None:
    """Mark a folder as this trial's refit, before anything else is in it."""
    label, file = {"kind": REFIT, "trial": trial.digest}, directory / LABEL_FILE
    if file.exists():
        if _held(file) == label:
            return
        raise ConfigError(
            f"{file}: must label a refit of trial {trial.digest[:12]}, but is of another one. Give "
            "this refit another folder."
        )
    if directory.exists() and any(directory.iterdir()):
        raise ConfigError(
            f"{directory}: a refit must have a folder of its own, but this one holds other files. "
            "Give it another folder."
        )
    write_json(file, label)


def _held(file: Path) -> object:
    """Read a label; None where it is none."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None
