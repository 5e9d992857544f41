"""Where and when modalities are fused, and what the settings refuse."""

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from isthmus.config.architecture import MASKED_OPERATIONS, ModelConfig
from isthmus.config.training import LossConfig
from isthmus.core.errors import ConfigError
from isthmus.model.description import count_parameters, describe_model
from isthmus.model.families import FusionModel
from isthmus.model.objective import add_kernel_penalty

Build = Callable[..., FusionModel]
Images = Callable[..., Tensor]
OPERATIONS = ("concat", *MASKED_OPERATIONS)
THREE = ("T1w", "FA", "NDI")
DEEP: dict[str, Any] = {"depth": 3, "grid": (16, 16, 16), "embedding_size": 64}
MULTI = [1, 2, "bottleneck"]


def maps(model: FusionModel, n_subjects: int = 2) -> list[list[Tensor]]:
    """Seeded maps of each modality at each position."""
    stream = torch.Generator().manual_seed(3)
    shapes = [
        (n_subjects, 2**level, *(edge // 2**level for edge in model.grid))
        for level in (*model.fusion.config.levels, 3)
    ]
    return [[torch.randn(shape, generator=stream) for shape in shapes] for _ in model.modalities]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("positions", [["bottleneck"], [2, "bottleneck"], MULTI])
@pytest.mark.parametrize("timing", ["sudden", "gradual"])
def test_every_fusion_learns_from_every_modality(
    operation: str, positions: list[Any], timing: str, build: Build
) -> None:
    fusion = {"operation": operation, "positions": positions, "timing": timing}
    model = build(THREE, fusion=fusion, **DEEP)
    inputs = [[x.requires_grad_() for x in own] for own in maps(model)]
    fused = model.fusion(inputs)
    assert fused.shape == (2, *model.embedding_shape)
    fused.square().sum().backward()
    for own in inputs:
        assert all(x.grad is not None and x.grad.abs().max() > 0 for x in own)
    for name, parameter in model.fusion.named_parameters():
        assert parameter.grad is not None, name


def test_an_early_position_reaches_the_embedding_through_the_stream(build: Build) -> None:
    model = build(fusion={"operation": "mean", "positions": [1, "bottleneck"]}, **DEEP).eval()
    inputs = maps(model)
    before = model.fusion(inputs)
    changed = [[own[0] + 1.0, *own[1:]] for own in inputs]
    assert not torch.allclose(model.fusion(changed), before)
    # The stream has been through a unit for each level between: 2 to 4 to 8 channels.
    assert [unit.convolution.weight.shape[1] for unit in model.fusion.descents[0]] == [2, 4]


def test_what_is_fused_at_a_level_is_the_encoders_pooled_map(build: Build, images: Images) -> None:
    model = build(fusion={"positions": MULTI}, **DEEP).eval()
    seen: list[list[Tensor]] = []
    handles = [
        joint.register_forward_pre_hook(lambda _, inputs: seen.append(list(inputs[0])))
        for joint in model.fusion.joints
    ]
    _, skips = model.encode(images(1, 2, 16, 16, 16))
    for handle in handles:
        handle.remove()
    assert [len(found) for found in seen] == [2, 3, 3]
    for m in range(2):
        assert torch.equal(seen[0][m], skips[m][1])
        assert torch.equal(seen[1][m + 1], skips[m][0])


def test_gradual_joins_one_after_another(build: Build) -> None:
    fusion = {"operation": "mean", "timing": "gradual"}
    model = build(THREE, fusion=fusion, **DEEP).eval()
    a, b, c = (own[0] for own in maps(model, 3))
    first, second = (step.unit for step in model.fusion.joints[0].steps)
    joint = model.fusion.joints[0]
    everybody = torch.ones(3, 3, dtype=torch.bool)
    expected = second((first((a + b) / 2) + c) / 2)
    torch.testing.assert_close(joint([a, b, c], everybody), expected)
    # One lacks the second, one begins with the second, one has the last alone.
    given = torch.tensor([[1, 0, 1], [0, 1, 1], [0, 0, 1]], dtype=torch.bool)
    expected = torch.stack([second((a + c) / 2)[0], second((b + c) / 2)[1], c[2]])
    lacking = [torch.where(given[:, n, None, None, None, None], x, torch.nan)
               for n, x in enumerate((a, b, c))]  # fmt: skip
    torch.testing.assert_close(joint(lacking, given), expected)


def test_gradual_depends_on_the_order_and_sudden_does_not(build: Build) -> None:
    for timing, alike in (("sudden", True), ("gradual", False)):
        model = build(THREE, fusion={"operation": "mean", "timing": timing}, **DEEP).eval()
        inputs = maps(model)
        turned = torch.allclose(model.fusion(inputs[::-1]), model.fusion(inputs), atol=1e-5)
        assert turned is alike


def test_default_fusion_has_a_unit_and_nothing_else(build: Build) -> None:
    names = {name.split(".")[0] for name in build(**DEEP).fusion.state_dict()}
    assert names == {"unit"}


@pytest.mark.parametrize("operation", MASKED_OPERATIONS)
def test_generator_decides_the_operations_weights(operation: str, build: Build) -> None:
    fusion = {"operation": operation, "timing": "gradual", "positions": MULTI}
    first, second = (build(THREE, fusion=fusion, **DEEP).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("operation", MASKED_OPERATIONS)
def test_kernels_of_operations_are_penalised(operation: str, build: Build) -> None:
    model = build(THREE, fusion={"operation": operation}, **DEEP)
    add_kernel_penalty(model, 1.0)
    kernels = [p for p in model.fusion.parameters() if p.dim() == 5]
    assert len(kernels) == sum(isinstance(m, nn.Conv3d) for m in model.fusion.modules())
    assert all(torch.equal(p.grad, 2 * p) for p in kernels)


def added_weights(operation: str, n: int, c: int) -> tuple[int, int]:
    """Weights and biases of an operation over n maps of c channels, by hand."""
    return {
        "gated": (n * c * c + (n * c) ** 2, 2 * n * c),
        "attention": (4 * c * c, 4 * c),
        "tensor": (n * c * 4 * c + 4 * c, n * 4 * c + c),
        "calibration": (2 * (n * c) * -(-n * c // 4), n * c + -(-n * c // 4)),
    }.get(operation, (0, 0))


@pytest.mark.parametrize("operation", MASKED_OPERATIONS)
def test_size_and_work_by_hand(operation: str, small: Callable[..., ModelConfig]) -> None:
    settings = {"depth": 3, "embedding_size": 64}
    plain = describe_model(small(**settings, fusion={"operation": "sum"}), THREE, (16, 16, 16))
    found = describe_model(small(**settings, fusion={"operation": operation}), THREE, (16, 16, 16))
    weights, biases = added_weights(operation, 3, 8)
    assert found.parameters.total - plain.parameters.total == weights + biases
    applied = {"attention": 3 * weights, "tensor": weights, "gated": weights}.get(operation, 0)
    work = 8 * applied if operation != "calibration" else weights
    assert found.multiply_accumulates - plain.multiply_accumulates == work


def test_concatenated_levels_by_hand(build: Build) -> None:
    fusion = {"positions": [2, "bottleneck"]}
    model = build(fusion=fusion, convolution="standard", **DEEP)
    # two maps of 4 channels -> a unit to 8; then the stream and two maps of 8 -> 8 filters
    stream = 27 * 8 * 8 + 3 * 8
    unit = 8 * 24 * prod(model.fusion.unit.convolution.weight.shape[2:]) + 3 * 8
    assert count_parameters(model).by_part["fusion"] == stream + unit


def test_multi_level_gradual_model_trains(build: Build, images: Images) -> None:
    fusion = {"operation": "attention", "positions": MULTI, "timing": "gradual"}
    model = build(THREE, fusion=fusion, norm="batch", **DEEP).train()
    x = images(2, 3, 16, 16, 16)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        optimiser.zero_grad()
        loss = model.loss(model(x), x, None, LossConfig(kind="mse")).sum()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("modalities", [("T1w",), ("T1w", "FA")])
def test_gradual_needs_three(modalities: tuple[str, ...], build: Build) -> None:
    with pytest.raises(ConfigError, match=r"gradual must have at least 3 modalities, got"):
        build(modalities, fusion={"timing": "gradual"})


def test_gradual_batch_normalisation_needs_voxels(build: Build) -> None:
    changes = {"depth": 3, "embedding_size": 4, "norm": "batch", "fusion": {"timing": "gradual"}}
    with pytest.raises(ConfigError, match=r"must have a bottleneck of more than one voxel"):
        build(THREE, **changes)
