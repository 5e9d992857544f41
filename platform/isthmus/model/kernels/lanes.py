"""The vector registers of this processor, as the compiler sees them."""

import platform

from llvmlite import binding


def _vector_bytes() -> int:
    """Return the width of the widest vector register that floating-point sums are done in."""
    features = binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64
    return 32 if features.get("avx2") and features.get("fma") else 16


VECTOR_BYTES = _vector_bytes()
"""Bytes of a vector: 64 with AVX-512, 32 with AVX2, 16 otherwise (SSE, Neon)."""

MANY_REGISTERS = VECTOR_BYTES == 64 or platform.machine().lower() in ("aarch64", "arm64")
"""Whether there are 32 vector registers; otherwise there are 16."""
