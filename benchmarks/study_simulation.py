"""A study on a cluster that is not here, event by event, from what its parts cost.

Folds are the units. A search trains those of a trial one after the other, on the trial's devices;
an ablation hands out each by itself. What slows them: the store, whose bandwidth all of them share;
the driver, which serves one event at a time; nodes that fail, with which what was computed since
the last checkpoint is lost, and the time until the fold goes on elsewhere.
"""

import heapq
from collections import deque
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np
from cost_model import Link, Network

Kind = Literal["search", "ablation"]


@dataclass(frozen=True)
class Study:
    """What is to be trained.

    Attributes
    ----------
    kind : {"search", "ablation"}
        Whether a trial's folds wait for each other.
    n_subjects, n_trials, n_folds, n_epochs : int
        Of the cohort, and of each trial.
    n_voxels : int
        Of a padded image.
    subject_bytes : int
        What is read of one subject, compressed as it lies in the store.
    global_batch_size : int
        Subjects of one optimiser step.
    checkpoint_steps : int
        `execution.checkpoint_every_steps`; the end of an epoch is one too.
    events_per_fold : int
        What the driver hears of each fold, its epochs beside.
    """

    kind: Kind
    n_subjects: int
    n_trials: int
    n_folds: int
    n_epochs: int
    n_voxels: int
    subject_bytes: int
    global_batch_size: int
    checkpoint_steps: int = 100
    events_per_fold: int = 4

    @property
    def n_trained(self) -> int:
        """Subjects of a training fold."""
        return self.n_subjects * (self.n_folds - 1) // self.n_folds

    @property
    def n_steps(self) -> int:
        """Optimiser steps of an epoch."""
        return ceil(self.n_trained / self.global_batch_size)


@dataclass(frozen=True)
class Cluster:
    """Where it is trained.

    Attributes
    ----------
    n_devices, devices_per_node : int
        GPUs, or cores.
    times : float
        How many times as fast as the device that was measured each computes.
    link : Link
        Between workers.
    store_bytes_per_s : float
        What all nodes together read.
    event_s, publish_s : float
        What the driver takes for an event, and to draw and publish a fold.
    node_hours : float
        Mean time between failures of one node.
    restart_s : float
        From a failure until the fold trains again.
    """

    n_devices: int
    times: float
    link: Link
    store_bytes_per_s: float
    event_s: float
    node_hours: float = float("inf")
    restart_s: float = 60.0
    devices_per_node: int = 8
    publish_s: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """How it goes.

    Attributes
    ----------
    hours : float
        Until the last fold is over.
    used : float
        Share of the devices' hours in which a fold held the device.
    messages, waiting : float
        Shares of a step: the workers' messages, and waiting for the store.
    lost : float
        Share of the folds' hours that failures cost.
    driver : float
        Share of the time in which the driver is busy; 1 and it is the driver that limits.
    n_workers : int
        Devices of a trial.
    n_failures : int
        Of nodes with a fold on them.
    """

    hours: float
    used: float
    messages: float
    waiting: float
    lost: float
    driver: float
    n_workers: int
    n_failures: int


def simulate(
    study: Study, cluster: Cluster, network: Network, n_workers: int, seed: int = 0
) -> Forecast:
    """Run a study with so many devices a trial."""
    if study.global_batch_size % n_workers or n_workers > cluster.n_devices:
        raise ValueError(
            f"{n_workers} workers must divide a batch of {study.global_batch_size} and fit on "
            f"{cluster.n_devices} devices"
        )
    at_a_time = min(cluster.n_devices // n_workers, _n_units(study))
    per_worker = study.global_batch_size // n_workers
    alone = network.group_step_s(study.n_voxels, per_worker, n_workers, cluster.link, cluster.times)
    # The store is shared alike: a step cannot be over before its subjects have come.
    asked = study.global_batch_size * study.subject_bytes * at_a_time
    step_s = max(alone, asked / cluster.store_bytes_per_s)
    fold_s = study.n_epochs * study.n_steps * step_s
    kept_s = min(study.checkpoint_steps, study.n_steps) * step_s
    per_hour = ceil(n_workers / cluster.devices_per_node) / cluster.node_hours
    draw = np.random.default_rng(seed)
    ends, held_s, lost_s, n_failures = _run(
        study, at_a_time, fold_s, kept_s, per_hour / 3600, cluster.restart_s, draw
    )
    n_events = study.n_epochs + study.events_per_fold
    told_s = study.n_trials * study.n_folds * (n_events * cluster.event_s + cluster.publish_s)
    hours = max(ends, told_s) / 3600
    messages = network.messages_s(cluster.link, n_workers, cluster.times)
    return Forecast(
        hours=hours,
        used=held_s * n_workers / (cluster.n_devices * hours * 3600),
        messages=messages / step_s,
        waiting=1 - alone / step_s,
        lost=lost_s / held_s,
        driver=min(1.0, told_s / ends),
        n_workers=n_workers,
        n_failures=n_failures,
    )


def best(study: Study, cluster: Cluster, network: Network) -> Forecast:
    """Choose the number of devices a trial that ends first; fewer where that changes nothing."""
    divisors = [n for n in range(1, study.global_batch_size + 1) if not study.global_batch_size % n]
    tried = [simulate(study, cluster, network, n) for n in divisors if n <= cluster.n_devices]
    soonest = min(one.hours for one in tried)
    return next(one for one in tried if one.hours <= 1.01 * soonest)


def without(study: Study, cluster: Cluster, network: Network) -> dict[str, float]:
    """Tell how much sooner it ends, as a factor, with each limit lifted by itself."""
    now = best(study, cluster, network).hours
    lifted: dict[str, tuple[Study, Cluster]] = {
        "more devices": (study, replace(cluster, n_devices=2 * cluster.n_devices)),
        "a store without limit": (study, replace(cluster, store_bytes_per_s=float("inf"))),
        "links without cost": (study, replace(cluster, link=Link(0.0, float("inf")))),
        "a driver without cost": (study, replace(cluster, event_s=0.0, publish_s=0.0)),
        "nodes that do not fail": (study, replace(cluster, node_hours=float("inf"))),
        "devices twice as fast": (study, replace(cluster, times=2 * cluster.times)),
    }
    return {name: now / best(*pair, network).hours for name, pair in lifted.items()}


def _n_units(study: Study) -> int:
    """Count what can run at the same time."""
    return study.n_trials * (1 if study.kind == "search" else study.n_folds)


def _run(
    study: Study,
    at_a_time: int,
    fold_s: float,
    kept_s: float,
    failures_per_s: float,
    restart_s: float,
    draw: np.random.Generator,
) -> tuple[float, float, float, int]:
    """Hand out folds until none is left; return the end, and what was held, lost and failed."""
    chain = study.n_folds if study.kind == "search" else 1
    waiting = deque([chain] * _n_units(study))
    places = [0.0] * at_a_time  # when each is free
    heapq.heapify(places)
    ends = held = lost = 0.0
    n_failures = 0
    while waiting:
        now, n_chained = heapq.heappop(places), waiting.popleft()
        for _ in range(n_chained):
            failed = draw.poisson(failures_per_s * fold_s) if failures_per_s else 0
            again = failed * restart_s + float(draw.uniform(0, kept_s, failed).sum())
            now, held, lost = now + fold_s + again, held + fold_s + again, lost + again
            n_failures += failed
        ends = max(ends, now)
        heapq.heappush(places, now)
    return ends, held, lost, n_failures
