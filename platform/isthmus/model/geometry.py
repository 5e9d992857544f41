"""Grids and channel widths of the levels: everything about the model that is plain arithmetic.

Legend: D, H, W voxels along the three axes; E values of the embedding; C channels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.kernels.problem import Triple

LARGEST_FUSION_EDGE = 5
"""Longest edge of the fusion kernel in bottleneck voxels.

The paper's kernel is its whole 4x4x3 bottleneck. On larger bottlenecks a kernel of the whole grid
would outweigh the rest of the model, so each edge stops here.
"""


@dataclass(frozen=True)
class Geometry:
    """Sizes that follow from a model's settings and the grid of its images.

    Attributes
    ----------
    grid : tuple of int
        (D, H, W) of the images in voxels.
    padded_grid : tuple of int
        The grid with every edge rounded up to a multiple of 2^depth.
    padding : tuple of int
        Voxels added (W before, W after, H before, H after, D before, D after), the order of
        `torch.nn.functional.pad`; the images stay in the centre.
    bottleneck_grid : tuple of int
        Positions of the deepest map.
    fusion_kernel : tuple of int
        Kernel of the fusion convolution: the bottleneck's grid, edges capped at
        `LARGEST_FUSION_EDGE`.
    encoder_channels : tuple of int
        Channels of the encoder's levels, shallowest first.
    skip_channels : tuple of int
        Channels of the maps that decoder levels can receive, deepest first; the last is the
        full-resolution map before the first pooling.
    fused_channels : int
        Filters of the fusion convolution.
    """

    grid: Triple
    padded_grid: Triple
    padding: tuple[int, int, int, int, int, int]
    bottleneck_grid: Triple
    fusion_kernel: Triple
    encoder_channels: tuple[int, ...]
    skip_channels: tuple[int, ...]
    fused_channels: int

    @property
    def embedding_map(self) -> tuple[int, int, int, int]:
        """(C, D, H, W) of the map that the decoders start from."""
        return (self.fused_channels, *self.bottleneck_grid)


def plan_geometry(config: ModelConfig, grid: Triple) -> Geometry:
    """Work out the sizes of a model.

    Parameters
    ----------
    config : ModelConfig
        The model's settings.
    grid : tuple of int
        (D, H, W) of the images in voxels.

    Returns
    -------
    Geometry
        All grids and widths.

    Raises
    ------
    ConfigError
        If an edge is not positive, or a spatial embedding cannot be shared out over the
        bottleneck's positions; the message names the nearest sizes that can.

    Examples
    --------
    >>> plan = plan_geometry(ModelConfig(), (128, 128, 96))
    >>> plan.bottleneck_grid, plan.fusion_kernel, plan.fused_channels
    ((4, 4, 3), (4, 4, 3), 32)
    >>> plan.skip_channels
    (16, 8, 4, 2, 2)
    """
    if min(grid) < 1:
        raise ConfigError(f"The model's grid must have at least one voxel an axis, got {grid}.")
    factor = 2**config.depth
    bottleneck = _each(grid, lambda edge: -(-edge // factor))
    padded = _each(bottleneck, lambda edge: edge * factor)
    before = [(new - old) // 2 for new, old in zip(padded, grid, strict=True)]
    after = [new - old - b for new, old, b in zip(padded, grid, before, strict=True)]
    channels = tuple(config.base_channels * 2**level for level in range(config.depth))
    return Geometry(
        grid=grid,
        padded_grid=padded,
        padding=(before[2], after[2], before[1], after[1], before[0], after[0]),
        bottleneck_grid=bottleneck,
        fusion_kernel=_each(bottleneck, lambda edge: min(edge, LARGEST_FUSION_EDGE)),
        encoder_channels=channels,
        skip_channels=(*reversed(channels[:-1]), channels[0]),
        fused_channels=_fused_channels(config, grid, bottleneck, channels[-1]),
    )


def fitting_embedding_size(config: ModelConfig, grid: Triple) -> int:
    """Find the embedding size nearest to the wanted one that a grid can have.

    Parameters
    ----------
    config : ModelConfig
        The model's settings.
    grid : tuple of int
        (D, H, W) of the images in voxels.

    Returns
    -------
    int
        ``config.embedding_size`` where it fits; otherwise the nearest multiple of the bottleneck's
        positions, at least one for each.

    Examples
    --------
    >>> fitting_embedding_size(ModelConfig(embedding_size=1500), (128, 128, 96))
    1488
    """
    if config.bottleneck == "dense":
        return config.embedding_size
    positions = prod(_each(grid, lambda edge: -(-edge // 2**config.depth)))
    return positions * max(1, round(config.embedding_size / positions))


def kernel_triple(kernel_size: int | Triple) -> Triple:
    """Give one kernel edge for each axis.

    Parameters
    ----------
    kernel_size : int or tuple of int
        One edge for all axes, or one for each.

    Returns
    -------
    tuple of int
        Three edges in voxels.
    """
    if isinstance(kernel_size, int):
        return (kernel_size, kernel_size, kernel_size)
    return kernel_size


def _each(edges: Triple, rule: Callable[[int], int]) -> Triple:
    """Apply a rule to each axis."""
    return (rule(edges[0]), rule(edges[1]), rule(edges[2]))


def _fused_channels(config: ModelConfig, grid: Triple, bottleneck: Triple, deepest: int) -> int:
    """Share the embedding out over the bottleneck; a dense one leaves the width as it is."""
    if config.bottleneck == "dense":
        return deepest
    positions = prod(bottleneck)
    filters, rest = divmod(config.embedding_size, positions)
    if rest == 0:
        return filters
    nearest = [n * positions for n in (filters, filters + 1) if n > 0]
    raise ConfigError(
        f"model.embedding_size must be a multiple of the bottleneck's {positions} positions "
        f"({'x'.join(map(str, bottleneck))}, from grid {'x'.join(map(str, grid))} and model.depth "
        f"{config.depth}), got {config.embedding_size}. Nearest sizes that work: "
        f"{' and '.join(map(str, nearest))}; model.bottleneck: dense takes any size."
    )
