"""What a unit does after its convolution, as one operation where there is one.

Legend: B subjects; C channels; D, H, W voxels.
"""

import torch
from torch import Tensor, nn

from isthmus.model.dropout import SubjectKeyedDropout
from isthmus.model.kernels.unit import UnitRecipe, finish_unit
from isthmus.model.kernels.unit_loops import ELU, LEAKY_RELU
from isthmus.model.norm import WorkerBatchNorm, n_workers


def finish(
    x_BCDHW: Tensor,
    norm: nn.Module,
    activation: nn.Module,
    dropout: SubjectKeyedDropout | None,
    kernels: str,
) -> Tensor:
    """Normalise, activate and drop.

    Parameters
    ----------
    x_BCDHW : Tensor
        What the convolution made.
    norm, activation : Module
        As `blocks.py` makes them.
    dropout : SubjectKeyedDropout, optional
        None: nothing is dropped here.
    kernels : {"auto", "torch"}
        `model.kernels`: one operation where there is one, or each of the modules in turn.

    Returns
    -------
    Tensor
        The new map.

    Notes
    -----
    One operation there is for training in one process, on the CPU, in float32, with an activation
    that is a straight line or an exponential below zero.
    """
    recipe = None
    if isinstance(norm, WorkerBatchNorm | nn.GroupNorm) and kernels == "auto":
        recipe = _recipe(norm, activation) if _fits(x_BCDHW, norm) else None
    if recipe is None:
        active_BCDHW: Tensor = activation(norm(x_BCDHW))
        return active_BCDHW if dropout is None else dropout(active_BCDHW)
    kept_BCDHW, scale = (None, 1.0) if dropout is None else dropout.draw(x_BCDHW)
    groups, epsilon, (kind, slope) = recipe
    weight_C, bias_C = norm.get_parameter("weight"), norm.get_parameter("bias")
    y_BCDHW, mean_R, variance_R = finish_unit(
        x_BCDHW, weight_C, bias_C, kept_BCDHW, UnitRecipe(kind, slope, groups, epsilon, scale)
    )
    if isinstance(norm, WorkerBatchNorm):
        n_channels = x_BCDHW.shape[1]
        norm.follow(mean_R[:n_channels], variance_R[:n_channels])
    return y_BCDHW


def _fits(x_BCDHW: Tensor, norm: nn.Module) -> bool:
    """Say whether the one operation can take a map."""
    if not norm.training or torch.compiler.is_compiling():
        return False
    # On the meta device to tell what it keeps.
    if x_BCDHW.device.type not in ("cpu", "meta") or x_BCDHW.dtype != torch.float32:
        return False
    # Of single values a channel, the module says what is wrong with them.
    return x_BCDHW.is_contiguous() and x_BCDHW.numel() > x_BCDHW.shape[1]


def _recipe(norm: nn.Module, activation: nn.Module) -> tuple[int, float, tuple[int, float]] | None:
    """Find groups of channels (0: over the batch), epsilon, and the activation's kind and slope."""
    shape = _below_zero(activation)
    if shape is None:
        return None
    if isinstance(norm, nn.GroupNorm):
        return norm.num_groups, norm.eps, shape
    if isinstance(norm, WorkerBatchNorm) and n_workers() == 1:
        return 0, norm.epsilon, shape
    return None


def _below_zero(activation: nn.Module) -> tuple[int, float] | None:
    """Find what an activation does below zero."""
    if isinstance(activation, nn.ELU):
        return ELU, 0.0
    if isinstance(activation, nn.ReLU):
        return LEAKY_RELU, 0.0
    if isinstance(activation, nn.LeakyReLU):
        return LEAKY_RELU, activation.negative_slope
    return None
