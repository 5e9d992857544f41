"""Loops of a unit's second half: normalise, activate and drop in one pass over a map, and back.

Maps are (rows, voxels), a row for each subject and channel. What normalisation does is, for each
row, a scale and a shift. Tasks are pieces of rows; a piece's sums have a place of their own, so
that any number of threads finds the same.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from isthmus.model.kernels.compiled import compiled

PIECE = 1 << 14
"""Voxels that one task passes over."""

ELU, LEAKY_RELU = 0, 1
"""Activations: exp(u) - 1, and slope times u, for u below 0; u above."""

_PER_LN2 = np.float32(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_LOWEST = np.float32(-87.0)
_C2, _C3, _C4, _C5, _C6, _C7 = (
    np.float32(1.0 / factorial) for factorial in (2, 6, 24, 120, 720, 5040)
)
_ONE, _ZERO = np.float32(1.0), np.float32(0.0)


@intrinsic
def _power_of_two(typingctx, n):
    """Compute 2 to an integer power in [-126, 127], by writing its exponent."""

    def codegen(context, builder, signature, arguments):
        exponent = builder.shl(
            builder.add(arguments[0], ir.Constant(ir.IntType(32), 127)),
            ir.Constant(ir.IntType(32), 23),
        )
        return builder.bitcast(exponent, ir.FloatType())

    return types.float32(types.int32), codegen


@compiled(inline="always")
def _expm1(t):
    """Compute exp(t) - 1 for t <= 0, to 2 units in the last place: Taylor's series within ln 2."""
    t = max(t, _LOWEST)
    n = np.rint(t * _PER_LN2)
    r = t - n * _LN2_HIGH - n * _LN2_LOW
    series = r * (_C2 + r * (_C3 + r * (_C4 + r * (_C5 + r * (_C6 + r * _C7)))))
    power = _power_of_two(np.int32(n))
    return power * (r + r * series) + (power - _ONE)


@compiled(fastmath={"reassoc", "nsz"})
def moment_tasks(x, sums, first, last):
    """Add up the values and their squares."""
    n_pieces = sums.shape[1]
    for task in range(first, last):
        row, piece = divmod(task, n_pieces)
        values = x[row, piece * PIECE : (piece + 1) * PIECE]
        total, squares = 0.0, 0.0
        for i in range(values.size):
            value = np.float64(values[i])
            total += value
            squares += value * value
        sums[row, piece, 0], sums[row, piece, 1] = total, squares


@compiled()
def unit_tasks(x, scales, shifts, activation, slope, kept, factor, y, first, last):
    """Normalise, activate and drop; `kept` of no rows: nothing is dropped."""
    n_pieces = (x.shape[1] + PIECE - 1) // PIECE
    for task in range(first, last):
        row, piece = divmod(task, n_pieces)
        here = slice(piece * PIECE, min((piece + 1) * PIECE, x.shape[1]))
        values, result = x[row, here], y[row, here]
        scale, shift = scales[row], shifts[row]
        if activation == ELU:
            for i in range(values.size):
                u = values[i] * scale + shift
                below = _expm1(min(u, _ZERO))
                result[i] = below if u <= _ZERO else u  # what is not a number stays so
        else:
            for i in range(values.size):
                u = values[i] * scale + shift
                result[i] = u if u > _ZERO else slope * u
        if kept.shape[0] > 0:
            stays = kept[row, here]
            for i in range(values.size):
                result[i] = result[i] * factor if stays[i] else _ZERO


@compiled()
def slope_tasks(x, scales, shifts, activation, slope, kept, factor, dy, g, sums, first, last):
    """Write the gradient before activation, and add it up alone and times the values."""
    n_pieces = sums.shape[1]
    for task in range(first, last):
        row, piece = divmod(task, n_pieces)
        here = slice(piece * PIECE, min((piece + 1) * PIECE, x.shape[1]))
        values, given, result = x[row, here], dy[row, here], g[row, here]
        scale, shift = scales[row], shifts[row]
        if activation == ELU:
            for i in range(values.size):
                u = values[i] * scale + shift
                rise = _expm1(min(u, _ZERO)) + _ONE
                result[i] = given[i] * rise
        else:
            for i in range(values.size):
                u = values[i] * scale + shift
                result[i] = given[i] if u > _ZERO else slope * given[i]
        if kept.shape[0] > 0:
            stays = kept[row, here]
            for i in range(values.size):
                result[i] = result[i] * factor if stays[i] else _ZERO
        sums[row, piece, 0], sums[row, piece, 1] = _sum_of_products(values, result)


