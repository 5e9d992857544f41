from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from isthmus.model.convolution import SameConv3d
from isthmus.model.few_channels import convolve_few_channels, few_channels

SHAPES = [
    # channels in, channels out, groups, kernel, padding
    (2, 3, 1, (3, 3, 3), (1, 1, 1)),
    (3, 2, 1, (5, 6, 5), (2, 2, 2)),
    (1, 4, 1, (2, 1, 4), (0, 0, 1)),
    (3, 3, 3, (3, 4, 3), (1, 1, 1)),
    (3, 6, 3, (5, 6, 5), (2, 2, 2)),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("n_in", "n_out", "groups", "kernel", "padding"), SHAPES)
def test_gradients_are_the_librarys(
    n_in: int,
    n_out: int,
    groups: int,
    kernel: tuple[int, int, int],
    padding: tuple[int, int, int],
    bias: bool,
) -> None:
    stream = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        values = torch.randn(shape, generator=stream, dtype=torch.float64)
        return values.requires_grad_()

    x, weight = draw(2, n_in, 7, 8, 6), draw(n_out, n_in // groups, *kernel)
    leaves = (x, weight, draw(n_out)) if bias else (x, weight)
    added = leaves[2] if bias else None
    y = convolve_few_channels(x, weight, added, padding, groups)
    expected = F.conv3d(x, weight, added, padding=padding, groups=groups)
    torch.testing.assert_close(y, expected)
    dy = torch.randn(y.shape, generator=stream, dtype=torch.float64)
    found = torch.autograd.grad(y, leaves, dy)
    for one, other in zip(found, torch.autograd.grad(expected, leaves, dy), strict=True):
        torch.testing.assert_close(one, other)


def test_what_counts_as_few() -> None:
    assert few_channels(torch.empty(8, 8, 3, 3, 3))
    assert not few_channels(torch.empty(16, 8, 3, 3, 3))
    assert not few_channels(torch.empty(8, 16, 3, 3, 3))
    assert few_channels(torch.empty(64, 1, 3, 3, 3))


@pytest.mark.parametrize("groups", [1, 4])
def test_autocast(groups: int, images: Callable[..., torch.Tensor]) -> None:
    layer = SameConv3d(4, 4, (3, 4, 3), groups=groups)
    x = images(1, 4, 5, 5, 5).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    sixteen = [x.grad.clone(), layer.weight.grad.clone(), layer.bias.grad.clone()]
    x.grad = layer.weight.grad = layer.bias.grad = None
    layer(x).square().sum().backward()
    for one, other in zip(sixteen, (x.grad, layer.weight.grad, layer.bias.grad), strict=True):
        assert one.dtype == torch.float32
        assert (one - other).norm() < 0.02 * other.norm()
