"""One of several processes that train together, over gloo."""

import json
import logging
import os
from dataclasses import replace
from pathlib import Path

import torch.distributed as dist
from small_cohort import FOLD, IDS, make_task

from isthmus.core.errors import IsthmusError
from isthmus.training.fit import fit

EIGHT = replace(FOLD, train=IDS[:8], monitor=IDS[8:11], validation=IDS[11:])


class Stopped(Exception):
    """Stands for whatever ends a run early, on all workers alike."""


def work(
    rank: int,
    world_size: int,
    rendezvous: Path,
    experiment_file: Path,
    directory: Path,
    overrides: tuple[str, ...],
    stop_after: int | None,
) -> None:
    """Train, and leave this worker's losses or error in a file of its own."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    logging.basicConfig(level=logging.WARNING)
    dist.init_process_group("gloo", f"file://{rendezvous}", rank=rank, world_size=world_size)
    losses: list[float] = []

    def note(step: int, loss: float) -> None:
        losses.append(loss)
        if step == stop_after:
            raise Stopped

    result: dict[str, object] = {"losses": losses, "error": None}
    task = make_task(experiment_file, directory, *overrides, fold=EIGHT)
    try:
        fitted = fit(task, on_step=note)
        result["best_epoch"] = fitted.best_epoch
    except (IsthmusError, Stopped) as error:
        result["error"] = f"{type(error).__name__}: {error}"
    finally:
        directory.with_name(f"{directory.name}.rank-{rank}.json").write_text(json.dumps(result))
        dist.destroy_process_group()
