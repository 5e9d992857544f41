"""The innermost loops, written as vector instructions: sums of products kept in registers.

Each is an intrinsic that numba inlines into the loops of `loops.py`. Addresses are integers (of
bytes), offsets count elements. Element type is that of the argument `kind`, whose value is unused.
"""

# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from isthmus.model.kernels.vectors import Writer, constant, written


@intrinsic(prefer_literal=True)
def sum_products(
    typingctx, kind, n_rows, n_vectors, a, a_offsets, b, b_offsets, n, first, y, y_stride, adds
):
    """Compute ``y[r, s] = first[r] + sum_t a[a_offsets[t] + r] * b[b_offsets[t] + s]``.

    r counts `n_rows` rows, `y_stride` apart in y; s counts `n_vectors` vectors of lanes. `n` is
    the number of terms t; `first` 0: start at zero. With `adds`, y's old value is added.
    """
    return written(_write_sum_products, kind, (n_rows, n_vectors), 9)


def _write_sum_products(
    to: Writer,
    n_rows: int,
    n_vectors: int,
    a: Any,
    a_offsets: Any,
    b: Any,
    b_offsets: Any,
    n: Any,
    first: Any,
    y: Any,
    y_stride: Any,
    adds: Any,
) -> None:
    """Write the instructions of `sum_products`."""
    builder = to.builder
    a, b, y = (to.place(address) for address in (a, b, y))
    a_offsets, b_offsets = to.integers(a_offsets), to.integers(b_offsets)
    rows, columns = range(n_rows), range(n_vectors)
    has_first = builder.icmp_signed("!=", first, constant(0))
    start = [to.variable(ir.Constant(to.element, 0.0)) for _ in rows]
    with builder.if_then(has_first):
        for r in rows:
            builder.store(to.element_at(to.place(first), r), start[r])
    totals = []
    for r in rows:
        vector = to.spread(builder.load(start[r]))
        totals.append([to.variable(vector) for _ in columns])
    with cgutils.for_range(builder, n) as loop:
        a_here = to.at(a, to.element_at(a_offsets, loop.index))
        b_here = to.at(b, to.element_at(b_offsets, loop.index))
        factors = [to.spread(to.element_at(a_here, r)) for r in rows]
        for s in columns:
            vector = to.vector_at(b_here, s * to.n_lanes)
            for r in rows:
                to.multiply_add(factors[r], vector, totals[r][s])
    y_rows = [to.at(y, builder.mul(y_stride, constant(r))) for r in rows]
    with builder.if_then(builder.icmp_signed("!=", adds, constant(0))):
        for r in rows:
            for s in columns:
                total = builder.load(totals[r][s])
                before = to.vector_at(y_rows[r], s * to.n_lanes)
                builder.store(builder.fadd(total, before), totals[r][s])
    for r in rows:
        for s in columns:
            to.write_vector(builder.load(totals[r][s]), y_rows[r], s * to.n_lanes)


@intrinsic(prefer_literal=True)
def correlate(
    typingctx,
    kind,
    n_rows,
    n_offsets,
    a,
    a_stride,
    b,
    b_offsets,
    n_runs,
    run_stride,
    n_vectors,
    totals,
):
    """Add ``sum_p a[r, p] * b[b_offsets[t] + p]`` to ``totals[t, r]``.

    r counts `n_rows` rows, `a_stride` apart; t counts `n_offsets` offsets. p goes over `n_runs`
    runs of `n_vectors` vectors of lanes, `run_stride` apart in a and in b.
    """
    return written(_write_correlate, kind, (n_rows, n_offsets), 8)


def _write_correlate(
    to: Writer,
    n_rows: int,
    n_offsets: int,
    a: Any,
    a_stride: Any,
    b: Any,
    b_offsets: Any,
    n_runs: Any,
    run_stride: Any,
    n_vectors: Any,
    totals: Any,
) -> None:
    """Write the instructions of `correlate`."""
    builder = to.builder
    a, b, b_offsets = to.place(a), to.place(b), to.integers(b_offsets)
    rows, offsets = range(n_rows), range(n_offsets)
    nothing = ir.Constant(to.vector, None)
    sums = [[to.variable(nothing) for _ in rows] for _ in offsets]
    a_rows = [to.at(a, builder.mul(a_stride, constant(r))) for r in rows]
    b_moved = [to.at(b, to.element_at(b_offsets, t)) for t in offsets]
    with cgutils.for_range(builder, n_runs) as run:
        start = builder.mul(run.index, run_stride)
        with cgutils.for_range(builder, n_vectors) as loop:
            p = builder.add(start, builder.mul(loop.index, constant(to.n_lanes)))
            left = [to.vector_at(row, p) for row in a_rows]
            for t in offsets:
                right = to.vector_at(b_moved[t], p)
                for r in rows:
                    to.multiply_add(left[r], right, sums[t][r])
    totals = to.place(totals)
    for t in offsets:
        for r in rows:
            place = to.at(totals, t * n_rows + r)
            new = to.sum_of_lanes(builder.load(sums[t][r]))
            builder.store(builder.fadd(builder.load(place), new), place)


@intrinsic(prefer_literal=True)
def copy_run(typingctx, kind, target, target_stride, source, source_stride, n):
    """Copy n elements, each so many elements after the one before."""
    return written(_write_copy_run, kind, (), 5)


def _write_copy_run(
    to: Writer, target: Any, target_stride: Any, source: Any, source_stride: Any, n: Any
) -> None:
    """Write the instructions of `copy_run`."""
    builder = to.builder
    together = builder.and_(
        builder.icmp_signed("==", target_stride, constant(1)),
        builder.icmp_signed("==", source_stride, constant(1)),
    )
    target, source = to.place(target), to.place(source)
    with builder.if_else(together) as (then, otherwise):
        with then:
            n_vectors = builder.sdiv(n, constant(to.n_lanes))
            with cgutils.for_range(builder, n_vectors) as loop:
                at = builder.mul(loop.index, constant(to.n_lanes))
                to.write_vector(to.vector_at(source, at), target, at)
            done = builder.mul(n_vectors, constant(to.n_lanes))
            with cgutils.for_range(builder, builder.sub(n, done)) as loop:
                at = builder.add(done, loop.index)
                builder.store(to.element_at(source, at), to.at(target, at))
        with otherwise, cgutils.for_range(builder, n) as loop:
            value = to.element_at(source, builder.mul(loop.index, source_stride))
            builder.store(value, to.at(target, builder.mul(loop.index, target_stride)))


@intrinsic(prefer_literal=True)
def clear(typingctx, kind, target, n):
    """Set n elements to zero."""
    return written(_write_clear, kind, (), 2)


def _write_clear(to: Writer, target: Any, n: Any) -> None:
    """Write the instructions of `clear`."""
    size = to.builder.mul(n, constant(to.size))
    place = to.builder.inttoptr(target, cgutils.voidptr_t)
    cgutils.memset(to.builder, place, size, 0)


@intrinsic
def not_inlined(typingctx):
    """Keep the function that calls this apart from its callers: it is compiled once."""

    def codegen(context, builder, signature, arguments):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen
