"""Time and peak memory of one optimiser step: the project's kernels and PyTorch's, each preset.

Three ways to train the same network: as it is; on PyTorch's convolutions (`model.kernels: torch`)
with contiguous maps, which are PyTorch's default; and on those with channels last. Each is a
process of its own, so that one's memory does not count for another. They take turns, round by
round: ratios are taken within a round. What is measured is the step that training takes, with
dropout, loss, kernel penalty, backward pass and Adam. One more step under PyTorch's profiler
tells what share the convolutions have.

    python benchmarks/training_step.py                                 # quick: 64x64x64
    python benchmarks/training_step.py --rounds 9 --json step.json --figure step.png
    python benchmarks/training_step.py --grid 128 128 96 --profile     # the published grid
"""

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import torch
from machine import Limits, Neighbours, described, markdown, measure_limits
from networks import PRESETS, convolutions, edge
from stepping import Variant, Worker
from turns import Ratio

from isthmus.core.files import write_text
from isthmus.model.kernels.choice import Kernels
from isthmus.model.kernels.problem import Triple
from isthmus.training.ranks import choose_device

WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "isthmus": ("isthmus", {}),
    "torch": ("PyTorch, contiguous", {}),
    "torch_last": ("PyTorch, channels last", {}),
    "recomputed": ("isthmus, levels computed again", {"activation_checkpointing": "levels"}),
    "compiled": ("isthmus, compiled", {"compile": True}),
}
USUAL = ("isthmus", "torch", "torch_last")
AIMS = (("paper", "torch", 8.0), ("paper", "faster", 2.5), ("released", "faster", 3.0))
_COMPILED_S = 3.0  # a first step longer by as much has compiled the kernels
_ADAM_MOVES = 7  # numbers a parameter: it, gradient and two moments read; all but the gradient kept


@dataclass
class Measured:
    """What was measured of one preset, trained in one way."""

    worker: Worker
    compiles: bool
    start: dict[str, Any] = field(default_factory=dict)
    turns: list[dict[str, Any]] = field(default_factory=list)
    shares: dict[str, Any] | None = None

    def rounds(self, what: str = "step_s") -> list[float]:
        """Return each round's median."""
        return [float(statistics.median(turn[what])) for turn in self.turns]

    @property
    def step_s(self) -> float:
        """Seconds a step: the median of all."""
        return float(statistics.median(s for turn in self.turns for s in turn["step_s"]))

    @property
    def peak_mib(self) -> float:
        """The most memory it has had."""
        return float(max(turn["peak_mib"] for turn in self.turns))

    @property
    def convolving_s(self) -> float | None:
        """Seconds of a step that convolutions take."""
        if self.shares is None:
            return None
        return self.step_s * float(self.shares["forward"] + self.shares["backward"])


