"""Plans: how a convolution is cut into tiles, and what its innermost loop runs over.

Two layouts. With *voxels in the lanes* a tile's planes are rows of one pitch, zeros around them, so
that each kernel voxel is one offset, and a run of a plane is summed as one run, the few junk
columns between its rows included. With *channels in the lanes*, for small grids of many channels,
nothing is summed in vain there.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import ceil
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isthmus.model.kernels.blocks import CHANNEL_BLOCKS, SPEEDS, VOXEL_BLOCKS
from isthmus.model.kernels.lanes import VECTOR_BYTES
from isthmus.model.kernels.problem import Problem

Offsets = NDArray[np.int64]

TILE_BYTES = 512 * 1024
"""What a tile may take: half of a core's second-level cache of today."""

COPY_COST = 12.0
"""Time to copy an element into a tile and out, in vector-wide products that a core does meanwhile.

Products of whole vectors; measured once, and needed roughly.
"""


class Tiling(NamedTuple):
    """A plan for `convolve_tasks`; sizes count elements."""

    itemsize: int
    lanes: int
    rows: int
    vectors: int
    shared: int
    channels_in_lanes: int
    blocks: int
    terms: int
    group_weights: int
    group_channels: int
    groups: int
    n_in: int
    n_out: int
    in_d: int
    in_h: int
    in_w: int
    out_d: int
    out_h: int
    out_w: int
    before_d: int
    before_h: int
    before_w: int
    kernel_d: int
    kernel_h: int
    kernel_w: int
    pitch: int
    plane: int
    channel: int
    tile: int
    out_plane: int
    tile_planes: int
    tile_rows: int
    d_tiles: int
    h_tiles: int
    n_tasks: int
    scratch: int


class Shape(NamedTuple):
    """What the innermost loop holds in registers, and what a row of it is."""

    rows: int
    vectors: int
    shared: bool
    channels_in_lanes: bool


class Plan(NamedTuple):
    """A tiling with its offsets."""

    tiling: Tiling
    tap_offsets: Offsets
    weight_offsets: Offsets


@lru_cache(maxsize=1024)
def plan_convolution(problem: Problem, n_threads: int) -> Plan:
    """Plan a convolution.

    Parameters
    ----------
    problem : Problem
        Its sizes.
    n_threads : int
        Threads that share the tiles. The numbers that come out do not depend on it.

    Returns
    -------
    Plan
        For `convolve_tasks`.
    """
    shape = min(_shapes(problem), key=lambda shape: _cost(problem, shape))
    tiling = _tiling(problem, shape, n_threads)
    p, taps = tiling, tap_offsets(tiling)
    step = p.blocks * p.vectors * p.lanes if p.channels_in_lanes else p.rows
    return Plan(tiling, np.array(taps, np.int64), np.arange(len(taps), dtype=np.int64) * step)


def _shapes(problem: Problem) -> Iterator[Shape]:
    """List the shapes that a problem can have."""
    for rows, vectors in VOXEL_BLOCKS:
        if rows == 1 or problem.n_out > rows // 2:
            yield Shape(rows, vectors, False, False)
        if problem.n_out == 1 and rows in (2, 4):
            yield Shape(rows, vectors, True, False)
    lanes = VECTOR_BYTES // problem.itemsize
    if problem.n_out >= lanes // 2:
        for rows, vectors in CHANNEL_BLOCKS:
            yield Shape(rows, vectors, False, True)


def _cost(problem: Problem, shape: Shape) -> float:
    """Estimate the work of a shape, in products of whole vectors at full speed."""
    lanes = VECTOR_BYTES // problem.itemsize
    depth, height, width = problem.out_grid
    kernel_d, kernel_h, kernel_w = problem.kernel
    step = shape.vectors * lanes
    terms = problem.n_in * kernel_d * kernel_h * kernel_w
    if shape.channels_in_lanes:
        vectors = ceil(problem.n_out / step) * shape.vectors
        sums = vectors * height * ceil(width / shape.rows) * shape.rows
        copied = 4.0 * problem.n_out
    elif shape.shared:
        terms = terms * (kernel_h + shape.rows - 1) // kernel_h
        sums = ceil(width / step) * shape.vectors * ceil(height / shape.rows) * shape.rows
        copied = float(problem.n_out)
    else:
        filled = width % step == 0 and problem.n_out % shape.rows == 0
        run = height * width if filled else height * (width + kernel_w - 1)
        sums = ceil(problem.n_out / shape.rows) * shape.rows * ceil(run / step) * shape.vectors
        copied = 0.0 if filled else float(problem.n_out)
    copies = COPY_COST * (problem.n_in + copied) * height * width / lanes
    work = terms * sums / SPEEDS[shape.rows, shape.vectors] + copies
    return problem.batch * problem.groups * depth * work


