"""What the Triton programs must hold, run in a process of its own by `test_triton_depthwise.py`.

Whether Triton interprets or compiles is decided when it is imported. The argument says what to
do: `check DEVICE` compares with PyTorch in float64, `compile` builds the programs for a GPU that
need not be there.
"""

import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import torch
import torch.nn.functional as F
from torch import Tensor

from isthmus.model.kernels import triton_depthwise
from isthmus.model.kernels.triton_depthwise import (
    depthwise_forward,
    depthwise_input_gradient,
    depthwise_weight_gradient,
)

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Case:
    """One convolution."""

    kernel: Triple
    before: Triple
    grid: Triple
    out_grid: Triple
    stride: Triple = (1, 1, 1)
    n_batch: int = 1
    n_channels: int = 1
    multiplier: int = 1
    dtype: torch.dtype = torch.float32
    bias: bool = True


CASES = {
    "odd": Case((3, 3, 3), (1, 1, 1), (4, 5, 7), (4, 5, 7), n_batch=2),
    "even": Case((2, 4, 5), (0, 1, 2), (3, 4, 8), (3, 4, 8), n_channels=2, bias=False),
    "kernel larger than the map": Case((5, 6, 5), (2, 2, 2), (2, 2, 1), (2, 2, 1)),
    "edge 7, all zeros in front": Case((1, 1, 7), (0, 0, 6), (2, 2, 9), (2, 2, 9)),
    "nothing in front": Case((7, 2, 1), (0, 0, 0), (8, 3, 3), (2, 2, 3)),
    "more zeros than the kernel": Case((1, 2, 2), (0, 3, 3), (1, 4, 4), (1, 8, 9)),
    "stride 2, two outputs": Case(
        (3, 2, 3), (1, 0, 1), (3, 4, 5), (2, 2, 3), (2, 2, 2), n_channels=2, multiplier=2
    ),
    "multiplier": Case((1, 3, 2), (0, 1, 0), (2, 3, 4), (2, 3, 4), n_channels=2, multiplier=2),
    "stride 2 that leaves voxels out": Case((1, 1, 1), (0, 0, 0), (3, 4, 5), (2, 2, 3), (2, 2, 2)),
    "stride along some axes": Case((2, 1, 4), (1, 0, 1), (4, 3, 9), (4, 3, 5), (1, 1, 2)),
    "whole vectors": Case(
        (2, 3, 3), (1, 1, 1), (3, 3, 16), (3, 3, 16), n_batch=2, dtype=torch.bfloat16
    ),
    "whole vectors at stride 2": Case(
        (1, 3, 3), (0, 1, 1), (2, 4, 16), (1, 2, 8), (2, 2, 2), dtype=torch.float16
    ),
    "broken vectors": Case((3, 1, 2), (1, 0, 0), (2, 3, 11), (2, 3, 11), dtype=torch.float16),
    "many tiles": Case((2, 1, 2), (0, 0, 1), (11, 40, 16), (11, 40, 16), bias=False),
    "many channels": Case((1, 2, 1), (0, 1, 0), (2, 3, 2), (2, 3, 2), n_channels=66),
}
FORMATS = (torch.contiguous_format, torch.channels_last_3d)
OUTPUT_BOUNDS = {
    torch.float32: 1e-6,
    torch.float16: 2.0**-11 + 1e-6,
    torch.bfloat16: 2.0**-8 + 1e-6,
}


def check(case: Case, memory_format: torch.memory_format, device: str) -> dict[str, float]:
    """Compute on the device and return how many times each error is what it may be."""
    generator = torch.Generator().manual_seed(crc32(repr(case).encode()))

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, case.dtype)

    n_out = case.n_channels * case.multiplier
    x = drawn(case.n_batch, case.n_channels, *case.grid).contiguous(memory_format=memory_format)
    dy = drawn(case.n_batch, n_out, *case.out_grid).contiguous(memory_format=memory_format)
    weight, bias = drawn(n_out, 1, *case.kernel), drawn(n_out) if case.bias else None
    y = depthwise_forward(x, weight, bias, case.before, case.out_grid, case.stride)
    dx = depthwise_input_gradient(dy, weight, x.shape, case.before, case.stride)
    dw = depthwise_weight_gradient(dy, x, weight.shape, case.before, case.stride)
    if device != "cpu":  # the interpreter has one order only
        again = depthwise_weight_gradient(dy, x, weight.shape, case.before, case.stride)
        assert torch.equal(dw, again), "the weight gradient is deterministic"
    assert y.dtype == dx.dtype == case.dtype
    assert y.is_contiguous(memory_format=memory_format), "the output keeps the input's format"
    assert dx.is_contiguous(memory_format=memory_format)
    bound = OUTPUT_BOUNDS[case.dtype]
    if device == "cpu" and case.dtype == torch.bfloat16:
        bound *= 2  # the interpreter cuts bits off where a GPU rounds
    expected_y, expected_dx, expected_dw = _reference(case, x, weight, bias, dy)
    return {
        "values": _error(y, expected_y) / bound,
        "input gradient": _error(dx, expected_dx) / bound,
        "weight gradient": _error(dw, expected_dw) / 1e-6,
    }


