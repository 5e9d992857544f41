"""The operator ``isthmus::convolution``, and what PyTorch needs to know of it.

It is registered with `torch.library`: autocast, `torch.compile` (which sees one opaque operator),
DistributedDataParallel and `torch.library.opcheck` work as they do with PyTorch's own. Gradients
are of first order. On the GPU it is depthwise only.

Legend: B subjects; C channels; D, H, W voxels; G groups; O, I channels of a group, out and in.
"""

# mypy: disable-error-code="no-untyped-call"

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from isthmus.model.kernels import cpu
from isthmus.model.kernels.problem import Problem, Triple, triple
from isthmus.model.kernels.triton_depthwise import (
    depthwise_forward,
    depthwise_input_gradient,
    depthwise_weight_gradient,
)

LONGEST_GPU_EDGE = 7
"""Edge of the largest kernel that there are programs for, on the GPU."""

Sizes = tuple[Sequence[int], Sequence[int], int, int]
"""(before, after, stride, groups), as `problem_of` describes them."""

NAME = "isthmus::convolution"

_library = torch.library.Library("isthmus", "DEF")
_library.define(
    "convolution(Tensor x, Tensor weight, Tensor? bias, int[] before, int[] after, int stride, "
    "int groups) -> Tensor"
)
_library.define(
    "convolution_input(Tensor dy, Tensor x, Tensor weight, int[] before, int[] after, int stride, "
    "int groups) -> Tensor"
)
_library.define(
    "convolution_weight(Tensor dy, Tensor x, Tensor weight, int[] before, int[] after, "
    "int stride, int groups) -> Tensor"
)


def problem_of(x: Tensor, weight: Tensor, sizes: Sizes) -> Problem:
    """Read the sizes of a convolution off its tensors.

    Parameters
    ----------
    x : Tensor (B, G I, D, H, W)
        Images.
    weight : Tensor (G O, I, D, H, W)
        The kernel.
    sizes : tuple
        (before, after, stride, groups): zeros before and after each axis, voxels between outputs,
        groups of channels.

    Returns
    -------
    Problem
        The sizes.

    Raises
    ------
    ValueError
        If the sizes do not fit each other.
    """
    before, after, stride, groups = sizes
    itemsize = 8 if x.dtype == torch.float64 else 4
    return _problem(x.shape, weight.shape, (*before, *after), stride, groups, itemsize)


@lru_cache(maxsize=4096)
def _problem(
    shape: torch.Size,
    kernel_shape: torch.Size,
    zeros: tuple[int, ...],
    stride: int,
    groups: int,
    itemsize: int,
) -> Problem:
    """Check sizes and put them together; asked for anew in every step."""
    before, after = zeros[:3], zeros[3:]
    kernel, grid = triple(kernel_shape[2:]), triple(shape[2:])
    out = _out_grid(shape, kernel_shape, (before, after, stride, groups))
    fits = shape[1] == groups * kernel_shape[1] and kernel_shape[0] % groups == 0
    padded = all(0 <= n < edge for n, edge in zip(zeros, kernel * 2, strict=True))
    if not fits or not padded or min(out) < 1:
        raise ValueError(
            "A convolution's input must have the kernel's channels times the groups, padding below "
            f"the kernel's edges and room for the kernel, got input {tuple(shape)}, kernel "
            f"{tuple(kernel_shape)}, groups {groups}, padding {before} and {after}, stride {stride}"
        )
    return Problem(
        batch=shape[0],
        groups=groups,
        n_in=kernel_shape[1],
        n_out=kernel_shape[0] // groups,
        in_grid=grid,
        out_grid=out,
        before=triple(before),
        kernel=kernel,
        itemsize=itemsize,
    )


