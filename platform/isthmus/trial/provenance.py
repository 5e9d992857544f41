"""Where a result came from: code, environment and machine, as they were."""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import psutil

import isthmus


@dataclass(frozen=True)
class Provenance:
    """The state of code and machine at the start of a trial.

    Attributes
    ----------
    version : str
        Version of isthmus.
    git_commit : str
        Commit of the checkout isthmus runs from, or an empty string outside one.
    git_diff : str
        Uncommitted changes to it, as a patch.
    python : str
        Version of Python.
    packages : tuple of str
        Installed distributions, ``name==version``, sorted.
    machine : str
        Processor, cores and memory in words.
    """

    version: str
    git_commit: str
    git_diff: str
    python: str
    packages: tuple[str, ...]
    machine: str


def take_provenance() -> Provenance:
    """Record code, environment and machine.

    Returns
    -------
    Provenance
        As they are now. Host names and user names are left out.
    """
    folder = Path(isthmus.__file__).parent
    found = {f"{item.name}=={item.version}" for item in distributions()}
    return Provenance(
        version=isthmus.__version__,
        git_commit=_git(folder, "rev-parse", "HEAD").strip(),
        git_diff=_git(folder, "diff", "HEAD"),
        python=sys.version.split()[0],
        packages=tuple(sorted(found, key=str.lower)),
        machine=describe_machine(),
    )


def describe_machine() -> str:
    """Describe processor, cores and memory in one line.

    Returns
    -------
    str
        Such as ``"x86_64 ..., 2 cores, 24 GiB"``.
    """
    memory_gib = psutil.virtual_memory().total / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB"


def _processor() -> str:
    """Name the processor as Linux does, or as Python can."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git(folder: Path, *arguments: str) -> str:
    """Ask git, where there is one and the folder is in a checkout."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
