"""The Triton programs behind `triton_depthwise.py`, which says what they read and write.

One program takes a tile of output positions and walks through the depth, one input plane after
another. Every input plane is read once a tap row; the outputs that it contributes to are held in
registers, and leave when they are finished.

Legend: R outputs along the width that a lane holds; a counts the outputs in the making along the
depth; kd, kh, kw taps.
"""

import triton
import triton.language as tl

from isthmus.model.kernels.triton_rows import origin, place, row_of_voxels, store_row

INTERPRETED: bool = triton.knobs.runtime.interpret
"""Whether the programs run in Triton's interpreter, decided when this module is imported."""


@triton.jit
def of_channels(pointer, channel, n_channels, PACKED):
    """Read one number a channel, as float32."""
    if PACKED:
        return tl.load(pointer).to(tl.float32)
    return tl.load(pointer, mask=channel < n_channels, other=0.0).to(tl.float32)


@triton.jit
def read_taps(weight, channel, n_channels, strides, KERNEL, N_KH, PACKED):
    """Read the taps of N_KH rows: kd slowest, kw fastest."""
    taps = ()
    for kd in tl.static_range(KERNEL[0]):
        for kh in tl.static_range(N_KH):
            for kw in tl.static_range(KERNEL[2]):
                at = weight + (kd * strides[1] + kh * strides[2] + kw * strides[3])
                taps += (of_channels(at, channel, n_channels, PACKED),)
    return taps


