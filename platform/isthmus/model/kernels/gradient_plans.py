"""Plans for the kernel's gradient: what is added up where, so that any number of threads agree.

The sums are split into parts by the problem's sizes alone. Parts are added in their order.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import ceil, prod
from typing import NamedTuple

import numpy as np

from isthmus.model.kernels.blocks import CHANNEL_BLOCKS, N_OFFSETS, SPEEDS
from isthmus.model.kernels.lanes import VECTOR_BYTES
from isthmus.model.kernels.plans import (
    COPY_COST,
    TILE_BYTES,
    Offsets,
    halves,
    share_copied,
    tap_offsets,
    up,
)
from isthmus.model.kernels.problem import Problem

CORRELATE_SPEEDS = {4: 0.93, 2: 0.78, 1: 0.34}
"""Share of a core's peak that `correlate` reaches with so many rows, measured with AVX-512."""

LONGEST_RUN = 512
"""Vectors that `correlate` adds into one sum of lanes; more would round more."""

LANE_SUM_COST = 10.0
"""Time to add up the lanes of one vector, in products of vectors."""

PARTS = 16
"""How many tasks there are at least, where there is as much to share out."""


class GradientTiling(NamedTuple):
    """A plan for `gradient_tasks`; sizes count elements."""

    itemsize: int
    lanes: int
    rows: int
    shared: int
    n_offsets: int
    n_terms: int
    blocks: int
    block_totals: int
    batch: int
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
    dy_channel: int
    dy_tile: int
    tile_planes: int
    tile_rows: int
    d_tiles: int
    h_tiles: int
    call_planes: int
    parts: int
    shares: int
    share_blocks: int
    n_tasks: int
    scratch: int


class ChannelGradient(NamedTuple):
    """A plan for `pack_channels` and `channel_gradient_tasks`; sizes count elements."""

    itemsize: int
    lanes: int
    rows: int
    vectors: int
    batch: int
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
    wide_in: int
    wide_out: int
    pitch: int
    plane: int
    volume: int
    dy_volume: int
    n_places: int


class GradientPlan(NamedTuple):
    """A tiling with voxels in the lanes, and its offsets."""

    tiling: GradientTiling
    tap_offsets: Offsets


class ChannelGradientPlan(NamedTuple):
    """A plan with channels in the lanes, and its offsets."""

    tiling: ChannelGradient
    x_places: Offsets
    dy_places: Offsets
    tap_offsets: Offsets


@lru_cache(maxsize=1024)
def plan_gradient(problem: Problem) -> GradientPlan | ChannelGradientPlan:
    """Plan the gradient of a kernel.

    Parameters
    ----------
    problem : Problem
        Sizes of the convolution.

    Returns
    -------
    GradientPlan or ChannelGradientPlan
        Whichever is estimated to be quicker.
    """
    voxels = min(_voxel_shapes(problem), key=lambda shape: _voxel_cost(problem, *shape))
    channels = min(
        _channel_shapes(problem), key=lambda shape: _channel_cost(problem, *shape), default=None
    )
    if channels and _channel_cost(problem, *channels) < _voxel_cost(problem, *voxels):
        return _plan_channels(problem, *channels)
    return _plan_voxels(problem, *voxels)


def _voxel_shapes(problem: Problem) -> Iterator[tuple[int, bool]]:
    """List (rows, shared) that a problem can have."""
    for rows in (4, 2, 1):
        if rows == 1 or problem.n_out > rows // 2:
            yield rows, False
        if problem.n_out == 1 and rows > 1:
            yield rows, True


def _channel_shapes(problem: Problem) -> Iterator[tuple[int, int]]:
    """List (rows, vectors) that a problem can have."""
    lanes = VECTOR_BYTES // problem.itemsize
    if problem.groups == 1 and problem.n_out >= lanes // 2 and problem.n_in >= 4:
        yield from CHANNEL_BLOCKS


