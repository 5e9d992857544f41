"""What this machine can do at best, and what of it was to be had: limits, memory, neighbours.

The limits are measured in the run whose times are compared with them. *Copy rate*: bytes read plus
bytes written by a copy of a tensor too large for the caches, on all threads. *Peak*: multiply-adds
of independent sums in vector registers, on all threads at once; on a GPU, those of a product of
float32 matrices without tensor cores, which the kernels do not use either.
"""

import ctypes
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import psutil
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from isthmus.model.kernels.lanes import VECTOR_BYTES
from isthmus.trial.provenance import describe_machine

BUSY = 0.05
"""Share of the processors that other processes may take before a warning."""

_N_LANES = VECTOR_BYTES // 4
_N_SUMS = 12  # enough to hide an addition's latency, few enough for 16 registers
_COPIED_ELEMENTS = {"cpu": 1 << 26, "cuda": 1 << 28}
_MATRIX_EDGE = 8192


@dataclass(frozen=True)
class Limits:
    """What a device can do at best.

    Attributes
    ----------
    copied_bytes_per_s : float
        Bytes read plus bytes written.
    multiply_adds_per_s : float
        In float32; each is two operations.
    """

    copied_bytes_per_s: float
    multiply_adds_per_s: float

    def least_seconds(self, n_bytes: float, n_multiply_adds: float) -> float:
        """Return the time that neither of the limits can be beaten in."""
        moving = n_bytes / self.copied_bytes_per_s
        return max(moving, n_multiply_adds / self.multiply_adds_per_s)

    def better(self, other: "Limits") -> "Limits":
        """Join two measurements: a limit is what was ever reached."""
        return Limits(
            max(self.copied_bytes_per_s, other.copied_bytes_per_s),
            max(self.multiply_adds_per_s, other.multiply_adds_per_s),
        )

    def described(self) -> str:
        """Say what they are."""
        return (
            f"Limits measured in this run: {2e-9 * self.multiply_adds_per_s:,.0f} GFLOP/s (a "
            f"multiply-add is two), copies at {1e-9 * self.copied_bytes_per_s:,.1f} GB/s (read + "
            "written)."
        )


def measure_limits(device: torch.device) -> Limits:
    """Measure both limits of a device, with PyTorch's number of threads; the best of several."""
    source = torch.ones(_COPIED_ELEMENTS[device.type], device=device)
    target = torch.empty_like(source)
    copying = _least_seconds(lambda: target.copy_(source), device)
    products = _gpu_products if device.type == "cuda" else _cpu_products
    return Limits(2 * source.nbytes / copying, products(device))


