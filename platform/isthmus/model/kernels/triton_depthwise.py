"""Depthwise 3D convolution on the GPU, in Triton: forward, input gradient, weight gradient.

What moves. Let x, y be the bytes of the input and the output map. The least that any program can
move, and what these move to and from the GPU's memory:

=================  =============  ========================================================
program            least          moved here
=================  =============  ========================================================
forward            read x,        the same, when the halo of a tile is found in the cache:
                   write y        a block of n output planes reads n + k - 1 input planes (at
                                  stride 1), and a tile of rows its neighbours' k - 1 rows
input gradient     read y,        the same program with the kernel mirrored, input and output
                   write x        in exchanged parts; at stride s it is s^3 launches, each of
                                  which reads y and writes every s-th voxel of x
weight gradient    read x and y   that, once for every group of tap rows (one group up to
                                  27 taps or so, 3 for a kernel 5x6x5), and the shares of the
                                  tiles: 4 bytes x taps x channels x tiles, written, read once
=================  =============  ========================================================

Padding is a masked read: no padded copy is made and no zero is moved. The bias is added before
the only write. Forward and backward together so move at least 2 (x + y) + (x + y) bytes: in
bfloat16 12 bytes a voxel and channel, against 3 x 27 or 3 x 150 multiplications in float32
(kernels 3 and 5x6x5). On a GPU with 33 TFMA/s and a copy of 4.3 TB/s the former is bound by
memory, just, and the latter by arithmetic, at a fifth of the copy's rate. Instructions beside the
multiplications (loads, widening bfloat16, masks) come on top: compiled for compute capability
9.0, kernel 3, NCDHW, 216 of the 349 instructions of the forward program's loop multiply, and 216
of 367 of the weight gradient's. Widths that are no multiple of 16 bytes are slower: their rows
cannot be read in whole vectors.

What is summed. Products and sums are float32 whatever the map's type. Every output's sum has a
fixed order, whatever the tile. The weight gradient's tiles depend on shapes alone; their shares
are stored and added in a fixed order (in float64), without atomics: it is deterministic.

Legend: B batch; C channels; O output channels = C x multiplier; D, H, W voxels.
"""

import functools
import importlib
import importlib.util
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor

from isthmus.model.kernels.problem import Triple, triple
from isthmus.model.kernels.triton_plan import (
    Layout,
    Taps,
    Tile,
    axis_classes,
    divided_up,
    edges_of,
    lane,
)

TYPES = (torch.float32, torch.float16, torch.bfloat16)
"""The types of map these programs compute."""

_LOWEST_CAPABILITY = (8, 0)
_MOST_KEPT = 32
"""Taps that a lane keeps in registers on its walk."""


def unavailable(device: torch.device) -> str | None:
    """Say why these programs cannot be used on a device.

    Parameters
    ----------
    device : torch.device
        Where the maps lie.

    Returns
    -------
    str or None
        The reason, or None where they can be used. With Triton's interpreter on
        (TRITON_INTERPRET=1) they can be used on the CPU, slowly.
    """
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    if _programs().INTERPRETED:
        return None
    if device.type != "cuda":
        return f"Triton's programs run on a GPU, and the maps are on {device.type}"
    if not torch.cuda.is_available():
        return "PyTorch finds no GPU"
    capability = torch.cuda.get_device_capability(device)
    if capability < _LOWEST_CAPABILITY:
        return (
            f"Triton needs compute capability 8.0, and the GPU has {'.'.join(map(str, capability))}"
        )
    return None


def depthwise_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    before: Triple,
    out_grid: Triple,
    stride: Triple = (1, 1, 1),
) -> Tensor:
    """Convolve each channel with kernels of its own.

    Parameters
    ----------
    x : Tensor (B, C, D, H, W)
        Input maps in float32, float16 or bfloat16.
    weight : Tensor (O, 1, kernel D, kernel H, kernel W)
        Output channel o reads input channel o // (O / C).
    bias : Tensor (O), optional
        Added to every voxel.
    before : tuple of int
        Zeros in front of each axis. What lies behind the map is zero, as far as it is read.
    out_grid : tuple of int
        The output's D, H, W.
    stride : tuple of int
        Input voxels from one output voxel to the next: 1 or 2 along each axis.

    Returns
    -------
    Tensor (B, O, *out_grid)
        In the type and memory format of `x`.
    """
    packed = _is_packed(x)
    x = _laid_out(x, packed)
    y = _empty((x.shape[0], weight.shape[0], *out_grid), x, packed)
    edges = edges_of(weight)
    taps = Taps.of(weight, packed, (0, 0, 0), (1, 1, 1), edges)
    multiplier = weight.shape[0] // x.shape[1]
    _launch_convolve(x, y, taps, bias, before, stride, multiplier, 1, packed)
    return y


