"""What the benchmarks count and compute themselves, against others' counts."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

pytestmark = pytest.mark.usefixtures("benchmarks")


@pytest.mark.parametrize("wants_dx", [True, False])
@pytest.mark.parametrize(("n_in", "n_out", "groups"), [(3, 5, 1), (4, 4, 4)])
def test_multiply_adds_are_those_that_pytorch_counts(
    n_in: int, n_out: int, groups: int, wants_dx: bool
) -> None:
    networks = importlib.import_module("networks")
    shape = networks.Shape(n_in, n_out, groups, (6, 5, 7), (2, 3, 4), False, wants_dx)
    x = torch.randn(1, n_in, *shape.grid, requires_grad=wants_dx)
    weight = torch.randn(n_out, n_in // groups, *shape.kernel, requires_grad=True)
    (d0, h0, w0), (d1, h1, w1) = shape.padding
    padded = F.pad(x, (w0, w1, h0, h1, d0, d1))
    with FlopCounterMode(display=False) as counter:
        y = F.conv3d(padded, weight, groups=groups)
        forward = counter.get_total_flops()
        assert y.shape[2:] == shape.grid
        y.sum().backward()
    assert shape.passes == 2 + wants_dx
    assert forward == 2 * shape.multiply_adds / shape.passes
    if groups == 1 and not wants_dx:  # with padding apart, the input's gradient has a larger grid
        assert counter.get_total_flops() == 2 * shape.multiply_adds
    elements = x.numel() + y.numel() + weight.numel()
    assert shape.elements_moved == shape.passes * elements


@pytest.mark.parametrize(("preset", "giga"), [("released", 59.2), ("paper", 30.9)])
def test_the_published_networks_have_as_much_to_do_as_documented(preset: str, giga: float) -> None:
    networks = importlib.import_module("networks")
    counted = networks.convolutions(preset, (128, 128, 96))
    forward = sum(n * shape.multiply_adds // shape.passes for shape, n in counted.items())
    assert round(forward / 1e9, 1) == giga
    # Of the images themselves no gradient is wanted: the first convolution of each encoder.
    assert sum(n for shape, n in counted.items() if not shape.wants_dx) == 2


def test_the_peak_is_measured_on_sums_that_are_all_computed() -> None:
    machine = importlib.import_module("machine")
    n_sums, n_lanes, n = machine._N_SUMS, machine._N_LANES, 5
    given = np.linspace(0.5, 1.0, n_sums * n_lanes, dtype=np.float32)
    found = np.zeros(n_sums * n_lanes + 64, np.float32)
    found[: given.size] = given
    machine._multiply_and_add(n, found.ctypes.data)
    factor, sums = given[:n_lanes].astype(np.float64), np.float64(0.0)
    for i in range(n_sums):
        total = given[i * n_lanes : (i + 1) * n_lanes].astype(np.float64)
        for _ in range(n):
            total = total * factor + factor
        sums = sums + total
    np.testing.assert_allclose(found[:n_lanes], sums, rtol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, which tells a process's memory")
def test_memory_that_something_takes_is_seen() -> None:
    machine = importlib.import_module("machine")
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs a kernel that can reset a process's peak memory")
    found = machine.extra_mib(lambda: torch.ones(48 << 18).sum(), torch.device("cpu"))
    assert found is not None
    assert 44 < found < 56


def test_turns_rotate_and_ratios_are_of_rounds() -> None:
    turns = importlib.import_module("turns")
    called: list[str] = []

    def act(name: str, seconds: float) -> object:
        def timed(clock: object) -> list[float]:
            called.append(name)
            return [0.0, seconds, 3 * seconds]

        return timed

    acts = {"a": act("a", 1.0), "b": act("b", 4.0)}
    found = turns.in_turns(acts, 3, torch.device("cpu"))
    assert found == {"a": [[1.0, 2.0]] * 3, "b": [[4.0, 8.0]] * 3}
    order = [name for name, before in zip(called, ["", *called], strict=False) if name != before]
    assert order == ["a", "b", "a", "b"]  # a b, b a, a b: neither is always first
    ratio = turns.Ratio.of([2.0, 9.0, 4.0], [1.0, 3.0, 1.0])
    assert (ratio.median, ratio.lowest, ratio.highest) == (3.0, 2.0, 4.0)


def test_no_limit_can_be_beaten() -> None:
    machine = importlib.import_module("machine")
    limits = machine.Limits(copied_bytes_per_s=10.0, multiply_adds_per_s=4.0)
    assert limits.least_seconds(20.0, 4.0) == 2.0
    assert limits.least_seconds(20.0, 40.0) == 10.0
    assert limits.better(machine.Limits(5.0, 6.0)) == machine.Limits(10.0, 6.0)
