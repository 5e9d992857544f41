"""A trial's folds: as a file has them, or drawn from the seed."""

from isthmus.cohort.participants import Participants
from isthmus.cohort.splits import Split, draw_hold_out, draw_split, load_split
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import Experiment
from isthmus.core.errors import ConfigError
from isthmus.core.seeds import derive_seed


def split_of(experiment: Experiment, participants: Participants) -> Split:
    """Read the split that was asked for, or draw one.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings; the seed, the folds and the monitor share are read.
    participants : Participants
        Development subjects with usable images.

    Returns
    -------
    Split
        The same for all experiments that agree in these, whatever else they differ in.

    Raises
    ------
    ConfigError
        If the file has folds without the monitor part that early stopping needs.
    IsthmusError
        If the file's folds leak, or the families cannot be shared out.
    """
    config: ExperimentConfig = experiment.config
    folds = config.cross_validation
    monitor_share = config.training.early_stopping.monitor_share
    stratify_by = config.cohort.stratify_by
    seed = derive_seed(config.seed, "split")
    if folds.split_file is not None:
        path = experiment.folder / folds.split_file
        split = load_split(path, participants)
        unmonitored = [fold.number for fold in split.folds if not fold.monitor]
        if monitor_share > 0 and unmonitored:
            raise ConfigError(
                f"{path}: each fold must have a monitor part, for training.early_stopping."
                f"monitor_share is {monitor_share:g}, but folds {unmonitored} have none. Write "
                '"monitor" into the split file, or set monitor_share to 0.'
            )
        return split
    if folds.method == "hold_out":
        return draw_hold_out(participants, folds.hold_out_share, monitor_share, stratify_by, seed)
    return draw_split(participants, folds, monitor_share, stratify_by, seed)
