"""Factor extraction against published output of R's psych package.

    library(psych)
    principal(Harman23.cor$cov, nfactors = 2, rotate = "none")
    principal(Harman23.cor$cov, nfactors = 2, rotate = "varimax")

Harman23.cor (R's datasets): correlations of eight physical measurements of 305 girls, Harman
(1976), Modern Factor Analysis, table 2.3. The numbers are the package's printed output as Kabacoff,
R in Action, section 14.2, and many tutorials after it show it; R itself was not run for this test.

R's `varimax` stops when its criterion grows by less than 1e-5 of itself, which here is 0.5 degrees
short of the maximum: the printed loadings are off the converged ones by up to 0.01. So the printed
rotation is compared with R's own iteration stopped there, and ours with the same iteration run to
its end.
"""

import numpy as np
import pytest

from isthmus.stratification.components import principal

LOWER = [
    [1.0],
    [0.846, 1.0],
    [0.805, 0.881, 1.0],
    [0.859, 0.826, 0.801, 1.0],
    [0.473, 0.376, 0.380, 0.436, 1.0],
    [0.398, 0.326, 0.319, 0.329, 0.762, 1.0],
    [0.301, 0.277, 0.237, 0.327, 0.730, 0.583, 1.0],
    [0.382, 0.415, 0.345, 0.365, 0.629, 0.577, 0.539, 1.0],
]
# Unrotated: PC1, PC2 and the uniqueness; rotated: RC1, RC2.
PRINTED_UNROTATED = np.array(
    [
        [0.86, -0.37, 0.123],
        [0.84, -0.44, 0.097],
        [0.81, -0.46, 0.128],
        [0.84, -0.40, 0.139],
        [0.76, 0.52, 0.150],
        [0.67, 0.53, 0.261],
        [0.62, 0.58, 0.283],
        [0.67, 0.42, 0.375],
    ]
)
PRINTED_VARIMAX = np.array(
    [
        [0.90, 0.25],
        [0.93, 0.19],
        [0.92, 0.16],
        [0.90, 0.22],
        [0.26, 0.88],
        [0.19, 0.84],
        [0.11, 0.84],
        [0.26, 0.75],
    ]
)
PRINTED_SUMS = [3.52, 2.92]
HALF_DIGIT = 0.00501


def correlation() -> np.ndarray:
    matrix = np.zeros((8, 8))
    for i, row in enumerate(LOWER):
        matrix[i, : i + 1] = matrix[: i + 1, i] = row
    return matrix


def unrotated() -> np.ndarray:
    eigenvalues, vectors = np.linalg.eigh(correlation())
    loadings = vectors[:, ::-1][:, :2] * np.sqrt(eigenvalues[::-1][:2])
    return loadings * np.sign(loadings.sum(axis=0))


def fixed_point(loadings: np.ndarray, growth: float) -> np.ndarray:
    """Rotate by the singular value iteration that R documents, Kaiser-normalised."""
    length = np.linalg.norm(loadings, axis=1, keepdims=True)
    unit, rotation, criterion = loadings / length, np.eye(loadings.shape[1]), 0.0
    for _ in range(10_000):
        turned = unit @ rotation
        gradient = unit.T @ (turned**3 - turned * (turned**2).mean(axis=0))
        left, singular, right = np.linalg.svd(gradient)
        rotation, before, criterion = left @ right, criterion, singular.sum()
        if criterion < before * (1 + growth):
            break
    return loadings @ rotation


def test_components_before_rotation_equal_the_print() -> None:
    loadings = unrotated()
    np.testing.assert_allclose(loadings, PRINTED_UNROTATED[:, :2], atol=HALF_DIGIT)
    uniqueness = 1 - (principal(correlation(), 2)[0] ** 2).sum(axis=1)
    np.testing.assert_allclose(uniqueness, PRINTED_UNROTATED[:, 2], atol=HALF_DIGIT / 10)


def test_the_iteration_stopped_where_r_stops_is_the_print() -> None:
    stopped = fixed_point(unrotated(), growth=1e-5)
    np.testing.assert_allclose(stopped, PRINTED_VARIMAX, atol=HALF_DIGIT)
    np.testing.assert_allclose((stopped**2).sum(axis=0), PRINTED_SUMS, atol=HALF_DIGIT)


def test_the_iteration_run_to_its_end_is_ours() -> None:
    loadings, _ = principal(correlation(), 2)
    np.testing.assert_allclose(loadings, fixed_point(unrotated(), growth=1e-15), atol=1e-5)


def test_our_loadings_are_near_the_print() -> None:
    loadings, weights = principal(correlation(), 2)
    np.testing.assert_allclose(loadings, PRINTED_VARIMAX, atol=0.015)
    # Regression weights, `round(unclass(rc$weights), 2)`, where a degree of rotation is small.
    printed_weights = [0.28, 0.30, 0.30, 0.28, -0.06, -0.08, -0.10, -0.04]
    np.testing.assert_allclose(weights[:, 0], printed_weights, atol=0.01)


def test_weights_are_those_of_regression() -> None:
    loadings, weights = principal(correlation(), 2)
    np.testing.assert_allclose(weights, np.linalg.solve(correlation(), loadings), atol=1e-10)
    assert weights.T @ correlation() @ weights == pytest.approx(np.eye(2), abs=1e-10)
