"""A driver that trains on whatever workers a cluster has, as far as a test lets it.

Run as a script on a node: ``elastic_driver.py EXPERIMENT ADDRESS DIRECTORY SETTING...``. Beside the
task's folder lie ``gate``, the epoch after which the workers wait until the test writes a larger
one; ``groups``, with a file for each worker that began, ``TIME.RANK.WORLD_SIZE``; and ``epochs``,
one line for each epoch the driver was told of.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from small_cohort import FOLD, IDS, make_task

from isthmus.backends import ray_train
from isthmus.backends.ray_session import ray_session
from isthmus.core.errors import IsthmusError
from isthmus.core.ports import EpochEvent

EIGHT = replace(FOLD, train=IDS[:8], monitor=IDS[8:11], validation=IDS[11:])
GATE_SECONDS = 240.0


def open_gate(place: Path, epoch: int) -> None:
    """Let the workers go on to the end of an epoch."""
    written = place / "gate.new"
    written.write_text(str(epoch))
    written.replace(place / "gate")


def group_sizes(place: Path) -> list[int]:
    """List the sizes of the groups that began, in order."""
    names = (file.name.split(".") for file in (place / "groups").iterdir())
    return [int(size) for _, rank, size in sorted(names) if rank == "0"]


def epochs_told(place: Path) -> list[int]:
    """List the epochs that the driver heard of, in order."""
    file = place / "epochs"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def work_at_leisure(task: Any, board: Any, rank: int) -> None:
    """Train in a worker, with a pause after each epoch until the gate is open."""
    import time

    import ray.train

    from isthmus.backends import ray_worker

    place, listen = task.directory.parent, ray_worker.Noticeboard.listen
    size = ray.train.get_context().get_world_size()
    (place / "groups" / f"{time.time_ns()}.{rank}.{size}").touch()

    def pause(board: Any, event: Any) -> None:
        limit = time.monotonic() + GATE_SECONDS
        while event.epoch >= int((place / "gate").read_text()):
            if time.monotonic() > limit:
                raise TimeoutError(f"{place / 'gate'} let no epoch after {event.epoch} begin")
            time.sleep(0.05)
        listen(board, event)

    ray_worker.Noticeboard.listen = pause  # type: ignore[method-assign]
    ray_worker.work(task, board, rank)


def main(file: str, address: str, directory: str, *settings: str) -> int:
    """Train, and end with 2 after a refusal, which is printed."""
    task = replace(make_task(Path(file), Path(directory), *settings, fold=EIGHT), workers=2)
    place = task.directory.parent
    (place / "groups").mkdir(exist_ok=True)
    ray_train.work = work_at_leisure
    ray_train._RESIZE_SECONDS = 2.0

    def tell(event: EpochEvent) -> None:
        with (place / "epochs").open("a") as epochs:
            epochs.write(f"{event.epoch}\n")

    started = time.monotonic()
    try:
        with ray_session(address):
            ray_train.RayTrainLauncher().launch(task, tell)
    except IsthmusError as error:
        print(f"after {time.monotonic() - started:.0f} s: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
