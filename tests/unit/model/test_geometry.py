from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.geometry import kernel_triple, plan_geometry


def test_paper_sizes() -> None:
    plan = plan_geometry(ModelConfig(), (128, 128, 96))
    assert plan.padding == (0, 0, 0, 0, 0, 0)
    assert plan.bottleneck_grid == (4, 4, 3)
    assert plan.fusion_kernel == (4, 4, 3)
    assert plan.encoder_channels == (2, 4, 8, 16, 32)
    assert plan.skip_channels == (16, 8, 4, 2, 2)
    assert plan.embedding_map == (32, 4, 4, 3)


def test_uneven_grid_is_padded_around_its_centre() -> None:
    plan = plan_geometry(ModelConfig(depth=3, embedding_size=72), (17, 24, 30))
    assert plan.padded_grid == (24, 24, 32)
    # W, H, D; before, after: 2 voxels on W, 7 on D.
    assert plan.padding == (1, 1, 0, 0, 3, 4)


def test_fusion_kernel_is_capped_on_large_bottlenecks() -> None:
    plan = plan_geometry(ModelConfig(depth=3, embedding_size=720), (64, 80, 24))
    assert plan.bottleneck_grid == (8, 10, 3)
    assert plan.fusion_kernel == (5, 5, 3)


@pytest.mark.parametrize(("size", "nearest"), [(512, "480 and 560"), (79, ": 80;"), (81, "80 and")])
def test_embedding_that_the_bottleneck_cannot_divide(size: int, nearest: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.embedding_size must be a multiple") as refusal:
        plan_geometry(ModelConfig(depth=3, embedding_size=size), (32, 40, 32))
    message = str(refusal.value)
    assert nearest in message
    assert "80 positions" in message
    assert f"got {size}" in message
    assert "model.bottleneck: dense takes any size" in message


def test_dense_takes_any_size() -> None:
    config = ModelConfig(depth=3, embedding_size=7, bottleneck="dense")
    assert plan_geometry(config, (32, 40, 32)).fused_channels == 8


def test_grid_must_have_voxels() -> None:
    with pytest.raises(ConfigError, match="at least one voxel"):
        plan_geometry(ModelConfig(), (0, 8, 8))


def test_kernel_triple() -> None:
    assert kernel_triple(3) == (3, 3, 3)
    assert kernel_triple((5, 6, 5)) == (5, 6, 5)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.tuples(*[st.integers(1, 70)] * 3), st.integers(1, 5), st.integers(1, 4))
def test_padding_is_least_and_even(grid: tuple[int, int, int], depth: int, filters: int) -> None:
    positions = prod(-(-edge // 2**depth) for edge in grid)
    plan = plan_geometry(ModelConfig(depth=depth, embedding_size=filters * positions), grid)
    assert plan.fused_channels == filters
    for axis in range(3):
        before, after = plan.padding[2 * (2 - axis) : 2 * (2 - axis) + 2]
        assert plan.padded_grid[axis] == grid[axis] + before + after
        assert plan.padded_grid[axis] == plan.bottleneck_grid[axis] * 2**depth
        assert before + after < 2**depth
        assert after - before in (0, 1)
