"""One of several workers that train and exchange messages, for `scale.py`; not run by hand.

    python benchmarks/cost_worker.py '{"preset": "paper", "grid": [32, 32, 32], ...}'

It meets the others, takes steps, times all-reduces of some sizes, and prints what it found as JSON.
"""

import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from stepping import Stepper, Variant

from isthmus.config.execution import ExecutionConfig
from isthmus.training.ranks import compute_settings, join_ranks

_MEETING_SECONDS = 120


@dataclass(frozen=True)
class Duty:
    """What a worker is to do.

    Attributes
    ----------
    preset : str
        The network.
    grid : tuple of int
        Voxels.
    n_subjects : int
        Subjects that this worker computes in a step.
    n_steps : int
        Steps that are timed, after two that are not; none: messages alone.
    messages : tuple of int
        Bytes of the all-reduces that are timed.
    n_workers, rank : int
        The group, and this worker's place in it.
    meeting : str
        Where the group meets: ``tcp://`` and an address of the first worker.
    interface : str
        The network interface for messages.
    """

    preset: str
    grid: tuple[int, int, int]
    n_subjects: int
    n_steps: int
    messages: tuple[int, ...]
    n_workers: int
    rank: int
    meeting: str
    interface: str


def main() -> None:
    """Do what the command line says."""
    duty = Duty(**json.loads(sys.argv[1]))
    if duty.n_workers > 1:
        os.environ["GLOO_SOCKET_IFNAME"] = duty.interface
        dist.init_process_group(
            "gloo",
            init_method=duty.meeting,
            rank=duty.rank,
            world_size=duty.n_workers,
            timeout=timedelta(seconds=_MEETING_SECONDS),
        )
    execution = ExecutionConfig(threads_per_worker=1, device="cpu")
    ranks = join_ranks(execution)
    found: dict[str, Any] = {}
    with compute_settings(execution, ranks):
        if duty.n_steps:
            grid = (duty.grid[0], duty.grid[1], duty.grid[2])
            variant = Variant(duty.preset, "auto", False, {})
            stepper = Stepper(variant, grid, execution, duty.n_subjects, ranks)
            found = {"before_mib": stepper.before_mib, "n_parameters": stepper.n_parameters}
            stepper.take(1)
            found["n_sums"] = _sums_in(stepper)
            found.update(stepper.take(duty.n_steps))
        found["messages_s"] = {size: _all_reduce_s(size) for size in duty.messages}
    if duty.n_workers > 1:
        dist.destroy_process_group()
    print(json.dumps(found))


def _sums_in(stepper: Stepper) -> int:
    """Count the all-reduces of a step that are called by name; the gradient's is not."""
    counted, whole = 0, dist.all_reduce

    def counting(*arguments: Any, **named: Any) -> Any:
        nonlocal counted
        counted += 1
        return whole(*arguments, **named)

    dist.all_reduce = counting
    try:
        stepper.take(1)
    finally:
        dist.all_reduce = whole
    return counted


def _all_reduce_s(n_bytes: int, n_times: int = 12) -> float:
    """Time all-reduces of one size; the median."""
    values = torch.ones(max(1, n_bytes // 4))
    seconds = []
    for _ in range(n_times):
        dist.barrier()
        started = time.perf_counter()
        dist.all_reduce(values)
        seconds.append(time.perf_counter() - started)
        values.fill_(1.0)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
