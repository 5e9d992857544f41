from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from isthmus.config.training import LossConfig
from isthmus.model.interface import Output
from isthmus.model.objective import add_kernel_penalty, reconstruction_loss, structural_similarity

SHAPE = (2, 3, 5, 6, 4)


def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, logits and a mask."""
    rng = np.random.default_rng(0)
    return rng.uniform(size=SHAPE), rng.normal(size=SHAPE), rng.uniform(size=SHAPE[2:]) < 0.4


def loss(x: np.ndarray, logits: np.ndarray, mask: np.ndarray | None, **config: Any) -> np.ndarray:
    """Call the loss on numpy arrays."""
    logits_t = torch.from_numpy(logits).float()
    output = Output(torch.zeros(len(x), 1), logits_t, torch.sigmoid(logits_t))
    mask_t = None if mask is None else torch.from_numpy(mask)
    l_BM = reconstruction_loss(output, torch.from_numpy(x).float(), mask_t, LossConfig(**config))
    assert l_BM.dtype == torch.float32
    return l_BM.numpy()


def ssim_by_hand(y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """SSIM of one volume, window by window in float64."""
    similarity = np.empty_like(x)
    for place in product(*map(range, x.shape)):
        window = tuple(slice(max(0, i - 3), i + 4) for i in place)
        a, b = y[window].ravel(), x[window].ravel()
        covariance = np.mean((a - a.mean()) * (b - b.mean()))
        top = (2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)
        similarity[place] = top / (
            (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var() + b.var() + 9e-4)
        )
    return similarity


def voxel_errors(kind: str, x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Each formula in float64."""
    y = 1 / (1 + np.exp(-logits))
    error = np.abs(y - x)
    if kind == "bce":
        return -x * np.log(y) - (1 - x) * np.log(1 - y)
    if kind == "mse":
        return error**2
    if kind == "l1":
        return error
    if kind == "huber":
        return np.where(error <= 0.2, error**2 / 2, 0.2 * (error - 0.1))
    similarity = np.empty_like(x)
    for place in np.ndindex(x.shape[:2]):
        similarity[place] = ssim_by_hand(y[place], x[place])
    return 0.3 * (1 - similarity) + 0.7 * error


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kind", ["bce", "mse", "l1", "huber", "ssim_mix"])
def test_formulas(kind: str, masked: bool) -> None:
    x, logits, mask = example()
    errors = voxel_errors(kind, x, logits)
    expected = errors[:, :, mask].mean(axis=2) if masked else errors.mean(axis=(2, 3, 4))
    own = {"huber": {"huber_delta": 0.2}, "ssim_mix": {"ssim_share": 0.3}}.get(kind, {})
    found = loss(x, logits, mask, kind=kind, masked=masked, **own)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_bce_is_stable_for_extreme_logits() -> None:
    x = np.zeros((1, 1, 2, 2, 2))
    assert loss(x, np.full(x.shape, 200.0), None, kind="bce") == pytest.approx(200.0)
    assert loss(x + 1, np.full(x.shape, -200.0), None, kind="bce") == pytest.approx(200.0)


def test_ssim_of_equal_images_is_one() -> None:
    x = torch.from_numpy(example()[0]).float()
    torch.testing.assert_close(structural_similarity(x, x), torch.ones(SHAPE), atol=1e-5, rtol=0)


def test_outside_of_the_mask_does_not_count() -> None:
    x, logits, mask = example()
    inside = loss(x, logits, mask, kind="mse", masked=True)
    logits[:, :, ~mask] = np.nan
    np.testing.assert_array_equal(loss(x, logits, mask, kind="mse", masked=True), inside)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (None, "got none"),
        (np.ones((2, 2, 2), bool), r"got \(2, 2, 2\)"),
        (np.zeros(SHAPE[2:], bool), "at least one voxel"),
    ],
)
def test_masked_loss_needs_a_mask(mask: np.ndarray | None, message: str) -> None:
    x, logits, _ = example()
    with pytest.raises(ValueError, match=message):
        loss(x, logits, mask, masked=True)


def test_loss_is_float32_under_autocast() -> None:
    x, logits, _ = example()
    expected = loss(x, logits, None, kind="ssim_mix")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        np.testing.assert_array_equal(loss(x, logits, None, kind="ssim_mix"), expected)


def test_kernel_penalty_is_the_gradient_of_the_sum_of_squares_of_convolutions_alone() -> None:
    model = nn.Sequential(
        nn.Conv3d(1, 2, 2), nn.BatchNorm3d(2), nn.Conv3d(2, 2, 1), nn.Linear(2, 2)
    )
    for number, parameter in enumerate(model.parameters()):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number))
        parameter.grad = torch.full_like(parameter, 0.25)
    model[2].weight.grad = None
    kernels = [model[0].weight, model[2].weight]
    penalty = 0.5 * sum((kernel.square().sum() for kernel in kernels), torch.zeros(()))
    first, second = torch.autograd.grad(penalty, kernels)
    add_kernel_penalty(model, 0.5)
    torch.testing.assert_close(model[0].weight.grad, first + 0.25)
    torch.testing.assert_close(model[2].weight.grad, second)
    others = {id(p) for p in model.parameters()} - {id(kernel) for kernel in kernels}
    untouched = [p.grad for p in model.parameters() if id(p) in others]
    assert len(untouched) == 6
    assert all(bool((gradient == 0.25).all()) for gradient in untouched)
