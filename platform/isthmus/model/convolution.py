"""Convolutions: TensorFlow's "same" padding, separable ones, and how kernels are drawn.

Legend: B subjects; C channels; D, H, W voxels.
"""

from collections.abc import Callable
from math import prod, sqrt

import torch
from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.kernels.choice import Kernels, convolve
from isthmus.model.kernels.problem import Triple
from isthmus.model.norm import make_norm

_TRUNCATION_SHRINKS_BY = 0.87962566103423978
"""Standard deviation of a standard normal that is truncated at two standard deviations."""


class SameConv3d(nn.Conv3d):
    """Convolution of stride 1 whose output has its input's grid, padded by TensorFlow's rule.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels.
    kernel : tuple of int
        Edges in voxels; may be even.
    groups : int
        Groups of channels.
    bias : bool
        Add a bias.
    kernels : {"auto", "torch"}
        Who computes it: `model.kernels`.

    Notes
    -----
    An edge k is padded by k - 1 zeros in all: (k - 1) // 2 before, the rest after. An even edge
    so gets one more after than before. A kernel of a single voxel is a matrix product.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Triple,
        *,
        groups: int = 1,
        bias: bool = True,
        kernels: Kernels = "auto",
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, groups=groups, bias=bias)
        self.kernels: Kernels = kernels
        self.before: Triple = _each(kernel, lambda edge: (edge - 1) // 2)
        self.after: Triple = _each(kernel, lambda edge: edge // 2)
        self.is_pointwise = kernel == (1, 1, 1)

    def forward(self, input: Tensor) -> Tensor:
        """Convolve."""
        if self.is_pointwise and self.groups == 1 and self.kernels == "auto":
            return _mix_channels(input, self.weight, self.bias)
        return convolve(
            input,
            self.weight,
            self.bias,
            self.before,
            self.after,
            groups=self.groups,
            kernels=self.kernels,
        )


def _each(kernel: Triple, rule: Callable[[int], int]) -> Triple:
    """Apply a rule to each edge."""
    return (rule(kernel[0]), rule(kernel[1]), rule(kernel[2]))


def _mix_channels(x_BCDHW: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with a kernel of one voxel: a matrix product with the channels of each voxel."""
    x_BCN, matrix_BOC = x_BCDHW.flatten(2), weight.flatten(1).expand(len(x_BCDHW), -1, -1)
    if bias is None:
        mixed_BON = torch.bmm(matrix_BOC, x_BCN)
    else:
        mixed_BON = torch.baddbmm(bias[:, None], matrix_BOC, x_BCN)
    return mixed_BON.view(len(x_BCDHW), len(weight), *x_BCDHW.shape[2:])


class SeparableConv3d(nn.Module):
    """Depthwise convolution, then a pointwise one with bias.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels.
    kernel : tuple of int
        Edges of the depthwise kernels in voxels.
    config : ModelConfig
        `separable` and the normalisation are read.
    where : str
        Which unit this is, for messages.
    n_voxels : int, optional
        Voxels of the map, where it may be a single one.

    Raises
    ------
    ConfigError
        If `pointwise_groups` does not divide the pointwise convolution's channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Triple,
        config: ModelConfig,
        where: str,
        n_voxels: int | None = None,
    ) -> None:
        super().__init__()
        recipe = config.separable
        between, groups = in_channels * recipe.depth_multiplier, recipe.pointwise_groups
        if between % groups or out_channels % groups:
            raise ConfigError(
                f"model.separable.pointwise_groups must divide the channels of every pointwise "
                f"convolution, but {groups} does not divide {between} -> {out_channels} "
                f"({where}). Use fewer groups, a larger model.base_channels or "
                f"model.separable.where: mid."
            )
        self.depthwise = SameConv3d(
            in_channels, between, kernel, groups=in_channels, bias=False, kernels=config.kernels
        )
        self.between: nn.Module = nn.Identity()
        if recipe.norm_between:
            self.between = make_norm(config, between, n_voxels)
        self.pointwise = SameConv3d(
            between, out_channels, (1, 1, 1), groups=groups, kernels=config.kernels
        )

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Filter each channel in space, then mix channels."""
        x_BCDHW = self.between(self.depthwise(x_BCDHW))
        mixed_BCDHW: Tensor = self.pointwise(x_BCDHW)
        return mixed_BCDHW


def initialise(model: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw every kernel from He's truncated normal distribution and set every bias to zero.

    Parameters
    ----------
    model : Module
        Changed in place; parameters on the meta device are left alone.
    generator : torch.Generator, optional
        Where numbers come from; none given: PyTorch's current default generator.

    Notes
    -----
    The standard deviation is sqrt(2 / fan_in), truncated at two of them and rescaled, as Keras'
    `he_normal`. fan_in counts the inputs that one output really sums: kernel voxels times input
    channels *of its group*. For depthwise kernels that is the kernel's voxels alone. (Keras'
    depthwise layers count all input channels there, which makes their outputs smaller the more
    channels there are.)

    References
    ----------
    He, Zhang, Ren & Sun 2015, Delving deep into rectifiers, ICCV.
    """
    for module in model.modules():
        if not isinstance(module, nn.Conv3d | nn.Linear) or module.weight.is_meta:
            continue
        fan_in = prod(module.weight.shape[1:])
        deviation = sqrt(2.0 / fan_in) / _TRUNCATION_SHRINKS_BY
        edge = 2.0 * deviation
        nn.init.trunc_normal_(module.weight, 0.0, deviation, -edge, edge, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