def depthwise_input_gradient(
    dy: Tensor,
    weight: Tensor,
    x_shape: tuple[int, ...] | torch.Size,
    before: Triple,
    stride: Triple = (1, 1, 1),
) -> Tensor:
    """Compute the gradient of the input from that of the output.

    Parameters
    ----------
    dy : Tensor (B, O, D, H, W)
        Gradient of the output.
    weight : Tensor (O, 1, kernel D, kernel H, kernel W)
        The kernels.
    x_shape : tuple of int
        B, C, D, H, W of the input.
    before, stride : tuple of int
        As given to `depthwise_forward`.

    Returns
    -------
    Tensor (B, C, D, H, W)
        In the type and memory format of `dy`.

    Notes
    -----
    At stride 1 this is the forward program with the kernel mirrored. At stride s the input voxels
    fall into s classes an axis, by which taps they meet; each class is a convolution of stride 1
    with every s-th tap, mirrored.
    """
    packed = _is_packed(dy)
    dy = _laid_out(dy, packed)
    dx = _empty(tuple(x_shape), dy, packed)
    summed = weight.shape[0] // x_shape[1]
    axes = zip(x_shape[2:], edges_of(weight), before, stride, strict=True)
    for classes in product(*(axis_classes(*axis) for axis in axes)):
        d, h, w = (slice(one.first, None, step) for one, step in zip(classes, stride, strict=True))
        part = dx[:, :, d, h, w]
        edges = triple(one.n_taps for one in classes)
        if 0 in edges:  # voxels that no output has read
            part.zero_()
            continue
        taps = Taps.of(
            weight, packed, triple(one.last_tap for one in classes),
            triple(-step for step in stride), edges,
        )  # fmt: skip
        in_front = triple(one.before for one in classes)
        _launch_convolve(dy, part, taps, None, in_front, (1, 1, 1), 1, summed, packed)
    return dx


