"""Convolutions on the CPU, and their gradients, on tensors.

Legend: B subjects; C channels; D, H, W voxels; G groups; I, O channels of a group, in and out.
"""

import numpy as np
import torch
from torch import Tensor

from isthmus.model.kernels import loops
from isthmus.model.kernels.gradient_plans import (
    ChannelGradientPlan,
    GradientPlan,
    plan_gradient,
)
from isthmus.model.kernels.plans import Tiling, plan_convolution
from isthmus.model.kernels.problem import Problem
from isthmus.model.kernels.strides import phases
from isthmus.model.kernels.threads import share

KINDS = {torch.float32: np.float32(0.0), torch.float64: np.float64(0.0)}
"""Types that are computed in; half types are computed in float32."""

MANY_PRODUCTS = 8_000_000
"""More are shared out among threads: one takes some 60 microseconds for them."""


def convolve(
    x_BCDHW: Tensor, weight: Tensor, bias: Tensor | None, problem: Problem, stride: int = 1
) -> Tensor:
    """Convolve.

    Parameters
    ----------
    x_BCDHW : Tensor
        Images, contiguous or channels-last; the output is laid out alike.
    weight : Tensor (G O, I, D, H, W)
        The kernel.
    bias : Tensor (G O), optional
        Added to every voxel.
    problem : Problem
        The sizes of it all.
    stride : int
        Voxels between outputs, along each axis.

    Returns
    -------
    Tensor (B, G O, D, H, W)
        Sums over kernel and input channels.
    """
    weight_GOIDHW = by_group(weight, problem)
    if stride == 1:
        return _convolve(x_BCDHW, weight_GOIDHW, bias, problem)
    y_BCDHW = _empty_output(x_BCDHW, problem)
    y_BCDHW[:] = 0.0 if bias is None else bias[:, None, None, None]
    for phase in phases(problem, stride):
        y_BCDHW += _convolve(
            x_BCDHW[phase.images], weight_GOIDHW[phase.kernel], None, phase.problem
        )
    return y_BCDHW


def input_gradient(
    dy_BCDHW: Tensor, weight: Tensor, problem: Problem, stride: int = 1, like: Tensor | None = None
) -> Tensor:
    """Return the input's gradient: the output's gradient convolved with the mirrored kernel.

    Parameters
    ----------
    dy_BCDHW : Tensor
        Gradient of the output.
    weight : Tensor (G O, I, D, H, W)
        The kernel.
    problem : Problem
        The convolution's, not the gradient's.
    stride : int
        Voxels between outputs, along each axis.
    like : Tensor, optional
        The input, whose layout the gradient gets; none given: as `dy_BCDHW` is laid out.

    Returns
    -------
    Tensor (B, G I, D, H, W)
        The gradient.
    """
    weight_GOIDHW, mirrored = by_group(weight, problem), problem.mirrored()
    dx_BCDHW = _empty_output(dy_BCDHW if like is None else like, mirrored, dy_BCDHW.dtype)
    if stride == 1:
        return _convolve(dy_BCDHW, _mirror(weight_GOIDHW), None, mirrored, dx_BCDHW)
    dx_BCDHW.zero_()
    for phase in phases(problem, stride):
        kernel = _mirror(weight_GOIDHW[phase.kernel])
        target = dx_BCDHW[phase.images]
        _convolve(dy_BCDHW, kernel, None, phase.problem.mirrored(), target)
    return dx_BCDHW


def by_group(weight: Tensor, problem: Problem) -> Tensor:
    """View a kernel as (G, O, I, D, H, W).

    Parameters
    ----------
    weight : Tensor (G O, I, D, H, W)
        The kernel.
    problem : Problem
        Says how many groups there are.

    Returns
    -------
    Tensor (G, O, I, D, H, W)
        The kernel.
    """
    return weight.detach().reshape(problem.groups, problem.n_out, *weight.shape[1:])


def _mirror(weight_GOIDHW: Tensor) -> Tensor:
    """Exchange what goes in and out, and the direction of every axis."""
    return weight_GOIDHW.transpose(1, 2).flip(3, 4, 5)


