"""Factor extraction against R: `psych::principal`, which rotates by `stats::varimax`.

The numbers and the calls that gave them stand in r/reference.json; r/reference.R made it.

R's `varimax` stops when its criterion grows by less than `eps` of itself, 1e-5 by default, which
may be short of the maximum: for Harman's correlations by half a degree. isthmus goes to the
maximum. So three things are compared: R's default with R's own iteration stopped there, R told to
go on (`eps = 1e-15`) with the same iteration run to its end, and that with isthmus.

Tolerances: 1e-10 where both sides are eigenvectors and one product; 2e-6 where a search for the
maximum stands between, since isthmus stops at a gradient of 1e-7 and the criterion is flat there.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isthmus.config.stratification import FactorsConfig
from isthmus.stratification.components import principal
from isthmus.stratification.factors import Factors, find_factors

FOLDER = Path(__file__).parent / "r"
R = json.loads((FOLDER / "reference.json").read_text(encoding="utf-8"))
SUBJECTS = pd.read_csv(FOLDER / "subjects.tsv", sep="\t", na_values="n/a")
PHENOTYPES = tuple(f"p{i}" for i in range(8))
EXACT, SEARCHED = 1e-10, 2e-6


def said(group: str, name: str, field: str = "loadings") -> np.ndarray:
    value = R[group][name]["value"]
    return np.array(value[field] if isinstance(value, dict) else value)


def signed(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Give our columns R's signs: positive sums there, a positive largest loading here."""
    return ours * np.sign((ours * theirs).sum(axis=0))


def fixed_point(loadings: np.ndarray, growth: float) -> np.ndarray:
    """Rotate by the singular value iteration that R documents, Kaiser-normalised."""
    length = np.linalg.norm(loadings, axis=1, keepdims=True)
    unit, rotation, criterion = loadings / length, np.eye(loadings.shape[1]), 0.0
    for _ in range(1000):
        turned = unit @ rotation
        gradient = unit.T @ (turned**3 - turned * (turned**2).mean(axis=0))
        left, singular, right = np.linalg.svd(gradient)
        rotation, before, criterion = left @ right, criterion, singular.sum()
        if criterion < before * (1 + growth):
            break
    return loadings @ rotation


@pytest.fixture(scope="module")
def factors() -> Factors:
    """Factors of the subjects that R was given, one phenotype of which has missing values."""
    found = find_factors(
        SUBJECTS[list(PHENOTYPES)].to_numpy(dtype=np.float64),
        PHENOTYPES,
        tuple(SUBJECTS["participant_id"]),
        FactorsConfig(n_factors=3),
        seed=0,
    )
    assert isinstance(found, Factors)
    assert sum(found.n_imputed) == 6
    return found


def test_eigenvalues_of_the_imputed_phenotypes(factors: Factors) -> None:
    expected = said("components", "eigenvalues")
    np.testing.assert_allclose(factors.eigenvalues, expected, rtol=EXACT)


def test_loadings_and_scores_of_the_subjects(factors: Factors) -> None:
    loadings = np.array(factors.loadings)
    expected = said("components", "converged")
    signs = np.sign((loadings * expected).sum(axis=0))
    np.testing.assert_allclose(loadings * signs, expected, atol=SEARCHED)
    scores = said("components", "converged", "scores")
    np.testing.assert_allclose(np.array(factors.scores) * signs, scores, atol=10 * SEARCHED)


def test_weights_of_the_subjects(factors: Factors) -> None:
    values = SUBJECTS[list(PHENOTYPES)].fillna(SUBJECTS[list(PHENOTYPES)].median())
    loadings, weights = principal(np.corrcoef(values.to_numpy().T), 3)
    np.testing.assert_allclose(loadings, factors.loadings, atol=SEARCHED)
    expected = said("components", "converged", "weights")
    np.testing.assert_allclose(signed(weights, expected), expected, atol=SEARCHED)


def test_without_kaiser_normalisation_the_loadings_would_be_others(factors: Factors) -> None:
    raw = said("components", "raw")
    assert np.abs(signed(np.array(factors.loadings), raw) - raw).max() > 0.01


def test_components_of_a_matrix_before_rotation() -> None:
    unrotated = said("harman", "unrotated")
    correlation = said("harman", "correlation")
    eigenvalues, vectors = np.linalg.eigh(correlation)
    ours = vectors[:, ::-1][:, :2] * np.sqrt(eigenvalues[::-1][:2])
    np.testing.assert_allclose(signed(ours, unrotated), unrotated, atol=EXACT)
    communality = (principal(correlation, 2)[0] ** 2).sum(axis=1)
    np.testing.assert_allclose(communality, (unrotated**2).sum(axis=1), atol=EXACT)


def test_r_by_default_stops_short_of_the_maximum() -> None:
    stopped = fixed_point(said("harman", "unrotated"), growth=1e-5)
    default, converged = said("harman", "default"), said("harman", "converged")
    np.testing.assert_allclose(stopped, default, atol=EXACT)
    np.testing.assert_allclose(
        fixed_point(said("harman", "unrotated"), 1e-15), converged, atol=SEARCHED
    )
    assert np.abs(default - converged).max() > 0.005


def test_ours_is_the_maximum() -> None:
    expected = said("harman", "converged")
    loadings, _ = principal(said("harman", "correlation"), 2)
    np.testing.assert_allclose(signed(loadings, expected), expected, atol=SEARCHED)


def test_weights_are_those_of_regression() -> None:
    correlation = said("harman", "correlation")
    loadings, weights = principal(correlation, 2)
    np.testing.assert_allclose(weights, np.linalg.solve(correlation, loadings), atol=EXACT)
    assert weights.T @ correlation @ weights == pytest.approx(np.eye(2), abs=EXACT)
