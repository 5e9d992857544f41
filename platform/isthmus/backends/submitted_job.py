"""What is different inside a job that was handed to a cluster by `ray job submit`.

Such a job's driver runs on the cluster, in a copy of the folder that was submitted. The copy is
thrown away with the job, and everything that was written into it.
"""

import itertools
import os
from pathlib import Path

from isthmus.core.errors import ConfigError

# Ray sets it for the driver of a submitted job, and for nobody else.
_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"
# Where Ray unpacks what is submitted, below its session's folder.
_COPIES = ("runtime_resources", "working_dir_files")


def in_submitted_job() -> bool:
    """Tell whether this process is the driver of a submitted job.

    Returns
    -------
    bool
        True there: the cluster that runs the job is the one to use where no address is given.
    """
    return _MARK in os.environ


def is_thrown_away(path: Path) -> bool:
    """Tell whether a path lies in the copy of a folder that a job was submitted with.

    Parameters
    ----------
    path : Path
        Relative ones are taken from the working directory, as everywhere.

    Returns
    -------
    bool
        True if what is written there is lost when the job is over.

    Examples
    --------
    >>> is_thrown_away(Path("/ray/s/runtime_resources/working_dir_files/_ray_pkg_0/runs"))
    True
    >>> is_thrown_away(Path("/shared/runs"))
    False
    """
    parts = path.resolve().parts
    return _COPIES in itertools.pairwise(parts)


def require_lasting(path: Path, setting: str) -> None:
    """Refuse to write results where they are lost with the job.

    Parameters
    ----------
    path : Path
        Where something is to be kept.
    setting : str
        The setting that says so, for the message.

    Raises
    ------
    ConfigError
        If the path lies in a job's own copy of its working directory.
    """
    if is_thrown_away(path):
        raise ConfigError(
            f"{setting} must outlast a submitted job, but {path} lies in the job's own copy of its "
            f"working directory, which is thrown away. Set {setting} to an absolute path that all "
            "nodes share, such as /shared/isthmus."
        )