def layout_of(x_BCDHW: Tensor) -> torch.memory_format:
    """Say how maps made of a map are laid out: channels-last where it is, contiguous otherwise.

    Parameters
    ----------
    x_BCDHW : Tensor
        A map.

    Returns
    -------
    torch.memory_format
        `channels_last_3d` or `contiguous_format`.
    """
    last = torch.channels_last_3d
    if not x_BCDHW.is_contiguous() and x_BCDHW.is_contiguous(memory_format=last):
        return last
    return torch.contiguous_format


def _empty_output(x_BCDHW: Tensor, problem: Problem, dtype: torch.dtype | None = None) -> Tensor:
    """Make room for the output, laid out as a map is."""
    shape = (problem.batch, problem.groups * problem.n_out, *problem.out_grid)
    dtype = dtype or x_BCDHW.dtype
    return torch.empty(shape, dtype=dtype, memory_format=layout_of(x_BCDHW))


def _convolve(
    x_BCDHW: Tensor,
    weight_GOIDHW: Tensor,
    bias: Tensor | None,
    problem: Problem,
    y_BCDHW: Tensor | None = None,
) -> Tensor:
    """Convolve with a kernel that is laid out by groups, into an output if one is given."""
    plan = plan_convolution(problem, torch.get_num_threads())
    p = plan.tiling
    if y_BCDHW is None:
        y_BCDHW = _empty_output(x_BCDHW, problem)
    packed = _pack_kernel(weight_GOIDHW, p)
    packed_bias = None if bias is None else _pack_bias(bias.detach(), p)
    taps, offsets = plan.tap_offsets.ctypes.data, plan.weight_offsets.ctypes.data
    x, y, kind = x_BCDHW.detach(), y_BCDHW, KINDS[x_BCDHW.dtype]

    def work(first: int, last: int) -> None:
        scratch = x.new_empty(p.scratch)
        loops.convolve_tasks(
            kind, p, x.data_ptr(), x.stride(), packed.data_ptr(), offsets, taps,
            0 if packed_bias is None else packed_bias.data_ptr(), y.data_ptr(), y.stride(),
            scratch.data_ptr(), first, last,
        )  # fmt: skip

    share(p.n_tasks, work, much=problem.products > MANY_PRODUCTS)
    return y_BCDHW


def weight_gradient(dy_BCDHW: Tensor, x_BCDHW: Tensor, problem: Problem, stride: int = 1) -> Tensor:
    """Return the kernel's gradient.

    Parameters
    ----------
    dy_BCDHW : Tensor
        Gradient of the output.
    x_BCDHW : Tensor
        Images.
    problem : Problem
        The sizes of it all.
    stride : int
        Voxels between outputs, along each axis.

    Returns
    -------
    Tensor (G O, I, D, H, W)
        The gradient, the same whatever the number of threads.
    """
    if stride == 1:
        return _weight_gradient(dy_BCDHW.detach(), x_BCDHW.detach(), problem)
    shape = (problem.groups * problem.n_out, problem.n_in, *problem.kernel)
    d_weight = torch.zeros(shape, dtype=x_BCDHW.dtype)
    for phase in phases(problem, stride):
        found = _weight_gradient(dy_BCDHW.detach(), x_BCDHW.detach()[phase.images], phase.problem)
        d_weight[phase.kernel] = found
    return d_weight


def _weight_gradient(dy: Tensor, x: Tensor, problem: Problem) -> Tensor:
    """Sum the kernel's gradient by whichever plan is quicker."""
    plan = plan_gradient(problem)
    if isinstance(plan, GradientPlan):
        return _voxel_gradient(dy, x, problem, plan)
    return _channel_gradient(dy, x, problem, plan)