def _gpu_products(device: torch.device) -> float:
    """Measure the multiply-adds a second of a product of matrices, without tensor cores."""
    a = torch.rand(_MATRIX_EDGE, _MATRIX_EDGE, device=device)
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        return _MATRIX_EDGE**3 / _least_seconds(lambda: a @ a, device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _cpu_products(_device: torch.device) -> float:
    """Measure the multiply-adds a second of all threads at once."""
    n_threads, n = torch.get_num_threads(), 4_000_000
    kept = np.zeros((n_threads, 1024), np.float32)

    def work(thread: int) -> None:
        _multiply_and_add(n, kept[thread].ctypes.data)

    with ThreadPoolExecutor(n_threads) as pool:
        seconds = _least_seconds(lambda: list(pool.map(work, range(n_threads))), repeats=30)
    return n_threads * n * _N_SUMS * _N_LANES / seconds


@intrinsic
def _sums_in_registers(typingctx, n, address):  # type: ignore[no-untyped-def]
    """Add products to `_N_SUMS` vectors n times, and write their sum at an address."""

    def codegen(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        times, where = arguments
        vector = ir.VectorType(ir.FloatType(), _N_LANES)
        place = builder.inttoptr(where, vector.as_pointer())
        factor = builder.load(place, align=4)  # read, so that nothing is known of it beforehand
        kind = ir.FunctionType(vector, [vector] * 3)
        fma = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{_N_LANES}f32")
        starts = [builder.gep(place, [ir.Constant(ir.IntType(64), i)]) for i in range(_N_SUMS)]
        # Read one by one: of sums that are known to be equal, the compiler keeps one.
        sums = [cgutils.alloca_once_value(builder, builder.load(s, align=4)) for s in starts]
        with cgutils.for_range(builder, times):
            for total in sums:
                builder.store(builder.call(fma, [builder.load(total), factor, factor]), total)
        whole = builder.load(sums[0])
        for total in sums[1:]:
            whole = builder.fadd(whole, builder.load(total))
        builder.store(whole, place, align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@numba.njit(nogil=True)
def _multiply_and_add(n, address):  # type: ignore[no-untyped-def]
    """Compile `_sums_in_registers`."""
    _sums_in_registers(n, address)


def _least_seconds(
    act: Callable[[], object], device: torch.device | None = None, repeats: int = 7
) -> float:
    """Time something some times, after once more; return the shortest."""
    seconds = []
    for _ in range(1 + repeats):
        synchronise(device)
        started = time.perf_counter()
        act()
        synchronise(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def synchronise(device: torch.device | None) -> None:
    """Wait for a GPU, if it is one."""
    if device is not None and device.type == "cuda":
        torch.cuda.synchronize(device)


def described(device: torch.device, n_threads: int) -> str:
    """Name the machine and the software in one line."""
    computing = f"{n_threads} thread{'s' * (n_threads > 1)}"
    if device.type == "cuda":
        computing = torch.cuda.get_device_name(device)
    return (
        f"{describe_machine()}, {computing}, Python {platform.python_version()}, "
        f"torch {torch.__version__}."
    )


class Neighbours:
    """How much of the processors other processes take while something is measured."""

    def __init__(self) -> None:
        share = psutil.cpu_percent(0.4) / 100
        if share > BUSY:
            print(
                f"Warning: other processes take {share:.0%} of this machine's processors. Ratios "
                "taken in turns suffer less than seconds, but threads that wait for each other "
                "suffer most: measure on a quiet machine.",
                file=sys.stderr,
            )
        self._before = _processor_seconds()

    def share(self) -> float:
        """Return others' share of the processors' time since then; children must have ended."""
        now = _processor_seconds()
        wall, busy, own = (b - a for a, b in zip(self._before, now, strict=True))
        return max(0.0, busy - own) / (wall * (os.cpu_count() or 1))

    def described(self) -> str:
        """Say how much that was, loudly if it was much."""
        share = self.share()
        if share <= BUSY:
            return f"Other processes took {share:.1%} of the processors."
        return (
            f"**Busy machine**: other processes took {share:.0%} of the processors; these numbers "
            "are not to be quoted."
        )


def _processor_seconds() -> tuple[float, float, float]:
    """Return the clock, all processors' busy seconds and those of this process and its children."""
    spent = psutil.cpu_times()._asdict()
    resting = ("idle", "iowait", "guest", "guest_nice")  # a guest's time is in "user" already
    busy = sum(seconds for name, seconds in spent.items() if name not in resting)
    return time.perf_counter(), busy, sum(os.times()[:4])


def peak_mib(device: torch.device | None = None) -> float:
    """Return the largest memory this process has had: resident, or of a GPU what was allocated."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / (1 << 20)
    status = Path("/proc/self/status")
    if status.exists():  # `ru_maxrss` has the parent's memory in it
        return _status_kib("VmHWM") / (1 << 10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def extra_mib(act: Callable[[], object], device: torch.device) -> float | None:
    """Return by how much memory grows while something runs; none where that cannot be known.

    On the CPU freed memory must not be kept (`keep_freed_memory`): what is kept would be reused
    unseen.
    """
    act()  # compiles, and fills what is kept for good
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) / (1 << 20)
        act()
        return peak_mib(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    except (OSError, AttributeError, TypeError):
        return None
    before = _status_kib("VmRSS")
    act()
    return max(0.0, _status_kib("VmHWM") - before) / (1 << 10)


def _status_kib(name: str) -> float:
    """Read a number of this process from Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