def depthwise_weight_gradient(
    dy: Tensor,
    x: Tensor,
    weight_shape: tuple[int, ...] | torch.Size,
    before: Triple,
    stride: Triple = (1, 1, 1),
) -> Tensor:
    """Compute the gradient of the kernels.

    Parameters
    ----------
    dy : Tensor (B, O, D, H, W)
        Gradient of the output.
    x : Tensor (B, C, D, H, W)
        The input.
    weight_shape : tuple of int
        O, 1 and the kernel's edges.
    before, stride : tuple of int
        As given to `depthwise_forward`.

    Returns
    -------
    Tensor (O, 1, kernel D, kernel H, kernel W)
        In float32; the same bits whenever it is computed from the same numbers.
    """
    packed = _is_packed(x)
    x, dy = _laid_out(x, packed), _laid_out(dy, packed)
    edges = triple(weight_shape[2:])
    n_channels = weight_shape[0]
    if 0 in (dy.numel(), x.numel()):
        return torch.zeros(tuple(weight_shape), dtype=torch.float32, device=x.device)
    whole = lane(x.dtype, dy.shape[-1], stride[2], packed)
    x_layout = Layout.of(x, whole * stride[2], packed)
    dy_layout = Layout.of(dy, whole, packed)
    rows = min(edges[1], max(1, (56 if packed else 28) // (edges[0] * edges[2])))
    tile = Tile.of(dy.shape[0], n_channels, triple(dy.shape[2:]), whole, packed, 2)
    pieces = tile.n_warps if packed else 1
    n_tiles = tile.count(x.shape[0], triple(dy.shape[2:]), whole)
    partial = torch.empty(
        (n_tiles * pieces, prod(edges), n_channels),
        dtype=torch.float32, device=x.device,
    )  # fmt: skip
    with _on(x.device):
        n_programs = n_tiles * divided_up(n_channels, tile.channels) * divided_up(edges[1], rows)
        _programs().correlate[(n_programs,)](
            x, dy, partial, triple(x.shape[2:]), triple(dy.shape[2:]), n_channels,
            x_layout.strides, dy_layout.strides,
            KERNEL=edges, BEFORE=triple(before), STRIDE=triple(stride),
            MULTIPLIER=n_channels // x.shape[1], R=whole, X_UNIT=x_layout.unit,
            DY_UNIT=dy_layout.unit, PACKED=packed, X_WHOLE=x_layout.whole,
            DY_WHOLE=dy_layout.whole, ROWS=rows, PIECES=pieces, POSITIONS=tile.positions,
            CHANNELS=tile.channels, DEPTH=tile.depth, num_warps=tile.n_warps,
            enable_fp_fusion=True,
        )  # fmt: skip
    total = partial.sum(dim=0, dtype=torch.float64)
    return total.t().to(torch.float32).reshape(tuple(weight_shape))


def _launch_convolve(
    x: Tensor,
    out: Tensor,
    taps: Taps,
    bias: Tensor | None,
    before: Triple,
    stride: Triple,
    multiplier: int,
    summed: int,
    packed: bool,
) -> None:
    """Fill `out`, a view of any strides, from `x`."""
    if out.numel() == 0:
        return
    batch, n_channels = out.shape[:2]
    grid = triple(out.shape[2:])
    whole = lane(x.dtype, grid[2], stride[2], packed)
    x_layout = Layout.of(x, whole * stride[2], packed)
    out_layout = Layout.of(out, whole, packed)
    tile = Tile.of(batch, n_channels, grid, whole, packed, 2)
    kept = summed == 1 and prod(taps.edges) <= _MOST_KEPT
    programs = _programs()
    untuned = {"WIDEN": 1, "SHARE": 1, "num_warps": tile.n_warps} if programs.INTERPRETED else {}

    def launched(meta: dict[str, Any]) -> tuple[int]:
        n_tiles = tile.count(batch, grid, whole, meta["WIDEN"], meta["SHARE"])
        return (n_tiles * divided_up(n_channels, tile.channels),)

    with _on(x.device):
        programs.convolve[launched](
            x, taps.values, bias, out, triple(x.shape[2:]), grid, n_channels,
            x_layout.strides, out_layout.strides, taps.strides,
            KERNEL=taps.edges, BEFORE=triple(before), STRIDE=triple(stride),
            MULTIPLIER=multiplier, SUMMED=summed, R=whole, X_UNIT=x_layout.unit,
            OUT_UNIT=out_layout.unit, PACKED=packed, X_WHOLE=x_layout.whole,
            OUT_WHOLE=out_layout.whole, HAS_BIAS=bias is not None,
            KEPT=kept, POSITIONS=tile.positions,
            CHANNELS=tile.channels, DEPTH=tile.depth, enable_fp_fusion=True, **untuned,
        )  # fmt: skip


def _is_packed(x: Tensor) -> bool:
    """Say whether a map is to be computed as NCDHW: all but maps that are channels last."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last_3d)
    return x.is_contiguous() or not channels_last


def _laid_out(x: Tensor, packed: bool) -> Tensor:
    """Copy a map where it is in neither format, or in the other one."""
    return x.contiguous(memory_format=_memory_format(packed))


def _empty(shape: tuple[int, ...], like: Tensor, packed: bool) -> Tensor:
    """Allocate a map of a map's type and format."""
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=_memory_format(packed)
    )


def _memory_format(packed: bool) -> torch.memory_format:
    """Name the format."""
    return torch.contiguous_format if packed else torch.channels_last_3d


def _on(device: torch.device) -> AbstractContextManager[Any]:
    """Launch on the maps' own GPU."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@functools.cache
def _programs() -> Any:
    """Import the programs when they are first wanted: Triton need not be installed."""
    return importlib.import_module("isthmus.model.kernels.triton_programs")
