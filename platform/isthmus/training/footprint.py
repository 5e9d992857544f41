"""How much memory a training step takes at least, known before anything is allocated."""

from math import prod

from isthmus.config.experiment import ExperimentConfig
from isthmus.model.description import ModelDescription

# Weights, gradients and Adam's two moments, in float32.
_BYTES_A_PARAMETER = 16
_BYTES_A_VOXEL = 4
# 16-bit autocast halves most activations and leaves some in float32: none takes less than half.
_HALVED = 0.5


def least_bytes(config: ExperimentConfig, description: ModelDescription, n_subjects: int) -> int:
    """Bound from below the memory that a worker's training step takes at its peak.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment.
    description : ModelDescription
        Of its model on the grid of its images.
    n_subjects : int
        Subjects that the worker computes at a time.

    Returns
    -------
    int
        Bytes beyond what the process takes with its libraries loaded.

    Notes
    -----
    With P parameters and A bytes of activations that a subject's forward pass keeps for the
    backward one, or that are there when the last level is computed again
    (`execution.activation_checkpointing`), B subjects of M modalities on V padded voxels take

        B * A * h + 16 P + 4 B M V

    with h = 1/2 under 16-bit autocast and 1 in float32. The backward pass holds gradients and
    workspaces beside what it consumes, which are left out, so that what fits is never taken for
    what does not: steps measured on a CPU, from 16 x 16 x 16 to 128 x 128 x 96 voxels, took 1.3 to
    2.3 times the bound. Parts read ahead (``execution.read_ahead``) take 4 B M V bytes each of the
    machine's own memory, also beside a GPU, and are left out as well.
    """
    half = 1.0 if config.training.precision == "float32" else _HALVED
    recomputed = config.execution.activation_checkpointing == "levels"
    kept = description.recomputed_bytes if recomputed else description.activation_bytes
    activations = n_subjects * kept * half
    n_values = n_subjects * len(config.fused_modalities) * prod(description.padded_grid)
    parameters = _BYTES_A_PARAMETER * description.parameters.total
    return int(activations) + parameters + _BYTES_A_VOXEL * n_values