def _out_grid(shape: torch.Size, kernel_shape: torch.Size, sizes: Sizes) -> Triple:
    """Work out the output's grid."""
    before, after, stride, _groups = sizes
    edges = zip(shape[2:], before, after, kernel_shape[2:], strict=True)
    return triple([(edge + b + a - k) // stride + 1 for edge, b, a, k in edges])


def _computed_in(tensor: Tensor) -> Tensor:
    """Return a tensor in the type that the CPU's kernels compute in: half types as float32."""
    return tensor if tensor.dtype in cpu.KINDS else tensor.float()


def _check_types(*tensors: Tensor | None) -> None:
    """Refuse tensors of several types, whose memory would be read as what it is not."""
    types = {tensor.dtype: None for tensor in tensors if tensor is not None}
    if len(types) > 1:
        raise TypeError(
            "A convolution's tensors must be of one type, got "
            f"{' and '.join(str(dtype) for dtype in types)}. Convert them, or use torch.autocast."
        )


def _on_cpu(x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any) -> Tensor:
    """Convolve on the CPU."""
    _check_types(x, weight, bias)
    problem, stride = problem_of(x, weight, sizes), sizes[2]
    bias = None if bias is None else _computed_in(bias)
    return cpu.convolve(_computed_in(x), _computed_in(weight), bias, problem, stride).to(x.dtype)


def _input_on_cpu(dy: Tensor, x: Tensor, weight: Tensor, *sizes: Any) -> Tensor:
    """Return the input's gradient on the CPU."""
    _check_types(dy, x, weight)
    problem, stride = problem_of(x, weight, sizes), sizes[2]
    found = cpu.input_gradient(_computed_in(dy), _computed_in(weight), problem, stride, like=x)
    return found.to(x.dtype)


def _weight_on_cpu(dy: Tensor, x: Tensor, weight: Tensor, *sizes: Any) -> Tensor:
    """Return the kernel's gradient on the CPU."""
    _check_types(dy, x, weight)
    problem, stride = problem_of(x, weight, sizes), sizes[2]
    found = cpu.weight_gradient(_computed_in(dy), _computed_in(x), problem, stride)
    return found.to(weight.dtype).contiguous()


def _check_for_gpu(x: Tensor, weight: Tensor, sizes: Any, *others: Tensor | None) -> None:
    """Refuse what the programs for GPUs do not compute."""
    _check_types(x, weight, *others)
    problem, stride = problem_of(x, weight, sizes), sizes[2]
    if problem.n_in != 1 or max(problem.kernel) > LONGEST_GPU_EDGE or stride > 2:
        raise ValueError(
            "On a GPU a convolution must be depthwise, with edges of at most "
            f"{LONGEST_GPU_EDGE} and stride 1 or 2, got kernel {tuple(weight.shape)}, groups "
            f"{problem.groups}, stride {stride}. Use torch.nn.functional.conv3d."
        )


def _on_gpu(x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any) -> Tensor:
    """Filter each channel on the GPU."""
    _check_for_gpu(x, weight, sizes, bias)
    before, _after, stride, _groups = sizes
    grid = _out_grid(x.shape, weight.shape, sizes)
    return depthwise_forward(x, weight, bias, triple(before), grid, (stride,) * 3)


def _input_on_gpu(dy: Tensor, x: Tensor, weight: Tensor, *sizes: Any) -> Tensor:
    """Return the input's gradient on the GPU."""
    _check_for_gpu(x, weight, sizes, dy)
    before, _after, stride, _groups = sizes
    dy = dy.contiguous(memory_format=cpu.layout_of(x))
    return depthwise_input_gradient(dy, weight, x.shape, triple(before), (stride,) * 3)


def _weight_on_gpu(dy: Tensor, x: Tensor, weight: Tensor, *sizes: Any) -> Tensor:
    """Return the kernel's gradient on the GPU."""
    _check_for_gpu(x, weight, sizes, dy)
    before, _after, stride, _groups = sizes
    found = depthwise_weight_gradient(dy, x, weight.shape, triple(before), (stride,) * 3)
    return found.to(weight.dtype)


def _map_only(x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any) -> Tensor:
    """Say what the output looks like."""
    y = x.new_empty((x.shape[0], weight.shape[0], *_out_grid(x.shape, weight.shape, sizes)))
    return y.to(memory_format=cpu.layout_of(x))


def _input_only(dy: Tensor, x: Tensor, weight: Tensor, *sizes: Any) -> Tensor:
    """Say what the input's gradient looks like."""
    return x.new_empty(x.shape).to(memory_format=cpu.layout_of(x))


def _weight_only(dy: Tensor, x: Tensor, weight: Tensor, *sizes: Any) -> Tensor:
    """Say what the kernel's gradient looks like."""
    return weight.new_empty(weight.shape)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the gradients need."""
    x, weight, bias, *sizes = inputs
    ctx.save_for_backward(x, weight)
    ctx.bias_dtype = None if bias is None else bias.dtype
    ctx.sizes = sizes


def _gradients(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of input, kernel and bias."""
    x, weight = ctx.saved_tensors
    dx = d_weight = d_bias = None
    if ctx.needs_input_grad[0]:
        dx = torch.ops.isthmus.convolution_input(dy, x, weight, *ctx.sizes)
    if ctx.needs_input_grad[1]:
        d_weight = torch.ops.isthmus.convolution_weight(dy, x, weight, *ctx.sizes)
    if ctx.bias_dtype is not None and ctx.needs_input_grad[2]:
        d_bias = dy.sum(dim=(0, 2, 3, 4), dtype=torch.promote_types(dy.dtype, torch.float32))
        d_bias = d_bias.to(ctx.bias_dtype)
    return dx, d_weight, d_bias, None, None, None, None


def _refuse(ctx: Any, *gradients: Tensor) -> None:
    """Say that there are no gradients of gradients."""
    raise RuntimeError(
        "The project's convolutions have gradients of first order only, but a gradient was "
        "differentiated. Set model.kernels: torch."
    )


def _cast(device: str) -> Callable[..., Tensor]:
    """Make what autocast calls: the operator on tensors of autocast's type, float64 kept."""

    def in_type(tensor: Tensor | None) -> Tensor | None:
        if tensor is None or tensor.dtype == torch.float64:
            return tensor
        return tensor.to(torch.get_autocast_dtype(device))

    def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, *sizes: Any) -> Tensor:
        cast = [in_type(tensor) for tensor in (x, weight, bias)]
        with torch.autocast(device, enabled=False):
            return torch.ops.isthmus.convolution(*cast, *sizes)  # type: ignore[no-any-return]

    return convolve


for _name, _cpu, _gpu, _shape in (
    ("convolution", _on_cpu, _on_gpu, _map_only),
    ("convolution_input", _input_on_cpu, _input_on_gpu, _input_only),
    ("convolution_weight", _weight_on_cpu, _weight_on_gpu, _weight_only),
):
    _library.impl(_name, _cpu, "CPU")
    _library.impl(_name, _gpu, "CUDA")
    torch.library.register_fake(f"isthmus::{_name}", _shape, lib=_library)
torch.library.register_autograd(NAME, _gradients, setup_context=_remember, lib=_library)
torch.library.register_autograd(f"{NAME}_input", _refuse, lib=_library)
torch.library.register_autograd(f"{NAME}_weight", _refuse, lib=_library)
_library.impl("convolution", _cast("cpu"), "AutocastCPU")
_library.impl("convolution", _cast("cuda"), "AutocastCUDA")
