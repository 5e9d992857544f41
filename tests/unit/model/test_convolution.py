from collections.abc import Callable
from itertools import product
from math import sqrt

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.convolution import SameConv3d, SeparableConv3d, initialise


def tensorflow_same(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate one channel, every output summed by hand over a zero-padded input."""
    before = [(edge - 1) // 2 for edge in kernel.shape]
    y = np.zeros_like(x)
    for place in product(*map(range, x.shape)):
        for step in product(*map(range, kernel.shape)):
            source = tuple(p + s - b for p, s, b in zip(place, step, before, strict=True))
            if all(0 <= i < n for i, n in zip(source, x.shape, strict=True)):
                y[place] += kernel[step] * x[source]
    return y


@pytest.mark.parametrize("kernel", [(5, 6, 5), (2, 2, 2), (4, 3, 1), (3, 3, 3), (1, 1, 4)])
def test_padding_is_tensorflows(kernel: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(6, 5, 4)), rng.normal(size=kernel)
    convolution = SameConv3d(1, 1, kernel, bias=False).double()
    convolution.weight.data[0, 0] = torch.from_numpy(weight)
    y = convolution(torch.from_numpy(x)[None, None])
    np.testing.assert_allclose(y[0, 0].detach(), tensorflow_same(x, weight), atol=1e-12)


def test_even_edge_pads_two_before_and_three_after() -> None:
    convolution = SameConv3d(1, 1, (1, 6, 1), bias=False)
    convolution.weight.data.fill_(1.0)
    x = torch.arange(1.0, 9.0).view(1, 1, 1, 8, 1)
    # Output i sums voxels i - 2 ... i + 3.
    assert convolution(x).flatten().tolist() == [10, 15, 21, 27, 33, 30, 26, 21]


def test_separable_is_depthwise_then_pointwise(small: Callable[..., ModelConfig]) -> None:
    config = small(convolution="separable", separable={"depth_multiplier": 2})
    unit = SeparableConv3d(3, 5, (3, 4, 3), config, "a unit")
    x = torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    # One dense kernel: outputs o, inputs i, with each depthwise filter f of input i mixed by o.
    mix = unit.pointwise.weight.view(5, 3, 2)
    dense = torch.einsum("oif,ifdhw->oidhw", mix, unit.depthwise.weight.view(3, 2, 3, 4, 3))
    whole = SameConv3d(3, 5, (3, 4, 3))
    whole.weight.data, whole.bias.data = dense.detach(), unit.pointwise.bias.detach()
    torch.testing.assert_close(unit(x), whole(x), rtol=1e-5, atol=1e-5)
    assert unit.depthwise.bias is None


def test_norm_between(small: Callable[..., ModelConfig]) -> None:
    config = small(convolution="separable", norm="batch", separable={"norm_between": True})
    unit = SeparableConv3d(3, 4, (3, 3, 3), config, "a unit")
    seen: list[torch.Tensor] = []
    unit.pointwise.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    unit(5.0 + torch.randn(2, 3, 4, 4, 4, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(seen[0].mean(dim=(0, 2, 3, 4)), torch.zeros(3), atol=1e-5, rtol=0)


def test_pointwise_groups(small: Callable[..., ModelConfig]) -> None:
    config = small(convolution="separable", separable={"pointwise_groups": 2})
    unit = SeparableConv3d(4, 6, (3, 3, 3), config, "a unit")
    assert unit.pointwise.weight.shape == (6, 2, 1, 1, 1)
    with pytest.raises(ConfigError) as refusal:
        SeparableConv3d(4, 5, (3, 3, 3), config, "T1w encoder level 1, mid-flow 1")
    message = str(refusal.value)
    assert "model.separable.pointwise_groups" in message
    assert "2 does not divide 4 -> 5 (T1w encoder level 1, mid-flow 1)" in message


@pytest.mark.parametrize(
    ("module", "fan_in"),
    [
        (nn.Conv3d(8, 64, 3), 27 * 8),
        (nn.Conv3d(512, 512, 3, groups=512), 27),
        (nn.Conv3d(16, 512, 1, groups=4), 4),
        (nn.Linear(100, 200), 100),
    ],
)
def test_he_normal(module: nn.Conv3d | nn.Linear, fan_in: int) -> None:
    initialise(module, torch.Generator().manual_seed(0))
    deviation = sqrt(2.0 / fan_in)
    weights = module.weight.detach()
    n = weights.numel()
    assert weights.std().item() == pytest.approx(deviation, rel=4.0 / sqrt(2 * n))
    assert abs(weights.mean().item()) < 4.5 * deviation / sqrt(n)
    # Truncated at two standard deviations of the normal before truncation.
    assert weights.abs().max().item() <= 2.0 * deviation / 0.87962566103423978 + 1e-6
    assert weights.abs().max().item() > 1.9 * deviation
    assert not module.bias.any()


def test_generator_alone_decides_the_kernels() -> None:
    first, second, third = (nn.Conv3d(2, 2, 3) for _ in range(3))
    for module, seed in ((first, 3), (second, 3), (third, 4)):
        initialise(module, torch.Generator().manual_seed(seed))
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, third.weight)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("n_subjects", [0, 1, 3])
@pytest.mark.parametrize(("groups", "bias"), [(1, True), (1, False), (2, True)])
def test_a_kernel_of_one_voxel_mixes_channels(
    groups: int, bias: bool, n_subjects: int, layout: torch.memory_format
) -> None:
    layer = SameConv3d(4, 6, (1, 1, 1), groups=groups, bias=bias)
    stream = torch.Generator().manual_seed(0)
    x = torch.randn(n_subjects, 4, 3, 4, 5, generator=stream).to(memory_format=layout)
    x.requires_grad_()
    leaves = (x, *layer.parameters())
    y = layer(x)
    expected = nn.functional.conv3d(x, layer.weight, layer.bias, groups=groups)
    torch.testing.assert_close(y, expected)
    dy = torch.randn(y.shape, generator=stream)
    found = torch.autograd.grad(y, leaves, dy)
    for one, other in zip(found, torch.autograd.grad(expected, leaves, dy), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("kernel", [(1, 1, 1), (3, 4, 3)])
def test_either_setting_pads_and_sums_alike(kernel: tuple[int, int, int], groups: int) -> None:
    own = SameConv3d(4, 8, kernel, groups=groups)
    other = SameConv3d(4, 8, kernel, groups=groups, kernels="torch")
    other.load_state_dict(own.state_dict())
    x = torch.randn(2, 4, 5, 6, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(own(x), other(x))
