"""Masks are numpy's bits, whatever the threads, and are put to use as torch's own products are."""

import numpy as np
import pytest
import torch

from isthmus.core.seeds import generator
from isthmus.model.kernels import masks
from isthmus.model.kernels.masks import draw_kept, scale_kept

# A value, less than a draw, less and more than a block of 1024 values, more than a piece.
SHAPES = [(1,), (3,), (2, 3, 5, 7), (1, 1025), (2, 3, 37, 41, 33)]


def by_numpy(key: int, layer: int, n_dropped_levels: int, shape: tuple[int, ...]) -> np.ndarray:
    """Draw a mask in numpy's own order."""
    bits = generator(key, "dropout", layer).bytes(2 * int(np.prod(shape)))
    return (np.frombuffer(bits, dtype="<u2") >= n_dropped_levels).reshape(shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("n_threads", [1, 3])
def test_masks_are_the_bits_that_numpy_draws(shape: tuple[int, ...], n_threads: int) -> None:
    keys, layer = [0, 7, 2**63 - 1], 5
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        for n_dropped_levels in (1, 6554, 65535):
            kept = draw_kept(keys, layer, n_dropped_levels, shape)
            assert kept.dtype == torch.bool
            for key, own in zip(keys, kept.numpy(), strict=True):
                np.testing.assert_array_equal(own, by_numpy(key, layer, n_dropped_levels, shape))
    finally:
        torch.set_num_threads(before)


def test_the_largest_shape_takes_several_pieces() -> None:
    assert int(np.prod(SHAPES[-1])) > 2 * masks._PIECE


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_scaling_is_bitwise_what_two_products_give(
    dtype: torch.dtype, layout: torch.memory_format
) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 37, 41, 33, generator=draw).to(dtype).to(memory_format=layout)
    x[0, 0, 0, 0, :3] = torch.tensor([torch.inf, -0.0, torch.nan])
    kept = draw_kept([1, 2], 0, 30_000, x.shape[1:])
    y = scale_kept(x, kept, 65536 / 35536)
    expected = (x * kept) * (65536 / 35536)
    assert y.dtype == dtype
    assert torch.equal(y.nan_to_num(7.0), expected.nan_to_num(7.0))
    assert torch.equal(y.isnan(), expected.isnan())
    assert torch.equal(y.signbit(), expected.signbit())
