import numpy as np
import pytest

from isthmus.core.errors import ImageError
from isthmus.volumes.tissue import split_tissue


def planted(shape=(20, 20, 20)):
    """Three tissues of known intensity with noise."""
    stream = np.random.default_rng(0)
    truth = stream.integers(0, 3, size=shape)
    image = np.array([20.0, 60.0, 100.0])[truth] + stream.normal(scale=5, size=shape)
    return truth, image.astype(np.float32)


@pytest.mark.parametrize("shape", [(20, 20, 20), (60, 60, 60)])
def test_finds_planted_tissues_in_order(shape):
    truth, image = planted(shape)
    split = split_tissue(image, np.ones(shape, bool))
    for tissue, part in enumerate((split.csf_DHW, split.grey_DHW, split.white_DHW)):
        assert np.mean(part == (truth == tissue)) > 0.995
    assert split.means == pytest.approx((20, 60, 100), abs=1)


def test_is_deterministic_and_confined_to_the_mask():
    truth, image = planted()
    mask = np.zeros(truth.shape, bool)
    mask[3:15] = True
    image[4] = 0
    first, second = (split_tissue(image, mask, seed=3) for _ in range(2))
    together = first.csf_DHW.astype(int) + first.grey_DHW + first.white_DHW
    np.testing.assert_array_equal(together, mask & (image != 0))
    np.testing.assert_array_equal(first.grey_DHW, second.grey_DHW)


def test_skewed_values_are_split_too():
    image = np.ones((20, 20, 20), np.float32)
    image[0, 0, :2], image[0, 1, :2] = 2, 3
    assert split_tissue(image, np.ones(image.shape, bool)).means == (1.0, 2.0, 3.0)


def test_what_cannot_be_split_is_refused():
    image = np.ones((5, 5, 5), np.float32)
    mask = np.ones(image.shape, bool)
    with pytest.raises(ImageError, match=r"at least 3 different values .* got 1 in 125"):
        split_tissue(image, mask)
    with pytest.raises(ImageError, match="got 0 in 0"):
        split_tissue(image, ~mask)
    with pytest.raises(ImageError, match="one shape"):
        split_tissue(image, mask[:4])
    image[0, 0, 0], image[0, 0, 1] = 5, np.nan
    with pytest.raises(ImageError, match="finite"):
        split_tissue(image, mask)
    image[0, 0, 1] = 9
    with pytest.raises(ImageError, match="at least two voxels of each"):
        split_tissue(image, mask)
