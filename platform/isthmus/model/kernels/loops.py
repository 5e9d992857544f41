"""Loops over tiles: images are copied into padded tiles, and sums of products run over these.

Compiled by numba without Python's lock, so that several threads can run parts of one convolution.
`p` is a plan of `plans.py`. Addresses count bytes, strides and offsets elements; strides are those
of (B, C, D, H, W).
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import numpy as np

from isthmus.model.kernels.blocks import CHAIN, OFFSETS_1, OFFSETS_2, OFFSETS_4
from isthmus.model.kernels.compiled import compiled
from isthmus.model.kernels.microkernels import (
    clear,
    copy_run,
    correlate,
    not_inlined,
    sum_products,
)

_OFFSET_BYTES = 8
# Not literals, for each of which numba would compile a function anew.
_NONE, _ONE = np.int64(0), np.int64(1)


@compiled()
def _link(kind, rows, vectors, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds):
    """Choose the innermost loop of this many rows and vectors."""
    if rows == 4 and vectors == 4:
        sum_products(kind, 4, 4, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)
    elif rows == 4 and vectors == 3:
        sum_products(kind, 4, 3, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)
    elif rows == 4 and vectors == 2:
        sum_products(kind, 4, 2, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)
    elif rows == 4 and vectors == 1:
        sum_products(kind, 4, 1, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)
    elif rows == 8 and vectors == 2:
        sum_products(kind, 8, 2, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)
    elif rows == 8 and vectors == 1:
        sum_products(kind, 8, 1, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)
    elif rows == 2 and vectors == 8:
        sum_products(kind, 2, 8, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)
    elif rows == 2 and vectors == 4:
        sum_products(kind, 2, 4, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)
    else:
        sum_products(kind, 1, 8, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds)


@compiled()
def _sums(kind, rows, vectors, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds):
    """Add up any number of terms, in chains of limited length."""
    not_inlined()
    done, here = _NONE, first
    while True:
        m, moved = min(n - done, CHAIN), done * _OFFSET_BYTES
        _link(kind, rows, vectors, a, a_offsets + moved, b, b_offsets + moved, m, here, y, y_stride,
              adds)  # fmt: skip
        done += m
        if done >= n:
            return
        here, adds = _NONE, _ONE


@compiled()
def _copy_box(kind, size, tile, tile_strides, source, strides, n_channels, grid, corner, extent):
    """Copy what lies in a box of some channels' images into a tile of zeros.

    The box begins at `corner`, which may lie before the images, and has `extent` voxels.
    """
    d_low, d_high = max(0, -corner[0]), min(extent[0], grid[0] - corner[0])
    h_low, h_high = max(0, -corner[1]), min(extent[1], grid[1] - corner[1])
    w_low, w_high = max(0, -corner[2]), min(extent[2], grid[2] - corner[2])
    if w_high <= w_low:
        return
    for c in range(n_channels):
        for d in range(d_low, d_high):
            for h in range(h_low, h_high):
                row = source + size * (
                    c * strides[1]
                    + (corner[0] + d) * strides[2]
                    + (corner[1] + h) * strides[3]
                    + (corner[2] + w_low) * strides[4]
                )
                at = tile + size * (
                    c * tile_strides[0]
                    + d * tile_strides[1]
                    + h * tile_strides[2]
                    + w_low * tile_strides[3]
                )
                copy_run(kind, at, tile_strides[3], row, strides[4], w_high - w_low)


@compiled()
def _write_plane(kind, p, y, y_strides, out, channel_stride, row_stride, step, n_rows, n_channels):
    """Copy one plane of some channels from where it was summed to where it belongs."""
    for c in range(n_channels):
        for h in range(n_rows):
            row = y + p.itemsize * (c * y_strides[1] + h * y_strides[3])
            at = out + p.itemsize * (c * channel_stride + h * row_stride)
            copy_run(kind, row, y_strides[4], at, step, p.out_w)


@compiled()
def _plane_of_channels(kind, p, tile, w, w_offsets, taps, n, bias, y, y_strides, out, n_rows):
    """Sum one output plane with its channels in the lanes, then copy it."""
    size, width = p.itemsize, p.vectors * p.lanes
    for block in range(p.blocks):
        vectors = w + size * block * width
        for h in range(n_rows):
            for s in range(0, p.out_w, p.rows):
                place = out + size * (h * p.pitch + s) * width
                if bias != 0:
                    for r in range(p.rows):
                        source = bias + size * block * width
                        copy_run(kind, place + size * r * width, 1, source, 1, width)
                _sums(kind, p.rows, p.vectors, tile + size * (h * p.pitch + s), taps, vectors,
                      w_offsets, n, _NONE, place, width, bias)  # fmt: skip
        n_channels = min(width, p.n_out - block * width)
        target = y + size * block * width * y_strides[1]
        _write_plane(
            kind, p, target, y_strides, out, _ONE, p.pitch * width, width, n_rows, n_channels
        )


@compiled()
def _plane_of_voxels(kind, p, tile, w, w_offsets, taps, n, bias, y, y_strides, out, n_rows):
    """Sum one output plane with voxels in the lanes, block by block of channels, then copy it."""
    size, rows, step = p.itemsize, p.rows, p.vectors * p.lanes
    channels = 1 if p.shared else rows
    for block in range(p.blocks):
        w_here = w + size * block * p.kernel_d * p.terms * rows
        first = _NONE if bias == 0 else bias + size * block * rows
        target = y + size * block * channels * y_strides[1]
        # Where blocks fill the rows they are written where they belong. Else a plane is summed as
        # one row, or as rows that blocks go beyond, and copied.
        fills = n_rows % rows == 0 if p.shared else (block + 1) * rows <= p.n_out
        direct = fills and y_strides[4] == 1 and p.out_w % step == 0
        by_rows = p.shared or direct
        into, row_stride = (target, y_strides[3]) if direct else (out, p.pitch)
        height, width = (n_rows, p.out_w) if by_rows else (_ONE, n_rows * p.pitch)
        apart = y_strides[1] if direct else p.out_plane
        for h in range(0, height, rows if p.shared else 1):
            for s in range(0, width, step):
                here = tile + size * (h * p.pitch + s)
                _sums(kind, rows, p.vectors, w_here, w_offsets, here, taps, n, first,
                      into + size * (h * row_stride + s), row_stride if p.shared else apart,
                      _NONE)  # fmt: skip
        if not direct:
            n_channels = min(channels, p.n_out - block * channels)
            _write_plane(kind, p, target, y_strides, out, p.out_plane, p.pitch, _ONE, n_rows,
                         n_channels)  # fmt: skip


@compiled()
def convolve_tasks(
    kind, p, x, x_strides, w, w_offsets, taps, bias, y, y_strides, scratch, task_from, task_to
):
    """Convolve the tiles of some tasks."""
    size = p.itemsize
    out = scratch + size * p.tile
    for task in range(task_from, task_to):
        rest, d_tile = divmod(task, p.d_tiles)
        rest, h_tile = divmod(rest, p.h_tiles)
        b, g = divmod(rest, p.groups)
        d_first, h_first = d_tile * p.tile_planes, h_tile * p.tile_rows
        n_planes = min(p.tile_planes, p.out_d - d_first)
        n_rows = min(p.tile_rows, p.out_h - h_first)
        clear(kind, scratch, p.tile)
        corner = (d_first - p.before_d, h_first - p.before_h, -p.before_w)
        extent = (n_planes + p.kernel_d - 1, n_rows + p.kernel_h - 1, p.out_w + p.kernel_w - 1)
        source = x + size * (b * x_strides[0] + g * p.n_in * x_strides[1])
        strides = (p.channel, p.plane, p.pitch, _ONE)
        _copy_box(kind, size, scratch, strides, source, x_strides, p.n_in,
                  (p.in_d, p.in_h, p.in_w), corner, extent)  # fmt: skip
        w_here = w + size * g * p.group_weights
        bias_here = _NONE if bias == 0 else bias + size * g * p.group_channels
        for d in range(n_planes):
            # Planes beyond the images are zeros: their terms are left out.
            low = max(0, p.before_d - d_first - d)
            high = min(p.kernel_d, p.in_d + p.before_d - d_first - d)
            n = max(0, high - low) * p.terms
            skipped = _OFFSET_BYTES * low * p.terms
            tile = scratch + size * d * p.plane
            target = y + size * (
                b * y_strides[0]
                + g * p.n_out * y_strides[1]
                + (d_first + d) * y_strides[2]
                + h_first * y_strides[3]
            )
            if p.channels_in_lanes:
                _plane_of_channels(kind, p, tile, w_here, w_offsets + skipped, taps + skipped, n,
                                   bias_here, target, y_strides, out, n_rows)  # fmt: skip
            else:
                _plane_of_voxels(kind, p, tile, w_here, w_offsets + skipped, taps + skipped, n,
                                 bias_here, target, y_strides, out, n_rows)  # fmt: skip


@compiled()
def _correlations(kind, p, a, a_stride, b, taps, n_runs, run_stride, n_vectors, totals):
    """Add the correlations with all offsets to their totals; `taps` ends in some to spare."""
    size, rows = p.itemsize, p.rows
    for t in range(0, p.n_terms, p.n_offsets):
        offsets, sums = taps + _OFFSET_BYTES * t, totals + size * t * rows
        if rows == 4:
            correlate(kind, 4, OFFSETS_4, a, a_stride, b, offsets, n_runs, run_stride, n_vectors,
                      sums)  # fmt: skip
        elif rows == 2:
            correlate(kind, 2, OFFSETS_2, a, a_stride, b, offsets, n_runs, run_stride, n_vectors,
                      sums)  # fmt: skip
        else:
            correlate(kind, 1, OFFSETS_1, a, a_stride, b, offsets, n_runs, run_stride, n_vectors,
                      sums)  # fmt: skip


@compiled()
def gradient_tasks(
    kind, p, x, x_strides, dy, dy_strides, taps, totals, scratch, task_from, task_to
):
    """Add up the kernel's gradient over the tiles of some tasks, voxels in the lanes."""
    size = p.itemsize
    dy_tile = scratch + size * p.tile
    for task in range(task_from, task_to):
        rest, part = divmod(task, p.parts)
        g, share = divmod(rest, p.shares)
        first_block = share * p.share_blocks
        n_blocks = min(p.share_blocks, p.blocks - first_block)
        channels = 1 if p.shared else p.rows
        first_channel = g * p.n_out + first_block * channels
        n_channels = min(n_blocks * channels, p.n_out - first_block * channels)
        sums = totals + size * ((part * p.groups + g) * p.blocks + first_block) * p.block_totals
        for tile in range(part, p.batch * p.d_tiles * p.h_tiles, p.parts):
            rest, h_tile = divmod(tile, p.h_tiles)
            b, d_tile = divmod(rest, p.d_tiles)
            d_first, h_first = d_tile * p.tile_planes, h_tile * p.tile_rows
            n_planes = min(p.tile_planes, p.out_d - d_first)
            n_rows = min(p.tile_rows, p.out_h - h_first)
            clear(kind, scratch, p.tile + p.dy_tile)
            corner = (d_first - p.before_d, h_first - p.before_h, -p.before_w)
            extent = (n_planes + p.kernel_d - 1, n_rows + p.kernel_h - 1, p.out_w + p.kernel_w - 1)
            source = x + size * (b * x_strides[0] + g * p.n_in * x_strides[1])
            strides = (p.channel, p.plane, p.pitch, _ONE)
            _copy_box(kind, size, scratch, strides, source, x_strides, p.n_in,
                      (p.in_d, p.in_h, p.in_w), corner, extent)  # fmt: skip
            source = dy + size * (b * dy_strides[0] + first_channel * dy_strides[1])
            strides = (p.dy_channel, p.plane, p.pitch, _ONE)
            _copy_box(kind, size, dy_tile, strides, source, dy_strides, n_channels,
                      (p.out_d, p.out_h, p.out_w), (d_first, h_first, _NONE),
                      (n_planes, n_rows, p.out_w))  # fmt: skip
            for block in range(n_blocks):
                into = sums + size * block * p.block_totals
                for d in range(0, n_planes, p.call_planes):
                    moved = size * d * p.plane
                    a = dy_tile + size * block * channels * p.dy_channel + moved
                    n_here = min(p.call_planes, n_planes - d)
                    if p.shared:
                        n_runs = n_here * (p.plane // (p.rows * p.pitch))
                        n_vectors = (p.out_w + p.lanes - 1) // p.lanes
                        _correlations(kind, p, a, p.pitch, scratch + moved, taps, n_runs,
                                      p.rows * p.pitch, n_vectors, into)  # fmt: skip
                    else:
                        n_vectors = (n_rows * p.pitch + p.lanes - 1) // p.lanes
                        _correlations(kind, p, a, p.dy_channel, scratch + moved, taps, n_here,
                                      p.plane, n_vectors, into)  # fmt: skip


@compiled()
def pack_channels(kind, p, x, x_strides, dy, dy_strides, packed):
    """Copy all images and gradients of a group, channels last, the images within zeros."""
    size = p.itemsize
    clear(kind, packed, p.batch * (p.volume + p.dy_volume))
    strides = (_ONE, p.plane, p.pitch, p.wide_in)
    extent = (p.out_d + p.kernel_d - 1, p.out_h + p.kernel_h - 1, p.out_w + p.kernel_w - 1)
    for b in range(p.batch):
        _copy_box(kind, size, packed + size * b * p.volume, strides, x + size * b * x_strides[0],
                  x_strides, p.n_in, (p.in_d, p.in_h, p.in_w),
                  (-p.before_d, -p.before_h, -p.before_w), extent)  # fmt: skip
    grid = (p.out_d, p.out_h, p.out_w)
    strides = (_ONE, p.out_h * p.out_w * p.wide_out, p.out_w * p.wide_out, p.wide_out)
    for b in range(p.batch):
        _copy_box(kind, size, packed + size * (p.batch * p.volume + b * p.dy_volume), strides,
                  dy + size * b * dy_strides[0], dy_strides, p.n_out, grid, (_NONE, _NONE, _NONE),
                  grid)  # fmt: skip


@compiled()
def channel_gradient_tasks(kind, p, packed, x_places, dy_places, taps, dw, task_from, task_to):
    """Sum the gradient of some kernel voxels, output channels in the lanes.

    `dw` is (kernel voxels, input channels, output channels).
    """
    size, width = p.itemsize, p.vectors * p.lanes
    dy = packed + size * p.batch * p.volume
    for tap in range(task_from, task_to):
        for c in range(0, p.wide_in, p.rows):
            a = packed + size * (taps[tap] + c)
            for o in range(0, p.wide_out, width):
                y = dw + size * ((tap * p.wide_in + c) * p.wide_out + o)
                _sums(kind, p.rows, p.vectors, a, x_places, dy + size * o, dy_places, p.n_places,
                      _NONE, y, p.wide_out, _NONE)  # fmt: skip
