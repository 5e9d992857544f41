"""How the maps of several inputs become one: operations without and with weights of their own.

Every operation takes N maps of one shape and a mask of which are given; what the others hold is
not looked at. Weights are those of 1x1x1 convolutions, so that each voxel is fused alike.

Legend: B subjects; N inputs (modalities, and perhaps a stream of what was fused before); C
channels; D, H, W voxels; R terms of a product; h heads of d channels.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from math import sqrt

import torch
from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.blocks import ACTIVATIONS
from isthmus.model.convolution import SameConv3d

SQUEEZE = 4
"""By how much calibration narrows the joint description of all inputs."""


class Concat(nn.Module):
    """Channels side by side: the one operation that needs every input."""

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W) to one (B, N C, D, H, W)."""
        return torch.cat(list(maps), dim=1)


class Sum(nn.Module):
    """The sum of what is given."""

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W)."""
        return _stacked(maps, given_BN).sum(dim=0)


class Mean(nn.Module):
    """The mean of what is given."""

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W)."""
        return _mean(_stacked(maps, given_BN), given_BN)


class Max(nn.Module):
    """The largest of what is given, for each channel and voxel; ties share the gradient."""

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W)."""
        return _stacked(maps, given_BN, -torch.inf).amax(dim=0)


class Gated(nn.Module):
    """Gated multimodal unit: a gate weighs each input's candidate, channel by channel.

    Parameters
    ----------
    n_inputs, channels : int
        Maps that come in, and their channels.

    Notes
    -----
    h = sum_n z_n tanh(V_n x_n), where z is the softmax over the given inputs of U [x_1 ... x_N],
    for each channel and voxel by itself. Every gate sees all inputs; one that is not given is
    zero there and has no weight.

    References
    ----------
    Arevalo, Solorio, Montes-y-Gomez & Gonzalez 2017, Gated multimodal units for information
    fusion, ICLR workshop; arXiv 1702.01992.
    """

    def __init__(self, n_inputs: int, channels: int) -> None:
        super().__init__()
        self.candidates = nn.ModuleList(_pointwise(channels, channels) for _ in range(n_inputs))
        self.gates = _pointwise(n_inputs * channels, n_inputs * channels)

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W)."""
        x_NBCDHW = _stacked(maps, given_BN)
        candidates = zip(self.candidates, x_NBCDHW, strict=True)
        y_NBCDHW = torch.stack([torch.tanh(candidate(x)) for candidate, x in candidates])
        logits = self.gates(torch.cat(list(x_NBCDHW), dim=1))
        logits_NBCDHW = torch.stack(logits.chunk(len(maps), dim=1))
        shut = ~_spread(given_BN)
        weights_NBCDHW = logits_NBCDHW.masked_fill(shut, -torch.inf).softmax(dim=0)
        return (weights_NBCDHW * y_NBCDHW).sum(dim=0)


