"""The families of models that `model.family` names, and building one.

Adding a family: a module with a subclass of `FusionModel`, its name in `ModelConfig.family`, and
one line in `FAMILIES`.
"""

from collections.abc import Callable, Mapping

import torch

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.autoencoder import FusionAutoencoder
from isthmus.model.convolution import initialise
from isthmus.model.interface import FusionModel, Output

__all__ = ["FAMILIES", "FusionModel", "Output", "build_model"]

Family = Callable[[ModelConfig, tuple[str, ...], tuple[int, int, int]], FusionModel]

FAMILIES: Mapping[str, Family] = {"fusion_autoencoder": FusionAutoencoder}


def build_model(
    config: ModelConfig,
    modalities: tuple[str, ...],
    grid: tuple[int, int, int],
    generator: torch.Generator | None = None,
) -> FusionModel:
    """Build the model that the settings describe, with freshly drawn kernels.

    Parameters
    ----------
    config : ModelConfig
        The model's settings.
    modalities : tuple of str
        Labels, in the order of the input's axis M (`ExperimentConfig.fused_modalities`).
    grid : tuple of int
        (D, H, W) of the images in voxels.
    generator : torch.Generator, optional
        Where the kernels come from, and then nothing else is drawn from; none given: PyTorch's
        default generator, so two calls differ unless it is seeded.

    Returns
    -------
    FusionModel
        In training mode, on the current default device. Under ``torch.device("meta")`` nothing
        is allocated, which is how sizes are counted.

    Raises
    ------
    ConfigError
        If there is no modality, a modality twice, or the settings do not fit the grid.

    Examples
    --------
    >>> settings = ModelConfig(depth=2, embedding_size=64, mid_flow_blocks=1, kernel_size=3)
    >>> model = build_model(settings, ("T1w", "FA"), (8, 8, 8), torch.Generator().manual_seed(0))
    >>> model.embedding_shape
    (8, 2, 2, 2)
    """
    if not modalities or len(set(modalities)) != len(modalities):
        raise ConfigError(
            f"model.modalities must name at least one modality, each once, got {list(modalities)}."
        )
    # PyTorch's layers draw first kernels of their own, which are replaced: not from the stream
    # that the caller sees.
    with torch.random.fork_rng(devices=[]):
        model = FAMILIES[config.family](config, tuple(modalities), grid)
    initialise(model, generator)
    return model
