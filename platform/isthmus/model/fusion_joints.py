"""Joining maps at one position: all of them at once, or one after another.

Legend: B subjects; N inputs; R subjects of a part of the batch; C channels; D, H, W voxels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.blocks import Unit
from isthmus.model.fusion_operations import make_operation
from isthmus.model.given import Rows

FEWEST_FOR_GRADUAL = 3
"""Modalities from which joining one after another differs from joining all at once."""


class SuddenJoint(nn.Module):
    """One operation over all inputs.

    Parameters
    ----------
    config : ModelConfig
        `fusion` says which operation.
    n_inputs, channels : int
        Maps that come in, and their channels.
    """

    def __init__(self, config: ModelConfig, n_inputs: int, channels: int) -> None:
        super().__init__()
        self.operation = make_operation(config, n_inputs, channels)
        self.out_channels = _joined_channels(config, n_inputs, channels)

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W), of which some may not be given."""
        joined_BCDHW: Tensor = self.operation(maps, given_BN.to(maps[0].device))
        return joined_BCDHW


class GradualJoint(nn.Module):
    """A step for each input but the first: the operation over what is joined so far and the next.

    Parameters
    ----------
    config : ModelConfig
        `fusion` says which operation.
    inputs : tuple of str
        Whose maps come in, in the order in which they join.
    channels : int
        Their channels.
    n_voxels : int
        Their voxels.

    Notes
    -----
    For a subject that lacks an input, that step changes nothing; its first given input is what
    the next one joins. A step is computed over the subjects alone that take it.
    """

    def __init__(
        self, config: ModelConfig, inputs: tuple[str, ...], channels: int, n_voxels: int
    ) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            GradualStep(config, channels, n_voxels, f"fusion step that joins {name}")
            for name in inputs[1:]
        )
        self.out_channels = channels

    def forward(self, maps: Sequence[Tensor], given_BN: Tensor) -> Tensor:
        """Join N maps (B, C, D, H, W), of which some may not be given."""
        running_BCDHW, begun_B = maps[0], given_BN[:, 0]
        for n, step in enumerate(self.steps, start=1):
            next_BCDHW, joins_B = maps[n], given_BN[:, n]
            if not Rows.where(begun_B).everybody:
                begun = begun_B.to(next_BCDHW.device)[:, None, None, None, None]
                running_BCDHW = torch.where(begun, running_BCDHW, next_BCDHW)
            rows = Rows.where(begun_B & joins_B)
            changed_RCDHW = rows.run(step, step, running_BCDHW, next_BCDHW)[0]
            running_BCDHW = rows.put(changed_RCDHW, into=running_BCDHW)
            begun_B = begun_B | joins_B
        return running_BCDHW


class GradualStep(nn.Module):
    """The operation over two maps, then a unit of 1x1x1 kernels.

    Parameters
    ----------
    config : ModelConfig
        `fusion` says which operation.
    channels : int
        Channels of both maps and of what comes out.
    n_voxels : int
        Their voxels.
    where : str
        Which step this is, for messages.
    """

    def __init__(self, config: ModelConfig, channels: int, n_voxels: int, where: str) -> None:
        super().__init__()
        self.operation = make_operation(config, 2, channels)
        self.unit = Unit(
            _joined_channels(config, 2, channels),
            channels,
            config,
            where,
            kernel=(1, 1, 1),
            n_voxels=n_voxels,
        )

    def forward(self, running_RCDHW: Tensor, next_RCDHW: Tensor) -> list[Tensor]:
        """Join two maps that every subject has; one map in a list."""
        maps = [running_RCDHW, next_RCDHW]
        given_R2 = torch.ones(len(next_RCDHW), 2, dtype=torch.bool, device=next_RCDHW.device)
        return [self.unit(self.operation(maps, given_R2))]


def make_joint(
    config: ModelConfig, modalities: tuple[str, ...], has_stream: bool, channels: int, n_voxels: int
) -> SuddenJoint | GradualJoint:
    """Make what joins the maps of one position, the stream first where there is one.

    Parameters
    ----------
    config : ModelConfig
        `fusion` says how.
    modalities : tuple of str
        Whose maps come in.
    has_stream : bool
        Whether what was fused before comes in too.
    channels : int
        Channels of each map.
    n_voxels : int
        Voxels of each map.

    Returns
    -------
    Module
        To be called with the maps and a mask (B, N) on the CPU of those given; `out_channels` is
        how many channels it makes.

    Raises
    ------
    ConfigError
        If there are too few modalities to join gradually, or batch normalisation would be left
        with one value a channel.
    """
    inputs = ("the stream", *modalities) if has_stream else modalities
    if config.fusion.timing == "sudden":
        return SuddenJoint(config, len(inputs), channels)
    if len(modalities) < FEWEST_FOR_GRADUAL:
        raise ConfigError(
            f"model.fusion.timing: gradual must have at least {FEWEST_FOR_GRADUAL} modalities, "
            f"got {len(modalities)} ({', '.join(modalities)}): with fewer it is the same as "
            f"sudden. Set model.fusion.timing: sudden, or fuse more of them."
        )
    if config.norm == "batch" and n_voxels == 1:
        raise ConfigError(
            f"model.fusion.timing: gradual with model.norm: batch must have a bottleneck of more "
            f"than one voxel, but model.depth {config.depth} leaves one, and a step may be for a "
            f"single subject. Use a smaller model.depth, model.norm: group or timing: sudden."
        )
    return GradualJoint(config, inputs, channels, n_voxels)


def _joined_channels(config: ModelConfig, n_inputs: int, channels: int) -> int:
    """Count the channels that an operation makes."""
    return n_inputs * channels if config.fusion.operation == "concat" else channels
