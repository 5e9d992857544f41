from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.config.architecture import ModelConfig
from isthmus.core.errors import ConfigError
from isthmus.model.norm import EPSILON, WorkerBatchNorm, group_count, make_norm


def test_batch_norm_formula_and_keras_momentum(images: Callable[..., torch.Tensor]) -> None:
    x = images(3, 2, 4, 5, 6)
    norm = WorkerBatchNorm(2, momentum=0.9)
    norm.weight.data[:] = torch.tensor([2.0, 0.5])
    norm.bias.data[:] = torch.tensor([1.0, -1.0])
    y = norm(x).detach().numpy()
    values = x.double().numpy()
    mean = values.mean(axis=(0, 2, 3, 4), keepdims=True)
    variance = values.var(axis=(0, 2, 3, 4), keepdims=True)
    scale, shift = np.array([2.0, 0.5]), np.array([1.0, -1.0])
    expected = (values - mean) / np.sqrt(variance + 1e-3)
    expected = expected * scale[:, None, None, None] + shift[:, None, None, None]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    np.testing.assert_allclose(norm.running_mean, 0.1 * mean.ravel(), rtol=1e-5)
    np.testing.assert_allclose(norm.running_variance, 0.9 + 0.1 * variance.ravel(), rtol=1e-5)


def test_evaluation_uses_running_statistics(images: Callable[..., torch.Tensor]) -> None:
    norm = WorkerBatchNorm(2).eval()
    norm.running_mean[:] = torch.tensor([0.5, -1.0])
    norm.running_variance[:] = torch.tensor([4.0, 0.25])
    x = images(1, 2, 3, 3, 3)
    expected = (x - norm.running_mean.view(1, 2, 1, 1, 1)) / torch.sqrt(
        norm.running_variance.view(1, 2, 1, 1, 1) + EPSILON
    )
    torch.testing.assert_close(norm(x), expected)
    assert norm.running_mean.tolist() == [0.5, -1.0]


def test_sixteen_bit_input_keeps_statistics_in_float32(images: Callable[..., torch.Tensor]) -> None:
    x = images(2, 3, 4, 4, 4)
    norm = WorkerBatchNorm(3, momentum=0.0)
    assert norm(x.bfloat16()).dtype == torch.bfloat16
    assert norm.running_mean.dtype == torch.float32
    torch.testing.assert_close(norm.running_mean, x.mean(dim=(0, 2, 3, 4)), atol=2e-3, rtol=0)


def test_single_value_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"training\.global_batch_size"):
        WorkerBatchNorm(4)(torch.zeros(1, 4, 1, 1, 1))
    assert WorkerBatchNorm(4).eval()(torch.zeros(1, 4, 1, 1, 1)).shape == (1, 4, 1, 1, 1)


@pytest.mark.parametrize("channels", range(1, 70))
def test_group_count_is_the_largest_divisor_up_to_eight(channels: int) -> None:
    divisors = [n for n in range(1, 9) if channels % n == 0]
    assert group_count(channels) == max(divisors)


def test_group_and_instance(small: Callable[..., ModelConfig]) -> None:
    group = make_norm(small(norm="group"), 32)
    instance = make_norm(small(norm="instance"), 32)
    assert isinstance(group, nn.GroupNorm)
    assert isinstance(instance, nn.GroupNorm)
    assert (group.num_groups, instance.num_groups) == (8, 32)
    assert group.eps == instance.eps == EPSILON


def test_single_voxel_maps_are_refused(small: Callable[..., ModelConfig]) -> None:
    with pytest.raises(ConfigError, match=r"model\.norm: instance must have more than one value"):
        make_norm(small(norm="instance"), 32, n_voxels=1)
    with pytest.raises(ConfigError, match=r"8 channel\(s\) in 8 group\(s\)"):
        make_norm(small(norm="group"), 8, n_voxels=1)
    make_norm(small(norm="group"), 16, n_voxels=1)
    make_norm(small(norm="batch"), 8, n_voxels=1)
    make_norm(small(norm="instance"), 8, n_voxels=2)
