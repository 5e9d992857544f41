"""What can be said of a model without training it: parameters, compression, work and memory.

Legend: B subjects; M modalities; D, H, W voxels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from isthmus.config.architecture import ModelConfig, SeparableConfig
from isthmus.model.blocks import Unit
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import build_model
from isthmus.model.geometry import plan_geometry
from isthmus.model.interface import FusionModel
from isthmus.model.recomputation import Level, recompute_levels


@dataclass(frozen=True)
class ParameterCount:
    """Trainable parameters of a model.

    Attributes
    ----------
    by_part : Mapping of str to int
        By part, such as ``encoder.T1w``, ``fusion``, ``bottleneck`` and ``decoder.T1w``.
    """

    by_part: Mapping[str, int]

    @property
    def total(self) -> int:
        """All trainable parameters."""
        return sum(self.by_part.values())


@dataclass(frozen=True)
class ModelDescription:
    """A model's size and cost.

    Attributes
    ----------
    parameters : ParameterCount
        Trainable parameters.
    embedding_size : int
        Values of the embedding.
    embedding_shape : tuple of int
        How they lie: (C, D, H, W), or (E,) for a dense bottleneck.
    padded_grid : tuple of int
        The grid that is computed on, in voxels.
    compression : float
        Input voxels of all modalities / embedding values.
    compression_in_mask : float or None
        In-mask voxels of all modalities / embedding values, where the mask is known: voxels
        outside the brain are zero and cost nothing to encode.
    separable_saving_unit : float
        Parameters of the widest mid-flow's standard unit / those of its separable one.
    separable_saving_whole : float
        The same of the whole model. It is far smaller: only some units are separable.
    multiply_accumulates : int
        Of the convolutions and fully connected layers, for one subject's forward pass.
    activation_bytes : int
        Estimate of what one subject's forward pass keeps for the backward one, in float32, on the
        CPU; on a GPU, where units are not one operation, it is about a third more.
    recomputed_bytes : int
        The same where levels are computed again in the backward pass: what is kept between them,
        and what the last of them keeps, which is computed again while all that is still there.
    """

    parameters: ParameterCount
    embedding_size: int
    embedding_shape: tuple[int, ...]
    padded_grid: tuple[int, int, int]
    compression: float
    compression_in_mask: float | None
    separable_saving_unit: float
    separable_saving_whole: float
    multiply_accumulates: int
    activation_bytes: int
    recomputed_bytes: int


def count_parameters(model: FusionModel) -> ParameterCount:
    """Count a model's trainable parameters.

    Parameters
    ----------
    model : FusionModel
        On any device, the meta device included.

    Returns
    -------
    ParameterCount
        By part.
    """
    return ParameterCount({name: _n_trainable(part) for name, part in model.parts().items()})


def describe_model(
    config: ModelConfig,
    modalities: tuple[str, ...],
    grid: tuple[int, int, int],
    n_mask_voxels: int | None = None,
) -> ModelDescription:
    """Describe the model that the settings give, without allocating it.

    Parameters
    ----------
    config : ModelConfig
        The model's settings.
    modalities : tuple of str
        Labels of the inputs.
    grid : tuple of int
        (D, H, W) of the images in voxels.
    n_mask_voxels : int, optional
        Voxels of the brain mask, of one modality.

    Returns
    -------
    ModelDescription
        Size and cost.

    Raises
    ------
    ConfigError
        If the settings do not fit the grid.

    Notes
    -----
    The activation memory is an estimate: the bytes of the tensors that autograd keeps in a forward
    pass on the meta device, each storage once. It leaves out parameters, gradients and optimiser
    state (16 bytes a parameter under Adam), the convolutions' workspaces and what the backward
    pass allocates while it runs. Autocast to 16 bits roughly halves it.

    Examples
    --------
    >>> description = describe_model(ModelConfig(), ("T1w", "FA"), (128, 128, 96))
    >>> description.parameters.total, description.compression
    (1515238, 2048.0)
    """
    with torch.device("meta"):
        model = build_model(config, modalities, grid)
    parameters = count_parameters(model)
    multiply_accumulates, activation_bytes = _forward_cost(model)
    recompute_levels(model, True)
    [*_, last] = (module for module in model.modules() if isinstance(module, Level))
    last.recomputed = False
    _, recomputed_bytes = _forward_cost(model)
    n_inputs = len(modalities) * prod(grid)
    in_mask = None if n_mask_voxels is None else len(modalities) * n_mask_voxels
    geometry = plan_geometry(config, grid)
    widest = max(geometry.encoder_channels[-1], 2 * geometry.skip_channels[0])
    return ModelDescription(
        parameters=parameters,
        embedding_size=model.embedding_size,
        embedding_shape=model.embedding_shape,
        padded_grid=geometry.padded_grid,
        compression=n_inputs / model.embedding_size,
        compression_in_mask=None if in_mask is None else in_mask / model.embedding_size,
        separable_saving_unit=separable_saving_unit(config, widest),
        separable_saving_whole=_separable_saving_whole(config, modalities, grid),
        multiply_accumulates=multiply_accumulates,
        activation_bytes=activation_bytes,
        recomputed_bytes=recomputed_bytes,
    )


def separable_saving_unit(config: ModelConfig, channels: int) -> float:
    """Compare a standard mid-flow unit with a separable one.

    Parameters
    ----------
    config : ModelConfig
        Kernel, normalisation and, where it is separable, how.
    channels : int
        Channels, in and out.

    Returns
    -------
    float
        Parameters of the standard unit / parameters of the separable one.

    Notes
    -----
    For a kernel of K voxels at C channels, with bias and batch normalisation, this is
    (K C^2 + 3 C) / (K C + C^2 + 3 C), which nears K as C grows.

    Examples
    --------
    >>> round(separable_saving_unit(ModelConfig(kernel_size=3), 96), 1)
    20.6
    """
    counts = []
    with torch.device("meta"):
        for variant in _both_kinds(config):
            counts.append(_n_trainable(Unit(channels, channels, variant, "a unit", mid=True)))
    return counts[0] / counts[1]


def _separable_saving_whole(
    config: ModelConfig, modalities: tuple[str, ...], grid: tuple[int, int, int]
) -> float:
    """Divide the parameters of the standard model by those of the separable one."""
    with torch.device("meta"):
        counts = [_n_trainable(build_model(c, modalities, grid)) for c in _both_kinds(config)]
    return counts[0] / counts[1]


def _both_kinds(config: ModelConfig) -> tuple[ModelConfig, ModelConfig]:
    """Return the settings with standard and with separable convolutions."""
    standard = {"convolution": "standard", "separable": SeparableConfig()}
    return config.model_copy(update=standard), config.model_copy(
        update={"convolution": "separable"}
    )


def _n_trainable(module: nn.Module) -> int:
    """Count trainable parameters."""
    return sum(weights.numel() for weights in module.parameters() if weights.requires_grad)


def _forward_cost(model: FusionModel) -> tuple[int, int]:
    """Count multiply-accumulates and kept bytes of one subject, in a pass on the meta device."""
    # Two subjects, because batch normalisation may need them; then halved.
    n_subjects = 2
    n_products = 0
    kept: dict[int, Tensor] = {}
    own = {weights.untyped_storage()._cdata for weights in model.parameters()}

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal n_products
        weight = module.get_parameter("weight")
        n_products += output.numel() * prod(weight.shape[1:])

    def keep(tensor: Tensor) -> Tensor:
        # Holding the tensor keeps its storage's address from being given to another.
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    for module in model.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            module.register_forward_hook(count)
    x_BMDHW = torch.empty(n_subjects, len(model.modalities), *model.grid, device="meta")
    set_dropout_keys(model, range(n_subjects))
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model.train()(x_BMDHW)
    n_bytes = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)
    return n_products // n_subjects, n_bytes // n_subjects
