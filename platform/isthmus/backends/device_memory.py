"""What memory a training worker has for itself."""

import psutil
import torch

from isthmus.backends.submitted_job import in_submitted_job
from isthmus.backends.worker_share import TrialShare
from isthmus.config.execution import ExecutionConfig


def device_memory(execution: ExecutionConfig, share: TrialShare) -> int | None:
    """Tell how much memory each worker of a search's trials has for itself.

    Parameters
    ----------
    execution : ExecutionConfig
        Where the search runs.
    share : TrialShare
        What its trials reserve.

    Returns
    -------
    int or None
        Bytes: its share of this machine's smallest GPU, or an equal part of this machine's
        memory. None where the workers run on a cluster, whose machines this one does not know.

    Notes
    -----
    All of the memory is shared out, not what is free at the moment: a search that is gone on with
    tomorrow must come to the same.
    """
    if execution.address is not None or in_submitted_job():
        return None
    if share.worker.on_gpu:
        n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        sizes = [torch.cuda.get_device_properties(i).total_memory for i in range(n_gpus)]
        return int(min(sizes) * share.worker.gpus) if sizes else None
    return int(psutil.virtual_memory().total) // (share.n_trials * share.workers)
