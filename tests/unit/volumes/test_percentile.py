import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from isthmus.volumes.percentile import pooled_percentiles

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(
    st.lists(arrays(np.float32, st.integers(0, 20), elements=finite), min_size=1, max_size=4),
    st.lists(st.floats(0, 100), min_size=1, max_size=3),
)
def test_equals_numpy_on_all_values(parts, percents):
    pooled = np.concatenate(parts).astype(np.float64)
    if not pooled.size:
        with pytest.raises(ValueError, match="need values"):
            pooled_percentiles(lambda: parts, percents)
        return
    found = pooled_percentiles(lambda: parts, percents)
    scale = np.abs(pooled).max()
    np.testing.assert_allclose(
        found, np.percentile(pooled, percents), rtol=1e-12, atol=1e-12 * scale
    )


def test_outliers_cost_no_precision():
    values = np.random.default_rng(0).normal(size=20_000).astype(np.float32)
    values[0] = 1e30
    parts = np.array_split(values, 7)
    found = pooled_percentiles(lambda: parts, [1.0, 99.0])
    np.testing.assert_allclose(found, np.percentile(values.astype(np.float64), [1, 99]), rtol=1e-12)
