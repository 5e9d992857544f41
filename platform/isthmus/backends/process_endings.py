"""How the processes of a search's trials ended, by what Ray and Tune say of it.

Where memory is short Ray kills several workers at a time, until enough is free: one that took
little goes with the one that took all of it. So the largest is held to account, the others not.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.exceptions import RayActorError, RayError, RayTaskError

from isthmus.backends.ray_worker import killed_for_memory
from isthmus.core.errors import ResourceError
from isthmus.study.attempt import Ending

# Of Ray 2.60, by running it.
_KILLED = re.compile(
    r"Selected to kill: .*?\bpid=(?P<pid>\d+)(?:, actual memory used=(?P<gb>[\d.]+)GB)?"
)
_SHORT_OF_MEMORY = Ending("memory", "OutOfMemory", "its process was killed for want of memory")
_NODE_GONE = "its node has died"
_NODE = re.compile(r"Memory on the node \(IP: (?P<ip>[^,]+),")


@dataclass(frozen=True)
class Process:
    """Where a trial runs.

    Attributes
    ----------
    node : str
        Address of its node, as Ray has it.
    pid : int
        Number of the process there.
    """

    node: str
    pid: int


def process_of(result: Mapping[str, Any]) -> Process | None:
    """Read off what Tune adds to each report which process made it.

    Parameters
    ----------
    result : Mapping of str to Any
        A report, as a scheduler is given it.

    Returns
    -------
    Process or None
        None where Tune added nothing.
    """
    if "pid" not in result or "node_ip" not in result:
        return None
    return Process(str(result["node_ip"]), int(result["pid"]))


def require_survivable(failure: BaseException) -> None:
    """Raise what ended Tune, unless it is that Ray killed processes for want of memory.

    Parameters
    ----------
    failure : BaseException
        What Tune raised.

    Raises
    ------
    ResourceError
        If Ray itself is gone.
    BaseException
        Anything else, as it is.
    """
    if isinstance(failure, RayError):
        raise ResourceError(
            f"Ray must run for as long as the search does, but it is gone: {failure} Run "
            "the same command again to go on."
        ) from failure
    if not killed_for_memory(failure):
        raise failure


def endings_of_kill(message: str, running: Mapping[int, Process | None]) -> dict[int, Ending]:
    r"""Say how each running trial ended when Ray killed processes and Tune stopped because of it.

    Parameters
    ----------
    message : str
        Of Ray's ``OutOfMemoryError``.
    running : Mapping of int to Process or None
        Of each trial that was running, where; None where that was not heard yet.

    Returns
    -------
    dict of int to Ending
        ``memory`` for the trial that took the most of all that was killed. Where that was none of
        the trials: ``died`` for those that were killed with it, or for all if none is known to
        be. ``lost`` for the rest, which did nothing wrong.

    Notes
    -----
    One at least is always blamed, with an ending that cannot come again for ever.

    Examples
    --------
    >>> message = "Memory on the node (IP: 10.0.0.1, ID: a) was 9GB used / 9GB limit\n"
    >>> message += "Selected to kill: (Actor(b): pid=7, actual memory used=0.11GB, worker ID=c)\n"
    >>> message += "Selected to kill: (Actor(d): pid=8, actual memory used=5.92GB, worker ID=e)\n"
    >>> running = {n: Process("10.0.0.1", n + 5) for n in (1, 2, 3)}
    >>> {n: ending.kind for n, ending in endings_of_kill(message, running).items()}
    {1: 'lost', 2: 'lost', 3: 'memory'}
    """
    node = _NODE.search(message)
    killed = {
        Process(node["ip"] if node else "", int(one["pid"])): float(one["gb"] or 0)
        for one in _KILLED.finditer(message)
    }
    largest = max(killed, key=lambda process: killed[process], default=None)
    known = largest is not None and largest in running.values()
    died = {number for number, process in running.items() if process in killed} or set(running)
    endings: dict[int, Ending] = {}
    for number, process in running.items():
        if known and process == largest:
            endings[number] = _SHORT_OF_MEMORY
        elif not known and number in died:
            what = "it may have been killed for want of memory on its node"
            endings[number] = Ending("died", "WorkerDied", what)
        else:
            what = "another process was killed for want of memory"
            endings[number] = Ending("lost", "WorkerDied", what)
    return endings


def ending_of_error(error: Exception) -> Ending:
    """Sort the end of one trial's process.

    Parameters
    ----------
    error : Exception
        What Tune was given.

    Returns
    -------
    Ending
        ``memory``, ``died``, ``gone`` or ``failed``.
    """
    if killed_for_memory(error):
        return _SHORT_OF_MEMORY
    # What a process raises while it is set up, such as a failing import, it would raise again.
    if isinstance(error, RayActorError) and not error.actor_init_failed:
        if _NODE_GONE in str(error):
            return Ending("gone", "WorkerDied", "its node is gone")
        return Ending("died", "WorkerDied", "it was killed, or its node is gone")
    lines = str(error).strip().splitlines() or ["it said nothing"]
    return Ending("failed", type(error).__name__, lines[-1])


def error_of(trial: Any) -> Exception:
    """Read what Tune wrote down of a failure, on this machine, a moment ago.

    Parameters
    ----------
    trial : ray.tune.experiment.Trial
        That failed.

    Returns
    -------
    Exception
        Of the class it was raised as, where Tune kept that.
    """
    if trial.pickled_error_file is not None:
        error = cloudpickle.loads(Path(trial.pickled_error_file).read_bytes())
        if isinstance(error, RayTaskError):
            error = error.as_instanceof_cause()
        if isinstance(error, Exception):
            return error
    return RuntimeError(Path(trial.error_file).read_text(encoding="utf-8"))
