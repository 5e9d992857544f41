"""The decoder of one modality: levels that double the grid and take in the encoder's maps.

Legend: B subjects; C channels; D, H, W voxels.
"""

from collections.abc import Sequence
from itertools import zip_longest

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.model.blocks import MidFlow, Unit
from isthmus.model.convolution import SameConv3d
from isthmus.model.geometry import Geometry
from isthmus.model.recomputation import Level, run_level


class DecoderLevel(Level):
    """Upsample, unit, join the skip, mid-flow, unit.

    Parameters
    ----------
    in_channels : int
        Channels that come in.
    skip_channels : int
        Channels of the skip that belongs to this level; the level works at twice as many.
    has_skip : bool
        Whether the skip is there. Without it the opening unit makes all the level's channels
        itself: every later unit stays the same, so ablating skips takes away what they carry and
        not the decoder's width.
    config : ModelConfig
        The model's settings.
    where : str
        Which level this is, for messages.
    """

    def __init__(
        self, in_channels: int, skip_channels: int, has_skip: bool, config: ModelConfig, where: str
    ) -> None:
        super().__init__()
        width = 2 * skip_channels
        opened = skip_channels if has_skip else width
        self.opening = Unit(in_channels, opened, config, f"{where}, opening unit")
        self.mid_flow = MidFlow(width, config, where)
        self.closing = Unit(width, width, config, f"{where}, closing unit")

    def forward(self, x_BCDHW: Tensor, skip_BCDHW: Tensor | None) -> Tensor:
        """Double the grid of a map, with the encoder's map of that grid where there is one."""
        x_BCDHW = self.opening(F.interpolate(x_BCDHW, scale_factor=2.0, mode="nearest"))
        if skip_BCDHW is not None:
            x_BCDHW = torch.cat([x_BCDHW, skip_BCDHW], dim=1)
        closed_BCDHW: Tensor = self.closing(self.mid_flow(x_BCDHW))
        return closed_BCDHW


class Decoder(nn.Module):
    """All levels of one modality, and the 1x1x1 convolution that ends in logits.

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
        n_skips = {"all": config.depth, "deep": config.depth - 1, "none": 0}[config.skips]
        widths = (geometry.fused_channels, *(2 * width for width in geometry.skip_channels))
        self.levels = nn.ModuleList(
            DecoderLevel(widths[n], width, n < n_skips, config, f"{modality} decoder level {n + 1}")
            for n, width in enumerate(geometry.skip_channels)
        )
        self.output = SameConv3d(widths[-1], 1, (1, 1, 1), kernels=config.kernels)

    def forward(self, x_BCDHW: Tensor, skips: Sequence[Tensor]) -> Tensor:
        """Decode one modality.

        Parameters
        ----------
        x_BCDHW : Tensor
            The map that the embedding is laid out as.
        skips : sequence of Tensor
            Of this modality's encoder, deepest first; levels beyond the last have none.

        Returns
        -------
        Tensor (B, 1, D, H, W)
            Logits on the padded grid.
        """
        for level, skip_BCDHW in zip_longest(self.levels, skips):
            x_BCDHW = run_level(level, x_BCDHW, skip_BCDHW)
        logits_B1DHW: Tensor = self.output(x_BCDHW)
        return logits_B1DHW
