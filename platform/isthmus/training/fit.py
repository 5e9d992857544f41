"""The training loop: one for a single process and for many, resumable at every step.

The folder of a task holds

    .lock  normaliser.npz  last.pt  best.pt  history.jsonl   while training, and from then on
    model.safetensors  encoder.json  fitted.json             when finished

On the CPU, with the same threads and workers, a run killed at any point and started again ends
with the same bits as one left alone: the order of subjects, the learning rate and what is dropped
or withheld are functions of seed, epoch, step and subject, and everything else is in the
checkpoint. With three or more workers the order in which gradients are added is torch's, and bits
may differ.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import torch

from isthmus.core.errors import ConfigError
from isthmus.core.ports import EpochEvent, EpochListener
from isthmus.training.card import (
    NORMALISER_FILE,
    EncoderCard,
    digest_encoder,
    initial_model,
    make_card,
    write_encoder,
)
from isthmus.training.checkpoint import (
    BEST_FILE,
    LAST_FILE,
    Checkpoint,
    StateDict,
    find_checkpoint,
    load_checkpoint,
    random_state,
    remove_leftovers,
    restore_random_state,
    save_checkpoint,
)
from isthmus.training.feed import parts_of, reader
from isthmus.training.fitted import FITTED_FILE, FittedEncoder, read_fitted, write_fitted
from isthmus.training.history import MONITORED, best_epoch, is_over, write_history
from isthmus.training.lock import lock_folder
from isthmus.training.monitor import watch
from isthmus.training.optimiser import learning_rate
from isthmus.training.order import Slicing, epoch_batches, slicing, steps_per_epoch
from isthmus.training.prefetch import Reading, plan_reading, prefetch
from isthmus.training.presence import presence_of
from isthmus.training.ranks import Ranks, compute_settings, join_ranks
from isthmus.training.shortage import typed_in_training
from isthmus.training.step import Learner, StepPlan, make_learner, take_step
from isthmus.training.task import TrainTask
from isthmus.volumes.intensity import fit_normaliser, load_normaliser
from isthmus.volumes.store import VolumeStore, open_store

_log = logging.getLogger("isthmus.training")

StepListener = Callable[[int, float], object]


@dataclass
class _Training:
    """A training in progress; ``epoch`` and ``step`` say where it is."""

    task: TrainTask
    digest: str
    card: EncoderCard
    learner: Learner
    read: Callable[[Sequence[str]], torch.Tensor]
    reading: Reading
    n_steps: int
    epoch: int = 1
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best_model: StateDict | None = None
    loss_sums: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ranks(self) -> Ranks:
        """The workers."""
        return self.learner.ranks


def fit(
    task: TrainTask, on_epoch: EpochListener | None = None, on_step: StepListener | None = None
) -> FittedEncoder:
    """Train the encoder of one fold, or go on where an earlier run was stopped.

    Parameters
    ----------
    task : TrainTask
        What to train, and where. If its folder holds the same task finished, nothing is done.
    on_epoch : callable, optional
        Hears of each epoch finished by this call, on the first worker. One that ended just before
        a kill may go unheard; the returned history has them all.
    on_step : callable, optional
        Hears, on every worker, of each step: its number from 1 over all epochs, and the mean loss
        of its global batch before the step. Where it returns True, on all of them, it is saved.

    Returns
    -------
    FittedEncoder
        The record, with the best epoch's weights in its folder.

    Raises
    ------
    ConfigError
        If batch and workers do not fit, float16 is asked for on the CPU, or the folder holds
        another task.
    CohortError
        If the store lacks a subject of the fold or a modality of the model.
    ResourceError
        If another training is writing the folder, or there is no GPU where one is asked for.
    OutOfMemory, DiskFull
        If a step does not fit into memory, or the folder's disk is full.
    TrainingDiverged
        If a loss, gradient or step is not finite; the last checkpoint stays.
    """
    ranks = join_ranks(task.config.execution)
    with typed_in_training(task, ranks.world_size), ExitStack() as held:
        # A refusal of the first worker's reaches all: none is left waiting.
        ranks.from_first(lambda: held.enter_context(lock_folder(task.directory)))
        return _fit(task, ranks, on_epoch, on_step)


def _fit(
    task: TrainTask, ranks: Ranks, on_epoch: EpochListener | None, on_step: StepListener | None
) -> FittedEncoder:
    """Train in a folder that nobody else writes."""
    config = task.config
    store = open_store(task.store_url)
    digest = task.digest(store)
    finished = ranks.from_first(lambda: read_fitted(task.directory, digest))
    if finished is not None:
        _log.info("fold %d: already fitted, nothing to train", task.fold.number)
        return finished
    task.check_subjects(store)
    cut = slicing(config.training, ranks.world_size)
    n_steps = steps_per_epoch(len(task.fold.train), cut.global_batch_size)
    with compute_settings(config.execution, ranks):
        training = _prepare(task, store, digest, cut, n_steps, ranks)
        _train(training, on_epoch, on_step)
        return ranks.from_first(lambda: _finish(training))


def _train(
    training: _Training, on_epoch: EpochListener | None, on_step: StepListener | None
) -> None:
    """Go through epochs and steps to the end."""
    task, config = training.task, training.task.config.training
    total = config.epochs * training.n_steps
    while not is_over(training.history, config.epochs, config.early_stopping):
        started = time.perf_counter() - training.seconds
        batches = epoch_batches(
            task.fold.train, config.global_batch_size, task.seed, training.epoch
        )[training.step :]
        cut, ranks = training.learner.slicing, training.ranks
        training.learner.model.train()
        keys = parts_of(batches, cut, ranks.rank)
        with closing(prefetch(training.read, keys, training.reading)) as parts:
            for batch in batches:
                done = (training.epoch - 1) * training.n_steps + training.step
                rate = learning_rate(done, total, config)
                plan = StepPlan(batch, task.fold.number, training.epoch, training.step + 1, rate)
                losses_GM = take_step(training.learner, plan, parts)
                training.step += 1
                sums = zip(training.loss_sums, losses_GM.sum(dim=0).tolist(), strict=True)
                training.loss_sums = [before + new for before, new in sums]
                training.seconds = time.perf_counter() - started
                loss = float(losses_GM.sum(dim=1).mean())
                asked = on_step is not None and on_step(done + 1, loss) is True
                due = training.step % task.config.execution.checkpoint_every_steps == 0
                if (asked or due) and training.step < training.n_steps:
                    _save(training, LAST_FILE)
        _end_epoch(training, started)
        if on_epoch is not None and training.ranks.is_first:
            on_epoch(_event(training))


def _end_epoch(training: _Training, started: float) -> None:
    """Watch the monitor part, record the epoch and keep its state."""
    config, model = training.task.config.training, training.learner.model
    n_subjects = training.n_steps * config.global_batch_size
    monitored = sorted(training.task.fold.monitor)
    watched = watch(training.learner, training.read, monitored, training.reading)
    training.seconds = time.perf_counter() - started
    task = training.task
    batches = epoch_batches(task.fold.train, config.global_batch_size, task.seed, training.epoch)
    n_M = training.learner.presence.n_known(batches)
    # A modality that nobody in these batches has an image of has no loss.
    means = {
        f"train_loss_{name}": total / n
        for name, total, n in zip(model.modalities, training.loss_sums, n_M, strict=True)
        if n
    }
    last = training.epoch * training.n_steps - 1
    record: dict[str, float] = {
        "epoch": training.epoch,
        "train_loss": sum(means.values()),
        **means,
        **watched,
        "learning_rate": learning_rate(last, config.epochs * training.n_steps, config),
        "seconds": training.seconds,
        "subjects_per_second": n_subjects / max(training.seconds, 1e-9),
    }
    training.history = [*training.history, record]
    training.epoch, training.step, training.seconds = training.epoch + 1, 0, 0.0
    training.loss_sums = [0.0] * len(model.modalities)
    if best_epoch(training.history) == len(training.history):
        if MONITORED in record:
            training.best_model = _weights(training.learner)
        _save(training, BEST_FILE)
    _save(training, LAST_FILE)
    if training.ranks.is_first:
        write_history(training.history, training.task.directory)


def _prepare(
    task: TrainTask, store: VolumeStore, digest: str, cut: Slicing, n_steps: int, ranks: Ranks
) -> _Training:
    """Fit or load the normalisation, build the learner, and go back to where a run stopped."""
    found = ranks.from_first(lambda: _first_look(task, store, digest))
    normaliser = load_normaliser(task.directory / NORMALISER_FILE)
    card = make_card(task.encoder_id, task.config, store.grid, task.seed)
    mask_DHW = torch.from_numpy(normaliser.mask_DHW)
    settings, ids = task.config.training, (*task.fold.train, *task.fold.monitor)
    presence = presence_of(store, ids, card.modalities, settings.modality_dropout, task.seed)
    model = initial_model(card)
    execution = task.config.execution
    learner = make_learner(model, mask_DHW, settings, cut, ranks, task.seed, presence, execution)
    reading = plan_reading(task.config.execution, ranks.device, ranks.world_size)
    read = reader(task, normaliser, reading.pinned)
    training = _Training(task, digest, card, learner, read, reading, n_steps)
    training.loss_sums = [0.0] * len(card.modalities)
    if found is not None:
        _restore(training, load_checkpoint(task.directory / found))
        _log.info(
            "fold %d: resumed at epoch %d step %d",
            task.fold.number,
            training.epoch,
            training.step,
        )
    return training


def _first_look(task: TrainTask, store: VolumeStore, digest: str) -> str | None:
    """Clear up after a killed run, have a normaliser, and name the checkpoint to go on from."""
    remove_leftovers(task.directory)
    found = find_checkpoint(task.directory, digest)
    path = task.directory / NORMALISER_FILE
    # Marked as finished and here all the same: something is not as it was, perhaps this.
    doubtful = (task.directory / FITTED_FILE).exists()
    if found is None or doubtful or not _is_normaliser(path):
        config = task.config.volumes.normalisation
        modalities = task.config.fused_modalities
        fit_normaliser(store, task.normaliser_ids(), modalities, config).save(path)
    return None if found is None else found.name


def _is_normaliser(path: Path) -> bool:
    """Tell whether a normaliser is there and whole; fitting it again gives the same."""
    try:
        load_normaliser(path)
    except ConfigError as error:
        _log.warning("%s It is fitted again.", error)
        return False
    return True


def _restore(training: _Training, checkpoint: Checkpoint) -> None:
    """Put everything back to where the checkpoint was taken."""
    learner = training.learner
    learner.model.load_state_dict(checkpoint.model)
    learner.optimiser.load_state_dict(checkpoint.optimiser)
    learner.scaler.load_state_dict(checkpoint.scaler)
    training.epoch, training.step = checkpoint.epoch, checkpoint.step
    training.history, training.best_model = checkpoint.history, checkpoint.best_model
    training.loss_sums, training.seconds = checkpoint.loss_sums, checkpoint.seconds
    if training.ranks.rank < len(checkpoint.random_states):
        restore_random_state(checkpoint.random_states[training.ranks.rank])
    if training.ranks.is_first:
        write_history(training.history, training.task.directory)


def _save(training: _Training, name: str) -> None:
    """Write a checkpoint; all workers must call this."""
    random_states = training.ranks.gather(random_state())
    if not training.ranks.is_first:
        return
    learner = training.learner
    checkpoint = Checkpoint(
        task=training.digest,
        epoch=training.epoch,
        step=training.step,
        model=learner.model.state_dict(),
        optimiser=learner.optimiser.state_dict(),
        scaler=learner.scaler.state_dict(),
        best_model=training.best_model,
        history=training.history,
        loss_sums=training.loss_sums,
        seconds=training.seconds,
        random_states=random_states,
    )
    save_checkpoint(checkpoint, training.task.directory / name)


def _finish(training: _Training) -> FittedEncoder:
    """Write the best weights and the record of the training."""
    task, directory = training.task, training.task.directory
    write_encoder(training.card, training.best_model or _weights(training.learner), directory)
    parameters = (p for p in training.learner.model.parameters() if p.requires_grad)
    fitted = FittedEncoder(
        encoder_id=task.encoder_id,
        directory=directory,
        task_digest=training.digest,
        n_parameters=sum(p.numel() for p in parameters),
        best_epoch=best_epoch(training.history),
        leaky=training.card.leaky,
        digests=digest_encoder(directory),
        history=tuple(training.history),
    )
    write_fitted(fitted)
    return fitted


def _weights(learner: Learner) -> StateDict:
    """Copy the model's weights to the CPU."""
    return {
        name: value.detach().cpu().clone() for name, value in learner.model.state_dict().items()
    }


def _event(training: _Training) -> EpochEvent:
    """Tell of the last finished epoch."""
    record = training.history[-1]
    plain = {k: v for k, v in record.items() if k not in ("epoch", "subjects_per_second")}
    return EpochEvent(
        fold=training.task.fold.number,
        epoch=int(record["epoch"]),
        n_epochs=training.task.config.training.epochs,
        metrics=plain,
        subjects_per_second=record["subjects_per_second"],
    )
