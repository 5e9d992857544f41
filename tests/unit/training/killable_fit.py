"""Run as a program: fit a task, and be killed by SIGKILL after a given step or epoch.

Usage: killable_fit.py EXPERIMENT DIRECTORY {step N | saved N | epoch N | never}
"""

import os
import signal
import sys
from pathlib import Path

from isthmus.cohort.splits import Fold
from isthmus.config.load import load_experiment
from isthmus.training import fit as fit_module
from isthmus.training.task import TrainTask


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    path, directory, when, *rest = sys.argv[1:]
    number = int(rest[0]) if rest else -1
    experiment = load_experiment(Path(path))
    ids = [f"sub-{i:02d}" for i in range(12)]
    fold = Fold(0, tuple(ids[:6]), tuple(ids[6:8]), tuple(ids[8:]))
    task = TrainTask(
        experiment.config, experiment.store_url, fold, Path(directory), "enc-0", seed=5
    )
    saved = 0
    write = fit_module.save_checkpoint

    def save_then_kill(checkpoint, target) -> None:
        nonlocal saved
        write(checkpoint, target)
        saved += 1
        if when == "saved" and saved == number:
            kill()

    fit_module.save_checkpoint = save_then_kill
    fit_module.fit(
        task,
        on_epoch=lambda event: kill() if when == "epoch" and event.epoch == number else None,
        on_step=lambda step, _: kill() if when == "step" and step == number else None,
    )


if __name__ == "__main__":
    main()
