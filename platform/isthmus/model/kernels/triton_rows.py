"""What the Triton programs of `triton_programs.py` share: a tile, its rows of voxels, registers.

Two layouts of a tile. *Packed* (NCDHW): one channel; a lane holds R neighbours along the width,
and reads whole vectors of a row that it then takes apart into voxels, so that a tap's shift along
the width costs no load of its own. Otherwise (channels last): a tile is positions x channels, and
each shifted voxel is a load of its own, of neighbouring channels.

This module imports Triton; TRITON_INTERPRET=1, set before, makes it run on the CPU.

Legend: R outputs along the width that a lane holds; P input voxels from one lane to the next;
UNIT elements in which strides are counted.
"""

import triton
import triton.language as tl


@triton.jit
def apart(vector, N, P):
    """Take (N, P) apart into P tensors of N; P is a power of two."""
    taken = ()
    if P == 1:
        taken = (tl.reshape(vector, (N,)),)
    elif P == 2:
        taken = tl.split(vector)
    else:
        even, odd = tl.split(tl.reshape(vector, (N, P // 2, 2)))
        evens = apart(even, N, P // 2)
        odds = apart(odd, N, P // 2)
        for k in tl.static_range(P // 2):
            taken += (evens[k], odds[k])
    return taken


@triton.jit
def together(values, N, P):
    """Lay P tensors of N side by side as (N, P): the inverse of `apart`."""
    if P == 1:
        packed = tl.reshape(values[0], (N, 1))
    elif P == 2:
        packed = tl.join(values[0], values[1])
    else:
        evens = ()
        odds = ()
        for k in tl.static_range(P // 2):
            evens += (values[2 * k],)
            odds += (values[2 * k + 1],)
        even = together(evens, N, P // 2)
        packed = tl.reshape(tl.join(even, together(odds, N, P // 2)), (N, P))
    return packed


@triton.jit
def place(program, out_grid, n_channels, R, POSITIONS, CHANNELS, DEPTH, PACKED):
    """Say which part this program has: tile, first plane, group, row, validity, channel, batch."""
    groups = (out_grid[2] + R - 1) // R
    n_tiles = (groups * out_grid[1] + POSITIONS - 1) // POSITIONS
    n_blocks = (out_grid[0] + DEPTH - 1) // DEPTH
    n_channel_blocks = (n_channels + CHANNELS - 1) // CHANNELS
    tile = program % n_tiles
    rest = program // n_tiles
    block = rest % n_blocks
    rest = rest // n_blocks
    first_channel = (rest % n_channel_blocks) * CHANNELS
    batch = rest // n_channel_blocks
    position = tile * POSITIONS + tl.arange(0, POSITIONS)
    valid = position < groups * out_grid[1]
    row, group = position // groups, position % groups
    channel = first_channel
    if not PACKED:
        row, group, valid = row[:, None], group[:, None], valid[:, None]
        channel = first_channel + tl.arange(0, CHANNELS)[None, :]
        valid = valid & (channel < n_channels)
    part = (batch * n_blocks + block) * n_tiles + tile
    return block * DEPTH, row, group, valid, channel, batch, part


@triton.jit
def origin(pointer, batch, channel, strides, UNIT, PACKED):
    """Point at the first voxel of a batch's channels; strides count UNIT elements, the last one."""
    wide = tl.full((), 0, tl.int64)
    pointer += (wide + batch) * strides[0] * UNIT
    if PACKED:
        return pointer + (wide + channel) * strides[1] * UNIT
    return pointer + channel


@triton.jit
def row_of_voxels(
    pointer, inside, group, width, stride, COLUMNS, BEFORE, P, UNIT, POSITIONS, PACKED, WHOLE
):
    """Read the COLUMNS voxels that a lane's outputs see in one input row, as float32."""
    columns = ()
    if PACKED:
        FIRST: tl.constexpr = (0 - BEFORE) // P
        LAST: tl.constexpr = (COLUMNS - 1 - BEFORE) // P
        voxels = ()
        for shift in tl.static_range(FIRST, LAST + 1):
            vector = group + shift
            column = vector[:, None] * P + tl.arange(0, P)[None, :]
            mask = (inside & (vector >= 0))[:, None]
            # Whole vectors get one answer each, so that each stays one load.
            mask = mask & ((vector < width // P)[:, None] if WHOLE else (column < width))
            read = tl.load(pointer[:, None] + column, mask=mask, other=0.0)
            voxels += apart(read.to(tl.float32), POSITIONS, P)
        for column in tl.static_range(COLUMNS):
            columns += (voxels[column - BEFORE - FIRST * P],)
    else:
        for shift in tl.static_range(COLUMNS):
            column = group * P + (shift - BEFORE)
            mask = inside & (column >= 0) & (column < width)
            read = tl.load(pointer + column * (stride * UNIT), mask=mask, other=0.0)
            columns += (read.to(tl.float32),)
    return columns


@triton.jit
def store_row(pointer, values, inside, group, width, stride, R, UNIT, POSITIONS, PACKED, WHOLE):
    """Write the R neighbours that each lane holds."""
    if PACKED:
        column = group[:, None] * R + tl.arange(0, R)[None, :]
        mask = inside[:, None]
        if not WHOLE:
            mask = mask & (column < width)
        packed = together(values, POSITIONS, R)
        tl.store(pointer[:, None] + column * stride, packed.to(pointer.dtype.element_ty), mask=mask)
    else:
        for r in tl.static_range(R):
            column = group * R + r
            there = pointer + column * (stride * UNIT)
            value = values[r].to(pointer.dtype.element_ty)
            tl.store(there, value, mask=inside & (column < width))
