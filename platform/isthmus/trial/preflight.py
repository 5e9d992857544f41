"""What would stop a trial halfway, looked for before its first fold is trained."""

from isthmus.cohort.participants import Participants
from isthmus.cohort.splits import Fold, Split
from isthmus.config.experiment import ExperimentConfig
from isthmus.core.errors import ConfigError
from isthmus.stratification.checks import check_stratification
from isthmus.stratification.memory import require_memory_here
from isthmus.stratification.targets import indicators
from isthmus.training.order import steps_per_epoch, world_sizes
from isthmus.training.presence import require_some_image
from isthmus.volumes.enough import require_enough_images
from isthmus.volumes.store import VolumeStore


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
    world_sizes(training, config.execution.workers, config.execution.min_workers)
    return tuple(
        training.epochs * steps_per_epoch(len(fold.train), training.global_batch_size)
        for fold in split.folds
    )


def require_images(config: ExperimentConfig, store: VolumeStore, split: Split) -> None:
    """Refuse folds that lack the images which a model is to fuse.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.
    store : VolumeStore
        Tells who has which images.
    split : Split
        The folds.

    Raises
    ------
    CohortError
        If a subject has none of the fused modalities.
    ConfigError
        If too few training subjects of a fold have an image of one of them, with
        ``volumes.normalisation.leaky`` too: nobody could teach the model that modality. Or if
        nobody held out has one: the fold's means would be over other modalities than those of the
        other folds.
    """
    modalities = config.fused_modalities
    everybody = sorted(
        {name for fold in split.folds for ids in fold.parts.values() for name in ids}
    )
    require_some_image(store, everybody, modalities)
    for fold in split.folds:
        try:
            require_enough_images(store, fold.train, modalities, config.volumes.normalisation)
        except ConfigError as error:
            raise ConfigError(f"Fold {fold.number}: {error}") from None
        _require_scored(store, fold, modalities)


def _require_scored(store: VolumeStore, fold: Fold, modalities: tuple[str, ...]) -> None:
    """Refuse a fold in which some modality could not be scored."""
    unscored = [
        modality
        for modality in modalities
        if not any(store.known(name, [modality])[0] for name in fold.validation)
    ]
    if unscored:
        raise ConfigError(
            f"Fold {fold.number}: of each fused modality somebody held out must have an image, but "
            f"of {len(fold.validation)} nobody has {', '.join(unscored)}. Draw other folds "
            "(cross_validation), or leave the modality out (model.modalities)."
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
        As `stratify` would raise it after a fold was trained; and if the pairs of subjects that
        clusterers hold do not fit in this machine, unless the work is done on a cluster's.
    """
    held_out = config.stratification.subjects == "held_out"
    n_clustered = [
        len(fold.validation) if held_out else sum(map(len, fold.parts.values()))
        for fold in split.folds
    ]
    check_stratification(
        config.stratification,
        participants,
        config.cohort,
        config.model.embedding_size,
        n_clustered,
    )
    require_memory_here(config.stratification, config.execution, max(n_clustered))
    for name in config.cohort.categorical_phenotypes:
        indicators(participants, name, participants.ids)  # refuses labels by the dozen