def _voxel_cost(problem: Problem, rows: int, shared: bool) -> float:
    """Estimate the work with voxels in the lanes, in products of whole vectors at full speed."""
    lanes = VECTOR_BYTES // problem.itemsize
    depth, height, width = problem.out_grid
    kernel_d, kernel_h, kernel_w = problem.kernel
    per_height = kernel_h + (rows - 1 if shared else 0)
    terms = up(kernel_d * problem.n_in * per_height * kernel_w, N_OFFSETS[rows])
    if shared:
        vectors = ceil(width / lanes) * ceil((height + kernel_h) / rows)
        blocks = problem.n_out
    else:
        vectors = ceil(height * (width + kernel_w - 1) / lanes)
        blocks = ceil(problem.n_out / rows)
    run = max(1, min(depth, LONGEST_RUN // vectors))
    work = terms * rows * blocks * (vectors / CORRELATE_SPEEDS[rows] + LANE_SUM_COST / run)
    copies = COPY_COST * (problem.n_in + problem.n_out) * height * width / lanes
    return problem.batch * problem.groups * depth * (work + copies)


def _channel_cost(problem: Problem, rows: int, vectors: int) -> float:
    """Estimate the work with channels in the lanes."""
    step = vectors * (VECTOR_BYTES // problem.itemsize)
    places = problem.batch * prod(problem.out_grid)
    sums = up(problem.n_in, rows) * ceil(problem.n_out / step) * vectors * prod(problem.kernel)
    copies = 2.0 * (problem.n_in + problem.n_out) * places
    return sums * places / SPEEDS[rows, vectors] + copies


def _plan_voxels(problem: Problem, rows: int, shared: bool) -> GradientPlan:
    """Choose the tiles, then list the offsets of kernel voxels."""
    options = []
    depth, height, _width = problem.out_grid
    for tile_rows in halves(height, rows if shared else 1):
        planes = 1
        while planes < depth:
            larger = _sized(problem, rows, shared, planes + 1, tile_rows)
            if (larger.tile + larger.dy_tile) * problem.itemsize > TILE_BYTES:
                break
            planes += 1
        d_tiles = ceil(depth / planes)
        while d_tiles < depth and d_tiles * ceil(height / tile_rows) * problem.groups < PARTS:
            d_tiles += 1
        options.append(_sized(problem, rows, shared, ceil(depth / d_tiles), tile_rows))
    p = min(options, key=share_copied)
    taps = tap_offsets(p)
    spare = up(len(taps), p.n_offsets) - len(taps)
    return GradientPlan(p, np.array([*taps, *[0] * spare], np.int64))


def _sized(
    problem: Problem, rows: int, shared: bool, planes: int, tile_rows: int
) -> GradientTiling:
    """Work out all sizes of a tiling."""
    lanes = VECTOR_BYTES // problem.itemsize
    out_d, out_h, out_w = problem.out_grid
    kernel_d, kernel_h, kernel_w = problem.kernel
    shared_rows = rows if shared else 1
    pitch = up(out_w, lanes if shared else 1) + kernel_w - 1
    # Rows of zeros at the end: what a run reads beyond its last row.
    rows_in = tile_rows + kernel_h - 1 + shared_rows - 1
    plane = up(rows_in, shared_rows) * pitch + (0 if shared else lanes)
    channel = (planes + kernel_d - 1) * plane
    terms = up(kernel_d * problem.n_in * (kernel_h + shared_rows - 1) * kernel_w, N_OFFSETS[rows])
    blocks = problem.n_out if shared else ceil(problem.n_out / rows)
    d_tiles, h_tiles = ceil(out_d / planes), ceil(out_h / tile_rows)
    parts = min(problem.batch * d_tiles * h_tiles, ceil(PARTS / problem.groups))
    shares = min(blocks, ceil(PARTS / (problem.groups * parts)))
    share_blocks = ceil(blocks / shares)
    shares = ceil(blocks / share_blocks)
    tile, dy_channel = problem.n_in * channel, planes * plane
    dy_tile = share_blocks * (1 if shared else rows) * dy_channel
    vectors = plane // lanes
    slack = kernel_h * pitch + 2 * lanes + (shared_rows + 1) * pitch
    return GradientTiling(
        problem.itemsize, lanes, rows, int(shared), N_OFFSETS[rows], terms, blocks, terms * rows,
        problem.batch, problem.groups, problem.n_in, problem.n_out, *problem.in_grid,
        *problem.out_grid, *problem.before, *problem.kernel, pitch, plane, channel, tile + slack,
        dy_channel, dy_tile + slack, planes, tile_rows, d_tiles, h_tiles,
        max(1, LONGEST_RUN // vectors), parts, shares, share_blocks,
        problem.groups * shares * parts, tile + dy_tile + 2 * slack,
    )  # fmt: skip


def _plan_channels(problem: Problem, rows: int, vectors: int) -> ChannelGradientPlan:
    """Work out sizes and places with channels in the lanes."""
    lanes = VECTOR_BYTES // problem.itemsize
    out_d, out_h, out_w = problem.out_grid
    kernel_d, kernel_h, kernel_w = problem.kernel
    wide_in, wide_out = up(problem.n_in, rows), up(problem.n_out, vectors * lanes)
    pitch = (out_w + kernel_w - 1) * wide_in
    plane = (out_h + kernel_h - 1) * pitch
    volume = (out_d + kernel_d - 1) * plane
    p = ChannelGradient(
        problem.itemsize, lanes, rows, vectors, problem.batch, problem.n_in, problem.n_out,
        *problem.in_grid, *problem.out_grid, *problem.before, *problem.kernel, wide_in, wide_out,
        pitch, plane, volume, prod(problem.out_grid) * wide_out,
        problem.batch * prod(problem.out_grid),
    )  # fmt: skip
    b, d, h, w = np.ogrid[: problem.batch, :out_d, :out_h, :out_w]
    x_places = b * volume + d * plane + h * pitch + w * wide_in
    a, kh, kw = np.ogrid[:kernel_d, :kernel_h, :kernel_w]
    taps = a * plane + kh * pitch + kw * wide_in
    return ChannelGradientPlan(
        p,
        np.ascontiguousarray(x_places.ravel(), np.int64),
        np.arange(p.n_places, dtype=np.int64) * wide_out,
        np.ascontiguousarray(taps.ravel(), np.int64),
    )
