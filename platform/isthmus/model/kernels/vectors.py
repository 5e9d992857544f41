"""Writing vector instructions for numba, element types and lanes aside."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from isthmus.model.kernels.lanes import VECTOR_BYTES

INDEX = ir.IntType(64)
_ELEMENTS: dict[Any, tuple[ir.Type, str, int]] = {
    types.float32: (ir.FloatType(), "f32", 4),
    types.float64: (ir.DoubleType(), "f64", 8),
}


class Writer:
    """Writes instructions on elements and vectors of one type."""

    def __init__(self, builder: ir.IRBuilder, kind: Any) -> None:
        self.builder = builder
        self.element, suffix, size = _ELEMENTS[kind]
        self.n_lanes = VECTOR_BYTES // size
        self.size = size
        self.vector = ir.VectorType(self.element, self.n_lanes)
        self.name = f"v{self.n_lanes}{suffix}"

    def place(self, address: ir.Value) -> ir.Value:
        """Turn an address in bytes into a pointer to elements."""
        return self.builder.inttoptr(address, self.element.as_pointer())

    def integers(self, address: ir.Value) -> ir.Value:
        """Turn an address in bytes into a pointer to 64-bit integers."""
        return self.builder.inttoptr(address, INDEX.as_pointer())

    def at(self, pointer: ir.Value, offset: ir.Value | int) -> ir.Value:
        """Move a pointer by an offset."""
        return self.builder.gep(pointer, [constant(offset)])

    def element_at(self, pointer: ir.Value, offset: ir.Value | int) -> ir.Value:
        """Read one element."""
        return self.builder.load(self.at(pointer, offset))

    def spread(self, value: ir.Value) -> ir.Value:
        """Fill a vector with one value."""
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), self.n_lanes), [0] * self.n_lanes)
        return self.builder.shuffle_vector(first, nothing, lanes)

    def vector_at(self, pointer: ir.Value, offset: ir.Value | int) -> ir.Value:
        """Read a vector, from any address."""
        place = self.builder.bitcast(self.at(pointer, offset), self.vector.as_pointer())
        return self.builder.load(place, align=self.size)

    def write_vector(self, value: ir.Value, pointer: ir.Value, offset: ir.Value | int) -> None:
        """Write a vector, to any address."""
        place = self.builder.bitcast(self.at(pointer, offset), self.vector.as_pointer())
        self.builder.store(value, place, align=self.size)

    def multiply_add(self, a: ir.Value, b: ir.Value, total: ir.Value) -> None:
        """Add a product, rounded once, to a total that is held in a variable."""
        kind = ir.FunctionType(self.vector, [self.vector] * 3)
        fma = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.fma.{self.name}")
        self.builder.store(self.builder.call(fma, [a, b, self.builder.load(total)]), total)

    def variable(self, value: ir.Value) -> ir.Value:
        """Hold a value in a variable, which the compiler keeps in a register."""
        place = cgutils.alloca_once(self.builder, value.type)
        self.builder.store(value, place)
        return place

    def sum_of_lanes(self, vector: ir.Value) -> ir.Value:
        """Add up the lanes of a vector, pairwise."""
        kind = ir.FunctionType(self.element, [self.element, self.vector])
        name = f"llvm.vector.reduce.fadd.{self.name}"
        add = cgutils.get_or_insert_function(self.builder.module, kind, name)
        start = ir.Constant(self.element, -0.0)
        return self.builder.call(add, [start, vector], fastmath=("reassoc",))


def constant(value: ir.Value | int) -> ir.Value:
    """Make a number written here a number of the program.

    Parameters
    ----------
    value : ir.Value or int
        A number of the program is left as it is.

    Returns
    -------
    ir.Value
        A 64-bit integer.
    """
    return ir.Constant(INDEX, value) if isinstance(value, int) else value


def written(
    write: Callable[..., None], kind: Any, constants: tuple[Any, ...], n_integers: int
) -> tuple[Any, Any] | None:
    """Make an intrinsic's signature, and the function that writes its instructions.

    Parameters
    ----------
    write : callable
        Given a `Writer`, the constants and the integers, writes the instructions.
    kind : numba type
        Of the elements.
    constants : tuple of numba types
        Literal integers: sizes that the instructions are written for.
    n_integers : int
        Arguments that follow, integers of 64 bits.

    Returns
    -------
    tuple or None
        Signature and function, as `numba.extending.intrinsic` wants them; None where a constant is
        not a literal.
    """
    if not all(isinstance(value, types.IntegerLiteral) for value in constants):
        return None
    sizes = [value.literal_value for value in constants]
    signature = types.void(kind, *constants, *[types.int64] * n_integers)

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        values = arguments[1 + len(sizes) :]
        write(Writer(builder, kind), *sizes, *values)
        return context.get_dummy_value()

    return signature, codegen
