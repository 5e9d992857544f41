"""One optimiser step over one global batch, however many slices and workers share it.

Legend: G subject of the global batch, B subject of one worker's part, M modality, D H W the grid.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from isthmus.config.execution import ExecutionConfig
from isthmus.config.training import TrainingConfig
from isthmus.core.errors import ConfigError, TrainingDiverged
from isthmus.core.seeds import derive_seed
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import FusionModel
from isthmus.model.objective import add_kernel_penalty
from isthmus.model.recomputation import recompute_levels
from isthmus.training.compilation import compile_model
from isthmus.training.optimiser import (
    clip_gradient,
    longest_factor,
    make_optimiser,
    set_learning_rate,
)
from isthmus.training.order import Slicing
from isthmus.training.presence import Presence, known_losses
from isthmus.training.ranks import Ranks

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Learner:
    """A model and all that changes its weights.

    Attributes
    ----------
    model : FusionModel
        On this worker's device.
    parallel : Module
        The model, wrapped to average gradients where there are several workers.
    optimiser : torch.optim.Optimizer
        Over the model's parameters.
    scaler : torch.amp.GradScaler
        Scales the loss with float16, passes it through otherwise.
    mask : Tensor of bool (D, H, W)
        Brain mask.
    config : TrainingConfig
        Settings.
    slicing : Slicing
        How a global batch is cut.
    ranks : Ranks
        The workers.
    seed : int
        Root of the fold's random streams.
    presence : Presence
        Which images there are, and which are withheld.
    """

    model: FusionModel
    parallel: nn.Module
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    mask: torch.Tensor
    config: TrainingConfig
    slicing: Slicing
    ranks: Ranks
    seed: int
    presence: Presence


@dataclass(frozen=True)
class StepPlan:
    """What one step is to do.

    Attributes
    ----------
    batch : tuple of str
        Subjects of the global batch.
    fold : int
        Number of the fold, for messages.
    epoch, step : int
        Both from 1, the step within its epoch.
    learning_rate : float
        Step size.
    """

    batch: tuple[str, ...]
    fold: int
    epoch: int
    step: int
    learning_rate: float


def make_learner(
    model: FusionModel,
    mask_DHW: torch.Tensor,
    config: TrainingConfig,
    slicing: Slicing,
    ranks: Ranks,
    seed: int,
    presence: Presence | None = None,
    execution: ExecutionConfig | None = None,
) -> Learner:
    """Put a model on its device with its optimiser, and join it to the other workers' copies.

    Parameters
    ----------
    model : FusionModel
        With the same weights on every worker.
    mask_DHW : Tensor of bool (D, H, W)
        Brain mask.
    config : TrainingConfig
        Settings.
    slicing : Slicing
        How a global batch is cut.
    ranks : Ranks
        The workers.
    seed : int
        Root of the fold's random streams.
    presence : Presence, optional
        Which images there are, and which are withheld; none given: all are, and none is.
    execution : ExecutionConfig, optional
        Whether levels are computed again and the model is compiled; none given: neither.

    Returns
    -------
    Learner
        Ready for its first step.

    Raises
    ------
    ConfigError
        If float16 is asked for on the CPU.
    ResourceError
        If the model is to be compiled where torch cannot compile.
    """
    device = ranks.device
    if config.precision == "float16" and device.type != "cuda":
        raise ConfigError(
            f"training.precision: float16 needs a GPU, but this runs on '{device.type}'. "
            f"Set training.precision: bfloat16 or float32."
        )
    model.to(device)
    execution = execution or ExecutionConfig()
    recompute_levels(model, execution.activation_checkpointing == "levels")
    if execution.compile:
        compile_model(model, device)
    parallel: nn.Module = model
    if ranks.world_size > 1:
        # Buffers need no synchronising: normalisation sums its statistics over the workers itself.
        devices = [device] if device.type == "cuda" else None
        parallel = DistributedDataParallel(model, device_ids=devices, forward_sync_buffers=False)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
    return Learner(
        model,
        parallel,
        make_optimiser(model, config),
        scaler,
        mask_DHW.to(device),
        config,
        slicing,
        ranks,
        seed,
        presence or Presence(model.modalities, {}, 0.0, seed),
    )


def take_step(learner: Learner, plan: StepPlan, parts: Iterator[torch.Tensor]) -> torch.Tensor:
    """Take one optimiser step; all workers must call this with the same plan.

    Parameters
    ----------
    learner : Learner
        Its weights are changed.
    plan : StepPlan
        Subjects and step size.
    parts : iterator of Tensor (B, M, D, H, W)
        This worker's part of each slice, in order.

    Returns
    -------
    Tensor of float64 (G, M)
        Reconstruction loss of each subject and modality before the step, the same on all workers;
        0 where there is no image.

    Raises
    ------
    TrainingDiverged
        If a loss or the gradient is not finite; on all workers, and before the weights change.
        Or if the step is too long for a number of the weights' type.

    Notes
    -----
    Minimised is ``1/G sum_g sum_m l_gm + kernel_l2 * sum of squared kernels``, m over the images
    that g has, given to the encoders or withheld. So every image weighs 1/G, whoever's it is: a
    subject with fewer of them weighs less, and none is counted twice to make up for another. Each
    worker's share is multiplied by the number of workers because `DistributedDataParallel`
    averages gradients.
    """
    config, cut, ranks = learner.config, learner.slicing, learner.ranks
    set_learning_rate(learner.optimiser, plan.learning_rate)
    learner.optimiser.zero_grad(set_to_none=True)
    losses_GM = torch.zeros(cut.global_batch_size, len(learner.model.modalities)).double()
    for number, positions in enumerate(cut.parts(ranks.rank), start=1):
        x_BMDHW = next(parts).to(learner.ranks.device, non_blocking=True)
        subjects = [plan.batch[i] for i in positions]
        with _gradients_kept_here(learner, last=number == cut.accumulation_steps):
            losses_BM = _losses(learner, x_BMDHW, subjects, plan.epoch)
            loss = losses_BM.sum() * (ranks.world_size / cut.global_batch_size)
            learner.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses_GM[positions.start : positions.stop] = losses_BM.detach().double().cpu()
    losses_GM = ranks.sum(losses_GM)
    _require_finite_losses(losses_GM, learner.model.modalities, plan)
    learner.scaler.unscale_(learner.optimiser)
    if config.kernel_l2:
        # The same on all workers and of no slice: added once, after they were averaged.
        add_kernel_penalty(learner.model, config.kernel_l2)
    norm = clip_gradient(learner.model, config.gradient_clip_norm)
    _require_finite_gradient(norm, learner.scaler, plan)
    _step_weights(learner, plan)
    learner.scaler.update()
    return losses_GM


def _losses(
    learner: Learner, x_BMDHW: torch.Tensor, subjects: Sequence[str], epoch: int
) -> torch.Tensor:
    """Reconstruct one part and return its losses (B, M)."""
    keys = [derive_seed(learner.seed, "dropout", epoch, subject) for subject in subjects]
    set_dropout_keys(learner.model, keys)
    device, presence = learner.ranks.device, learner.presence
    given_BM = presence.given(subjects, epoch)
    masks = {} if given_BM is None else {"given_BM": given_BM}
    with autocast(learner.config, device):
        output = learner.parallel(x_BMDHW, **masks)
    known_BM = presence.known(subjects)
    return known_losses(learner.model, output, x_BMDHW, known_BM, learner.mask, learner.config.loss)


def autocast(
    config: TrainingConfig, device: torch.device
) -> contextlib.AbstractContextManager[None]:
    """Compute what follows in the precision that was asked for.

    Parameters
    ----------
    config : TrainingConfig
        Precision.
    device : torch.device
        Where it is computed.

    Returns
    -------
    context manager
        Without effect for float32.
    """
    if config.precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=PRECISIONS[config.precision])


def _gradients_kept_here(learner: Learner, last: bool) -> contextlib.AbstractContextManager[None]:
    """Exchange gradients among workers after the last slice only."""
    if last or not isinstance(learner.parallel, DistributedDataParallel):
        return contextlib.nullcontext()
    return learner.parallel.no_sync()


def _step_weights(learner: Learner, plan: StepPlan) -> None:
    """Change the weights, unless the step's length is no number of their type."""
    if longest_factor(learner.optimiser) > torch.finfo(torch.float32).max:
        raise TrainingDiverged(
            f"The step must be finite, but in {_place(plan)} it overflows. The last checkpoint "
            f"stays. Lower training.learning_rate ({plan.learning_rate:g})."
        )
    learner.scaler.step(learner.optimiser)


def _require_finite_losses(
    losses_GM: torch.Tensor, modalities: Sequence[str], plan: StepPlan
) -> None:
    """Stop on a loss that is not finite, and name whose it is."""
    broken = (~torch.isfinite(losses_GM)).nonzero().tolist()
    if not broken:
        return
    named = ", ".join(f"{plan.batch[g]} ({modalities[m]})" for g, m in broken[:6])
    raise TrainingDiverged(
        f"The loss must be finite, but in {_place(plan)} it is not for {named}"
        f"{', ...' if len(broken) > 6 else ''}. {_ending(plan)}"
    )


def _require_finite_gradient(norm: float, scaler: torch.amp.GradScaler, plan: StepPlan) -> None:
    """Stop on a gradient that is not finite; float16's scaler may first look for a scale."""
    if norm - norm == 0.0 or (scaler.is_enabled() and scaler.get_scale() > 1.0):
        return
    raise TrainingDiverged(
        f"The gradient must be finite, but in {_place(plan)} its norm is {norm}, while "
        f"every loss is finite. {_ending(plan)}"
    )


def _place(plan: StepPlan) -> str:
    """Say which step it was."""
    return f"fold {plan.fold}, epoch {plan.epoch}, step {plan.step}"


def _ending(plan: StepPlan) -> str:
    """Say who was in the batch and what to do."""
    return (
        f"The weights are as they were before this step. Subjects of the global batch: "
        f"{', '.join(plan.batch)}. Lower training.learning_rate ({plan.learning_rate:g}), set "
        f"training.gradient_clip_norm, or look at these subjects' images."
    )
