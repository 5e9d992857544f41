"""A Ray session for the length of a command: a quiet local one of its own, or a cluster's."""

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import ray

import isthmus
from isthmus.backends.ray_token import keep_token_private
from isthmus.backends.submitted_job import in_submitted_job
from isthmus.backends.worker_share import check_workers, usable_cores
from isthmus.core.errors import ConfigError, ResourceError

__all__ = [
    "check_workers",
    "cluster_nodes",
    "in_submitted_job",
    "ray_session",
]

# A Unix socket's path may have 107 bytes, and Ray's and ours take 80 below the temporary folder.
_LONGEST_FOLDER = 25
_CONTACT_SECONDS = 5.0
# Ray's default is a third of the memory. What passes through here is a task and a record, and
# what the robustness job's pieces share: 320 MB for 40,000 subjects of 1,000 columns. It is taken
# when it is needed; where it does not suffice, Ray goes on in files.
_OBJECT_STORE_BYTES = 1024 * 2**20
_LEAST_OBJECT_STORE_BYTES = 128 * 2**20


@contextmanager
def ray_session(address: str | None) -> Iterator[None]:
    """Have Ray for the length of a block.

    Without an address a Ray of its own is started on this machine, in a private folder, with the
    cores that this process may use; at the end its processes are ended and the folder removed,
    also after an exception, Ctrl-C or SIGTERM. With an address that cluster is joined, and left;
    in a job handed in by `ray job submit` the cluster that runs it is, without an address too.
    Where this process is in a session already, that one is used and left open.

    Parameters
    ----------
    address : str or None
        ``host:port`` of a cluster's head, or ``auto`` on one of its nodes. Workers are sent this
        package; the other dependencies must be installed there.

    Yields
    ------
    None
        While Ray is up.

    Raises
    ------
    ConfigError
        If the address has another form.
    ResourceError
        If no cluster answers there, or a local Ray does not start.
    """
    if ray.is_initialized():
        yield
        return
    handlers = _signal_handlers()
    folder = None
    try:
        before = handlers.get(signal.SIGTERM)
        if address is None and in_submitted_job():
            address = "auto"  # Ray tells the job's driver where it is
        try:
            if address is None:
                folder = _private_folder()
                _start(folder)
            else:
                _join(address)
        except SystemExit:
            # Ray's own handler, which is in force while it starts, ends with a code of its own.
            if callable(before):
                before(signal.SIGTERM, None)
            raise
        if before is not None:
            # Ray's own would print a stack and abort the process 3 s later.
            signal.signal(signal.SIGTERM, _end if before is signal.SIG_DFL else before)
        yield
    finally:
        ray.shutdown()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def cluster_nodes() -> list[dict[str, float]]:
    """List what the living nodes of the session's cluster have in total.

    Returns
    -------
    list of dict of str to float
        ``CPU``, ``GPU``, ``memory`` and so on for each node.
    """
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def _start(folder: Path) -> None:
    """Start Ray on this machine."""
    try:
        keep_token_private()
        # Without its dashboard Ray's placement group cleaner warns each second.
        ray.init(
            address="local",
            num_cpus=usable_cores(),
            object_store_memory=_object_store_bytes(),
            include_dashboard=True,
            runtime_env={"env_vars": {"PYTHONPATH": _python_path()}},
            # Ray lets everybody into the folder it is given, so it gets one within ours.
            _temp_dir=str(folder / "r"),
            # Ray's default is to try again for ever what is killed for want of memory.
            _system_config={"task_oom_retries": 3},
            **_quiet(),
        )
    except (OSError, RuntimeError, TimeoutError) as error:
        raise ResourceError(
            f"Ray must start on this machine for more than one of execution.workers or "
            f"execution.stratification_workers, but did not: {_reason(error)} Set them to 1, or "
            "execution.address to a running cluster."
        ) from error


def _object_store_bytes() -> int:
    """Reserve less where the machine, or its shared memory, has less to give."""
    most = int(psutil.virtual_memory().total) // 8
    shared = Path("/dev/shm")
    if shared.is_dir():
        most = min(most, shutil.disk_usage(shared).free // 2)
    return max(_LEAST_OBJECT_STORE_BYTES, min(_OBJECT_STORE_BYTES, most))


def _join(address: str) -> None:
    """Join a cluster that runs already."""
    _check_address(address)
    # A submitted job has a runtime environment already, and Ray refuses a second one.
    package = str(Path(isthmus.__file__).parent)
    # Compiled files are of no use on another machine, and can be 100 MB: more than the head takes.
    sent = {"py_modules": [package], "excludes": ["__pycache__/"]}
    try:
        ray.init(
            address=address,
            runtime_env=None if in_submitted_job() else sent,
            **_quiet(),
        )
    except (OSError, RuntimeError, TimeoutError, ValueError) as error:
        raise ResourceError(
            f"A Ray cluster must answer at execution.address {address}, but did not: "
            f"{_reason(error)} Check the address, that versions of Ray and Python are the same "
            "there, and that this user has the cluster's token (~/.ray/auth_token)."
        ) from error


def _check_address(address: str) -> None:
    """Refuse an address of another form, or at which nothing listens."""
    if address == "auto":
        return
    form = re.fullmatch(r"\[?(?P<host>[\w.:-]+?)\]?:(?P<port>\d{1,5})", address)
    if form is None or int(form["port"]) > 65535:
        raise ConfigError(
            "execution.address (or --address) must be host:port of a Ray head (port 6379 unless "
            f"told otherwise) or auto, got {address!r}. Leave it out for a local Ray."
        )
    try:
        socket.create_connection((form["host"], int(form["port"])), _CONTACT_SECONDS).close()
    except OSError as error:
        raise ResourceError(
            f"A Ray cluster must answer at execution.address {address}, but nothing listens there "
            f"({error}). Start it, correct the address, or leave it out for a local Ray."
        ) from error


def _quiet() -> dict[str, Any]:
    """Keep Ray from writing on the terminal."""
    # Of a worker that died it would tell on stdout, where a command's JSON goes, whatever it was
    # asked to log; who waits for the worker is told by an error.
    ray._private.worker._worker_logs_enabled = False
    return {"log_to_driver": False, "logging_level": "ERROR"}


def _private_folder() -> Path:
    """Make a folder that only this user reads, with a short path."""
    place = tempfile.gettempdir()
    if len(place) > _LONGEST_FOLDER:
        place = "/tmp"
    return Path(tempfile.mkdtemp(prefix="is-", dir=place))


def _python_path() -> str:
    """Let workers import this package from where the driver has it, installed or not."""
    source = str(Path(isthmus.__file__).parents[1])
    return os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])


def _signal_handlers() -> dict[signal.Signals, Any]:
    """Remember the handlers that Ray replaces and does not put back."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # None stands for a handler that is not Python's and cannot be put back.
    return {number: handler for number, handler in handlers.items() if handler is not None}


def _end(number: int, _: Any) -> None:
    """End like any command that is told to, through every `finally`."""
    sys.exit(128 + number)


def _reason(error: Exception) -> str:
    """Say in one line what Ray said."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0].rstrip('.'):.300}."
