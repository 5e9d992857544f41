"""What the robustness job needs of memory, and whether there is that much, before it begins."""

from collections.abc import Mapping

import psutil

from isthmus.config.execution import ExecutionConfig
from isthmus.config.stratification import Clusterer, StratificationConfig
from isthmus.core.errors import ResourceError
from isthmus.stratification.cloud import MOST_EXACT

_PAIRWISE: tuple[Clusterer, ...] = ("affinity_propagation", "ward")


def bytes_of_clustering(clusterer: Clusterer, config: StratificationConfig, n: int) -> int:
    """Estimate the memory that grows with the square of the subjects, for one clustering.

    Parameters
    ----------
    clusterer : str
        Which.
    config : StratificationConfig
        `affinity_propagation.landmarks` is read.
    n : int
        Subjects that are clustered together.

    Returns
    -------
    int
        Bytes at the peak, within about a tenth; 0 for those that hold no pairs.

    Notes
    -----
    Affinity propagation holds four matrices of its m subjects or landmarks: the similarities,
    those of the rows clustered, and two kinds of messages. Ward's method holds the similarities
    and 16 bytes a pair, whatever the landmarks. A similarity takes 8 bytes up to 4,096 subjects,
    and 4 beyond.

    Examples
    --------
    >>> bytes_of_clustering("affinity_propagation", StratificationConfig(), 10_000)
    1600000000
    """
    if clusterer not in _PAIRWISE:
        return 0
    landmarks = config.affinity_propagation.landmarks
    own = clusterer == "affinity_propagation" and landmarks is not None
    m = min(n, landmarks) if own and landmarks is not None else n
    itemsize = 8 if m <= MOST_EXACT else 4
    return m * m * (4 * itemsize if clusterer == "affinity_propagation" else itemsize + 16)


def require_memory(
    config: StratificationConfig, n: int, n_processes: int, memory_bytes: int
) -> None:
    """Refuse clusterings that cannot fit, before anything is trained for them.

    Parameters
    ----------
    config : StratificationConfig
        Its `clusterer`, and those of its specification curve.
    n : int
        Subjects that are clustered together.
    n_processes : int
        That cluster at the same time, each with matrices of its own.
    memory_bytes : int
        Of the machine that they run on.

    Raises
    ------
    ResourceError
        If any clusterer needs more. The message says how much, and what to set.
    """
    asked = dict.fromkeys((config.clusterer, *config.specifications.clusterers))
    need = {one: n_processes * bytes_of_clustering(one, config, n) for one in asked}
    too_large = {one: size for one, size in need.items() if size > memory_bytes}
    if not too_large:
        return
    raise ResourceError(
        f"The pairs of {n:,} subjects must fit in memory, but this machine has "
        f"{_gigabytes(memory_bytes)} and {n_processes} process{'es' * (n_processes > 1)} of the "
        f"robustness job would need {_listed(too_large)}. {_remedy(too_large, config)}"
    )


def require_memory_here(config: StratificationConfig, execution: ExecutionConfig, n: int) -> None:
    """Refuse clusterings that cannot fit into this machine, if it is this one that does them.

    Parameters
    ----------
    config : StratificationConfig
        As in `require_memory`.
    execution : ExecutionConfig
        `stratification_workers` cluster at the same time; of the machines of a cluster
        (`address`) nothing is known here.
    n : int
        Subjects that are clustered together.

    Raises
    ------
    ResourceError
        As `require_memory`, by all the memory there is: what is free just now is chance.
    """
    if execution.address is None:
        memory_bytes = int(psutil.virtual_memory().total)
        require_memory(config, n, execution.stratification_workers, memory_bytes)


def _remedy(too_large: Mapping[Clusterer, int], config: StratificationConfig) -> str:
    """Say what to set."""
    advice = []
    if "affinity_propagation" in too_large:
        advice.append(
            "Set stratification.affinity_propagation.landmarks, such as 5000, which takes 0.4 GB "
            "a process, or stratification.clusterer: hdbscan or kmeans, which hold no pairs."
        )
    if "ward" in too_large:
        role = "clusterer" if config.clusterer == "ward" else "specifications.clusterers"
        advice.append(f"Leave ward out of stratification.{role}: it has no landmarks.")
    return " ".join(advice)


def _listed(need: Mapping[Clusterer, int]) -> str:
    """Say who needs how much."""
    return " and ".join(f"{_gigabytes(size)} ({name})" for name, size in need.items())


def _gigabytes(n_bytes: int) -> str:
    """Write a size as people do."""
    return f"{n_bytes / 1e9:.1f} GB"
