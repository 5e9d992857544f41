"""What is different inside a job that was handed to a cluster by `ray job submit`.

Such a job's driver runs on the cluster, in a copy of the folder that was submitted. The copy is
thrown away with the job, and everything that was written into it.
"""

import itertools
import os
from pathlib import Path

from isthmus.backends.study_storage import JOURNAL
from isthmus.backends.tracking_uri import SQLITE
from isthmus.config.load import Experiment
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


def require_lasting_places(experiment: Experiment) -> None:
    """Refuse an experiment whose places a submitted job would lose, or nobody find again.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings.

    Raises
    ------
    ConfigError
        If the output, the volume store, the cohort, or a file of MLflow's or the study's lies in a
        job's own copy of its working directory.
    """
    execution = experiment.config.execution
    require_lasting(experiment.output, "execution.output")
    if "://" not in experiment.store_url:
        require_lasting(Path(experiment.store_url), "execution.store")
    # What a job leaves behind names the cohort's folder, and every node looks for it there.
    require_lasting(experiment.cohort_root, "cohort.root")
    for setting in ("tracking_uri", "study_storage"):
        uri = getattr(execution, setting) or ""
        for prefix in (SQLITE, JOURNAL):
            if uri.startswith(prefix):
                require_lasting(Path(uri.removeprefix(prefix)), f"execution.{setting}")
