"""Convolutions against PyTorch's, forward and backward, and against what the machine could do.

In turns, in one run: the project's kernels, PyTorch's convolution (`model.kernels: torch`: padding
where an edge is even, then `conv3d`) on contiguous maps, which are its default, and on maps with
channels last. Beside the times: the multiply-adds a second, as a share of the peak, the bytes that
must move (forward, input gradient and kernel gradient read and write their maps once each) as a
share of the copy rate, both measured in the same run, and by how much memory grows. Maps that stay
in a cache move faster than memory copies: such a share may exceed 100 %.

    python benchmarks/convolution.py                         # quick
    python benchmarks/convolution.py --full --json convolution.json
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from machine import Limits, Neighbours, described, extra_mib, markdown, measure_limits
from networks import Shape, convolutions, edge, edges
from turns import Clock, Ratio, in_turns

from isthmus.core.files import write_text
from isthmus.model.kernels.choice import Kernels, convolve
from isthmus.model.kernels.problem import Triple
from isthmus.training.memory import keep_freed_memory

CPU, GPU = torch.device("cpu"), torch.device("cuda")
TITLES = {
    "kernel3": "Depthwise, kernel 3",
    "paper": "Depthwise, as `paper` has them at",
    "released": "Standard, as `released` has them at",
    "gpu": "Depthwise in bfloat16 on the GPU",
}
NAMES = {
    "isthmus": "isthmus",
    "isthmus_last": "isthmus, channels last",
    "torch": "PyTorch, contiguous",
    "torch_last": "PyTorch, channels last",
}
_KERNEL3 = ((16, 64), (32, 48), (64, 32), (128, 24))
_GPU_CHANNELS = (16, 32, 64)
_TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2}  # of two that both round


@dataclass(frozen=True)
class Measured:
    """One shape, measured in all its variants.

    Attributes
    ----------
    shape : Shape
        What was convolved.
    count : int
        How often the network has it.
    itemsize : int
        Bytes of an element.
    seconds : dict
        By variant: of each round, the seconds forward and backward.
    extra_mib : dict
        By variant: by how much memory grows, where that is known.
    """

    shape: Shape
    count: int
    itemsize: int
    seconds: dict[str, list[list[float]]]
    extra_mib: dict[str, float | None]

    def rounds(self, variant: str) -> list[float]:
        """Return the seconds of each round, forward and backward together."""
        return [sum(parts) for parts in self.seconds[variant]]

    def median(self, variant: str) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.rounds(variant))

    def faster(self, *variants: str) -> str:
        """Return the fastest of some variants, of those that were measured."""
        return min((name for name in variants if name in self.seconds), key=self.median)


def main() -> None:
    """Measure, print the tables, and write them as JSON where asked."""
    arguments = _arguments()
    neighbours = Neighbours()
    wanted = {name: _cases(name, arguments) for name in arguments.tables}
    # Memory first: once freed memory is kept, what is reused would not be seen.
    memory = {name: [_memory(*case) for case in cases] for name, cases in wanted.items()}
    keep_freed_memory()
    devices = {case[2] for cases in wanted.values() for case in cases}
    limits = {device: measure_limits(device) for device in devices}
    found = {
        name: [
            _measure(*case, extra, arguments.rounds)
            for case, extra in zip(cases, memory[name], strict=True)
        ]
        for name, cases in wanted.items()
    }
    limits = {device: limits[device].better(measure_limits(device)) for device in devices}
    lines = []
    for name, rows in found.items():
        device = GPU if name == "gpu" else CPU
        title = TITLES[name]
        title += f" {edges(arguments.grid)}" if name in ("paper", "released") else ""
        lines += [f"### {title}", "", described(device, torch.get_num_threads())]
        lines += [limits[device].described(), ""]
        lines += [*_table(rows, limits[device]), "", *_summary(name, rows, limits[device]), ""]
    lines.append(
        f"Batch 1; medians of {arguments.rounds} rounds in turns. {neighbours.described()}"
    )
    print("\n".join(lines))
    if arguments.json:
        write_text(arguments.json, json.dumps(_record(found, limits, lines), indent=1) + "\n")


Case = tuple[Shape, int, torch.device, torch.dtype]


def _cases(table: str, arguments: argparse.Namespace) -> list[Case]:
    """List the shapes of a table, how often each occurs, where and in which type."""
    if table == "kernel3":
        shapes = [Shape(c, c, c, (n, n, n), (3, 3, 3)) for c, n in _KERNEL3]
        return [(shape, 1, CPU, torch.float32) for shape in shapes]
    if table == "gpu":
        kernels: tuple[Triple, ...] = ((3, 3, 3), (5, 6, 5))
        shapes = [Shape(c, c, c, (128, 128, 96), k) for k in kernels for c in _GPU_CHANNELS]
        return [(shape, 1, GPU, torch.bfloat16) for shape in shapes]
    counted = convolutions(table, arguments.grid)
    spatial = {shape: n for shape, n in counted.items() if max(shape.kernel) > 1}
    of_table = {
        shape: n for shape, n in spatial.items() if shape.is_depthwise == (table == "paper")
    }
    by_work = sorted(of_table.items(), key=lambda item: -item[0].multiply_adds * item[1])
    return [(shape, n, CPU, torch.float32) for shape, n in by_work]


class Variant:
    """A convolution with its tensors, laid out as one variant wants them."""

    def __init__(self, name: str, shape: Shape, device: torch.device, dtype: torch.dtype) -> None:
        draw = torch.Generator().manual_seed(0)
        layout = torch.channels_last_3d if name.endswith("last") else torch.contiguous_format

        def drawn(*sizes: int) -> torch.Tensor:
            values = torch.randn(*sizes, generator=draw).to(device, dtype)
            return values.contiguous(memory_format=layout) if len(sizes) == 5 else values

        self.x = drawn(1, shape.n_in, *shape.grid).requires_grad_(shape.wants_dx)
        weight = drawn(shape.n_out, shape.n_in // shape.groups, *shape.kernel)
        self.weight = weight.requires_grad_()
        self.bias = drawn(shape.n_out).requires_grad_() if shape.bias else None
        self.dy = drawn(1, shape.n_out, *shape.grid)
        self.wanted = [t for t in (self.x, self.weight, self.bias) if t is not None]
        self.wanted = [t for t in self.wanted if t.requires_grad]
        self.before, self.after = shape.padding
        self.groups, self.is_torch = shape.groups, name.startswith("torch")

    def forward(self) -> torch.Tensor:
        """Convolve."""
        kernels: Kernels = "torch" if self.is_torch else "auto"
        sizes = (self.before, self.after, 1, self.groups)
        return convolve(self.x, self.weight, self.bias, *sizes, kernels)

    def step(self) -> list[torch.Tensor]:
        """Convolve and compute all gradients."""
        y = self.forward()
        return [y, *torch.autograd.grad(y, self.wanted, self.dy)]

    def timed(self, clock: Clock) -> list[Any]:
        """Do the same, and note when each part began and ended."""
        marks = [clock.mark()]
        y = self.forward()
        marks.append(clock.mark())
        torch.autograd.grad(y, self.wanted, self.dy)
        return [*marks, clock.mark()]


def _variants(
    shape: Shape, _count: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Variant]:
    """Prepare all variants of a case."""
    names = [name for name in NAMES if device == GPU or name != "isthmus_last"]
    return {name: Variant(name, shape, device, dtype) for name in names}


def _memory(*case: Any) -> dict[str, float | None]:
    """Measure by how much memory grows in each variant; see that all compute the same."""
    variants = _variants(*case)
    references = variants["torch"].step()
    for name, variant in variants.items():
        for got, reference in zip(variant.step(), references, strict=True):
            got, reference = got.detach().double(), reference.detach().double()
            error = float((got - reference).norm() / reference.norm())
            if not error <= _TOLERANCE[case[3]]:
                raise ArithmeticError(f"{name} differs from PyTorch by {error:.1e} at {case[0]}")
    del references
    return {name: extra_mib(variant.step, case[2]) for name, variant in variants.items()}


def _measure(
    shape: Shape,
    count: int,
    device: torch.device,
    dtype: torch.dtype,
    extra: dict[str, float | None],
    n_rounds: int,
) -> Measured:
    """Time a case."""
    variants = _variants(shape, count, device, dtype)
    acts = {name: variant.timed for name, variant in variants.items()}
    return Measured(shape, count, dtype.itemsize, in_turns(acts, n_rounds, device), extra)


def _table(rows: Sequence[Measured], limits: Limits) -> list[str]:
    """Lay the rows out."""
    names = [name for name in NAMES if name in rows[0].seconds]
    header = ["channels", "grid", "kernel", "times in the network"]
    header += [f"{NAMES[name]} (ms)" for name in names]
    header += ["x contiguous", "x faster layout", "GFLOP/s", "of peak", "of copy rate"]
    short = [NAMES[name].removeprefix("PyTorch, ") for name in names]
    header += [f"memory, MiB more ({' / '.join(short)})"]
    lines = []
    for row in rows:
        best = row.faster("isthmus", "isthmus_last")
        rival = row.faster("torch", "torch_last")
        rate, seconds = row.shape.multiply_adds / row.median(best), row.rounds(best)
        moved = row.shape.elements_moved * row.itemsize / row.median(best)
        line = [*row.shape.described(), str(row.count)]
        line += [_milliseconds(row.seconds[name]) for name in names]
        line += [Ratio.of(row.rounds(name), seconds).described() for name in ("torch", rival)]
        line += [f"{2e-9 * rate:,.0f}", f"{rate / limits.multiply_adds_per_s:.0%}"]
        line += [f"{moved / limits.copied_bytes_per_s:.0%}"]
        line += [" / ".join(_mib(row.extra_mib[name]) for name in names)]
        lines.append(line)
    return markdown(header, lines)


def _summary(name: str, rows: Sequence[Measured], limits: Limits) -> list[str]:
    """Say what the table comes to: the least ratio, or the sum over the network."""
    ours = [row.faster("isthmus", "isthmus_last") for row in rows]
    if name in ("kernel3", "gpu"):
        pairs = list(zip(rows, ours, strict=True))
        against = [Ratio.of(row.rounds("torch"), row.rounds(best)).median for row, best in pairs]
        return [f"Against PyTorch, contiguous: at least {min(against):.1f} times faster."]
    n_rounds = len(rows[0].rounds("isthmus"))

    def summed(variants: Sequence[str]) -> list[float]:
        chosen = list(zip(rows, variants, strict=True))
        return [
            sum(row.count * row.rounds(variant)[i] for row, variant in chosen)
            for i in range(n_rounds)
        ]

    total = summed(ours)
    rivals = {
        "PyTorch, contiguous": summed(["torch"] * len(rows)),
        "PyTorch, channels last": summed(["torch_last"] * len(rows)),
        "each shape in PyTorch's faster layout": summed(
            [row.faster("torch", "torch_last") for row in rows]
        ),
    }
    least = sum(
        row.count
        * limits.least_seconds(row.shape.elements_moved * row.itemsize, row.shape.multiply_adds)
        for row in rows
    )
    seconds = statistics.median(total)
    lines = [
        f"Sum over the network ({sum(row.count for row in rows)} convolutions): "
        f"{1e3 * seconds:.1f} ms; the limits of the machine allow {1e3 * least:.1f} ms "
        f"({least / seconds:.0%} reached). Times faster than:",
        "",
    ]
    for rival, taken in rivals.items():
        ratio = Ratio.of(taken, total).described()
        lines.append(f"- {rival} ({1e3 * statistics.median(taken):.1f} ms): {ratio}")
    return lines


def _milliseconds(rounds: Sequence[Sequence[float]]) -> str:
    """Write the medians of forward and backward."""
    forward, backward = (statistics.median(values) for values in zip(*rounds, strict=True))
    digits = 1 if forward + backward >= 0.01 else 2
    return f"{1e3 * forward:.{digits}f} + {1e3 * backward:.{digits}f}"


def _mib(extra: float | None) -> str:
    """Write an amount of memory."""
    return "?" if extra is None else f"{extra:.0f}" if extra >= 10 else f"{extra:.1f}"


def _record(
    found: dict[str, list[Measured]], limits: dict[torch.device, Limits], lines: Sequence[str]
) -> dict[str, Any]:
    """Make what is written as JSON."""
    return {
        "machine": described(CPU, torch.get_num_threads()),
        "limits": {device.type: asdict(each) for device, each in limits.items()},
        "tables": {name: [asdict(row) for row in rows] for name, rows in found.items()},
        "markdown": list(lines),
    }


def _arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="3 rounds (the default)")
    size.add_argument("--full", action="store_true", help="9 rounds")
    parser.add_argument("--rounds", type=int, help="as many instead")
    parser.add_argument("--tables", nargs="+", choices=TITLES, help="these alone")
    parser.add_argument("--grid", nargs=3, type=edge, default=(64, 64, 64), metavar="VOXELS",
                        help="of the presets")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    arguments = parser.parse_args()
    arguments.grid = tuple(arguments.grid)
    arguments.rounds = arguments.rounds or (9 if arguments.full else 3)
    on_gpu = torch.cuda.is_available()
    arguments.tables = arguments.tables or [name for name in TITLES if name != "gpu" or on_gpu]
    if "gpu" in arguments.tables and not on_gpu:
        parser.error("--tables gpu needs a GPU that torch can use, but it finds none here")
    return arguments


if __name__ == "__main__":
    main()
