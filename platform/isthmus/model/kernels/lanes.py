"""The vector registers of the processor that numba compiles for: this one, unless it is told."""

import platform

from numba.core.registry import cpu_target

_ARM = platform.machine().lower() in ("aarch64", "arm64")


def _features() -> frozenset[str]:
    """List what that processor has, `NUMBA_CPU_FEATURES` and `NUMBA_ENABLE_AVX` heeded."""
    _triple, _name, features = cpu_target.target_context.codegen().magic_tuple()
    return frozenset(name[1:] for name in features.split(",") if name.startswith("+"))


def _vector_bytes(features: frozenset[str]) -> int:
    """Return the width of the widest vector register that floating-point sums are done in."""
    if "avx512f" in features:
        return 64
    return 32 if {"avx2", "fma"} <= features else 16


VECTOR_BYTES = _vector_bytes(_features())
"""Bytes of a vector: 64 with AVX-512, 32 with AVX2, 16 otherwise (SSE, Neon)."""

MANY_REGISTERS = VECTOR_BYTES == 64 or _ARM
"""Whether there are 32 vector registers; otherwise there are 16."""

MULTIPLIES_AND_ADDS = _ARM or bool({"fma", "avx512f"} & _features())
"""Whether one instruction does both; without it the kernels are slow."""