def _tiling(problem: Problem, shape: Shape, n_threads: int) -> Tiling:
    """Choose the tiles that copy least, within what the cache holds, and share them out evenly."""
    options = []
    for tile_rows in halves(problem.out_grid[1], shape.rows if shape.shared else 1):
        planes = 1
        while (
            planes < problem.out_grid[0]
            and _sized(problem, shape, planes + 1, tile_rows).tile * problem.itemsize <= TILE_BYTES
        ):
            planes += 1
        options.append(_sized(problem, shape, planes, tile_rows))
    best = min(options, key=share_copied)
    # Even shares: a number of tiles that the threads divide, or many of them.
    depth = problem.out_grid[0]
    tiles = best.n_tasks // best.d_tiles
    d_tiles = best.d_tiles
    while d_tiles < depth and tiles * d_tiles % n_threads and tiles * d_tiles < 8 * n_threads:
        d_tiles += 1
    return _sized(problem, shape, ceil(depth / d_tiles), best.tile_rows)


def halves(edge: int, least: int) -> list[int]:
    """List an edge, its half, and so on.

    Parameters
    ----------
    edge : int
        In voxels.
    least : int
        Every edge but the first is a multiple of this.

    Returns
    -------
    list of int
        From the edge down to about 4.
    """
    found = [edge]
    while found[-1] > max(4, least):
        found.append(ceil(found[-1] / 2 / least) * least)
        if found[-1] == found[-2]:
            break
    return found


def share_copied(tiling: Any) -> float:
    """Say how many voxels are copied into tiles for each that is summed.

    Parameters
    ----------
    tiling : Tiling or GradientTiling
        Its tiles and kernel are read.

    Returns
    -------
    float
        At least 1.
    """
    rows: float = (tiling.tile_rows + tiling.kernel_h - 1) / tiling.tile_rows
    planes: float = (tiling.tile_planes + tiling.kernel_d - 1) / tiling.tile_planes
    return rows * planes


def tap_offsets(tiling: Any) -> list[int]:
    """List where a tile's voxels for each kernel voxel and input channel lie.

    Parameters
    ----------
    tiling : Tiling or GradientTiling
        With rows that share their loads, the kernel is as much longer along H.

    Returns
    -------
    list of int
        Elements from the tile's first: by kernel plane, input channel, row, column.
    """
    p = tiling
    kernel_h = p.kernel_h + (p.rows - 1 if p.shared else 0)
    return [
        c * p.channel + a * p.plane + b * p.pitch + w
        for a in range(p.kernel_d)
        for c in range(p.n_in)
        for b in range(kernel_h)
        for w in range(p.kernel_w)
    ]


def _sized(problem: Problem, shape: Shape, planes: int, tile_rows: int) -> Tiling:
    """Work out all sizes of a tiling."""
    lanes = VECTOR_BYTES // problem.itemsize
    step = shape.vectors * lanes
    out_d, out_h, out_w = problem.out_grid
    kernel_d, kernel_h, kernel_w = problem.kernel
    shared_rows = shape.rows if shape.shared else 1
    pitch = up(out_w, step if shape.shared else 1) + kernel_w - 1
    if shape.channels_in_lanes:
        pitch = up(out_w, shape.rows) + kernel_w - 1
    rows_in = up(tile_rows, shared_rows) + kernel_h - 1 + shared_rows - 1
    plane = rows_in * pitch + step
    channel = (planes + kernel_d - 1) * plane
    if shape.channels_in_lanes:
        blocks = ceil(problem.n_out / step)
        out_plane, out_rows = (tile_rows * pitch + shape.rows) * step, 1
        group_channels = blocks * step
    else:
        blocks = problem.n_out if shape.shared else ceil(problem.n_out / shape.rows)
        out_plane = up(up(tile_rows, shared_rows) * pitch, step) + step
        out_rows = 1 if shape.shared else shape.rows
        group_channels = blocks * shape.rows
    terms = problem.n_in * (kernel_h + shared_rows - 1) * kernel_w
    d_tiles, h_tiles = ceil(out_d / planes), ceil(out_h / tile_rows)
    tile = problem.n_in * channel
    return Tiling(
        problem.itemsize, lanes, shape.rows, shape.vectors, int(shape.shared),
        int(shape.channels_in_lanes), blocks, terms,
        kernel_d * terms * group_channels, group_channels, problem.groups, problem.n_in,
        problem.n_out, *problem.in_grid, *problem.out_grid, *problem.before, *problem.kernel,
        pitch, plane, channel, tile, out_plane, planes, tile_rows, d_tiles, h_tiles,
        problem.batch * problem.groups * d_tiles * h_tiles, tile + out_rows * out_plane + step,
    )  # fmt: skip


def up(value: int, step: int) -> int:
    """Round up to a multiple.

    Parameters
    ----------
    value : int
        To be rounded.
    step : int
        What it is to be a multiple of.

    Returns
    -------
    int
        The smallest multiple that is not below.
    """
    return -(-value // step) * step
