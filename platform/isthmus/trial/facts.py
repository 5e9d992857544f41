"""A model and a cohort in numbers, before anything is trained."""

import math

from isthmus.cohort.participants import Participants
from isthmus.config.experiment import ExperimentConfig
from isthmus.model.description import describe_model
from isthmus.volumes.store import VolumeStore

Facts = dict[str, str | int | float]


def model_facts(
    config: ExperimentConfig, grid: tuple[int, int, int], n_mask_voxels: int | None = None
) -> Facts:
    """Describe the model at a grid.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.
    grid : tuple of int
        Voxels along each axis.
    n_mask_voxels : int, optional
        Voxels of the brain mask, where it is known.

    Returns
    -------
    dict
        Parameters, compression, multiply-accumulates and an estimate of memory.

    Raises
    ------
    ConfigError
        If no such model can be built at this grid.
    """
    model = describe_model(config.model, config.fused_modalities, grid, n_mask_voxels)
    facts: Facts = {
        "modalities": " ".join(config.fused_modalities),
        "grid": "x".join(str(edge) for edge in grid),
        "embedding_size": model.embedding_size,
        "n_parameters": model.parameters.total,
        "separable_saving_unit": round(model.separable_saving_unit, 2),
        "separable_saving_whole": round(model.separable_saving_whole, 2),
        "input_voxels_per_embedding_value": round(model.compression, 3),
        "forward_giga_multiply_accumulates": round(model.multiply_accumulates / 1e9, 3),
        "activation_mib_per_subject": round(model.activation_bytes / 2**20, 1),
    }
    if model.compression_in_mask is not None:
        facts["mask_voxels_per_embedding_value"] = round(model.compression_in_mask, 3)
    return facts


def cohort_facts(
    config: ExperimentConfig, participants: Participants, n_folds: int | None = None
) -> Facts:
    """Describe who takes part in the training.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.
    participants : Participants
        Development subjects.
    n_folds : int, optional
        Folds of the split in use, where it is known; none given: as the settings say. One fold
        is taken to hold out ``cross_validation.hold_out_share``.

    Returns
    -------
    dict
        Numbers of subjects, families, folds and steps.
    """
    folds = config.cross_validation
    if n_folds is None:
        n_folds = 1 if folds.method == "hold_out" else folds.n_folds
    n = len(participants.ids)
    n_train = n * (n_folds - 1) // n_folds if n_folds > 1 else n * (1 - folds.hold_out_share)
    n_train = math.floor(n_train * (1 - config.training.early_stopping.monitor_share))
    steps = max(1, n_train // config.training.global_batch_size) * config.training.epochs
    return {
        "n_subjects": n,
        "n_families": int(participants.families.nunique()),
        "n_folds": n_folds,
        "n_steps_per_fold": steps,
    }


def trial_facts(
    config: ExperimentConfig, store: VolumeStore, participants: Participants, n_folds: int
) -> Facts:
    """Describe a trial whose cohort is ingested.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.
    store : VolumeStore
        Development volumes.
    participants : Participants
        Development subjects.
    n_folds : int
        Folds of the split in use.

    Returns
    -------
    dict
        Facts of the model and of the cohort.
    """
    n_mask_voxels = None if store.mask_DHW is None else int(store.mask_DHW.sum())
    return {
        **model_facts(config, store.grid, n_mask_voxels),
        **cohort_facts(config, participants, n_folds),
    }
