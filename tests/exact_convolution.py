"""Convolutions in float64 by PyTorch, to hold the project's kernels against, in poisoned memory.

Legend: B subjects; C channels; D, H, W voxels; G groups; I, O channels of a group, in and out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

from isthmus.model.kernels.choice import convolve

Triple = tuple[int, int, int]

LAYOUTS = ("contiguous", "channels last", "cropped", "turned", "expanded")

BOUNDS = {
    torch.float32: 1e-6,
    torch.float64: 1e-13,  # the reference rounds, too
    # Computed in float32, then rounded once: half of the last place, with room for the first error.
    torch.bfloat16: 2.0**-8 * 1.01,
    torch.float16: 2.0**-11 * 1.01,
}
"""The largest error, as a share of the largest number, that values and gradients may have."""


@dataclass(frozen=True)
class Case:
    """A convolution: its sizes, and how its tensors lie in memory."""

    batch: int = 1
    groups: int = 1
    n_in: int = 1
    n_out: int = 1
    grid: Triple = (4, 5, 6)
    kernel: Triple = (3, 3, 3)
    before: Triple = (1, 1, 1)
    after: Triple = (1, 1, 1)
    stride: int = 1
    bias: bool = True
    dtype: torch.dtype = torch.float32
    x_layout: str = "contiguous"
    dy_layout: str = "contiguous"

    @property
    def out_grid(self) -> Triple:
        """The output's grid."""
        edges = zip(self.grid, self.before, self.after, self.kernel, strict=True)
        d, h, w = ((edge + b + a - k) // self.stride + 1 for edge, b, a, k in edges)
        return d, h, w


@dataclass(frozen=True)
class Found:
    """Values and gradients; the gradient of a bias where there is one."""

    y: Tensor
    dx: Tensor
    d_weight: Tensor
    d_bias: Tensor | None

    def tensors(self) -> dict[str, Tensor]:
        """List them by name."""
        named = {"y": self.y, "dx": self.dx, "d_weight": self.d_weight, "d_bias": self.d_bias}
        return {name: tensor for name, tensor in named.items() if tensor is not None}


@contextmanager
def poisoned() -> Iterator[None]:
    """Fill new memory with NaN, which PyTorch does where it is told to be deterministic."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.utils.deterministic.fill_uninitialized_memory
        assert torch.empty(2).isnan().all()
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def laid_out(values: Tensor, layout: str) -> Tensor:
    """Return a tensor of these values (or of its first subject's first channel's) laid out so."""
    if layout == "contiguous":
        return values
    if layout == "channels last":
        return values.to(memory_format=torch.channels_last_3d)
    if layout == "cropped":  # within larger images, each second voxel along the last axis
        b, c, d, h, w = values.shape
        room = values.new_full((b, c + 1, d + 2, h + 1, 2 * w + 3), float("nan"))
        view = room[:, 1:, 1 : d + 1, :h, 2 : 2 * w + 2 : 2]
        view.copy_(values)
        return view
    if layout == "turned":  # the last axis is the outermost in memory
        return values.permute(4, 3, 2, 1, 0).contiguous().permute(4, 3, 2, 1, 0)
    assert layout == "expanded"  # as the gradient of a sum is
    return values[:1, :1, :1, :1, :1].expand(values.shape)


def tensors_of(case: Case, seed: int = 0) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Draw x, weight, bias and dy."""
    stream = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=stream, dtype=torch.float64).to(case.dtype)

    x = laid_out(draw(case.batch, case.groups * case.n_in, *case.grid), case.x_layout)
    weight = draw(case.groups * case.n_out, case.n_in, *case.kernel)
    bias = draw(case.groups * case.n_out) if case.bias else None
    dy = draw(case.batch, case.groups * case.n_out, *case.out_grid)
    return x, weight, bias, laid_out(dy, case.dy_layout)


def computed(case: Case, seed: int = 0, kernels: str = "always") -> Found:
    """Compute in poisoned memory: by the project's kernels always, or as `model.kernels` says."""
    x, weight, bias, dy = tensors_of(case, seed)
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias) if tensor is not None]
    sizes = (case.before, case.after, case.stride, case.groups)
    with poisoned():
        if kernels == "always" and case.batch:
            y = torch.ops.isthmus.convolution(x, weight, bias, *sizes)
        else:
            y = convolve(x, weight, bias, *sizes, "torch" if kernels == "torch" else "auto")
        dx, d_weight, *d_bias = torch.autograd.grad(y, leaves, dy)
    return Found(y.detach(), dx, d_weight, d_bias[0] if d_bias else None)


