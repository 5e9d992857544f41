"""What reading costs a training: steps with the volumes read as training does, and without reading.

In one run, on one phantom cohort made for it: seconds a step (a) as training takes it, reading
ahead in threads, (b) with the same parts in memory already, and (c) reading each part when its
step asks for it. The three take turns, round by round, so that a machine that slows down slows all
of them; ratios are taken within a round. And reading alone: what the store gives when nobody
computes, beside the rate at which this machine copies memory. The store's files are in the
system's cache, as they are from a cohort's second epoch on where memory suffices.

    python benchmarks/input.py                                  # quick: 64x64x64, one preset
    python benchmarks/input.py --full --grid 128 128 96         # the published grid, both presets
    python benchmarks/input.py --json input.json
"""

import argparse
import json
import math
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.cohort.splits import Fold
from isthmus.config.load import Experiment, load_experiment
from isthmus.training.card import initial_model, make_card
from isthmus.training.feed import parts_of, reader
from isthmus.training.order import epoch_batches, slicing
from isthmus.training.prefetch import Reading, plan_reading, prefetch
from isthmus.training.ranks import Ranks, alone, compute_settings
from isthmus.training.step import Learner, StepPlan, make_learner, take_step
from isthmus.training.task import TrainTask
from isthmus.trial.provenance import describe_machine
from isthmus.volumes.ingest import ingest
from isthmus.volumes.intensity import Normaliser, fit_normaliser
from isthmus.volumes.store import open_store

PRESETS = ("released", "paper")
BOTTLENECK_CHANNELS = 32  # of the published network: 4x4x3 positions, 1536 values
WAYS = ("read_ahead", "in_memory", "read_in_turn")
_COPIED_BYTES = 1 << 28

Read = Callable[[Sequence[str]], torch.Tensor]
Parts = Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Setting:
    """One preset's training on the phantom cohort, ready to be measured."""

    task: TrainTask
    normaliser: Normaliser
    ranks: Ranks
    reading: Reading
    read: Read


def main() -> None:
    """Measure, print the tables, and write them as JSON where asked."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        cohort = make_cohort(Path(folder), arguments.grid, arguments.subjects)
        steps = {
            preset: measure_steps(prepare(cohort, preset, arguments), arguments)
            for preset in arguments.presets
        }
        reading = measure_reading(prepare(cohort, arguments.presets[0], arguments))
    found = {
        "machine": describe_machine(),
        "device": arguments.device_name,
        "threads": arguments.threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "grid": list(arguments.grid),
        "subjects": arguments.subjects,
        "steps_a_round": arguments.steps,
        "rounds": arguments.rounds,
        "steps": steps,
        "reading": reading,
        "peak_mib": _peak_mib(),
    }
    print("\n".join(_tables(found)))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def make_cohort(folder: Path, grid: tuple[int, int, int], n_subjects: int) -> Path:
    """Make and ingest a phantom cohort; return its experiment file."""
    make_phantom(folder / "cohort", PhantomConfig(n_subjects=n_subjects, grid=grid))
    settings = {
        "cohort": {
            "root": "cohort",
            "images": "{participant_id}/{participant_id}_{modality}.nii.gz",
            "mask": "mask.nii.gz",
            "modalities": ["T1w", "FA"],
            "lockbox_share": 0.0,
        },
        "execution": {"ingest_processes": 1},
        "model": {"embedding_size": BOTTLENECK_CHANNELS * math.prod(n // 32 for n in grid)},
    }
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump({"preset": PRESETS[0], **settings}))
    experiment = load_experiment(file)
    ingest(experiment, load_participants(experiment))
    return file


def prepare(file: Path, preset: str, arguments: argparse.Namespace) -> Setting:
    """Set up one preset's training as `isthmus.training.fit` does."""
    overrides = [f"execution.{name}={value}" for name, value in arguments.execution.items()]
    content = {**yaml.safe_load(file.read_text()), "preset": preset}
    of_preset = file.with_name(f"{preset}.yaml")
    of_preset.write_text(yaml.safe_dump(content))
    experiment: Experiment = load_experiment(of_preset, overrides)
    config, store = experiment.config, open_store(experiment.store_url)
    fold = Fold(0, train=store.participant_ids, monitor=(), validation=())
    task = TrainTask(config, experiment.store_url, fold, file.parent / "fold", "encoder", 0)
    normaliser = fit_normaliser(
        store, fold.train, config.fused_modalities, config.volumes.normalisation
    )
    ranks = alone(config.execution)
    reading = plan_reading(config.execution, ranks.device)
    arguments.device_name = _device_name(ranks.device)
    with compute_settings(config.execution, ranks):
        arguments.threads = torch.get_num_threads()
    return Setting(task, normaliser, ranks, reading, reader(task, normaliser, reading.pinned))


