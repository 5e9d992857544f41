"""The published networks as the benchmarks build them, and the convolutions they are made of."""

import argparse
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import resolve
from isthmus.core.seeds import derive_seed
from isthmus.model.convolution import SameConv3d
from isthmus.model.families import FusionModel, build_model
from isthmus.model.kernels.choice import Kernels
from isthmus.model.kernels.problem import Triple

PRESETS = ("released", "paper")
BOTTLENECK_CHANNELS = 32  # of the published network: 4x4x3 positions, 1536 values


@dataclass(frozen=True)
class Shape:
    """A convolution of stride 1 whose output has its input's grid.

    Attributes
    ----------
    n_in, n_out, groups : int
        Channels, and groups of them.
    grid, kernel : tuple of int
        Edges in voxels.
    bias : bool
        Whether there is one.
    wants_dx : bool
        Whether the input's gradient is wanted; of the network's input it is not.
    """

    n_in: int
    n_out: int
    groups: int
    grid: Triple
    kernel: Triple
    bias: bool = False
    wants_dx: bool = True

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel is filtered by itself."""
        return self.groups == self.n_in > 1

    @property
    def padding(self) -> tuple[Triple, Triple]:
        """Zeros before and after each axis, by TensorFlow's rule."""
        d, h, w = self.kernel
        return ((d - 1) // 2, (h - 1) // 2, (w - 1) // 2), (d // 2, h // 2, w // 2)

    @property
    def passes(self) -> int:
        """Sums of products in a step: the output, the kernel's gradient, the input's."""
        return 2 + self.wants_dx

    @property
    def multiply_adds(self) -> int:
        """Products in a step of one subject, those with the zeros around the images included."""
        each = math.prod(self.grid) * math.prod(self.kernel) * self.n_in * self.n_out
        return self.passes * each // self.groups

    @property
    def elements_moved(self) -> int:
        """Least elements read and written in a step: each pass, its maps and its kernels once."""
        kernels = self.n_in * self.n_out * math.prod(self.kernel) // self.groups
        return self.passes * ((self.n_in + self.n_out) * math.prod(self.grid) + kernels)

    def described(self) -> tuple[str, str, str]:
        """Write channels, grid and kernel."""
        channels = f"{self.n_in}" if self.is_depthwise else f"{self.n_in} -> {self.n_out}"
        return channels, edges(self.grid), edges(self.kernel)


def experiment(preset: str, grid: Triple, kernels: Kernels = "auto") -> ExperimentConfig:
    """Resolve a preset for two modalities."""
    positions = math.prod(edge // 32 for edge in grid)
    return resolve(
        {
            "preset": preset,
            "cohort": {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w", "FA"]},
            "model": {"embedding_size": BOTTLENECK_CHANNELS * positions, "kernels": kernels},
        }
    )


def network(config: ExperimentConfig, grid: Triple) -> FusionModel:
    """Build an experiment's network, always with the same weights."""
    draw = torch.Generator().manual_seed(derive_seed(0, "benchmark"))
    return build_model(config.model, config.fused_modalities, grid, draw)


def convolutions(preset: str, grid: Triple) -> "Counter[Shape]":
    """Count the convolutions of a preset's network by shape, without computing any."""
    config = experiment(preset, grid)
    model = network(config, grid).to("meta").eval()
    found: Counter[Shape] = Counter()
    for module in model.modules():
        if isinstance(module, SameConv3d):
            module.register_forward_hook(_noting(found))
    model(torch.rand(1, len(config.fused_modalities), *grid, device="meta"))
    return found


def _noting(found: "Counter[Shape]") -> Callable[[nn.Module, Any, Tensor], None]:
    """Make a hook that counts a convolution."""

    def note(module: nn.Module, arguments: Any, y_BCDHW: Tensor) -> None:
        assert isinstance(module, SameConv3d)
        d, h, w = arguments[0].shape[2:]
        if y_BCDHW.shape[2:] != (d, h, w):
            raise ValueError(f"{module} changes the grid from {(d, h, w)} to {y_BCDHW.shape[2:]}")
        kernel = (module.kernel_size[0], module.kernel_size[1], module.kernel_size[2])
        shape = Shape(
            module.in_channels,
            module.out_channels,
            module.groups,
            (d, h, w),
            kernel,
            module.bias is not None,
            arguments[0].requires_grad,
        )
        found[shape] += 1

    return note


def edges(numbers: Triple) -> str:
    """Write edges: 5x6x5, or 64^3."""
    if len(set(numbers)) == 1:
        return f"{numbers[0]}^3"
    return "x".join(map(str, numbers))


def edge(text: str) -> int:
    """Read an edge of the grid; five levels halve it five times."""
    found = int(text)
    if found < 32 or found % 32:
        raise argparse.ArgumentTypeError(f"must be a multiple of 32, got {found}")
    return found