def reference(case: Case, seed: int = 0, power: int = 1) -> Found:
    """Pad and convolve the same numbers, or a power of them, in float64 by PyTorch."""
    tensors = [
        None if tensor is None else tensor.detach().double().contiguous() ** power
        for tensor in tensors_of(case, seed)
    ]
    x, weight, bias, dy = tensors
    assert x is not None
    assert weight is not None
    assert dy is not None
    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias) if tensor is not None]
    sides = zip(reversed(case.before), reversed(case.after), strict=True)
    padded = F.pad(x, [zeros for pair in sides for zeros in pair])
    y = F.conv3d(padded, weight, bias, case.stride, groups=case.groups)
    dx, d_weight, *d_bias = torch.autograd.grad(y, leaves, dy)
    return Found(y.detach(), dx, d_weight, d_bias[0] if d_bias else None)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Return the largest error as a share of the largest number expected; NaN is infinite."""
    assert found.shape == expected.shape
    if not expected.numel():
        return 0.0
    errors = (found.double() - expected).abs().nan_to_num(nan=float("inf"))
    return (errors.max() / expected.abs().max().clamp_min(1e-30)).item()


def check(case: Case, seed: int = 0) -> Found:
    """Hold values and gradients against the reference; return what was computed.

    Where few numbers are summed up, all of them may happen to be small against their terms. The
    root of the terms' summed squares, a sum's size before anything cancels, is then the measure.
    """
    found, expected = computed(case, seed).tensors(), reference(case, seed).tensors()
    bound, sizes = BOUNDS[case.dtype], None
    for name, tensor in found.items():
        assert tensor.dtype == case.dtype, name
        error = relative_error(tensor, expected[name])
        if bound < error < 10 * bound:
            sizes = sizes or reference(case, seed, power=2).tensors()
            size, largest = sizes[name].max().sqrt(), expected[name].abs().max()
            error *= (largest / torch.maximum(size, largest)).item()
        if name == "d_bias" and case.dy_layout in ("cropped", "turned"):
            error /= 10  # PyTorch's own sum of such a tensor
        if name == "d_weight" and case.x_layout == case.dy_layout == "expanded":
            # All terms are one number and round to one side: 6e-6 here, PyTorch's sum 3e-4.
            error /= 10
        assert error <= bound, f"{name} is wrong by {error:.1e}: {case}"
    return Found(found["y"], found["dx"], found["d_weight"], found.get("d_bias"))


@st.composite
def cases(draw: st.DrawFn, most_products: float = 4e7) -> Case:
    """Draw any convolution that PyTorch can compute in a moment."""

    def triple(lowest: int, highest: int) -> Triple:
        d, h, w = (draw(st.integers(lowest, highest)) for _ in range(3))
        return d, h, w

    depthwise, kernel = draw(st.booleans()), triple(1, 7)
    groups = draw(st.integers(1, 70 if depthwise else 3))
    n_in = 1 if depthwise else draw(st.integers(1, 70))
    n_out = draw(st.integers(1, 3 if depthwise else 70))
    before, after, grid = [], [], []
    for edge in kernel:
        before.append(draw(st.integers(0, edge - 1)))
        after.append(draw(st.integers(0, edge - 1)))
        grid.append(draw(st.integers(max(1, edge - before[-1] - after[-1]), 40)))
    batch = draw(st.integers(0, 3))
    # Halve the longest edge until the reference is quick, too.
    per_voxel = max(1, batch) * groups * n_in * n_out * kernel[0] * kernel[1] * kernel[2]
    while per_voxel * grid[0] * grid[1] * grid[2] > most_products:
        axis = max(range(3), key=lambda i: grid[i])
        least = max(1, kernel[axis] - before[axis] - after[axis])
        if grid[axis] <= max(least, 2):
            break
        grid[axis] = max(least, grid[axis] // 2)
    return Case(
        batch, groups, n_in, n_out, (grid[0], grid[1], grid[2]), kernel,
        (before[0], before[1], before[2]), (after[0], after[1], after[2]),
        draw(st.integers(1, 3)), draw(st.booleans()),
        draw(st.sampled_from([torch.float32, torch.float32, *BOUNDS])),
        draw(st.sampled_from(LAYOUTS)), draw(st.sampled_from(LAYOUTS)),
    )  # fmt: skip
