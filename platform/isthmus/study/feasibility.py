"""Whether the experiment of a point can be built and trained at all, known before it is begun.

A point that cannot be is not begun, with the reason, and costs no budget. What is not certain is
begun: memory is compared with a lower bound of what a step takes, at one subject at a time, for a
step that runs out of memory is tried again in smaller slices.
"""

from functools import lru_cache
from math import prod

from isthmus.config.architecture import ModelConfig
from isthmus.config.experiment import ExperimentConfig
from isthmus.core.errors import ConfigError
from isthmus.model.description import ModelDescription, describe_model
from isthmus.training.footprint import least_bytes
from isthmus.training.order import Slicing, slicing, steps_per_epoch, world_sizes


def why_not(
    config: ExperimentConfig,
    grid: tuple[int, int, int],
    workers: int,
    memory_bytes: int | None,
    n_train: int | None = None,
) -> str | None:
    """Say why an experiment cannot be trained, if it cannot.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment of a point.
    grid : tuple of int
        (D, H, W) of the images in voxels.
    workers : int
        Training workers.
    memory_bytes : int or None
        What each worker has for itself; None: not looked at.
    n_train : int, optional
        Subjects of the smallest training fold.

    Returns
    -------
    str or None
        The reason; None if nothing speaks against it.

    Notes
    -----
    Looked at in this order: whether the model fits the grid, the global batch the workers and
    slices, and the training fold a batch; whether batch normalisation has more than one value to
    work on; and whether a step on one subject fits into the memory
    (`isthmus.training.footprint.least_bytes`). The model is built on the meta device alone.

    Examples
    --------
    >>> from isthmus.config.load import resolve
    >>> cohort = {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w"]}
    >>> config = resolve({"cohort": cohort, "model": {"embedding_size": 50}})
    >>> why_not(config, (128, 128, 96), 1, None)[:63]
    "model.embedding_size must be a multiple of the bottleneck's 48 "
    """
    try:
        description = described_model(config.model, config.fused_modalities, grid)
        cut = slicing(config.training, workers)
        world_sizes(config.training, workers, config.execution.min_workers)
        if n_train is not None:
            steps_per_epoch(n_train, cut.global_batch_size)
    except ConfigError as error:
        return str(error)
    return _single_value(config, description, cut) or _too_large(config, description, memory_bytes)


@lru_cache(maxsize=1024)
def described_model(
    model: ModelConfig, modalities: tuple[str, ...], grid: tuple[int, int, int]
) -> ModelDescription:
    """Describe a model once: many points of a space share one and differ in the training.

    Parameters
    ----------
    model : ModelConfig
        The model's settings.
    modalities : tuple of str
        Labels of the inputs.
    grid : tuple of int
        (D, H, W) of the images in voxels.

    Returns
    -------
    ModelDescription
        Size and cost.

    Raises
    ------
    ConfigError
        If the settings do not fit the grid.
    """
    return describe_model(model, modalities, grid)


def _single_value(
    config: ExperimentConfig, description: ModelDescription, cut: Slicing
) -> str | None:
    """Refuse batch normalisation of one value: its model raises that only in training."""
    n_positions = prod(edge // 2**config.model.depth for edge in description.padded_grid)
    n_subjects = cut.part_size * cut.world_size
    if config.model.norm != "batch" or n_positions * n_subjects > 1:
        return None
    return (
        "model.norm: batch must have more than one value a channel in training, but the bottleneck "
        f"is a single voxel at model.depth {config.model.depth} and a slice has one subject. Use "
        "fewer training.accumulation_steps, a larger training.global_batch_size, a smaller "
        "model.depth or model.norm: group."
    )


def _too_large(
    config: ExperimentConfig, description: ModelDescription, memory_bytes: int | None
) -> str | None:
    """Compare the least that a step takes with what there is."""
    least = least_bytes(config, description, n_subjects=1)
    if memory_bytes is None or least <= memory_bytes:
        return None
    return (
        f"A training step must fit into the {memory_bytes / 2**30:.2f} GiB that a worker has, but "
        f"takes at least {least / 2**30:.2f} GiB with one subject at a time "
        f"({description.parameters.total} parameters). Use a smaller model or fewer "
        "execution.concurrent_trials."
    )
