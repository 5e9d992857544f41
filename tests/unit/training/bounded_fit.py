"""Fits a task in a process of its own that may have so much memory and no more.

Printed as JSON: the refusal, the settings that it proposes, and the loss of each step.
"""

import json
import resource
import sys
from pathlib import Path

from small_cohort import make_task

from isthmus.cohort.splits import Fold
from isthmus.core.errors import OutOfMemory
from isthmus.training.fit import fit
from isthmus.training.order import smaller_micro_batch


def data_bytes() -> int:
    """Return what Linux counts against RLIMIT_DATA now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))


def run(file: Path, directory: Path, room_mib: int, overrides: list[str]) -> None:
    """Fit, with at most ``room_mib`` more than the process has after its imports; 0: no limit."""
    ids = [f"sub-{i:03d}" for i in range(1, 11)]
    fold = Fold(0, tuple(ids[:8]), tuple(ids[8:9]), tuple(ids[9:]))
    task = make_task(file, directory, *overrides, fold=fold)
    if room_mib:
        most = data_bytes() + room_mib * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    losses: list[float] = []
    refusal = None
    try:
        fit(task, on_step=lambda _, loss: losses.append(loss))
    except OutOfMemory as error:
        refusal = str(error)
    smaller = smaller_micro_batch(task.config, 1)
    print(json.dumps({"refusal": refusal, "smaller": smaller, "losses": losses}))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
