import math

import numpy as np
import pytest

from isthmus.volumes import fidelity
from isthmus.volumes.fidelity import cnr, cnr_ratio, mae, mse, psnr, rmse, ssim

X = np.array([1.0, 2.0, 3.0, 4.0, 9.0]).reshape(5, 1, 1)
Y = np.array([1.0, 4.0, 3.0, 0.0, 5.0]).reshape(5, 1, 1)
MASK = np.array([True, True, True, True, False]).reshape(5, 1, 1)
PAIRWISE = [mse, rmse, mae, fidelity.normalised_difference, fidelity.symmetric_difference]


def test_by_hand():
    assert mse(X, Y, MASK) == 5.0
    assert rmse(X, Y, MASK) == pytest.approx(math.sqrt(5))
    assert mae(X, Y, MASK) == 1.5
    assert psnr(X, Y, MASK, 10.0) == pytest.approx(10 * math.log10(100 / 5))
    assert fidelity.normalised_difference(X, Y, MASK) == pytest.approx(0.6)
    assert fidelity.symmetric_difference(X, Y, MASK) == pytest.approx((2 / 6 + 1) / 4)


def test_both_zero_agree():
    zero = np.zeros((2, 2, 2))
    mask = np.ones((2, 2, 2), bool)
    assert fidelity.symmetric_difference(zero, zero, mask) == 0.0
    assert math.isnan(fidelity.normalised_difference(zero, zero + 1, mask))


def test_float32_is_summed_in_float64():
    x = np.full((100, 100, 100), 16777216.0, np.float32)
    y = x.copy()
    y[::2] += 2
    assert mae(x, y, np.ones(x.shape, bool)) == 1.0


def test_equal_images():
    mask = np.ones(X.shape, bool)
    assert psnr(X, X, mask, 1.0) == math.inf
    assert ssim(X, X, mask, 1.0) == pytest.approx(1.0)
    assert [metric(X, X, mask) for metric in PAIRWISE] == [0.0] * 5


def slow_ssim(x, y, mask, data_range):
    """Voxel by voxel, from the definition."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    places = np.argwhere(mask)
    values = []
    for centre in places:
        offsets = places - centre
        near = (np.abs(offsets) <= 5).all(axis=1)
        weights = np.exp(-(offsets[near] ** 2).sum(axis=1) / (2 * 1.5**2))
        weights /= weights.sum()
        a, b = x[tuple(places[near].T)], y[tuple(places[near].T)]
        mean_a, mean_b = weights @ a, weights @ b
        var_a, var_b = weights @ (a - mean_a) ** 2, weights @ (b - mean_b) ** 2
        covariance = weights @ ((a - mean_a) * (b - mean_b))
        values.append(
            (2 * mean_a * mean_b + c1)
            * (2 * covariance + c2)
            / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        )
    return np.mean(values)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_ssim_is_its_definition(offset):
    stream = np.random.default_rng(0)
    x = stream.normal(size=(14, 9, 12)) + offset
    y = x + 0.5 * stream.normal(size=x.shape)
    mask = stream.random(x.shape) < 0.6
    assert ssim(x, y, mask, 4.0) == pytest.approx(slow_ssim(x, y, mask, 4.0), abs=1e-9)


def test_ssim_ignores_the_background():
    stream = np.random.default_rng(0)
    x, y = stream.random((2, 12, 12, 12))
    mask = np.zeros(x.shape, bool)
    mask[3:9, 3:9, 3:9] = True
    inside = ssim(x, y, mask, 1.0)
    assert ssim(np.where(mask, x, 5), np.where(mask, y, np.nan), mask, 1.0) == pytest.approx(inside)
    assert ssim(x, y, np.ones(x.shape, bool), 1.0) != pytest.approx(inside)


def test_contrast_to_noise():
    image = np.array([1.0, 3.0, 8.0, 12.0]).reshape(4, 1, 1)
    grey = np.array([True, True, False, False]).reshape(4, 1, 1)
    assert cnr(image, grey, ~grey) == pytest.approx(8 / math.sqrt((1 + 4) / 2))
    blurred = image + np.array([1, -1, 0, 0]).reshape(4, 1, 1)
    assert cnr_ratio(image, blurred, grey, ~grey) == pytest.approx(
        cnr(blurred, grey, ~grey) / cnr(image, grey, ~grey)
    )
    assert cnr_ratio(image, 3 * image + 1, grey, ~grey) == pytest.approx(1.0)


def test_undefined_contrast_is_nan():
    flat = np.ones((4, 1, 1))
    grey = np.array([True, True, False, False]).reshape(4, 1, 1)
    assert math.isnan(cnr(flat, grey, ~grey))
    two = np.where(grey, 1.0, 2.0)
    assert math.isnan(cnr(two, grey, ~grey))
    noisy = np.array([1.0, 2.0, 2.0, 1.0]).reshape(4, 1, 1)
    assert math.isnan(cnr_ratio(noisy, noisy + grey, grey, ~grey))


@pytest.mark.parametrize("metric", PAIRWISE)
def test_bad_arguments(metric):
    with pytest.raises(ValueError, match="mask must have voxels"):
        metric(X, Y, np.zeros_like(MASK))
    with pytest.raises(ValueError, match="must have one shape"):
        metric(X, Y[:4], MASK)
    with pytest.raises(ValueError, match="finite within the mask"):
        metric(X, np.where(MASK, np.nan, Y), MASK)
    assert math.isfinite(metric(X, np.where(MASK, Y, np.nan), MASK))


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize("data_range", [0.0, -1.0, math.nan])
def test_bad_ranges(metric, data_range):
    with pytest.raises(ValueError, match="data_range must be positive"):
        metric(X, Y, MASK, data_range)


def test_empty_tissue():
    with pytest.raises(ValueError, match="mask must have voxels"):
        cnr(X, np.zeros_like(MASK), MASK)
