"""How the Triton programs are laid over a map: tiles, vectors, and which taps a launch uses.

Everything here follows from shapes alone, so that equal shapes give equal bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

import torch
from torch import Tensor

from isthmus.model.kernels.problem import Triple, triple

_VECTOR_BYTES = 16
_THREADS = 128
_MOST_CHANNELS = 64
_SHORTEST_WALK = 8
_ENOUGH = 1024
"""Programs that keep a large GPU busy; below that, walks through the depth are shortened."""


@dataclass(frozen=True)
class AxisClass:
    """The input voxels of an axis that meet the same taps, s voxels apart."""

    first: int
    n_taps: int
    last_tap: int
    before: int


def axis_classes(n_voxels: int, edge: int, before: int, stride: int) -> Iterator[AxisClass]:
    """List the classes of an axis' voxels that exist.

    Parameters
    ----------
    n_voxels : int
        Of the input, along the axis.
    edge : int
        The kernel's, along the axis.
    before : int
        Zeros before the first voxel.
    stride : int
        Voxels between outputs.

    Yields
    ------
    AxisClass
        One for each remainder of a voxel's number by the stride.
    """
    for first in range(min(stride, n_voxels)):
        # Voxel first + stride * m meets tap k of output (first + stride * m + before - k) / stride.
        tap = (first + before) % stride
        n_taps = max(0, divided_up(edge - tap, stride))
        newest = (first + before - tap) // stride
        yield AxisClass(first, n_taps, tap + stride * (n_taps - 1), n_taps - 1 - newest)


@dataclass(frozen=True)
class Taps:
    """Which taps a launch uses, in which order: strides of channel, d, h, w, and the first one."""

    values: Tensor
    strides: tuple[int, int, int, int, int]
    edges: Triple

    @classmethod
    def of(
        cls, weight: Tensor, packed: bool, first: Triple, steps: Triple, edges: Triple
    ) -> "Taps":
        """Take every `steps`-th tap from `first` on; channels next to each other unless packed."""
        taps = weight.reshape(weight.shape[0], -1)
        taps = taps.contiguous() if packed else taps.t().contiguous()
        channel, tap = (taps.shape[1], 1) if packed else (1, taps.shape[1])
        _, height, width = edges_of(weight)
        d, h, w = height * width * tap, width * tap, tap
        offset = first[0] * d + first[1] * h + first[2] * w
        return cls(taps, (channel, d * steps[0], h * steps[1], w * steps[2], offset), edges)


@dataclass(frozen=True)
class Layout:
    """A map's strides, in units of as many elements as can be read at once."""

    strides: tuple[int, ...]
    unit: int
    whole: bool

    @classmethod
    def of(cls, x: Tensor, whole: int, packed: bool) -> "Layout":
        """Read a map's layout; `whole` is the voxels of a lane."""
        strides = list(x.stride())
        fastest = 4 if packed else 1
        most = whole if packed else _VECTOR_BYTES // x.element_size()
        others = [step for axis, step in enumerate(strides) if axis != fastest]
        unit = gcd(most, *others)
        counted = [step if axis == fastest else step // unit for axis, step in enumerate(strides)]
        return cls(tuple(counted), unit, x.shape[-1] % whole == 0)


@dataclass(frozen=True)
class Tile:
    """What one program computes: positions of R outputs, channels, output planes."""

    positions: int
    channels: int
    depth: int
    n_warps: int

    @classmethod
    def of(
        cls, n_batch: int, n_channels: int, grid: Triple, whole: int, packed: bool, each: int
    ) -> "Tile":
        """Choose by shape alone; `each` is the channels a thread holds unless packed."""
        n_positions = divided_up(grid[2], whole) * grid[1]
        channels = 1 if packed else min(power_of_two(n_channels), _MOST_CHANNELS)
        wanted = _THREADS if packed else max(1, _THREADS * each // channels)
        positions = min(power_of_two(n_positions), wanted)
        if packed:  # a piece of sums is what a warp of 32 lanes holds
            positions = max(positions, 32)
        n_warps = max(1, min(4, positions * channels // (32 * (1 if packed else each))))
        depth = max(power_of_two(grid[0]), _SHORTEST_WALK)
        tile = cls(positions, channels, depth, n_warps)
        n_blocks = divided_up(n_channels, channels)
        while tile.depth > _SHORTEST_WALK and tile.count(n_batch, grid, whole) * n_blocks < _ENOUGH:
            tile = cls(positions, channels, tile.depth // 2, n_warps)
        return tile

    def count(self, n_batch: int, grid: Triple, whole: int, widen: int = 1, share: int = 1) -> int:
        """Count the tiles of one block of channels; tuning widens positions and shares depth."""
        n_tiles = divided_up(divided_up(grid[2], whole) * grid[1], self.positions * widen)
        return n_batch * n_tiles * divided_up(grid[0], self.depth // share)


def lane(dtype: torch.dtype, width: int, stride: int, packed: bool) -> int:
    """Count the outputs along the width that a lane holds.

    Parameters
    ----------
    dtype : torch.dtype
        The map's.
    width : int
        Outputs along the width.
    stride : int
        Voxels between outputs.
    packed : bool
        Voxels are next to each other in memory, not channels.

    Returns
    -------
    int
        A vector's worth of input, or 4.
    """
    most = _VECTOR_BYTES // dtype.itemsize // stride if packed else 4
    return min(most, power_of_two(width))


def edges_of(weight: Tensor) -> Triple:
    """Read the kernel's edges.

    Parameters
    ----------
    weight : Tensor (O, 1, D, H, W)
        The kernel.

    Returns
    -------
    tuple of int
        (D, H, W).
    """
    return triple(weight.shape[2:])


def divided_up(n: int, parts: int) -> int:
    """Divide, rounding up.

    Parameters
    ----------
    n : int
        What is divided.
    parts : int
        By how much.

    Returns
    -------
    int
        The quotient.
    """
    return -(-n // parts)


def power_of_two(n: int) -> int:
    """Round up to a power of two.

    Parameters
    ----------
    n : int
        At least 1.

    Returns
    -------
    int
        The power.
    """
    return 1 << (n - 1).bit_length()
