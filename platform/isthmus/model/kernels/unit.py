"""Normalisation, activation and dropout as one operation on the CPU.

Apart, each of them reads a map and writes one, and each keeps one for its gradient. Together they
read the map twice and write one, and keep the map and which values were dropped.

Legend: B subjects; C channels; N voxels; R = B C rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isthmus.model.kernels import unit_loops as loops
from isthmus.model.kernels.threads import share

MANY_VALUES = 1 << 20
"""As many are shared out among threads: below, one thread reads as fast as memory gives."""

_NOTHING_DROPPED = np.empty((0, 0), np.bool_)


@dataclass(frozen=True)
class UnitRecipe:
    """What a unit does to a map.

    Attributes
    ----------
    activation : int
        `unit_loops.ELU` or `unit_loops.LEAKY_RELU`.
    slope : float
        Of the latter, below 0.
    groups : int
        Groups of channels that are normalised together, within a subject; 0: each channel, over
        all subjects.
    epsilon : float
        Added to the variance.
    factor : float
        What kept values are multiplied by.
    """

    activation: int
    slope: float
    groups: int
    epsilon: float
    factor: float


def finish_unit(
    x_BCDHW: Tensor,
    weight_C: Tensor,
    bias_C: Tensor,
    kept_BCDHW: Tensor | None,
    recipe: UnitRecipe,
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise a map by its own statistics, activate it and drop values.

    Parameters
    ----------
    x_BCDHW : Tensor of float32
        The map, contiguous, on the CPU (or on the meta device, where nothing is computed).
    weight_C, bias_C : Tensor of float32
        Scale and shift of each channel after normalisation.
    kept_BCDHW : Tensor of bool, optional
        Which values are kept; none given: all.
    recipe : UnitRecipe
        What is done.

    Returns
    -------
    y_BCDHW : Tensor
        The new map, with a gradient.
    mean_R, variance_R : Tensor of float64
        Of what each row was normalised by; biased; without a gradient.

    Notes
    -----
    y = factor kept f((x - mean) / sqrt(variance + epsilon) weight + bias). Moments are summed in
    float64, in an order that does not depend on the number of threads.
    """
    found: tuple[Tensor, Tensor, Tensor] = _Unit.apply(  # type: ignore[no-untyped-call]
        x_BCDHW, weight_C, bias_C, kept_BCDHW, recipe
    )
    return found


class _Unit(torch.autograd.Function):
    """The operation and its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        kept: Tensor | None,
        recipe: UnitRecipe,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Find the moments, then make the new map."""
        ctx.save_for_backward(x, weight, kept)
        if x.is_meta:
            mean = variance = x.new_empty(x.shape[0] * x.shape[1], dtype=torch.float64)
            return torch.empty_like(x), mean, variance
        rows, n_channels = _rows(x), x.shape[1]
        n_pieces = -(-rows.shape[1] // loops.PIECE)
        n_tasks = len(rows) * n_pieces
        sums = np.empty((len(rows), n_pieces, 2))
        much = x.numel() >= MANY_VALUES
        share(n_tasks, lambda a, b: loops.moment_tasks(rows, sums, a, b), much=much)
        scales = np.empty((2, len(rows)), np.float32)
        stats = np.empty((3, len(rows)))
        loops.scales_of(
            sums, *_groups(recipe, n_channels), rows.shape[1], weight.detach().numpy(),
            bias.detach().numpy(), recipe.epsilon, scales, stats,
        )  # fmt: skip
        y = torch.empty_like(x)
        into, stays = _rows(y), _NOTHING_DROPPED if kept is None else _rows(kept)
        slope, factor = np.float32(recipe.slope), np.float32(recipe.factor)
        share(
            n_tasks,
            lambda a, b: loops.unit_tasks(
                rows, scales[0], scales[1], recipe.activation, slope, stays, factor, into, a, b
            ),
            much=much,
        )
        ctx.recipe, ctx.scales, ctx.stats = recipe, scales, stats
        mean, variance = torch.from_numpy(stats[0]), torch.from_numpy(stats[2])
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_unused: Tensor) -> tuple[Tensor | None, ...]:
        """Find the gradient before activation and its sums, then the map's gradient."""
        x, weight, kept = ctx.saved_tensors
        recipe, rows, n_channels = ctx.recipe, _rows(x), x.shape[1]
        n_pieces = -(-rows.shape[1] // loops.PIECE)
        n_tasks = len(rows) * n_pieces
        given, dx = _rows(dy.contiguous()), torch.empty_like(x)
        g, stays = _rows(dx), _NOTHING_DROPPED if kept is None else _rows(kept)
        sums = np.empty((len(rows), n_pieces, 2))
        much = x.numel() >= MANY_VALUES
        slope, factor = np.float32(recipe.slope), np.float32(recipe.factor)
        share(
            n_tasks,
            lambda a, b: loops.slope_tasks(
                rows, *ctx.scales, recipe.activation, slope, stays, factor, given, g, sums, a, b
            ),
            much=much,
        )
        d_weight, d_bias = np.zeros(n_channels), np.zeros(n_channels)
        terms = np.empty((3, len(rows)), np.float32)
        loops.gradients_of(
            sums, ctx.stats, *_groups(recipe, n_channels), rows.shape[1], weight.detach().numpy(),
            d_weight, d_bias, terms,
        )  # fmt: skip
        share(n_tasks, lambda a, b: loops.input_tasks(rows, g, *terms, a, b), much=much)
        parameters = [torch.from_numpy(values).to(weight.dtype) for values in (d_weight, d_bias)]
        return dx, *parameters, None, None


def _rows(x_BCDHW: Tensor) -> Any:
    """View a map as (rows, voxels)."""
    n_rows = x_BCDHW.shape[0] * x_BCDHW.shape[1]
    return x_BCDHW.detach().view(n_rows, -1).numpy()


def _groups(recipe: UnitRecipe, n_channels: int) -> tuple[int, int, bool]:
    """Say how `unit_loops` finds the rows of a group."""
    if recipe.groups == 0:
        return n_channels, 1, True
    return n_channels, n_channels // recipe.groups, False