def _reference(
    case: Case, x: Tensor, weight: Tensor, bias: Tensor | None, dy: Tensor
) -> tuple[Tensor, ...]:
    """Convolve in float64 with PyTorch."""
    x, weight = (given.detach().cpu().double().requires_grad_() for given in (x, weight))
    around = []
    for axis in (2, 1, 0):
        reach = (case.out_grid[axis] - 1) * case.stride[axis] + case.kernel[axis]
        around += [case.before[axis], reach - case.before[axis] - case.grid[axis]]
    y = F.conv3d(
        F.pad(x, around), weight, None if bias is None else bias.cpu().double(),
        stride=case.stride, groups=case.n_channels,
    )  # fmt: skip
    return (y.detach(), *torch.autograd.grad(y, (x, weight), dy.cpu().double()))


def _error(found: Tensor, expected: Tensor) -> float:
    """Return the largest error by the largest number; NaN is an infinite error."""
    error = (found.cpu().double() - expected).abs().max() / expected.abs().max().clamp_min(1e-30)
    return float(error.nan_to_num(nan=float("inf")))


def check_all(device: str) -> int:
    """Print what fails; return how much."""
    torch.use_deterministic_algorithms(True)  # and with it, new memory is filled with NaN
    assert torch.empty(3, device=device).isnan().all()
    assert triton_depthwise.unavailable(torch.device(device)) is None
    failed = done = 0
    for name, case in CASES.items():
        for memory_format in FORMATS[case.n_channels > 64 :]:  # blocks of channels: in the last
            if memory_format == torch.channels_last_3d and case.n_channels == 1:
                case = replace(case, n_channels=2)  # one channel lies the same way in both
            errors = check(case, memory_format, device)
            wrong = {what: error for what, error in errors.items() if not error <= 1.0}
            if wrong:
                print(f"{name}, {memory_format}: times the bound: {wrong}")
            failed += len(wrong)
            done += 1
    strided = torch.randn(2, 4, 3, 4, 10, device=device)[:, ::2, :, :, ::2]
    weight = torch.randn(2, 1, 1, 2, 3, device=device)
    found = depthwise_forward(strided, weight, None, (0, 0, 1), (3, 4, 5))
    dense = depthwise_forward(strided.contiguous(), weight, None, (0, 0, 1), (3, 4, 5))
    failed += not torch.equal(found, dense)
    print(f"checked {done}")
    return failed


class _NoLaunch:
    """Stands for a program: compiles it for what it is called with and launches nothing."""

    def __init__(self, program: Any, built: list[Any], **settings: int) -> None:
        self.program, self.built, self.settings = program, built, settings

    def __getitem__(self, grid: object) -> Any:
        def build(*args: Any, **settings: Any) -> None:
            settings = {**self.settings, **settings}
            self.built.append(self.program.warmup(*args, grid=(1,), **settings))

        return build


def compile_all() -> int:
    """Build the programs for compute capability 9.0 and look at what came out."""
    import triton
    from triton.backends.compiler import GPUTarget

    from isthmus.model.kernels import triton_programs as programs

    assert triton_depthwise.unavailable(torch.device("cpu")) is not None
    driver: Any = SimpleNamespace(
        get_current_target=lambda: GPUTarget("cuda", 90, 32),
        get_current_device=lambda: 0,
        get_current_stream=lambda device=0: 0,
    )
    triton.runtime.driver.set_active(driver)
    built: list[Any] = []
    programs.convolve = _NoLaunch(programs.untuned_convolve, built, WIDEN=1, SHARE=1, num_warps=4)
    programs.correlate = _NoLaunch(programs.correlate, built)
    for memory_format in FORMATS:
        x = torch.empty((2, 16, 32, 32, 24), dtype=torch.bfloat16, memory_format=memory_format)
        weight, before = torch.empty((16, 1, 3, 3, 3), dtype=torch.bfloat16), (1, 1, 1)
        depthwise_forward(x, weight, None, before, (32, 32, 24))
        depthwise_weight_gradient(x, x, weight.shape, before)
    packed_forward, packed_gradient, forward, _ = built
    assert all(program.asm["cubin"] for program in built)
    # Rows of voxels that lie together are read and written as vectors of 16 bytes, and no
    # register goes through shared memory on the way.
    assert "ld.global.v4" in packed_forward.asm["ptx"]
    assert "st.global.v4" in packed_forward.asm["ptx"]
    assert "ld.global.v4" in packed_gradient.asm["ptx"]
    assert packed_forward.metadata.shared == 0
    assert forward.metadata.shared == 0
    print(f"compiled {len(built)}")
    return 0


if __name__ == "__main__":
    sys.exit(check_all(sys.argv[2]) if sys.argv[1] == "check" else compile_all())
