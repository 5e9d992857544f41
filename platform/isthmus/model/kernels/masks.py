"""Dropout's masks on the CPU: numpy's own random bits, drawn four abreast, and put to use.

numpy's PCG64 makes each 64 bits from the last, so one draw waits for another. Here four draws that
lie side by side in the stream are kept going at once, each four steps at a time, and threads begin
at different places of it. The bits are the same.

References: O'Neill 2014, PCG: a family of simple fast space-efficient statistically good algorithms
for random number generation, Harvey Mudd College HMC-CS-2014-0905.

Legend: B subjects; C channels; D, H, W voxels.
"""

# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator"

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from torch import Tensor

from isthmus.core.seeds import generator
from isthmus.model.kernels.compiled import compiled
from isthmus.model.kernels.threads import share

_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
"""Of PCG64's linear congruence modulo 2^128."""

_LOW, _ALL = (1 << 64) - 1, (1 << 128) - 1
_VALUES_A_DRAW = 4
_PIECE = 1 << 17
"""Values that a thread takes at a time; a multiple of the block that `_draw` makes at once."""

Words = npt.NDArray[np.uint64]


def draw_kept(
    keys: Sequence[int], layer: int, n_dropped_levels: int, shape: Sequence[int]
) -> Tensor:
    """Draw which values are kept, for each subject.

    Parameters
    ----------
    keys : sequence of int
        One a subject.
    layer : int
        Number of the layer.
    n_dropped_levels : int
        A value is dropped when its 16 random bits lie below this.
    shape : sequence of int
        Of one subject's values.

    Returns
    -------
    Tensor of bool (B, *shape)
        On the CPU: what ``generator(key, "dropout", layer).bytes`` gives, two bytes a value, lower
        one first.
    """
    kept = torch.empty(len(keys), *shape, dtype=torch.bool, device="cpu")
    n_values = kept[0].numel()
    flat_BN = kept.view(torch.uint8).view(len(keys), n_values).numpy()
    threshold = np.uint16(n_dropped_levels)
    pieces = [
        (_start(key, layer, first), flat_N[first : first + _PIECE])
        for key, flat_N in zip(keys, flat_BN, strict=True)
        for first in range(0, n_values, _PIECE)
    ]

    def draw(begin: int, end: int) -> None:
        for (states, stride), out in pieces[begin:end]:
            _draw(states, stride, threshold, out)

    share(len(pieces), draw)
    return kept


def scale_kept(x: Tensor, kept: Tensor, scale: float) -> Tensor:
    """Multiply the values that are kept by a number, and the others by zero.

    Parameters
    ----------
    x : Tensor (B, C, D, H, W)
        Values.
    kept : Tensor of bool
        Of the same shape, on the same device.
    scale : float
        Of the kept ones.

    Returns
    -------
    Tensor
        New; of x's shape and type.
    """
    own = x.dtype in (torch.float32, torch.float64) and x.device.type == "cpu"
    if not (own and x.is_contiguous() and kept.is_contiguous()):
        return (x * kept).mul_(scale)
    y = torch.empty_like(x)
    values, flags = x.detach().view(-1).numpy(), kept.view(torch.uint8).view(-1).numpy()
    scaled, factor = y.view(-1).numpy(), values.dtype.type(scale)

    def multiply(begin: int, end: int) -> None:
        part = slice(begin * _PIECE, end * _PIECE)
        _scale(values[part], flags[part], factor, scaled[part])

    share(-(-x.numel() // _PIECE), multiply)
    return y


def _start(key: int, layer: int, first: int) -> tuple[Words, Words]:
    """Return four neighbouring states of a stream, and what takes each four steps on."""
    bits: Any = generator(key, "dropout", layer).bit_generator
    if first:
        bits.advance(first // _VALUES_A_DRAW)
    state, step = bits.state["state"]["state"], bits.state["state"]["inc"]
    states = []
    for _ in range(4):
        state = (state * _MULTIPLIER + step) & _ALL
        states.append((state >> 64, state & _LOW))
    squared = _MULTIPLIER * _MULTIPLIER & _ALL
    factor = squared * squared & _ALL
    added = step * (1 + _MULTIPLIER) * (1 + squared) & _ALL
    stride = (factor >> 64, factor & _LOW, added >> 64, added & _LOW)
    return np.array(states, np.uint64), np.array(stride, np.uint64)


@intrinsic
def _advance(_context, high, low, a_high, a_low, b_high, b_low):
    """Compute a state times a plus b modulo 2^128, each number in two halves."""
    signature = types.UniTuple(types.uint64, 2)(*[types.uint64] * 6)

    def write(context, builder, signature, halves):
        word, half = ir.IntType(128), ir.IntType(64)
        up = ir.Constant(word, 64)

        def joined(high, low):
            return builder.or_(builder.shl(builder.zext(high, word), up), builder.zext(low, word))

        state, a, b = (joined(*halves[i : i + 2]) for i in (0, 2, 4))
        state = builder.add(builder.mul(state, a), b)
        parts = [builder.trunc(builder.lshr(state, up), half), builder.trunc(state, half)]
        return context.make_tuple(builder, signature.return_type, parts)

    return signature, write


@compiled(inline="always")
def _bits(high, low):
    """Give the 64 random bits of a state: both halves mixed, rotated by the topmost six bits."""
    mixed, turn = high ^ low, high >> np.uint64(58)
    return (mixed >> turn) | (mixed << ((np.uint64(64) - turn) & np.uint64(63)))


@compiled()
def _draw(states, stride, threshold, out):
    """Fill a piece of a mask, a block at a time."""
    block = np.empty(256, np.uint64)
    draws = block.view(np.uint16)
    for done in range(0, out.size, draws.size):
        _fill(states, stride, block)
        _compare(draws, threshold, out[done : done + draws.size])


# Loops of their own: in one function they took twice the time.
@compiled()
def _fill(states, stride, block):
    """Draw random bits, and leave the states where the next block begins."""
    a, a_low = states[0]
    b, b_low = states[1]
    c, c_low = states[2]
    d, d_low = states[3]
    f, f_low, s, s_low = stride
    for k in range(0, block.size, 4):
        block[k], block[k + 1] = _bits(a, a_low), _bits(b, b_low)
        block[k + 2], block[k + 3] = _bits(c, c_low), _bits(d, d_low)
        a, a_low = _advance(a, a_low, f, f_low, s, s_low)
        b, b_low = _advance(b, b_low, f, f_low, s, s_low)
        c, c_low = _advance(c, c_low, f, f_low, s, s_low)
        d, d_low = _advance(d, d_low, f, f_low, s, s_low)
    states[0], states[1] = (a, a_low), (b, b_low)
    states[2], states[3] = (c, c_low), (d, d_low)


@compiled()
def _compare(draws, threshold, out):
    """Keep a value whose draw is not below the threshold."""
    for k in range(out.size):
        out[k] = draws[k] >= threshold


@compiled()
def _scale(values, flags, factor, scaled):
    """Multiply by the factor where the flag is 1, by zero where it is 0."""
    for i in range(values.size):
        scaled[i] = values[i] * (flags[i] * factor)
