"""Relatives' likeness, and clouds without strata of the same spectrum."""

import numpy as np
import pytest

from isthmus.stratification.matched_cloud import draw_cloud, family_likeness
from isthmus.stratification.plane import lay_out

ALONE = [str(i) for i in range(40)]


def _centred(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    points = np.random.default_rng(seed).standard_normal(shape) * np.geomspace(5, 0.5, shape[1])
    return points - points.mean(axis=0)


def _lengths(points: np.ndarray) -> np.ndarray:
    return np.linalg.svd(points, compute_uv=False)


def test_the_plane_keeps_the_two_leading_components() -> None:
    points = _centred((40, 6))
    components = points @ np.linalg.svd(points)[2].T
    drawn = lay_out(components)
    assert drawn is not None
    coordinates = np.array(drawn.coordinates)
    np.testing.assert_allclose((coordinates**2).sum(axis=0), _lengths(points)[:2] ** 2, rtol=1e-5)
    assert (coordinates[np.abs(coordinates).argmax(axis=0), [0, 1]] > 0).all()
    assert drawn.explained[0] > drawn.explained[1] > 0


def test_a_line_and_a_point_can_be_laid_out() -> None:
    line = lay_out(np.arange(5.0)[:, None] - 2.0)
    assert line is not None
    assert {y for _, y in line.coordinates} == {0.0}
    assert line.explained == (1.0, 0.0)
    assert lay_out(np.zeros((5, 0))) is None


@pytest.mark.parametrize("likeness", [0.0, 0.6])
def test_a_drawn_cloud_has_exactly_the_spectrum(likeness: float) -> None:
    families = [str(i // 2) for i in range(40)]
    for shape in ((40, 6), (40, 39)):
        lengths = _lengths(_centred(shape))[: min(39, shape[1])]
        cloud = draw_cloud(lengths, families, likeness, np.random.default_rng(3))
        np.testing.assert_allclose(cloud.mean(axis=0), 0.0, atol=1e-10)
        np.testing.assert_allclose(_lengths(cloud)[: len(lengths)], lengths, rtol=1e-8)


def test_relatives_of_a_drawn_cloud_are_as_alike_as_asked() -> None:
    families = [str(i // 2) for i in range(400)]
    lengths = np.geomspace(10, 1, 12)
    found = [
        family_likeness(draw_cloud(lengths, families, 0.7, np.random.default_rng(s)), families)
        for s in range(20)
    ]
    assert np.mean(found) == pytest.approx(0.7, abs=0.03)


def test_likeness_is_the_intraclass_correlation() -> None:
    rng = np.random.default_rng(0)
    families = [str(i // 2) for i in range(600)] + [f"s{i // 3}" for i in range(600)]
    codes = np.unique(families, return_inverse=True)[1]
    shared = rng.standard_normal((codes.max() + 1, 30))[codes]
    points = np.sqrt(0.4) * shared + np.sqrt(0.6) * rng.standard_normal((1200, 30))
    assert family_likeness(points - points.mean(axis=0), families) == pytest.approx(0.4, abs=0.02)
    unrelated = _centred((40, 6))
    assert family_likeness(unrelated, ALONE) == 0.0
    twins = np.repeat(_centred((20, 6)), 2, axis=0)
    assert family_likeness(twins, [str(i // 2) for i in range(40)]) == 0.99