class Attention(nn.Module):
    """Self-attention across inputs: each input's voxel looks at that voxel in the others.

    Parameters
    ----------
    n_inputs, channels : int
        Maps that come in, and their channels.
    heads : int
        Divides the channels.

    Raises
    ------
    ConfigError
        If it does not.

    Notes
    -----
    Of the tokens x_n of a voxel, y_n = x_n + O concat_h softmax_k(q_n . k_k / sqrt(d)) v_k over
    the given inputs k, and the result is the mean of y_n over the given inputs n. The projections
    are shared by all inputs, so their order is of no account: what tells modalities apart is in
    the maps, which encoders of their own have made. Work and memory for the weights go with N^2
    a voxel.

    References
    ----------
    Vaswani et al. 2017, Attention is all you need, NeurIPS.
    """

    def __init__(self, n_inputs: int, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ConfigError(
                f"model.fusion.heads must divide the channels of every map that is fused, but "
                f"{heads} does not divide {channels}. Use fewer heads, a larger "
                f"model.base_channels or deeper model.fusion.positions."
            )
        self.split = (heads, channels // heads)
        self.queries, self.keys, self.values, self.output = (
            _pointwise(channels, channels) for _ in range(4)
        )

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W)."""
        x_NBCDHW = _stacked(maps, given_BN)
        together = x_NBCDHW.flatten(0, 1)
        q, k, v = (
            project(together).view(*x_NBCDHW.shape[:2], *self.split, *x_NBCDHW.shape[3:])
            for project in (self.queries, self.keys, self.values)
        )
        hidden = ~_spread(given_BN)
        looked = []
        for own in q:
            scores_NBhDHW = (own * k).sum(dim=3) / sqrt(own.shape[2])
            weights_NBhDHW = scores_NBhDHW.masked_fill(hidden, -torch.inf).softmax(dim=0)
            looked.append((weights_NBhDHW.unsqueeze(3) * v).sum(dim=0).flatten(1, 2))
        added = self.output(torch.cat(looked)).view_as(x_NBCDHW)
        return _mean(x_NBCDHW + added, given_BN)


class Product(nn.Module):
    """Low-rank tensor fusion: products of all inputs' channels, without the tensor itself.

    Parameters
    ----------
    n_inputs, channels : int
        Maps that come in, and their channels.
    rank : int
        Terms that the tensor's weights are a sum of.

    Notes
    -----
    y_c = sum_r w_cr prod_n (1 + (a_ncr . x_n + b_ncr) / sqrt(N)) over the given inputs n. The
    constant makes the product hold every order, from single inputs to all together; it starts at
    one, the neutral factor, which is what an input that is not given amounts to. With the
    division the spread of the product stays bounded at the start, however many inputs there are:
    (1 + s^2 / N)^N < exp(s^2) for projections of variance s^2.

    References
    ----------
    Liu et al. 2018, Efficient low-rank multimodal fusion with modality-specific factors, ACL;
    arXiv 1806.00064.
    """

    def __init__(self, n_inputs: int, channels: int, rank: int) -> None:
        super().__init__()
        self.factors = nn.ModuleList(_pointwise(channels, channels * rank) for _ in range(n_inputs))
        self.terms = _pointwise(channels * rank, channels, groups=channels)

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W)."""
        x_NBCDHW = _stacked(maps, given_BN)
        inputs = zip(self.factors, x_NBCDHW, _spread(given_BN), strict=True)
        shares = [torch.where(given, factor(x), 0.0) for factor, x, given in inputs]
        product = reduce(torch.mul, [1.0 + share / sqrt(len(maps)) for share in shares])
        joined_BCDHW: Tensor = self.terms(product)
        return joined_BCDHW


class Calibration(nn.Module):
    """Squeeze and excitation across inputs: what all hold rescales the channels of each.

    Parameters
    ----------
    n_inputs, channels : int
        Maps that come in, and their channels.
    activation : callable
        Makes the activation of the joint description.

    Notes
    -----
    The means over voxels of all inputs, zero for one that is not given, are joined to s; the gates
    of input n are 2 sigmoid(E_n f(S s)), in (0, 2), and the result is the mean of the gated maps
    over the given inputs. The joint description f(S s) is a quarter as wide as all inputs together.

    References
    ----------
    Joze, Shaban, Iuzzolino & Koishida 2020, MMTM: multimodal transfer module for CNN fusion, CVPR;
    arXiv 1911.08670.
    """

    def __init__(self, n_inputs: int, channels: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        width = n_inputs * channels
        joint = -(-width // SQUEEZE)
        self.squeeze = _pointwise(width, joint)
        self.activation = activation()
        self.excite = _pointwise(joint, width)

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W)."""
        x_NBCDHW = _stacked(maps, given_BN)
        means = x_NBCDHW.mean(dim=(3, 4, 5), keepdim=True)
        joint = self.activation(self.squeeze(torch.cat(list(means), dim=1)))
        gates = 2.0 * torch.sigmoid(self.excite(joint))
        return _mean(x_NBCDHW * torch.stack(gates.chunk(len(maps), dim=1)), given_BN)


def make_operation(config: ModelConfig, n_inputs: int, channels: int) -> nn.Module:
    """Make the operation that the settings name.

    Parameters
    ----------
    config : ModelConfig
        `fusion`, `activation` and `kernels` are read.
    n_inputs, channels : int
        Maps that come in, and their channels.

    Returns
    -------
    Module
        To be called with N maps (B, C, D, H, W) and the mask (B, N) of those given, at least one
        a subject, on the maps' device.

    Raises
    ------
    ConfigError
        If attention's heads do not divide the channels.
    """
    fusion = config.fusion
    makers: Mapping[str, Callable[[], nn.Module]] = {
        "concat": Concat,
        "sum": Sum,
        "mean": Mean,
        "max": Max,
        "gated": partial(Gated, n_inputs, channels),
        "attention": partial(Attention, n_inputs, channels, fusion.heads),
        "tensor": partial(Product, n_inputs, channels, fusion.rank),
        "calibration": partial(Calibration, n_inputs, channels, ACTIVATIONS[config.activation]),
    }
    operation = makers[fusion.operation]()
    for module in operation.modules():
        if isinstance(module, SameConv3d):
            module.kernels = config.kernels
    return operation


def _pointwise(n_in: int, n_out: int, groups: int = 1) -> SameConv3d:
    """Make a 1x1x1 convolution with bias."""
    return SameConv3d(n_in, n_out, (1, 1, 1), groups=groups)


def _spread(given_BN: Tensor) -> Tensor:
    """Shape the mask so that it broadcasts over stacked maps (N, B, C, D, H, W)."""
    return given_BN.T[:, :, None, None, None, None]


def _stacked(maps: Sequence[Tensor], given_BN: Tensor, instead: float = 0.0) -> Tensor:
    """Stack N maps, with a constant in place of those that are not given."""
    # Selecting, not multiplying, keeps what is not given from counting even where it is NaN.
    return torch.where(_spread(given_BN), torch.stack(list(maps)), instead)


def _mean(x_NBCDHW: Tensor, given_BN: Tensor) -> Tensor:
    """Average over the given inputs."""
    given = _spread(given_BN)
    return torch.where(given, x_NBCDHW, 0.0).sum(dim=0) / given.sum(dim=0)
