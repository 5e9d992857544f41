"""Principal components by the Gram matrix, against scikit-learn's full decomposition."""

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

from isthmus.training import linear_code
from isthmus.training.linear_code import empty_rows, fit_linear_code


def test_agrees_with_full_svd(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(linear_code, "CHUNK_VOXELS", 37)
    draw = np.random.default_rng(0)
    train = draw.normal(size=(9, 200)).astype(np.float32) + 3
    fresh = draw.normal(size=200).astype(np.float32) + 3
    rows = empty_rows(9, 200, tmp_path)
    rows[:] = train
    code = fit_linear_code(rows, n_components=4)
    reference = PCA(4, svd_solver="full").fit(train.astype(np.float64))
    signs = np.sign((code.train_NK * reference.transform(train)).sum(axis=0))
    np.testing.assert_allclose(code.train_NK, reference.transform(train) * signs, atol=1e-4)
    scores = code.project(fresh)
    np.testing.assert_allclose(scores, reference.transform(fresh[None])[0] * signs, atol=1e-4)
    expected = reference.inverse_transform(reference.transform(fresh[None]))[0]
    np.testing.assert_allclose(code.reconstruct(scores), expected, atol=1e-4)
    assert list(tmp_path.iterdir()) == []


def test_all_components_reproduce_the_training_rows() -> None:
    train = np.random.default_rng(1).normal(size=(5, 40)).astype(np.float32)
    code = fit_linear_code(train.copy(), n_components=100)
    assert code.n_components == 4
    for row, scores in zip(train, code.train_NK, strict=True):
        np.testing.assert_allclose(code.reconstruct(scores), row, atol=1e-5)


def test_identical_rows_have_no_component() -> None:
    code = fit_linear_code(np.ones((4, 10), dtype=np.float32), n_components=3)
    assert code.n_components == 0
    np.testing.assert_array_equal(code.reconstruct(code.project(np.zeros(10, np.float32))), 1.0)
