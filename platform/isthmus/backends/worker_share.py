"""What each training worker is given, and whether it is there: decided before anything starts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ResourceError
from isthmus.core.machine import usable_cores

__all__ = [
    "WorkerShare",
    "check_task_workers",
    "check_workers",
    "require_cores",
    "share_out",
    "usable_cores",
]


@dataclass(frozen=True)
class WorkerShare:
    """What one worker reserves.

    Attributes
    ----------
    threads : int
        Cores, and so compute threads.
    on_gpu : bool
        Whether it has a GPU of its own.
    """

    threads: int
    on_gpu: bool

    @property
    def resources(self) -> dict[str, float]:
        """The share in Ray's words."""
        return {"CPU": float(self.threads), **({"GPU": 1.0} if self.on_gpu else {})}


def check_workers(execution: ExecutionConfig) -> None:
    """Refuse more workers than this machine has cores, before anything is started.

    Parameters
    ----------
    execution : ExecutionConfig
        With ``address`` set nothing is checked: the cluster is asked once it is joined.

    Raises
    ------
    ResourceError
        If the workers' threads, or the processes of the robustness job, do not fit on the cores.
    """
    if execution.address is None:
        # GPUs are left to the moment Ray has counted them; one a worker is pretended here.
        here = {"CPU": float(usable_cores()), "GPU": math.inf}
        share_out(execution, execution.workers, [here])
    check_task_workers(execution)


def check_task_workers(execution: ExecutionConfig) -> None:
    """Refuse more processes of the robustness job than this machine has cores.

    Parameters
    ----------
    execution : ExecutionConfig
        With ``address`` set nothing is checked: the cluster is asked once it is joined.

    Raises
    ------
    ResourceError
        If they do not fit.
    """
    if execution.address is None:
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
    WorkerShare(threads=4, on_gpu=False)
    """
    n_gpus = sum(node.get("GPU", 0.0) for node in nodes)
    on_gpu = execution.device == "cuda" or (execution.device == "auto" and n_gpus > 0)
    most = int(max((node.get("CPU", 0.0) for node in nodes), default=0.0))
    wanted = execution.threads_per_worker
    for threads in (wanted,) if wanted else range(most, 0, -1):
        if _room(nodes, threads, on_gpu) >= workers:
            return WorkerShare(threads, on_gpu)
    if on_gpu and n_gpus < workers:
        raise ResourceError(
            f"Each worker needs a GPU of its own, but {workers} workers were asked for and there "
            f"are {n_gpus:g} GPUs. Set execution.workers to {max(1, int(n_gpus))}, or "
            "execution.device: cpu."
        )
    least = wanted or 1
    room = _room(nodes, least, on_gpu)
    asked = f"{workers} workers of {least} core{'s' if least > 1 else ''} each"
    there = " + ".join(f"{node.get('CPU', 0.0):g}" for node in nodes) or "0"
    fewer_threads = ", or execution.threads_per_worker lower" if least > 1 else ""
    raise ResourceError(
        f"All training workers must fit at once, but execution asks for {asked} and there are "
        f"{there} cores. Set execution.workers to {max(1, room)} or less{fewer_threads}."
    )


def _room(nodes: Sequence[Mapping[str, float]], threads: int, on_gpu: bool) -> int:
    """Count the workers that the nodes have room for."""
    places = [node.get("CPU", 0.0) // threads for node in nodes]
    if on_gpu:
        places = [min(n, node.get("GPU", 0.0)) for n, node in zip(places, nodes, strict=True)]
    return int(sum(int(place) for place in places))
