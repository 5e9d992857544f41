"""Fits a task in a process of its own that may have so much memory and no more.

Where a step does not fit, the micro-batch is made smaller until it does, in the same process.
Printed as JSON: the refusals, the settings that went through, and the losses by step.
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
    """Fit, within ``room_mib`` more than the process has after its imports; 0: no limit."""
    ids = [f"sub-{i:03d}" for i in range(1, 11)]
    fold = Fold(0, tuple(ids[:8]), tuple(ids[8:9]), tuple(ids[9:]))
    if room_mib:
        most = data_bytes() + room_mib * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    refusals: list[str] = []
    changed: dict[str, int] = {}
    while True:
        settings = [*overrides, *(f"{path}={value}" for path, value in changed.items())]
        task = make_task(file, directory / str(len(refusals)), *settings, fold=fold)
        losses: list[float] = []
        try:
            fit(task, on_step=lambda _, loss, seen=losses: seen.append(loss))
            break
        except OutOfMemory as error:
            refusals.append(str(error))
            smaller = smaller_micro_batch(task.config, 1)
            if smaller is None:
                break
            changed = smaller
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    told = {"refusals": refusals, "changed": changed, "losses": losses, "peak": peak}
    print(json.dumps(told))


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
