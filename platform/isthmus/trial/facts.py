"""A model and a cohort in numbers, before anything is trained."""

import math

import numpy as np

from isthmus.cohort.participants import Participants
from isthmus.cohort.splits import Split
from isthmus.config.experiment import ExperimentConfig
from isthmus.model.description import describe_model
from isthmus.model.notation import fusion_in_words
from isthmus.trial.preflight import steps_of_folds
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
        The fusion in words, parameters, compression, multiply-accumulates and an estimate of
        memory.

    Raises
    ------
    ConfigError
        If no such model can be built at this grid.
    """
    model = describe_model(config.model, config.fused_modalities, grid, n_mask_voxels)
    facts: Facts = {
        "modalities": " ".join(config.fused_modalities),
        "fusion": fusion_in_words(config.model.fusion, config.fused_modalities),
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


def cohort_facts(config: ExperimentConfig, participants: Participants) -> Facts:
    """Describe who would take part in the training, before a split is drawn.

    Parameters
    ----------
    config : ExperimentConfig
        Resolved settings.
    participants : Participants
        Development subjects.

    Returns
    -------
    dict
        Numbers of subjects, families and folds, and an estimate of the steps.
    """
    folds = config.cross_validation
    n_folds = folds.n_folds if folds.method == "k_fold" else 1
    held_out = 1 / n_folds if folds.method == "k_fold" else folds.hold_out_share
    monitored = config.training.early_stopping.monitor_share
    n_train = math.floor(len(participants.ids) * (1 - held_out) * (1 - monitored))
    steps = max(1, n_train // config.training.global_batch_size) * config.training.epochs
    return {**_people(participants), "n_folds": n_folds, "n_steps_per_fold": steps}


def trial_facts(
    config: ExperimentConfig, store: VolumeStore, participants: Participants, split: Split
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
    split : Split
        The folds in use.

    Returns
    -------
    dict
        Facts of the model and of the cohort.

    Raises
    ------
    ConfigError
        If the global batch fits neither the workers nor a fold.
    """
    n_mask_voxels = None if store.mask_DHW is None else int(store.mask_DHW.sum())
    return {
        **model_facts(config, store.grid, n_mask_voxels),
        **_people(participants),
        **_lacking(config, store, participants),
        "n_folds": len(split.folds),
        "n_steps_per_fold": max(steps_of_folds(config, split)),
    }


def _lacking(config: ExperimentConfig, store: VolumeStore, participants: Participants) -> Facts:
    """Count who lacks which image, where such subjects are kept."""
    if config.cohort.missing_modalities == "exclude":
        return {}
    names = config.cohort.modalities
    known_NM = np.array([store.known(name, names) for name in participants.ids])
    by_modality = zip(names, (~known_NM).sum(axis=0), strict=True)
    return {
        "n_incomplete": int((~known_NM.all(axis=1)).sum()),
        "lacking": ", ".join(f"{name} {n}" for name, n in by_modality),
    }


def _people(participants: Participants) -> Facts:
    """Count subjects and families."""
    n_families = int(participants.families.nunique())
    return {"n_subjects": len(participants.ids), "n_families": n_families}
