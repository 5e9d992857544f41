"""Which convolution is used: the project's kernels where they apply, PyTorch's own elsewhere.

Legend: B subjects; C channels; D, H, W voxels; G groups; O, I channels of a group, out and in.
"""

import logging
from operator import sub
from typing import Literal

import torch
import torch.nn.functional as F
from numba import config as numba_config
from torch import Tensor

from isthmus.model.kernels.lanes import MULTIPLIES_AND_ADDS
from isthmus.model.kernels.operator import LONGEST_GPU_EDGE
from isthmus.model.kernels.problem import Triple, triple
from isthmus.model.kernels.triton_depthwise import unavailable

Kernels = Literal["auto", "torch"]

FEW_CHANNELS = 16
"""With fewer channels, in or out, PyTorch's convolution is the slower one (docs/performance.md).

With as many it is quicker where it is oneDNN's, and slower where it is not.
"""

LONGEST_EDGE = 15
"""Edge of the largest kernel that there are kernels for, on the CPU."""

_log = logging.getLogger("isthmus.model")
_said: set[str] = set()
_CPU_TYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def convolve(
    x_BCDHW: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    before: Triple,
    after: Triple,
    stride: int = 1,
    groups: int = 1,
    kernels: Kernels = "auto",
) -> Tensor:
    """Convolve images that are padded with zeros, by the quickest means there are.

    Parameters
    ----------
    x_BCDHW : Tensor
        Images; any floating type.
    weight : Tensor (G O, I, D, H, W)
        The kernel.
    bias : Tensor (G O), optional
        Added to every voxel.
    before, after : tuple of int
        Zeros before and after each axis, fewer than the kernel's edge.
    stride : int
        Voxels between outputs, along each axis.
    groups : int
        Groups of channels; as many as input channels: depthwise.
    kernels : {"auto", "torch"}
        The project's kernels where they apply, or PyTorch's in any case.

    Returns
    -------
    Tensor (B, G O, D, H, W)
        With gradients of first order.

    Notes
    -----
    y[o] = bias + sum over k of weight[k] x[o stride + k - before], x zero beyond its grid. Where
    the project's kernels do not apply, one line of the log says so, once for each reason.
    """
    if kernels == "auto" and len(x_BCDHW) > 0:
        reason = why_torch(x_BCDHW.device, x_BCDHW.dtype, tuple(weight.shape), groups, stride)
        if reason is None and x_BCDHW.device.type != "cuda":
            reason = "" if _onednn_is_quicker(x_BCDHW.shape, weight.shape, groups) else None
        if reason is None:
            found: Tensor = torch.ops.isthmus.convolution(
                x_BCDHW, weight, bias, before, after, stride, groups
            )
            return found
        if not torch.compiler.is_compiling():
            _say_once(reason)
    if before != after:
        # PyTorch pads both sides alike: what one side has more of is copied in first.
        alike = triple(map(min, before, after))
        more = [triple(map(sub, zeros, alike)) for zeros in (before, after)]
        x_BCDHW, before = F.pad(x_BCDHW, _both_sides(*more)), alike
    return F.conv3d(x_BCDHW, weight, bias, stride, before, 1, groups)


def why_torch(
    device: torch.device,
    dtype: torch.dtype,
    weight_shape: tuple[int, ...],
    groups: int,
    stride: int,
) -> str | None:
    """Say why PyTorch's convolution is used.

    Parameters
    ----------
    device : torch.device
        Where the images are.
    dtype : torch.dtype
        Their type.
    weight_shape : tuple of int
        (G O, I, D, H, W).
    groups, stride : int
        Groups of channels; voxels between outputs.

    Returns
    -------
    str or None
        The reason, in words that end a sentence; None: the project's kernels apply.
    """
    _, n_in, *edges = weight_shape
    depthwise = n_in == 1
    if device.type == "cuda":
        if not depthwise or max(edges) == 1:
            return ""
        if max(edges) > LONGEST_GPU_EDGE or stride > 2:
            return f"a kernel of edge {max(edges)} and stride {stride} is beyond those in Triton"
        if dtype == torch.float64:
            return "there are none in Triton for float64"
        return unavailable(device)
    # The meta device tells what the CPU would keep.
    if device.type not in ("cpu", "meta"):
        return f"there are none for devices of type '{device.type}'"
    if dtype not in _CPU_TYPES:
        return f"there are none for {dtype}"
    if numba_config.DISABLE_JIT:
        return "numba's compiler is switched off (NUMBA_DISABLE_JIT)"
    if not MULTIPLIES_AND_ADDS:
        return "this processor has no instruction that multiplies and adds"
    if max(edges) > LONGEST_EDGE:
        return f"a kernel's edge of {max(edges)} is beyond {LONGEST_EDGE}"
    return None


def _onednn_is_quicker(shape: torch.Size, weight_shape: torch.Size, groups: int) -> bool:
    """Say whether PyTorch hands a convolution of many channels to oneDNN, as it does on the CPU."""
    batch, n_in, depth, height, _width = shape
    if groups > 1 or min(n_in, weight_shape[0]) < FEW_CHANNELS:
        return False
    large_kernel = min(weight_shape[3:]) > 3
    return large_kernel or batch > 1 or batch * n_in * depth * height > 20480


def _say_once(reason: str) -> None:
    """Log a reason, unless it is that PyTorch's convolution is the better one there."""
    if reason and reason not in _said:
        _said.add(reason)
        _log.info("convolutions are left to PyTorch: %s", reason)


def _both_sides(before: Triple, after: Triple) -> list[int]:
    """Order paddings as `torch.nn.functional.pad` reads them: the last axis first."""
    sides = zip(reversed(before), reversed(after), strict=True)
    return [zeros for pair in sides for zeros in pair]