@dataclass(frozen=True)
class Work:
    """What a step must do at the least.

    Attributes
    ----------
    forward, step : int
        Multiply-adds of the convolutions.
    n_bytes : int
        Read and written: each pass of a convolution its maps and kernels once, and Adam. All else
        could be done on the way.
    """

    forward: int
    step: int
    n_bytes: int

    @classmethod
    def of(cls, preset: str, grid: Triple, n_parameters: int) -> "Work":
        """Count it."""
        shapes = convolutions(preset, grid)
        return cls(
            sum(n * shape.multiply_adds // shape.passes for shape, n in shapes.items()),
            sum(n * shape.multiply_adds for shape, n in shapes.items()),
            4 * sum(n * shape.elements_moved for shape, n in shapes.items())
            + 4 * _ADAM_MOVES * n_parameters,
        )


Found = dict[tuple[str, str], Measured]


def main() -> None:
    """Measure, print the tables, and write JSON and figure where asked."""
    arguments = _arguments()
    device, neighbours = choose_device(arguments.device), Neighbours()
    torch.set_num_threads(arguments.threads)
    limits = measure_limits(device)
    found = measure(arguments)
    limits = limits.better(measure_limits(device))
    work = {
        preset: Work.of(preset, arguments.grid, one.start["n_parameters"])
        for (preset, _), one in found.items()
    }
    lines = [
        f"Grid {'x'.join(map(str, arguments.grid))}, 2 modalities, batch 1, float32; "
        f"{arguments.rounds} rounds of {arguments.steps} steps in turns; medians.",
        f"{described(device, arguments.threads)} {neighbours.described()}",
        limits.described(),
        "",
        *_table(found, work, limits),
        "",
        *_ratios(found),
        "",
        *_bounds(found, work, limits),
    ]
    print("\n".join(lines))
    if arguments.profile:
        for (preset, way), one in found.items():
            if one.shares is not None:
                print(f"\n`{preset}`, {WAYS[way][0]}\n\n{one.shares['table']}")
    if arguments.json:
        record = _record(found, work, limits, lines, arguments)
        write_text(arguments.json, json.dumps(record, indent=1) + "\n")
    if arguments.figure:
        # Imported late: the children, which import this file, need no memory for matplotlib.
        import_module("step_figure").draw(_bars(found), arguments.figure)


def measure(arguments: argparse.Namespace) -> Found:
    """Let all variants take steps in turns, then profile them."""
    found: Found = {}
    for preset in arguments.presets:
        for way in arguments.ways:
            ours = not way.startswith("torch")
            kernels: Kernels = "auto" if ours else "torch"
            variant = Variant(preset, kernels, way == "torch_last", WAYS[way][1])
            worker = Worker(variant, arguments.grid, arguments.threads, arguments.device)
            found[preset, way] = Measured(worker, ours)
    everyone = list(found.values())
    try:
        for number in range(arguments.rounds):
            first = number % len(everyone)
            for one in everyone[first:] + everyone[:first]:
                _wake(one, everyone)
                one.turns.append(one.worker.ask("take", arguments.steps))
        for (_, way), one in found.items():
            if way in USUAL:  # what is computed again would count twice
                _wake(one, everyone)
                one.shares = one.worker.ask("profile")
    finally:
        for one in everyone:
            one.worker.stop()
    return found


def _wake(one: Measured, everyone: Sequence[Measured]) -> None:
    """Start a worker that is not running, after stopping others if memory is short."""
    if one.worker.is_running:
        return
    fresh = not one.start
    known = [turn["peak_mib"] for other in everyone for turn in other.turns]
    for other in everyone:
        if psutil.virtual_memory().available > 2 * max(known, default=0) * (1 << 20):
            break
        other.worker.stop()
    start = one.worker.start()
    if fresh and one.compiles:
        second_s = one.worker.ask("take", 1)["step_s"][0]
        if start["first_step_s"] - second_s > _COMPILED_S:
            # What this process compiled, the next one reads from a cache: compilers need memory.
            one.worker.stop()
            start = one.worker.start()
    one.start = one.start or start


def _table(found: Found, work: dict[str, Work], limits: Limits) -> list[str]:
    """Lay out what was measured of each variant."""
    header = ["preset", "convolutions", "s a step", "processor s a step", "first step (s)"]
    header += ["convolutions' share", "their GFLOP/s", "of peak", "step, of copy rate"]
    header += ["step, of the limits", "peak memory (MiB)", "before the model"]
    rows = []
    for (preset, way), one in found.items():
        due, convolving = work[preset], one.convolving_s
        row = [f"`{preset}`", WAYS[way][0], f"{one.step_s:.3f}"]
        row += [f"{statistics.median(one.rounds('step_processor_s')):.3f}"]
        row += [f"{one.start['first_step_s']:.2f}"]
        if convolving is None:
            row += ["", "", ""]
        else:
            rate = due.step / convolving
            row += [f"{convolving / one.step_s:.0%}", f"{2e-9 * rate:.0f}"]
            row += [f"{rate / limits.multiply_adds_per_s:.0%}"]
        row += [f"{due.n_bytes / one.step_s / limits.copied_bytes_per_s:.1%}"]
        row += [f"{limits.least_seconds(due.n_bytes, due.step) / one.step_s:.0%}"]
        row += [f"{one.peak_mib:,.0f}", f"{one.start['before_mib']:,.0f}"]
        rows.append(row)
    return markdown(header, rows)


def _ratios(found: Found) -> list[str]:
    """Lay out how many times faster the project's kernels are, in time and memory."""
    rows = []
    for preset, rival, aim in AIMS:
        ours, theirs = found.get((preset, "isthmus")), _rival(found, preset, rival)
        if ours is None or theirs is None:
            continue
        name = "PyTorch, contiguous" if rival == "torch" else "PyTorch's faster layout"
        ratio = Ratio.of(found[preset, theirs].rounds(), ours.rounds())
        memory = found[preset, theirs].peak_mib / ours.peak_mib
        if rival == "faster":
            name += f" ({WAYS[theirs][0].removeprefix('PyTorch, ')})"
        rows.append([f"`{preset}`", name, ratio.described(), f"{aim:g}", f"{memory:.2f}"])
    if not rows:
        return []
    return markdown(
        ["preset", "against", "times faster", "aim at 64x64x64", "times the memory"], rows
    )


def _rival(found: Found, preset: str, rival: str) -> str | None:
    """Choose which of PyTorch's layouts to compare with."""
    wanted = ("torch", "torch_last") if rival == "faster" else (rival,)
    there = [way for way in wanted if (preset, way) in found]
    if len(there) < len(wanted):
        return None
    return min(there, key=lambda way: found[preset, way].step_s)


def _bounds(found: Found, work: dict[str, Work], limits: Limits) -> list[str]:
    """Say how much there is to do, and what bounds the step as it is."""
    lines = []
    for preset, due in work.items():
        line = (
            f"- `{preset}`: {1e-9 * due.forward:.1f} giga multiply-adds forward, "
            f"{1e-9 * due.step:.1f} a step, at least "
            f"{due.step / limits.multiply_adds_per_s:.3f} s at the peak and "
            f"{due.n_bytes / limits.copied_bytes_per_s:.3f} s for its "
            f"{due.n_bytes / (1 << 20):,.0f} MiB at the copy rate."
        )
        ours = found.get((preset, "isthmus"))
        if ours is not None and ours.convolving_s is not None:
            line += (
                f" Measured: {ours.convolving_s:.3f} s in convolutions, "
                f"{ours.step_s - ours.convolving_s:.3f} s in all else."
            )
        lines.append(line)
    paper, released = (found.get((preset, "isthmus")) for preset in ("paper", "released"))
    if paper is None or released is None:
        return lines
    times, fewer = Ratio.of(released.rounds(), paper.rounds()), work["released"].step
    line = (
        f"- `paper` against `released`, both as they are: {times.described()} times faster, with "
        f"{fewer / work['paper'].step:.2f} times fewer multiply-adds"
    )
    if paper.convolving_s and released.convolving_s:
        line += (
            f"; {released.convolving_s / paper.convolving_s:.2f} times faster in convolutions, "
            f"beside which all else takes {paper.step_s - paper.convolving_s:.3f} s of `paper` "
            f"and {released.step_s - released.convolving_s:.3f} s of `released`"
        )
    return [*lines, f"{line}."]


def _bars(found: Found) -> dict[str, tuple[float, float]]:
    """Name the bars of the figure: seconds in convolutions, and in all."""
    return {
        f"{preset}: {WAYS[way][0]}": (one.convolving_s, one.step_s)
        for (preset, way), one in found.items()
        if one.convolving_s is not None
    }


def _record(
    found: Found,
    work: dict[str, Work],
    limits: Limits,
    lines: Sequence[str],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    """Make what is written as JSON."""
    variants = [
        {
            "preset": preset,
            "way": way,
            **one.start,
            "step_s": one.step_s,
            "peak_mib": one.peak_mib,
            "convolving_s": one.convolving_s,
            "turns": one.turns,
            "profile": one.shares,
        }
        for (preset, way), one in found.items()
    ]
    return {
        "machine": described(choose_device(arguments.device), arguments.threads),
        "grid": list(arguments.grid),
        "limits": asdict(limits),
        "work": {preset: asdict(due) for preset, due in work.items()},
        "variants": variants,
        "markdown": list(lines),
    }


def _arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grid", nargs=3, type=edge, default=(64, 64, 64), metavar="VOXELS")
    parser.add_argument("--steps", type=int, default=2, help="timed steps of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each variant has")
    parser.add_argument("--presets", nargs="+", choices=PRESETS, default=PRESETS)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=USUAL, help="how to train them")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    parser.add_argument("--figure", type=Path, metavar="PATH", help="draw the steps (png, svg)")
    arguments = parser.parse_args()
    arguments.grid = tuple(arguments.grid)
    if math.prod(arguments.grid) == 32**3:
        parser.error("--grid 32 32 32 leaves one voxel, which batch normalisation cannot use")
    return arguments


if __name__ == "__main__":
    main()