def _voxel_gradient(dy: Tensor, x: Tensor, problem: Problem, plan: GradientPlan) -> Tensor:
    """Add up the kernel's gradient with voxels in the lanes."""
    p, kind, taps = plan.tiling, KINDS[x.dtype], plan.tap_offsets.ctypes.data
    totals = x.new_zeros(p.parts, p.groups, p.blocks, p.n_terms, p.rows)

    def work(first: int, last: int) -> None:
        scratch = x.new_empty(p.scratch)
        loops.gradient_tasks(
            kind, p, x.data_ptr(), x.stride(), dy.data_ptr(), dy.stride(), taps,
            totals.data_ptr(), scratch.data_ptr(), first, last,
        )  # fmt: skip

    share(p.n_tasks, work, much=problem.products > MANY_PRODUCTS)
    sums = totals[0] if p.parts == 1 else totals.sum(dim=0)
    kernel_h = p.kernel_h + (p.rows - 1 if p.shared else 0)
    n_terms = p.kernel_d * p.n_in * kernel_h * p.kernel_w
    shape = (p.groups, p.blocks, p.kernel_d, p.n_in, kernel_h, p.kernel_w, p.rows)
    sums = sums[:, :, :n_terms].reshape(shape)
    if p.shared:
        moved = [sums[:, :, :, :, r : r + p.kernel_h, :, r] for r in range(p.rows)]
        found = torch.stack(moved).sum(dim=0).transpose(2, 3)
    else:
        found = sums.permute(0, 1, 6, 3, 2, 4, 5).flatten(1, 2)[:, : p.n_out]
    return found.reshape(p.groups * p.n_out, p.n_in, *problem.kernel)


def _channel_gradient(dy: Tensor, x: Tensor, problem: Problem, plan: ChannelGradientPlan) -> Tensor:
    """Sum the kernel's gradient with channels in the lanes."""
    p, kind = plan.tiling, KINDS[x.dtype]
    packed = x.new_empty(p.batch * (p.volume + p.dy_volume) + p.wide_in + p.wide_out)
    loops.pack_channels(
        kind, p, x.data_ptr(), x.stride(), dy.data_ptr(), dy.stride(), packed.data_ptr()
    )
    n_taps = len(plan.tap_offsets)
    totals = x.new_empty(n_taps, p.wide_in, p.wide_out)
    x_places, dy_places = plan.x_places.ctypes.data, plan.dy_places.ctypes.data

    def work(first: int, last: int) -> None:
        loops.channel_gradient_tasks(
            kind, p, packed.data_ptr(), x_places, dy_places, plan.tap_offsets,
            totals.data_ptr(), first, last,
        )  # fmt: skip

    share(n_taps, work, much=problem.products > MANY_PRODUCTS)
    found = totals[:, : p.n_in, : p.n_out].permute(2, 1, 0)
    return found.reshape(p.n_out, p.n_in, *problem.kernel)


def _pack_kernel(weight_GOIDHW: Tensor, p: Tiling) -> Tensor:
    """Lay a kernel out as the innermost loop reads it, zeros where there is no channel."""
    groups, n_out, n_in, kernel_d, kernel_h, kernel_w = weight_GOIDHW.shape
    if p.shared:
        packed = weight_GOIDHW.new_zeros(
            groups, n_out, kernel_d, n_in, kernel_h + p.rows - 1, kernel_w, p.rows
        )
        by_depth = weight_GOIDHW.transpose(2, 3)
        for r in range(p.rows):
            packed[:, :, :, :, r : r + kernel_h, :, r] = by_depth
        return packed
    n_wide = p.group_channels
    if n_wide != n_out:
        padded = weight_GOIDHW.new_zeros(groups, n_wide, *weight_GOIDHW.shape[2:])
        padded[:, :n_out] = weight_GOIDHW
        weight_GOIDHW = padded
    if p.channels_in_lanes:
        return weight_GOIDHW.permute(0, 3, 2, 4, 5, 1).contiguous()
    blocked = weight_GOIDHW.view(groups, p.blocks, p.rows, n_in, kernel_d, kernel_h, kernel_w)
    return blocked.permute(0, 1, 4, 3, 5, 6, 2).contiguous()


def _pack_bias(bias: Tensor, p: Tiling) -> Tensor:
    """Lay a bias out as the kernel is."""
    bias_GO = bias.view(p.groups, p.n_out)
    if p.shared:
        return bias_GO.repeat_interleave(p.rows, dim=1)
    packed = bias_GO.new_zeros(p.groups, p.group_channels)
    packed[:, : p.n_out] = bias_GO
    return packed