@compiled(fastmath={"reassoc", "nsz"})
def _sum_of_products(values, gradients):
    """Add up gradients, and gradients times values."""
    total, product = 0.0, 0.0
    for i in range(values.size):
        gradient = np.float64(gradients[i])
        total += gradient
        product += gradient * np.float64(values[i])
    return total, product


@compiled()
def input_tasks(x, g, of_gradient, of_value, constants, first, last):
    """Turn the gradient before activation into the map's, in place."""
    n_pieces = (x.shape[1] + PIECE - 1) // PIECE
    for task in range(first, last):
        row, piece = divmod(task, n_pieces)
        here = slice(piece * PIECE, min((piece + 1) * PIECE, x.shape[1]))
        values, gradients = x[row, here], g[row, here]
        a, b, c = of_gradient[row], of_value[row], constants[row]
        for i in range(values.size):
            gradients[i] = gradients[i] * a + (values[i] * b + c)


@compiled()
def scales_of(sums, n_channels, per_group, over_batch, n_voxels, weight, bias, epsilon, out, stats):
    """Turn moments into each row's scale and shift, and each row's mean and 1 / deviation.

    Rows of a group are normalised together: `per_group` channels of one subject, or, with
    `over_batch`, one channel of all subjects.
    """
    n_rows = sums.shape[0]
    for row in range(n_rows):
        total, squares, n = 0.0, 0.0, 0
        first, step, count = _group(row, n_rows, n_channels, per_group, over_batch)
        for k in range(count):
            for piece in range(sums.shape[1]):
                total += sums[first + k * step, piece, 0]
                squares += sums[first + k * step, piece, 1]
            n += n_voxels
        mean = total / n
        variance = max(squares / n - mean * mean, 0.0)
        per_deviation = 1.0 / np.sqrt(variance + epsilon)
        channel = row % n_channels
        out[0, row] = weight[channel] * per_deviation
        out[1, row] = bias[channel] - mean * weight[channel] * per_deviation
        stats[0, row], stats[1, row], stats[2, row] = mean, per_deviation, variance


@compiled()
def gradients_of(
    sums, stats, n_channels, per_group, over_batch, n_voxels, weight, d_weight, d_bias, out
):
    """Turn sums of gradients into those of weight and bias, and what `input_tasks` needs.

    With xhat = (x - mean) r, the gradient of x is r (w g - m1 - xhat m2): m1 and m2 are the means
    over the group of w g and of w g xhat.
    """
    n_rows = sums.shape[0]
    alone, scaled = np.zeros(n_rows), np.zeros(n_rows)
    for row in range(n_rows):
        total, product = 0.0, 0.0
        for piece in range(sums.shape[1]):
            total += sums[row, piece, 0]
            product += sums[row, piece, 1]
        alone[row] = total
        scaled[row] = (product - stats[0, row] * total) * stats[1, row]
        channel = row % n_channels
        d_bias[channel] += alone[row]
        d_weight[channel] += scaled[row]
    for row in range(n_rows):
        m1, m2 = 0.0, 0.0
        first, step, count = _group(row, n_rows, n_channels, per_group, over_batch)
        for k in range(count):
            other = first + k * step
            w = weight[other % n_channels]
            m1 += w * alone[other]
            m2 += w * scaled[other]
        m1, m2 = m1 / (count * n_voxels), m2 / (count * n_voxels)
        mean, r = stats[0, row], stats[1, row]
        out[0, row] = weight[row % n_channels] * r
        out[1, row] = -r * r * m2
        out[2, row] = r * (r * m2 * mean - m1)


@compiled()
def _group(row, n_rows, n_channels, per_group, over_batch):
    """Say which rows are normalised with one: the first, how far apart, how many."""
    if over_batch:
        return row % n_channels, n_channels, n_rows // n_channels
    return row // per_group * per_group, 1, per_group
