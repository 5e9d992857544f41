"""Fusion: the modalities' maps become one, and that one becomes the embedding.

Legend: B subjects; M modalities; N inputs of a joint (M, and perhaps the stream); C channels;
D, H, W voxels; E embedding values.
"""

from collections.abc import Mapping, Sequence
from math import prod

import torch
from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.model.blocks import Unit
from isthmus.model.fusion_joints import make_joint
from isthmus.model.geometry import Geometry


class Fusion(nn.Module):
    """Join the modalities' maps at each position, then one unit over (nearly) the bottleneck.

    Parameters
    ----------
    config : ModelConfig
        `fusion` says how, where and when.
    geometry : Geometry
        Channels, grids and kernel.
    modalities : tuple of str
        Whose maps come in.

    Raises
    ------
    ConfigError
        If the settings do not fit the modalities, channels or grids.

    Notes
    -----
    What is fused before the bottleneck is a stream of its own: units that pool carry it down to
    the next position, where it joins as a further input, which every subject has.
    """

    def __init__(
        self, config: ModelConfig, geometry: Geometry, modalities: tuple[str, ...]
    ) -> None:
        super().__init__()
        self.config = config.fusion
        self.n_positions = len(config.fusion.positions)
        levels = (*config.fusion.levels, config.depth)
        widths = geometry.encoder_channels
        self.joints = nn.ModuleList()
        self.descents = nn.ModuleList()
        width = 0
        for place, level in enumerate(levels):
            factor = 2 ** (config.depth - level)
            n_voxels = prod(edge * factor for edge in geometry.bottleneck_grid)
            joint = make_joint(config, modalities, place > 0, widths[level - 1], n_voxels)
            width = joint.out_channels
            self.joints.append(joint)
            if place + 1 < self.n_positions:
                deeper = range(level + 1, levels[place + 1] + 1)
                self.descents.append(_descent(config, width, {n: widths[n - 1] for n in deeper}))
        self.unit = Unit(
            width,
            geometry.fused_channels,
            config,
            "fusion unit",
            kernel=geometry.fusion_kernel,
            n_voxels=prod(geometry.bottleneck_grid),
        )

    def forward(self, maps: Sequence[Sequence[Tensor]], given_BM: Tensor | None = None) -> Tensor:
        """Fuse.

        Parameters
        ----------
        maps : sequence over modalities of sequences over positions of Tensor (B, C, D, H, W)
            Shallowest first.
        given_BM : Tensor of bool, optional
            Which modalities are given, at least one a subject, on the CPU; none: all.

        Returns
        -------
        Tensor (B, C, D, H, W)
            What the embedding is made of.
        """
        if given_BM is None:
            given_BM = torch.ones(len(maps[0][0]), len(maps), dtype=torch.bool, device="cpu")
        joined_BCDHW = self.joints[0]([own[0] for own in maps], given_BM)
        given_BN = torch.cat([torch.ones_like(given_BM[:, :1]), given_BM], dim=1)
        for place, descent in enumerate(self.descents, start=1):
            inputs = [descent(joined_BCDHW), *(own[place] for own in maps)]
            joined_BCDHW = self.joints[place](inputs, given_BN)
        fused_BCDHW: Tensor = self.unit(joined_BCDHW)
        return fused_BCDHW


def _descent(config: ModelConfig, width: int, deeper: Mapping[int, int]) -> nn.Sequential:
    """Make the units that carry the stream to each deeper level, which has so many channels."""
    units = nn.Sequential()
    for level, channels in deeper.items():
        units.append(Unit(width, channels, config, f"fusion stream to level {level}", pool=True))
        width = channels
    return units


class SpatialBottleneck(nn.Module):
    """The fused map is the embedding: nothing is computed, only laid flat.

    Parameters
    ----------
    geometry : Geometry
        Shape of the fused map.
    """

    def __init__(self, geometry: Geometry) -> None:
        super().__init__()
        self.map_shape = geometry.embedding_map
        self.embedding_shape: tuple[int, ...] = geometry.embedding_map

    def flatten(self, fused_BCDHW: Tensor) -> Tensor:
        """Lay the map flat: (B, E)."""
        return fused_BCDHW.flatten(1)

    def unflatten(self, z_BE: Tensor) -> Tensor:
        """Give the embedding its place in space again: (B, C, D, H, W)."""
        return z_BE.reshape(-1, *self.map_shape)


class DenseBottleneck(nn.Module):
    """The embedding is a vector of any size, fully connected to the fused map on both sides.

    Parameters
    ----------
    geometry : Geometry
        Shape of the fused map.
    embedding_size : int
        Values of the embedding.
    """

    def __init__(self, geometry: Geometry, embedding_size: int) -> None:
        super().__init__()
        self.map_shape = geometry.embedding_map
        self.embedding_shape: tuple[int, ...] = (embedding_size,)
        self.compress = nn.Linear(prod(self.map_shape), embedding_size)
        self.expand = nn.Linear(embedding_size, prod(self.map_shape))

    def flatten(self, fused_BCDHW: Tensor) -> Tensor:
        """Compress the map to the embedding: (B, E)."""
        z_BE: Tensor = self.compress(fused_BCDHW.flatten(1))
        return z_BE

    def unflatten(self, z_BE: Tensor) -> Tensor:
        """Expand the embedding to the map that all decoders start from: (B, C, D, H, W)."""
        flat: Tensor = self.expand(z_BE)
        return flat.reshape(-1, *self.map_shape)
