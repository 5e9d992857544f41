"""The unit that everything is built of, and the mid-flow: units within an identity.

Legend: B subjects; C channels; D, H, W voxels.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.model.convolution import SameConv3d, SeparableConv3d
from isthmus.model.dropout import SubjectKeyedDropout
from isthmus.model.finish import finish
from isthmus.model.geometry import kernel_triple
from isthmus.model.kernels.problem import Triple
from isthmus.model.norm import make_norm

# Those whose gradient can be had from their output work in place: it saves a map a unit, and the
# normalisation before them keeps its input, not its output.
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "elu": partial(nn.ELU, inplace=True),
    "relu": partial(nn.ReLU, inplace=True),
    "leaky_relu": partial(nn.LeakyReLU, inplace=True),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class Unit(nn.Module):
    """Convolution, normalisation, activation, then perhaps max-pooling, then dropout.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels.
    config : ModelConfig
        The model's settings.
    where : str
        Which unit this is, for messages.
    mid : bool
        Part of a mid-flow: what `separable.where` asks.
    pool : bool
        Halve the grid by max-pooling.
    kernel : tuple of int, optional
        Kernel edges in voxels; none given: `config.kernel_size`.
    n_voxels : int, optional
        Voxels of the map, where it may be a single one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        config: ModelConfig,
        where: str,
        *,
        mid: bool = False,
        pool: bool = False,
        kernel: Triple | None = None,
        n_voxels: int | None = None,
    ) -> None:
        super().__init__()
        kernel = kernel or kernel_triple(config.kernel_size)
        self.convolution: nn.Module
        if config.convolution == "separable" and (mid or config.separable.where == "all"):
            self.convolution = SeparableConv3d(
                in_channels, out_channels, kernel, config, where, n_voxels
            )
        else:
            self.convolution = SameConv3d(in_channels, out_channels, kernel, kernels=config.kernels)
        self.kernels = config.kernels
        self.norm = make_norm(config, out_channels, n_voxels)
        self.activation = ACTIVATIONS[config.activation]()
        self.pool = nn.MaxPool3d(2) if pool else nn.Identity()
        self.dropout = SubjectKeyedDropout(config.dropout)

    def activate(self, x_BCDHW: Tensor) -> Tensor:
        """Convolve, normalise and activate: the map before pooling, as the first skip takes it."""
        return finish(self.convolution(x_BCDHW), self.norm, self.activation, None, self.kernels)

    def reduce(self, x_BCDHW: Tensor) -> Tensor:
        """Pool where asked, then drop."""
        reduced_BCDHW: Tensor = self.dropout(self.pool(x_BCDHW))
        return reduced_BCDHW

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Do all of it."""
        if not isinstance(self.pool, nn.Identity):
            return self.reduce(self.activate(x_BCDHW))
        x_BCDHW = self.convolution(x_BCDHW)
        return finish(x_BCDHW, self.norm, self.activation, self.dropout, self.kernels)


class MidFlow(nn.Module):
    """`config.mid_flow_blocks` units in a row, added to what came in; none: the identity alone.

    Parameters
    ----------
    channels : int
        Channels, in and out.
    config : ModelConfig
        The model's settings.
    where : str
        Which level this is in, for messages.
    """

    def __init__(self, channels: int, config: ModelConfig, where: str) -> None:
        super().__init__()
        numbers = range(1, config.mid_flow_blocks + 1)
        self.units = nn.Sequential(
            *(Unit(channels, channels, config, f"{where}, mid-flow {n}", mid=True) for n in numbers)
        )

    def forward(self, x_BCDHW: Tensor) -> Tensor:
        """Add what the units make of the map to the map."""
        if len(self.units) == 0:
            return x_BCDHW
        changed_BCDHW: Tensor = self.units(x_BCDHW)
        return x_BCDHW + changed_BCDHW
