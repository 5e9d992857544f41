"""What trials and workers are given, and whether it is there: decided before anything starts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from isthmus.backends.submitted_job import in_submitted_job
from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ResourceError
from isthmus.core.machine import usable_cores

__all__ = [
    "TrialShare",
    "WorkerShare",
    "check_task_workers",
    "check_trials",
    "check_workers",
    "require_cores",
    "share_out",
    "share_out_trials",
    "usable_cores",
]

# A trial's process with torch imported, and no training in it.
_DRIVER_BYTES = 300 * 2**20


@dataclass(frozen=True)
class WorkerShare:
    """What one worker reserves.

    Attributes
    ----------
    threads : int
        Cores, and so compute threads.
    gpus : float
        GPUs: 0 on the CPU, 1, or a share of one.
    """

    threads: int
    gpus: float = 0.0

    @property
    def on_gpu(self) -> bool:
        """Whether it computes on a GPU."""
        return self.gpus > 0.0

    @property
    def resources(self) -> dict[str, float]:
        """The share in Ray's words."""
        return {"CPU": float(self.threads), **({"GPU": self.gpus} if self.on_gpu else {})}


@dataclass(frozen=True)
class TrialShare:
    """What each trial of a search reserves, and how many there are at a time.

    Attributes
    ----------
    n_trials : int
        Trials at a time, at least 1.
    workers : int
        Training workers of each.
    worker : WorkerShare
        What each worker reserves.
    """

    n_trials: int
    workers: int
    worker: WorkerShare

    @property
    def resources(self) -> dict[str, float]:
        """What the trial's own process reserves, in Ray's words.

        With one worker the trial is trained in that process. With more of them it only waits, and
        a core of its own could keep the workers from ever being placed; Ray wants it to reserve
        something, so it is memory.
        """
        return self.worker.resources if self.workers == 1 else {"memory": float(_DRIVER_BYTES)}

    @property
    def gpus(self) -> float:
        """GPUs of one trial, over its workers."""
        return self.workers * self.worker.gpus

    @property
    def settings(self) -> dict[str, Any]:
        """What each trial is told of it, below ``execution``: no other choice is made there.

        Where nodes with GPUs are away for a while, ``device: auto`` would go on without.
        """
        device = {"device": "cuda"} if self.worker.on_gpu else {}
        return {"threads_per_worker": self.worker.threads, "stratification_workers": 1, **device}


def check_workers(execution: ExecutionConfig) -> None:
    """Refuse more workers than this machine has cores, before anything is started.

    Parameters
    ----------
    execution : ExecutionConfig
        With ``address`` set, or in a submitted job, nothing is checked: the cluster is asked once
        it is joined. Of ``workers``, ``min_workers`` will do.

    Raises
    ------
    ResourceError
        If the workers' threads, or the processes of the robustness job, do not fit on the cores.
    """
    if _is_local(execution):
        # GPUs are left to the moment Ray has counted them; one a worker is pretended here.
        here = {"CPU": float(usable_cores()), "GPU": math.inf}
        share_out(execution, execution.min_workers or execution.workers, [here])
    check_task_workers(execution)


def check_trials(execution: ExecutionConfig) -> None:
    """Refuse more trials at a time than this machine has cores for, before anything is started.

    Parameters
    ----------
    execution : ExecutionConfig
        With ``address`` set, or in a submitted job, nothing is checked: the cluster is asked once
        it is joined.

    Raises
    ------
    ResourceError
        If the workers of all concurrent trials do not fit on the cores.
    """
    if _is_local(execution):
        share_out_trials(execution, [{"CPU": float(usable_cores()), "GPU": math.inf}])


def check_task_workers(execution: ExecutionConfig) -> None:
    """Refuse more processes of the robustness job than this machine has cores.

    Parameters
    ----------
    execution : ExecutionConfig
        With ``address`` set, or in a submitted job, nothing is checked: the cluster is asked once
        it is joined.

    Raises
    ------
    ResourceError
        If they do not fit.
    """
    if _is_local(execution):
        require_cores(execution.stratification_workers, [{"CPU": float(usable_cores())}])


