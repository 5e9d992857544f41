"""Training in this very process: the launcher for one worker."""

from isthmus.core.errors import ResourceError
from isthmus.core.ports import EpochListener
from isthmus.training.fit import fit
from isthmus.training.fitted import FittedEncoder
from isthmus.training.task import TrainTask


class InProcessLauncher:
    """Train in the calling process, with one worker (`core.ports.TrainLauncher`)."""

    def launch(self, task: TrainTask, on_epoch: EpochListener) -> FittedEncoder:
        """Train to the end, resuming what the task's folder holds.

        Parameters
        ----------
        task : TrainTask
            What to train, and where.
        on_epoch : callable
            Hears of each epoch.

        Returns
        -------
        FittedEncoder
            The record of the training.

        Raises
        ------
        ResourceError
            If the task wants more than one worker.
        """
        if task.workers != 1:
            raise ResourceError(
                f"Training in this process has one worker, but execution.workers is "
                f"{task.workers}. Set execution.workers: 1, or launch on Ray."
            )
        return fit(task, on_epoch)
