"""Peak memory and time of one optimiser step, for each preset, on this machine.

Each preset is measured in a process of its own, so that one's memory does not count for the other.
The batch is noise: neither time nor memory depends on what the images show. What is measured is the
step that training takes, with dropout, loss, kernel penalty, backward pass and Adam.

    python benchmarks/training_step.py                        # quick: 64x64x64
    python benchmarks/training_step.py --grid 128 128 96      # the published grid
"""

import argparse
import json
import math
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from isthmus.config.load import resolve
from isthmus.core.seeds import derive_seed
from isthmus.model.families import build_model
from isthmus.training.memory import keep_freed_memory
from isthmus.training.order import Slicing
from isthmus.training.ranks import Ranks
from isthmus.training.step import StepPlan, make_learner, take_step
from isthmus.trial.provenance import describe_machine

PRESETS = ("released", "paper")
BOTTLENECK_CHANNELS = 32  # of the published network: 4x4x3 positions, 1536 values


def main() -> None:
    """Measure every preset and print a table."""
    parser = _parser()
    arguments = parser.parse_args()
    if math.prod(arguments.grid) == 32**3:
        parser.error("--grid 32 32 32 leaves one voxel, which batch normalisation cannot use")
    if arguments.only:
        print(json.dumps(measure(arguments.only, tuple(arguments.grid), arguments.steps)))
        return
    measured = {preset: _in_own_process(preset, arguments) for preset in PRESETS}
    print("\n".join(_table(measured, arguments)))


def measure(preset: str, grid: tuple[int, int, int], n_steps: int) -> dict[str, float]:
    """Take a first step and then the timed ones."""
    positions = math.prod(edge // 32 for edge in grid)
    config = resolve(
        {
            "preset": preset,
            "cohort": {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w", "FA"]},
            "model": {"embedding_size": BOTTLENECK_CHANNELS * positions},
        }
    )
    keep_freed_memory()
    before = _peak_mib()
    draw = torch.Generator().manual_seed(derive_seed(0, "benchmark"))
    model = build_model(config.model, config.fused_modalities, grid, draw)
    ranks = Ranks(0, 1, torch.device("cpu"))
    mask_DHW = torch.ones(grid, dtype=torch.bool)
    learner = make_learner(model, mask_DHW, config.training, Slicing(1, 1, 1), ranks, 0)
    x_BMDHW = torch.rand(1, 2, *grid, generator=draw)
    seconds, of_processor = [], []
    for number in range(n_steps + 1):
        plan = StepPlan(("sub-1",), 0, 1, number + 1, config.training.learning_rate)
        started, busy = time.perf_counter(), time.process_time()
        take_step(learner, plan, iter([x_BMDHW]))
        seconds.append(time.perf_counter() - started)
        of_processor.append(time.process_time() - busy)
    return {
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "first_step_s": seconds[0],
        "step_s": statistics.median(seconds[1:]),
        "step_processor_s": statistics.median(of_processor[1:]),
        "peak_mib": _peak_mib(),
        "before_mib": before,
    }


def _peak_mib() -> float:
    """Return the largest resident memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _in_own_process(preset: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure one preset in a fresh process."""
    command = [sys.executable, str(Path(__file__)), "--only", preset]
    command += ["--steps", str(arguments.steps), "--grid", *map(str, arguments.grid)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def _table(measured: dict[str, dict[str, float]], arguments: argparse.Namespace) -> list[str]:
    """Lay the numbers out as Markdown, with the machine they are from."""
    grid = "x".join(map(str, arguments.grid))
    lines = [
        f"Grid {grid}, 2 modalities, batch 1, float32, median of {arguments.steps} steps after a "
        "first one.",
        f"{describe_machine()}, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}.",
        "",
        "| preset | parameters | s a step | processor s a step | first step | peak memory (MiB) "
        "| of which before the model |",
        "|---|---|---|---|---|---|---|",
    ]
    for preset, row in measured.items():
        lines.append(
            f"| {preset} | {row['parameters']:,} | {row['step_s']:.2f} "
            f"| {row['step_processor_s']:.2f} | {row['first_step_s']:.2f} "
            f"| {row['peak_mib']:,.0f} | {row['before_mib']:,.0f} |"
        )
    ratios = [measured["paper"][k] / measured["released"][k] for k in ("step_s", "peak_mib")]
    lines += ["", f"paper / released: {ratios[0]:.2f} in time, {ratios[1]:.2f} in peak memory."]
    lines += ["Processor time counts all threads; on a busy machine it is the steadier number."]
    return lines


def _parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--grid", nargs=3, type=_edge, default=(64, 64, 64), metavar="VOXELS")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after a first one")
    parser.add_argument("--only", choices=PRESETS, help=argparse.SUPPRESS)
    return parser


def _edge(text: str) -> int:
    """Read an edge of the grid; five levels halve it five times."""
    edge = int(text)
    if edge < 32 or edge % 32:
        raise argparse.ArgumentTypeError(f"must be a multiple of 32, got {edge}")
    return edge


if __name__ == "__main__":
    main()