def require_cores(workers: int, nodes: Sequence[Mapping[str, float]]) -> None:
    """Refuse more processes of the robustness job than there are cores.

    Parameters
    ----------
    workers : int
        `execution.stratification_workers`: each has a core.
    nodes : sequence of Mapping of str to float
        Each node's ``CPU`` in total.

    Raises
    ------
    ResourceError
        If they do not fit.
    """
    room = int(sum(node.get("CPU", 0.0) // 1 for node in nodes))
    if workers > room:
        raise ResourceError(
            f"Each process of the robustness job needs a core, but "
            f"execution.stratification_workers is {workers} and there are {room} cores. Set it to "
            f"{max(1, room)} or less."
        )


def share_out(
    execution: ExecutionConfig, workers: int, nodes: Sequence[Mapping[str, float]]
) -> WorkerShare:
    """Decide what each worker reserves, so that all of them can be placed.

    Parameters
    ----------
    execution : ExecutionConfig
        Threads asked for, and the device.
    workers : int
        Training processes, at least 1.
    nodes : sequence of Mapping of str to float
        Each node's ``CPU`` and ``GPU`` in total. A worker lies on one node, so two nodes of three
        cores do not make room for three workers of two.

    Returns
    -------
    WorkerShare
        The threads asked for, or the most that leave room for every worker.

    Raises
    ------
    ResourceError
        If the workers do not fit; the message says what was asked, what there is and what to set.

    Examples
    --------
    >>> share_out(ExecutionConfig(device="cpu"), 3, [{"CPU": 8.0}, {"CPU": 4.0}])
    WorkerShare(threads=4, gpus=0.0)
    """
    gpus = _gpus_wanted(execution, nodes)
    share = _widest(execution, workers, gpus, nodes)
    if share is not None:
        return share
    n_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    on_gpus = _places_on_gpus(nodes, gpus)
    if on_gpus < workers:
        raise ResourceError(
            f"Each worker needs {_gpu_words(gpus)}, but {workers} workers were asked for and there "
            f"are {n_gpus:g} GPUs. Set execution.workers to {max(1, int(on_gpus))}, or "
            "execution.device: cpu."
        )
    least = execution.threads_per_worker or 1
    room = _room(nodes, least, gpus)
    asked = f"{workers} workers of {least} core{'s' if least > 1 else ''} each"
    setting = "min_workers" if (execution.min_workers or 0) > room else "workers"
    fewer_threads = ", or execution.threads_per_worker lower" if least > 1 else ""
    raise ResourceError(
        f"All training workers must fit at once, but execution asks for {asked} and there are "
        f"{_cores(nodes)} cores. Set execution.{setting} to {max(1, room)} or less{fewer_threads}."
    )


def share_out_trials(
    execution: ExecutionConfig, nodes: Sequence[Mapping[str, float]]
) -> TrialShare:
    """Decide how many trials of a search run at a time, and what the workers of each reserve.

    Parameters
    ----------
    execution : ExecutionConfig
        Trials, workers, threads and share of a GPU asked for, and the device.
    nodes : sequence of Mapping of str to float
        Each node's ``CPU`` and ``GPU`` in total. A worker's share of a GPU lies on one GPU.

    Returns
    -------
    TrialShare
        ``concurrent_trials`` of them, or as many as fit with the threads asked for, else with one
        thread a worker. Threads that nobody asked for are the cores shared out among the workers
        of all concurrent trials.

    Raises
    ------
    ResourceError
        If not even one trial fits, or fewer than were asked for; the message says what was asked,
        what there is and what to set.

    Examples
    --------
    >>> share_out_trials(ExecutionConfig(device="cpu", concurrent_trials=2), [{"CPU": 8.0}])
    TrialShare(n_trials=2, workers=1, worker=WorkerShare(threads=4, gpus=0.0))
    """
    gpus = _gpus_wanted(execution, nodes)
    least = execution.threads_per_worker or 1
    room = _room(nodes, least, gpus)
    fewest = execution.min_workers or execution.workers
    share_out(execution, fewest, nodes)  # refuses what does not even fit once
    workers = min(execution.workers, room)
    most = room // workers
    n_trials = execution.concurrent_trials or most
    if n_trials > most:
        each = f"{workers} worker{'s' if workers > 1 else ''} of {least} core"
        each += "s" if least > 1 else ""
        there = f"{_cores(nodes)} cores"
        if gpus:
            each += f" and {_gpu_words(gpus)}"
            there += f" and {sum(node.get('GPU', 0.0) for node in nodes):g} GPUs"
        raise ResourceError(
            f"All concurrent trials must fit at once, but execution asks for {n_trials} trials "
            f"with {each} and there are {there}: room for {most}. Set "
            f"execution.concurrent_trials to {most} or less, or leave it out."
        )
    share = _widest(execution, n_trials * workers, gpus, nodes)
    assert share is not None  # there is room with the fewest threads
    return TrialShare(n_trials, execution.workers, share)


def _is_local(execution: ExecutionConfig) -> bool:
    """Tell whether the work is done on this very machine."""
    return execution.address is None and not in_submitted_job()


def _gpus_wanted(execution: ExecutionConfig, nodes: Sequence[Mapping[str, float]]) -> float:
    """Return the GPUs that each worker reserves, 0 on the CPU."""
    there = any(node.get("GPU", 0.0) > 0 for node in nodes)
    on_gpu = execution.device == "cuda" or (execution.device == "auto" and there)
    return execution.gpus_per_worker if on_gpu else 0.0


def _widest(
    execution: ExecutionConfig, workers: int, gpus: float, nodes: Sequence[Mapping[str, float]]
) -> WorkerShare | None:
    """Find the most threads, or those asked for, with which all workers can be placed."""
    most = int(max((node.get("CPU", 0.0) for node in nodes), default=0.0))
    wanted = execution.threads_per_worker
    for threads in (wanted,) if wanted else range(most, 0, -1):
        if _room(nodes, threads, gpus) >= workers:
            return WorkerShare(threads, gpus)
    return None


def _room(nodes: Sequence[Mapping[str, float]], threads: int, gpus: float) -> int:
    """Count the workers that the nodes have room for."""
    return sum(
        int(min(node.get("CPU", 0.0) // threads, _places_on_gpus([node], gpus))) for node in nodes
    )


def _places_on_gpus(nodes: Sequence[Mapping[str, float]], gpus: float) -> float:
    """Count the workers whose share of a GPU can be placed; each lies on one GPU."""
    if not gpus:
        return math.inf
    on_each = int(1.0 / gpus + 1e-9)
    return sum(node.get("GPU", 0.0) * on_each for node in nodes)


def _gpu_words(gpus: float) -> str:
    """Say what a worker needs of GPUs."""
    return "a GPU of its own" if gpus == 1.0 else f"{gpus:g} of a GPU"


def _cores(nodes: Sequence[Mapping[str, float]]) -> str:
    """List the cores, node by node."""
    return " + ".join(f"{node.get('CPU', 0.0):g}" for node in nodes) or "0"
