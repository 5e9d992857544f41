"""What would stop a trial halfway, looked for before its first fold is trained."""

from isthmus.cohort.participants import Participants
from isthmus.cohort.splits import Split
from isthmus.config.experiment import ExperimentConfig
from isthmus.stratification.checks import check_stratification
from isthmus.stratification.targets import indicators
from isthmus.training.order import slicing, steps_per_epoch


def steps_of_folds(config: ExperimentConfig, split: Split) -> tuple[int, ...]:
    """Count the optimiser steps that each fold takes, without early stopping.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.
    split : Split
        The folds.

    Returns
    -------
    tuple of int
        Steps of each fold over all its epochs.

    Raises
    ------
    ConfigError
        If a global batch cannot be cut among the workers, or a fold has not one whole batch.
    """
    training = config.training
    slicing(training, config.execution.workers)
    return tuple(
        training.epochs * steps_per_epoch(len(fold.train), training.global_batch_size)
        for fold in split.folds
    )


def require_strata_possible(
    config: ExperimentConfig, participants: Participants, split: Split
) -> None:
    """Refuse settings of the stratification that the cohort cannot meet.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.
    participants : Participants
        Development subjects.
    split : Split
        The folds.

    Raises
    ------
    IsthmusError
        As `stratify` would raise it after a fold was trained.
    """
    held_out = config.stratification.subjects == "held_out"
    check_stratification(
        config.stratification,
        participants,
        config.cohort,
        config.model.embedding_size,
        [
            len(fold.validation) if held_out else sum(map(len, fold.parts.values()))
            for fold in split.folds
        ],
    )
    for name in config.cohort.categorical_phenotypes:
        indicators(participants, name, participants.ids)  # refuses labels by the dozen
