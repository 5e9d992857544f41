"""What runs in a process of Tune's: a trial or a fold, told of as it goes."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray.tune

from isthmus.backends.permit import permitted
from isthmus.backends.worker_share import WorkerShare
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import Experiment
from isthmus.report.fold_files import draw_pictures
from isthmus.stratification.runner import InProcessRunner
from isthmus.study.attempt import Assignment, Ending, attempt
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import StrataProgress, TrialEvent, TrialListener, tell_all
from isthmus.trial.run import Launcher
from isthmus.trial.wire import to_wire

# How often a long robustness job is heard of.
_STRATA_SECONDS = 10.0
# What is told is one text under one of these: Tune flattens what is nested.
EVENT, ENDING, NUMBER, FOLD = "event", "ending", "number", "fold"
PERMIT = "permit"

Work = Callable[[Assignment, TrialListener], Ending]


def train_and_draw(assignment: Assignment, tell: TrialListener) -> Ending:
    """Run it in this process, and draw its pictures here too, not where they are published.

    Parameters
    ----------
    assignment : Assignment
        What to run.
    tell : callable
        Hears of each event, once what belongs to it is drawn.

    Returns
    -------
    Ending
        How it ended.
    """
    launcher = _launcher(assignment.experiment)
    return attempt(assignment, launcher, InProcessRunner(), tell_all(draw_pictures, tell))


def packed(assignment: Assignment, permit: Path) -> dict[str, Any]:
    """Write an assignment as plain values.

    Parameters
    ----------
    assignment : Assignment
        A trial to be run.
    permit : Path
        Of this attempt at it (`isthmus.backends.permit`).

    Returns
    -------
    dict
        What `work_in_process` reads.
    """
    experiment = assignment.experiment
    return {
        NUMBER: assignment.number,
        FOLD: assignment.fold,
        "experiment": experiment.config.model_dump(mode="json"),
        "folder": str(experiment.folder),
        PERMIT: str(permit),
    }


class _Spent(Exception):
    """Keeps Tune from giving the process to another trial."""


def work_in_process(config: dict[str, Any], work: Work) -> None:
    """Run a trial in the process that Tune gave it, and tell of it.

    Parameters
    ----------
    config : dict
        As `packed` wrote it.
    work : callable
        What is done for the trial.
    """
    settings = ExperimentConfig.model_validate(config["experiment"])
    experiment = Experiment(settings, Path(config["folder"]))
    with permitted(Path(config[PERMIT])):
        ending = work(Assignment(config[NUMBER], experiment, config[FOLD]), _teller())
    _let_go()
    ray.tune.report({ENDING: json.dumps(asdict(ending))})
    if ending.kind == "memory":
        # The allocator keeps what is free in pieces. Smaller slices begin in a new process.
        raise _Spent


def _launcher(experiment: Experiment) -> Launcher:
    """One worker trains in this process; several on a nested Ray Train."""
    if experiment.config.execution.workers == 1:
        return InProcessLauncher()
    # Brings in all of Ray Train and Ray Data.
    from isthmus.backends.ray_train import RayTrainLauncher  # noqa: PLC0415

    execution = experiment.config.execution
    # The search was refused if this did not fit when it began.
    gpus = execution.gpus_per_worker if execution.device == "cuda" else 0.0
    return RayTrainLauncher(WorkerShare(execution.threads_per_worker or 1, gpus))


def _teller() -> TrialListener:
    """Make a listener that tells the driver, and does not drown it."""
    quiet_until = 0.0

    def tell(event: TrialEvent) -> None:
        nonlocal quiet_until
        if isinstance(event, StrataProgress):
            if time.monotonic() < quiet_until:
                return
            quiet_until = time.monotonic() + _STRATA_SECONDS
        ray.tune.report({EVENT: json.dumps(to_wire(event))})

    return tell


def _let_go() -> None:
    """Leave a GPU's memory to the next trial of this process."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
