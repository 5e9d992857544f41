"""Small, quick models on one thread; nothing here starts processes or reads files."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from isthmus.config.architecture import ModelConfig
from isthmus.model.families import FusionModel, build_model


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep these tests to one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small() -> Callable[..., ModelConfig]:
    """Settings of a small model for grid (8, 8, 8), any of them replaced."""

    def make(**changes: Any) -> ModelConfig:
        settings: dict[str, Any] = {
            "embedding_size": 32,
            "depth": 2,
            "base_channels": 2,
            "kernel_size": 3,
            "mid_flow_blocks": 1,
            "norm": "group",
            "dropout": 0.0,
        }
        return ModelConfig(**{**settings, **changes})

    return make


@pytest.fixture
def build(small: Callable[..., ModelConfig]) -> Callable[..., FusionModel]:
    """Build that small model with seeded kernels."""

    def make(
        modalities: tuple[str, ...] = ("T1w", "FA"),
        grid: tuple[int, int, int] = (8, 8, 8),
        **changes: Any,
    ) -> FusionModel:
        return build_model(small(**changes), modalities, grid, torch.Generator().manual_seed(0))

    return make


@pytest.fixture
def images() -> Callable[..., torch.Tensor]:
    """Seeded images in [0, 1]."""

    def make(*shape: int, seed: int = 1) -> torch.Tensor:
        return torch.rand(shape, generator=torch.Generator().manual_seed(seed))

    return make