def measure_steps(setting: Setting, arguments: argparse.Namespace) -> dict[str, Any]:
    """Time rounds of steps, each way in turn, after one step that is not counted."""
    config, ranks = setting.task.config, setting.ranks
    cut = slicing(config.training, 1)
    batches = _batches(setting.task, arguments.steps)
    parts = list(parts_of(batches, cut, 0))
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    processor: dict[str, list[float]] = {way: [] for way in WAYS}
    with compute_settings(config.execution, ranks):
        card = make_card("encoder", config, open_store(setting.task.store_url).grid, 0)
        mask_DHW = torch.from_numpy(setting.normaliser.mask_DHW)
        learner = make_learner(initial_model(card), mask_DHW, config.training, cut, ranks, 0)
        learner.model.train()
        held = [setting.read(part) for part in parts]
        _take(learner, batches[:1], iter(held))
        for number in range(arguments.rounds):
            for way in (*WAYS[number % 3 :], *WAYS[: number % 3]):
                started, busy = time.perf_counter(), time.process_time()
                with closing(_way(way, setting, parts, held)) as given:
                    _take(learner, batches, given)
                seconds[way].append((time.perf_counter() - started) / len(batches))
                processor[way].append((time.process_time() - busy) / len(batches))
    ratios = _ratios(seconds, "read_ahead")
    return {
        "step_s": {way: statistics.median(values) for way, values in seconds.items()},
        "step_processor_s": {way: statistics.median(values) for way, values in processor.items()},
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "ratio_read_in_turn": statistics.median(_ratios(seconds, "read_in_turn")),
        "ratio_processor": statistics.median(_ratios(processor, "read_ahead")),
        "batch": config.training.global_batch_size,
        "reading": asdict(setting.reading),
        "held_ahead_mib": setting.reading.ahead * held[0].nbytes / (1 << 20),
    }


def _ratios(of_way: dict[str, list[float]], way: str) -> list[float]:
    """Divide each round of one way by the same round of the parts in memory."""
    return [a / b for a, b in zip(of_way[way], of_way["in_memory"], strict=True)]


