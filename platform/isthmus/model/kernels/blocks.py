"""The blocks of sums that are held in registers: how many rows and vectors, by what is to be done.

A sum of products costs a load for each row's factor and two for each vector (from any address),
against one multiplication of every row by every vector. `SPEEDS` is what came of that on a core
with AVX-512: the share of its peak, measured.
"""

from isthmus.model.kernels.lanes import MANY_REGISTERS

VOXEL_BLOCKS: tuple[tuple[int, int], ...] = (
    ((4, 4), (4, 3), (4, 2), (8, 2), (2, 8), (2, 4), (1, 8))
    if MANY_REGISTERS
    else ((4, 3), (4, 2), (2, 4), (1, 8))
)
"""(rows, vectors) with voxels in the lanes; rows are output channels, or rows of voxels."""

CHANNEL_BLOCKS: tuple[tuple[int, int], ...] = (
    ((4, 4), (8, 2), (4, 2), (8, 1), (4, 1)) if MANY_REGISTERS else ((4, 3), (4, 2), (8, 1), (4, 1))
)
"""(rows, vectors) with channels in the lanes; rows are voxels, or channels of the other side."""

SPEEDS: dict[tuple[int, int], float] = {
    (4, 4): 0.97,
    (4, 3): 0.93,
    (4, 2): 0.80,
    (4, 1): 0.45,
    (8, 2): 0.80,
    (8, 1): 0.75,
    (2, 8): 0.78,
    (2, 4): 0.68,
    (1, 8): 0.41,
}

OFFSETS_4, OFFSETS_2, OFFSETS_1 = (6, 10, 15) if MANY_REGISTERS else (2, 5, 10)
"""How many offsets `correlate` holds the sums of at a time, for 4, 2 and 1 rows."""

N_OFFSETS = {4: OFFSETS_4, 2: OFFSETS_2, 1: OFFSETS_1}

CHAIN = 128
"""Terms that are added one after the other; longer sums are made of these, which rounds less."""
