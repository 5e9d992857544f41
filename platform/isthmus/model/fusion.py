"""Fusion: the modalities' deepest maps become one, and that one becomes the embedding.

Legend: B subjects; M modalities; C channels; D, H, W voxels of the bottleneck; E embedding values.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.model.blocks import Unit
from isthmus.model.geometry import Geometry


class Fusion(nn.Module):
    """Join the modalities' deepest maps, then one unit over (nearly) the whole bottleneck.

    Parameters
    ----------
    config : ModelConfig
        `fusion.operation` says how maps are joined: their channels side by side (`concat`), or
        their `sum` or `mean`.
    geometry : Geometry
        Channels and kernel.
    n_modalities : int
        How many maps come in.
    """

    def __init__(self, config: ModelConfig, geometry: Geometry, n_modalities: int) -> None:
        super().__init__()
        self.operation = config.fusion.operation
        deepest = geometry.encoder_channels[-1]
        self.unit = Unit(
            deepest * n_modalities if self.operation == "concat" else deepest,
            geometry.fused_channels,
            config,
            "fusion unit",
            kernel=geometry.fusion_kernel,
            n_voxels=prod(geometry.bottleneck_grid),
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse M maps (B, C, D, H, W) into one."""
        if self.operation == "concat":
            joined_BCDHW = torch.cat(list(maps), dim=1)
        else:
            joined_BCDHW = torch.stack(list(maps)).sum(dim=0)
            if self.operation == "mean":
                joined_BCDHW = joined_BCDHW / len(maps)
        fused_BCDHW: Tensor = self.unit(joined_BCDHW)
        return fused_BCDHW


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
