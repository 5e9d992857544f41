"""What this process may use of the machine that it runs on."""

import math
import os
from pathlib import Path

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Count the cores this process may use.

    Returns
    -------
    int
        At least 1; both the affinity, where the system has one, and a container's quota are minded.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    n_cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        n_cores = min(n_cores, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        pass  # no cgroup, or "max": no quota
    return max(1, n_cores)