@triton.jit
def multiply_add(sums, columns, taps, kh, N_KH, PLANE, KERNEL, STRIDE, R):
    """Add one input row to the outputs in the making along the depth."""
    added = ()
    for a in tl.static_range((KERNEL[0] + STRIDE[0] - 1) // STRIDE[0]):
        for r in tl.static_range(R):
            total = sums[a * R + r]
            if STRIDE[0] * a + PLANE < KERNEL[0]:
                for kw in tl.static_range(KERNEL[2]):
                    tap = taps[((STRIDE[0] * a + PLANE) * N_KH + kh) * KERNEL[2] + kw]
                    total += tap * columns[STRIDE[2] * r + kw]
            added += (total,)
    return added


@triton.jit
def next_output(sums, nothing, AT_ONCE, R):
    """Drop the finished output and begin a new one."""
    kept = ()
    for _ in tl.static_range(R):
        kept += (nothing,)
    for k in tl.static_range((AT_ONCE - 1) * R):
        kept += (sums[k],)
    return kept


@triton.jit
def finished_row(sums, added, AT_ONCE, R):
    """Take the oldest output in the making, with the bias."""
    values = ()
    for r in tl.static_range(R):
        values += (sums[(AT_ONCE - 1) * R + r] + added,)
    return values


@triton.jit
def input_row(
    x, row, kh, valid, group, n_rows, width, strides, KERNEL, BEFORE, STRIDE, R, UNIT, N, PACKED,
    WHOLE,
):  # fmt: skip
    """Read what a tile's lanes see of the input rows that tap row kh meets in one plane."""
    COLUMNS: tl.constexpr = STRIDE[2] * (R - 1) + KERNEL[2]
    in_row = row * STRIDE[1] + (kh - BEFORE[1])
    return row_of_voxels(
        x + in_row * (strides[3] * UNIT), valid & (in_row >= 0) & (in_row < n_rows), group, width,
        strides[4], COLUMNS, BEFORE[2], R * STRIDE[2], UNIT, N, PACKED, WHOLE,
    )  # fmt: skip


@triton.jit
def convolve(
    x, weight, bias, out, in_grid, out_grid, n_channels, x_strides, out_strides, weight_strides,
    KERNEL: tl.constexpr, BEFORE: tl.constexpr, STRIDE: tl.constexpr, MULTIPLIER: tl.constexpr,
    SUMMED: tl.constexpr, R: tl.constexpr, X_UNIT: tl.constexpr, OUT_UNIT: tl.constexpr,
    PACKED: tl.constexpr, X_WHOLE: tl.constexpr, OUT_WHOLE: tl.constexpr, HAS_BIAS: tl.constexpr,
    KEPT: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr,
    WIDEN: tl.constexpr, SHARE: tl.constexpr,
):  # fmt: skip
    """Write a tile: channel c is the sum over inputs c // MULTIPLIER * SUMMED + i, i < SUMMED."""
    N: tl.constexpr = POSITIONS * WIDEN
    AT_ONCE: tl.constexpr = (KERNEL[0] + STRIDE[0] - 1) // STRIDE[0]
    first, row, group, valid, channel, batch, _ = place(
        tl.program_id(0), out_grid, n_channels, R, N, CHANNELS, DEPTH // SHARE, PACKED
    )
    x = origin(x, batch, channel // MULTIPLIER * SUMMED, x_strides, X_UNIT, PACKED)
    out = origin(out, batch, channel, out_strides, OUT_UNIT, PACKED)
    out += row * (out_strides[3] * OUT_UNIT)
    weight += weight_strides[4] + channel * (SUMMED * weight_strides[0])  # 4: the first tap
    wide = tl.full((), 0, tl.int64)
    nothing = tl.zeros((N,) if PACKED else (N, CHANNELS), tl.float32)
    added = nothing
    if HAS_BIAS:
        added += of_channels(bias + channel, channel, n_channels, PACKED)
    sums = next_output((), nothing, 1, AT_ONCE * R)
    if KEPT:
        taps = read_taps(weight, channel, n_channels, weight_strides, KERNEL, KERNEL[1], PACKED)
    for step in range(first, min(first + DEPTH // SHARE, out_grid[0]) + AT_ONCE - 1):
        for PLANE in tl.static_range(STRIDE[0]):
            plane = wide + (step * STRIDE[0] + (PLANE - BEFORE[0]))
            n_rows = tl.where((plane >= 0) & (plane < in_grid[0]), in_grid[1], 0)
            for i in tl.static_range(SUMMED):
                x_plane = x + plane * (x_strides[2] * X_UNIT)
                x_plane += i * (x_strides[1] * X_UNIT if PACKED else 1)
                if KEPT:
                    for kh in tl.static_range(KERNEL[1]):
                        columns = input_row(
                            x_plane, row, kh, valid, group, n_rows, in_grid[2], x_strides, KERNEL,
                            BEFORE, STRIDE, R, X_UNIT, N, PACKED, X_WHOLE,
                        )  # fmt: skip
                        sums = multiply_add(
                            sums, columns, taps, kh, KERNEL[1], PLANE, KERNEL, STRIDE, R
                        )
                else:
                    sums = walk_rows(
                        sums, x_plane, weight + i * weight_strides[0], channel, n_channels, row,
                        valid, group, n_rows, in_grid[2], x_strides, weight_strides, PLANE, KERNEL,
                        BEFORE, STRIDE, R, X_UNIT, N, PACKED, X_WHOLE,
                    )  # fmt: skip
        finished = wide + (step - (AT_ONCE - 1))
        inside = valid & (row < tl.where(finished >= first, out_grid[1], 0))
        store_row(
            out + finished * (out_strides[2] * OUT_UNIT), finished_row(sums, added, AT_ONCE, R),
            inside, group, out_grid[2], out_strides[4], R, OUT_UNIT, N, PACKED, OUT_WHOLE,
        )  # fmt: skip
        sums = next_output(sums, nothing, AT_ONCE, R)


@triton.jit
def walk_rows(
    sums, x_plane, weight, channel, n_channels, row, valid, group, n_rows, width, x_strides,
    weight_strides, PLANE, KERNEL, BEFORE, STRIDE, R, UNIT, N, PACKED, WHOLE,
):  # fmt: skip
    """Add one input plane, where the taps are too many to be kept: read row by row."""
    for kh in range(KERNEL[1]):
        columns = input_row(
            x_plane, row, kh, valid, group, n_rows, width, x_strides, KERNEL, BEFORE, STRIDE, R,
            UNIT, N, PACKED, WHOLE,
        )  # fmt: skip
        taps = read_taps(
            weight + kh * weight_strides[2], channel, n_channels, weight_strides, KERNEL, 1, PACKED
        )
        sums = multiply_add(sums, columns, taps, 0, 1, PLANE, KERNEL, STRIDE, R)
    return sums


@triton.jit
def correlate(
    x, dy, partial, in_grid, out_grid, n_channels, x_strides, dy_strides,
    KERNEL: tl.constexpr, BEFORE: tl.constexpr, STRIDE: tl.constexpr, MULTIPLIER: tl.constexpr,
    R: tl.constexpr, X_UNIT: tl.constexpr, DY_UNIT: tl.constexpr, PACKED: tl.constexpr,
    X_WHOLE: tl.constexpr, DY_WHOLE: tl.constexpr, ROWS: tl.constexpr, PIECES: tl.constexpr,
    POSITIONS: tl.constexpr, CHANNELS: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Write one tile's share of the kernel's gradient, of ROWS tap rows along the height."""
    n_groups: tl.constexpr = (KERNEL[1] + ROWS - 1) // ROWS  # one after another: they share reads
    first, row, group, valid, channel, batch, part = place(
        tl.program_id(0) // n_groups, out_grid, n_channels, R, POSITIONS, CHANNELS, DEPTH, PACKED
    )
    AT_ONCE: tl.constexpr = (KERNEL[0] + STRIDE[0] - 1) // STRIDE[0]
    x = origin(x, batch, channel // MULTIPLIER, x_strides, X_UNIT, PACKED)
    dy = origin(dy, batch, channel, dy_strides, DY_UNIT, PACKED)
    dy += row * (dy_strides[3] * DY_UNIT)
    first_kh = tl.program_id(0) % n_groups * ROWS
    wide = tl.full((), 0, tl.int64)
    nothing = tl.zeros((POSITIONS,) if PACKED else (POSITIONS, CHANNELS), tl.float32)
    sums = next_output((), nothing, 1, KERNEL[0] * ROWS * KERNEL[2])
    recent = next_output((), nothing, 1, AT_ONCE * R)
    end = min(first + DEPTH, out_grid[0])
    for step in range(first, end + AT_ONCE - 1):
        n_rows = tl.where(wide + step < end, out_grid[1], 0)
        recent = newest_first(
            recent,
            row_of_voxels(
                dy + (wide + step) * (dy_strides[2] * DY_UNIT), valid & (row < n_rows), group,
                out_grid[2], dy_strides[4], R, 0, R, DY_UNIT, POSITIONS, PACKED, DY_WHOLE,
            ),
            AT_ONCE, R,
        )  # fmt: skip
        for PLANE in tl.static_range(STRIDE[0]):
            plane = wide + (step * STRIDE[0] + (PLANE - BEFORE[0]))
            n_rows = tl.where((plane >= 0) & (plane < in_grid[0]), in_grid[1], 0)
            in_plane = x + plane * (x_strides[2] * X_UNIT)
            for j in tl.static_range(ROWS):
                columns = input_row(
                    in_plane, row, first_kh + j, valid, group, n_rows, in_grid[2], x_strides,
                    KERNEL, BEFORE, STRIDE, R, X_UNIT, POSITIONS, PACKED, X_WHOLE,
                )  # fmt: skip
                sums = correlate_row(sums, columns, recent, j, PLANE, KERNEL, STRIDE, ROWS, R)
    store_share(
        partial, sums, part, channel, n_channels, first_kh, KERNEL, ROWS, PIECES,
        POSITIONS, CHANNELS, PACKED,
    )  # fmt: skip


@triton.jit
def newest_first(recent, newest, AT_ONCE, R):
    """Put the newest plane of gradients before the others and drop the oldest."""
    kept = newest
    for k in tl.static_range((AT_ONCE - 1) * R):
        kept += (recent[k],)
    return kept


@triton.jit
def correlate_row(sums, columns, recent, ROW, PLANE, KERNEL, STRIDE, ROWS, R):
    """Add to the taps of one row what one input row and the gradients in reach give."""
    added = ()
    for kd in tl.static_range(KERNEL[0]):
        for j in tl.static_range(ROWS):
            for kw in tl.static_range(KERNEL[2]):
                total = sums[(kd * ROWS + j) * KERNEL[2] + kw]
                if j == ROW and kd % STRIDE[0] == PLANE:
                    for r in tl.static_range(R):
                        total += recent[kd // STRIDE[0] * R + r] * columns[STRIDE[2] * r + kw]
                added += (total,)
    return added


@triton.jit
def store_share(
    partial, sums, part, channel, n_channels, first_kh, KERNEL, ROWS, PIECES,
    POSITIONS, CHANNELS, PACKED,
):  # fmt: skip
    """Add up each tap over the tile, in PIECES, and write it: partial (parts, taps, channels)."""
    PIECE: tl.constexpr = POSITIONS // PIECES
    piece = part * PIECES + tl.arange(0, PIECES)
    if not PACKED:
        piece = piece[:, None]
    n_taps: tl.constexpr = KERNEL[0] * KERNEL[1] * KERNEL[2]
    wide = tl.full((), 0, tl.int64)
    partial += (wide + piece) * n_taps * n_channels + channel
    inside = (piece >= 0) if PACKED else (piece >= 0) & (channel < n_channels)
    for kd in tl.static_range(KERNEL[0]):
        for j in tl.static_range(ROWS):
            for kw in tl.static_range(KERNEL[2]):
                total = sums[(kd * ROWS + j) * KERNEL[2] + kw]
                if PACKED:
                    total = tl.reshape(total, (PIECES, PIECE))
                else:
                    total = tl.reshape(total, (PIECES, PIECE, CHANNELS))
                total = tl.sum(total, axis=1)
                tap = (kd * KERNEL[1] + first_kh + j) * KERNEL[2] + kw
                tl.store(
                    partial + tap * n_channels,
                    total,
                    mask=inside & (piece * 0 + first_kh + j < KERNEL[1]),
                )


untuned_convolve = convolve
if not INTERPRETED:
    convolve = triton.autotune(
        configs=[
            triton.Config({"WIDEN": widen, "SHARE": share}, num_warps=n_warps)
            for widen, share, n_warps in (
                (1, 1, 4), (1, 1, 2), (1, 2, 4), (2, 1, 8), (2, 1, 4), (2, 2, 8),
            )
        ],
        key=["in_grid", "out_grid", "n_channels", "KERNEL", "STRIDE", "SUMMED", "PACKED"],
    )(convolve)  # fmt: skip
