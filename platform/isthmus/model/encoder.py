"""The encoder of one modality: levels that halve the grid and double the channels.

Legend: B subjects; C channels; D, H, W voxels.
"""

from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.model.blocks import MidFlow, Unit
from isthmus.model.geometry import Geometry
from isthmus.model.recomputation import Level, run_level


class EncoderLevel(Level):
    """Unit, mid-flow, then a unit that pools.

    Parameters
    ----------
    in_channels, channels : int
        Channels that come in, and those of this level.
    config : ModelConfig
        The model's settings.
    where : str
        Which level this is, for messages.
    """

    def __init__(self, in_channels: int, channels: int, config: ModelConfig, where: str) -> None:
        super().__init__()
        self.opening = Unit(in_channels, channels, config, f"{where}, opening unit")
        self.mid_flow = MidFlow(channels, config, where)
        self.closing = Unit(channels, channels, config, f"{where}, closing unit", pool=True)

    def forward(self, x_BCDHW: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pooled map and the map before pooling."""
        before_BCDHW = self.closing.activate(self.mid_flow(self.opening(x_BCDHW)))
        return self.closing.reduce(before_BCDHW), before_BCDHW


class Encoder(nn.Module):
    """All levels of one modality.

    Parameters
    ----------
    config : ModelConfig
        The model's settings.
    geometry : Geometry
        Channels of the levels.
    modality : str
        Label, for messages.
    """

    def __init__(self, config: ModelConfig, geometry: Geometry, modality: str) -> None:
        super().__init__()
        widths = (1, *geometry.encoder_channels)
        self.skips = config.skips
        self.fused_levels = config.fusion.levels
        self.levels = nn.ModuleList(
            EncoderLevel(widths[n], widths[n + 1], config, f"{modality} encoder level {n + 1}")
            for n in range(config.depth)
        )

    def forward(self, x_B1DHW: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Encode one modality.

        Parameters
        ----------
        x_B1DHW : Tensor
            Images on the padded grid.

        Returns
        -------
        maps : list of Tensor
            What is fused: the pooled maps of the levels in `fusion.positions`, then that of the
            last level.
        skips : list of Tensor
            What the decoder's levels receive, deepest first: the pooled maps of all levels but
            the last, then the full-resolution map before the first pooling; without that for
            `skips: deep`, and empty for `skips: none`.
        """
        pooled: list[Tensor] = []
        full: list[Tensor] = []
        x_BCDHW = x_B1DHW
        for level in self.levels:
            x_BCDHW, before_BCDHW = run_level(level, x_BCDHW)
            pooled.append(x_BCDHW)
            if not full and self.skips == "all":
                full.append(before_BCDHW)
        maps = [*(pooled[level - 1] for level in self.fused_levels), x_BCDHW]
        return maps, [] if self.skips == "none" else [*reversed(pooled[:-1]), *full]
