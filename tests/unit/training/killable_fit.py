"""Fits a task in a process of its own, and is killed by SIGKILL at a given point.

The points, each with a number N:

    never     to the end
    step      after optimiser step N, before anything of it is saved
    saved     after the Nth checkpoint file is written
    halfway   in the middle of writing the Nth checkpoint file
    epoch     when epoch N is announced
    finish    when the weights are written and the marker is not
"""

import logging
import os
import signal
from pathlib import Path

import torch
from small_cohort import make_task

from isthmus.training import checkpoint as checkpoint_module
from isthmus.training import fit as fit_module

TORCH_SAVE = torch.save


def kill(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Reaper:
    """Counts what is written and strikes at the chosen one."""

    def __init__(self, when: str, number: int) -> None:
        self.when, self.number = when, number
        self.n_begun = self.n_saved = 0

    def save(self, checkpoint, path) -> None:
        checkpoint_module.save_checkpoint(checkpoint, path)
        self.n_saved += 1
        if (self.when, self.number) == ("saved", self.n_saved):
            kill()

    def torch_save(self, content, file) -> None:
        self.n_begun += 1
        if (self.when, self.number) == ("halfway", self.n_begun):
            file.write(b"half" * 1000)
            file.flush()
            kill()
        TORCH_SAVE(content, file)


def run(experiment_file: Path, directory: Path, log: Path, when: str, number: int) -> None:
    logging.basicConfig(level=logging.INFO, filename=log, filemode="w", force=True)
    task = make_task(experiment_file, directory)
    reaper = Reaper(when, number)
    fit_module.save_checkpoint = reaper.save
    torch.save = reaper.torch_save
    if when == "finish":
        fit_module.write_fitted = kill
    fit_module.fit(
        task,
        on_epoch=lambda event: kill() if (when, number) == ("epoch", event.epoch) else None,
        on_step=lambda step, _: kill() if (when, number) == ("step", step) else None,
    )