def measure_reading(setting: Setting) -> dict[str, Any]:
    """Time reading when nobody computes, and a copy of as much memory as a subject takes."""
    ids = setting.task.fold.train
    keys = [(name,) for name in ids]
    n_bytes = setting.read(keys[0]).nbytes
    found: dict[str, Any] = {"subject_mib": n_bytes / (1 << 20), "alone": {}}
    with compute_settings(setting.task.config.execution, setting.ranks):
        for readers in sorted({1, setting.reading.readers}):
            ahead = Reading(readers, max(readers, setting.reading.ahead), setting.reading.pinned)
            seconds = _median_of(5, partial(_read_all, setting.read, keys, ahead))
            found["alone"][readers] = {
                "subjects_per_s": len(ids) / seconds,
                "mb_per_s": n_bytes * len(ids) / seconds / 1e6,
            }
        store, modalities = open_store(setting.task.store_url), setting.normaliser.modalities
        x_MDHW = store.read(ids[0], modalities)
        y_MDHW = np.empty_like(x_MDHW)
        found["decode_ms"] = 1e3 * _median_of(15, lambda: store.read(ids[0], modalities))
        found["normalise_ms"] = 1e3 * _median_of(
            15, lambda: setting.normaliser.apply(x_MDHW, y_MDHW)
        )
        source = np.ones(_COPIED_BYTES // 4, np.float32)
        target = np.empty_like(source)
        copying = _median_of(7, lambda: np.copyto(target, source))
        found["copy_mb_per_s"] = _COPIED_BYTES / copying / 1e6
    return found


def _way(
    way: str, setting: Setting, parts: Parts, held: Sequence[torch.Tensor]
) -> Generator[torch.Tensor, None, None]:
    """Give the parts in one of the three ways, as a generator."""
    if way == "read_ahead":
        return prefetch(setting.read, parts, setting.reading)
    if way == "in_memory":
        return (part for part in held)
    return (setting.read(part) for part in parts)


def _take(
    learner: Learner, batches: Sequence[tuple[str, ...]], parts: Iterator[torch.Tensor]
) -> None:
    """Take a step on each batch, to its very end."""
    for number, batch in enumerate(batches, start=1):
        plan = StepPlan(batch, 0, 1, number, learner.config.learning_rate)
        take_step(learner, plan, parts)
    if learner.ranks.device.type == "cuda":
        torch.cuda.synchronize()


def _batches(task: TrainTask, n_steps: int) -> list[tuple[str, ...]]:
    """Draw batches as epochs do, as many as there are steps."""
    found: list[tuple[str, ...]] = []
    epoch = 1
    while len(found) < n_steps:
        size = task.config.training.global_batch_size
        found += epoch_batches(task.fold.train, size, task.seed, epoch)
        epoch += 1
    return found[:n_steps]


def _read_all(read: Read, keys: Parts, reading: Reading) -> None:
    """Read every part and keep none."""
    for _ in prefetch(read, keys, reading):
        pass


def _median_of(n: int, act: Callable[[], object]) -> float:
    """Time something some times, after once more; return the median seconds."""
    act()
    seconds = []
    for _ in range(n):
        started = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _tables(found: dict[str, Any]) -> list[str]:
    """Lay the numbers out as Markdown, with the machine they are from."""
    grid, reading = "x".join(map(str, found["grid"])), found["reading"]
    lines = [
        f"Grid {grid}, 2 modalities, float32 in the store, {found['subjects']} subjects, "
        f"{found['rounds']} rounds of {found['steps_a_round']} steps each way; medians.",
        f"{found['machine']}, {found['device']}, {found['threads']} threads, "
        f"Python {found['python']}, torch {found['torch']}.",
        "",
        "| preset | batch | s a step, read ahead | in memory | read in its turn "
        "| with / without reading | of processor time | in its turn / without | held ahead (MiB) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for preset, row in found["steps"].items():
        step, low, high = row["step_s"], min(row["ratios"]), max(row["ratios"])
        lines.append(
            f"| {preset} | {row['batch']} | {step['read_ahead']:.4f} | {step['in_memory']:.4f} "
            f"| {step['read_in_turn']:.4f} | **{row['ratio']:.3f}** ({low:.3f} to {high:.3f}) "
            f"| {row['ratio_processor']:.3f} | {row['ratio_read_in_turn']:.3f} "
            f"| {row['held_ahead_mib']:.0f} |"
        )
    lines += [
        "",
        "| reading alone | subjects a second | MB a second | share of the copy rate |",
        "|---|---|---|---|",
    ]
    for readers, row in reading["alone"].items():
        share = row["mb_per_s"] / reading["copy_mb_per_s"]
        lines.append(
            f"| {readers} reader{'s' * (readers > 1)} | {row['subjects_per_s']:.0f} "
            f"| {row['mb_per_s']:.0f} | {share:.1%} |"
        )
    lines += [
        "",
        f"A subject ({reading['subject_mib']:.1f} MiB) takes {reading['decode_ms']:.2f} ms to read "
        f"and decode and {reading['normalise_ms']:.2f} ms to normalise; this machine copies "
        f"{reading['copy_mb_per_s']:.0f} MB a second. Peak memory of the whole run: "
        f"{found['peak_mib']:,.0f} MiB.",
        "Processor time counts all threads; on a busy machine it is the steadier number.",
    ]
    return lines


def _device_name(device: torch.device) -> str:
    """Name what computes."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "on the CPU"


def _peak_mib() -> float:
    """Return the largest resident memory that this process has had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="few steps of one preset (the default)")
    size.add_argument("--full", action="store_true", help="more steps, of both presets")
    parser.add_argument("--grid", nargs=3, type=_edge, default=(64, 64, 64), metavar="VOXELS")
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--readers", type=int, help="as execution.readers")
    parser.add_argument("--read-ahead", type=int, help="as execution.read_ahead")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the numbers there too")
    arguments = parser.parse_args()
    arguments.grid = tuple(arguments.grid)
    if math.prod(arguments.grid) == 32**3:
        parser.error("--grid 32 32 32 leaves one voxel, which batch normalisation cannot use")
    arguments.presets = PRESETS if arguments.full else PRESETS[:1]
    arguments.steps, arguments.rounds = (12, 5) if arguments.full else (6, 3)
    asked = ("device", "readers", "read_ahead")
    arguments.execution = {
        name: getattr(arguments, name) for name in asked if getattr(arguments, name) is not None
    }
    return arguments


def _edge(text: str) -> int:
    """Read an edge of the grid; five levels halve it five times."""
    edge = int(text)
    if edge < 32 or edge % 32:
        raise argparse.ArgumentTypeError(f"must be a multiple of 32, got {edge}")
    return edge


if __name__ == "__main__":
    main()
