import numpy as np
import pytest

from isthmus.config.stratification import FactorsConfig
from isthmus.core.errors import StratificationError
from isthmus.stratification.components import chance_eigenvalues, principal, varimax
from isthmus.stratification.factors import Factors, NoFactors, find_factors

N = 200
IDS = tuple(f"sub-{i:03d}" for i in range(N))
NAMES = ("a1", "a2", "a3", "b1", "b2", "b3")


def two_groups(seed: int = 0) -> np.ndarray:
    """Six phenotypes, three on each of two independent traits, the first trait stronger."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, N, 1))
    noise = rng.standard_normal((N, 6))
    return np.hstack([a + 0.4 * noise[:, :3], -b + 0.8 * noise[:, 3:]])


def found(values: np.ndarray, names: tuple[str, ...] = NAMES, **settings: object) -> Factors:
    outcome = find_factors(values, names, IDS[: len(values)], FactorsConfig(**settings), seed=0)
    assert isinstance(outcome, Factors)
    return outcome


def test_planted_traits_become_factors() -> None:
    factors = found(two_groups())
    loadings = np.array(factors.loadings)
    assert factors.n_above_chance == 2
    assert factors.names == ("factor_1", "factor_2")
    assert (loadings[:3, 0] > 0.85).all()
    assert (loadings[3:, 1] > 0.7).all()
    assert np.abs(loadings[3:, 0]).max() < 0.25
    assert np.abs(loadings[:3, 1]).max() < 0.25


def test_scores_are_standard_uncorrelated_and_loadings_are_correlations() -> None:
    values = two_groups()
    factors = found(values)
    scores = np.array(factors.scores)
    np.testing.assert_allclose(scores.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(np.cov(scores.T), np.eye(2), atol=1e-10)
    correlations = np.corrcoef(values.T, scores.T)[:6, 6:]
    np.testing.assert_allclose(correlations, factors.loadings, atol=1e-10)


def test_explained_variance_falls_and_is_that_of_the_components() -> None:
    factors = found(two_groups())
    assert factors.explained_variance[0] > factors.explained_variance[1]
    total = sum(factors.explained_variance)
    assert total == pytest.approx(sum(factors.eigenvalues[:2]) / 6)
    assert sum(factors.eigenvalues) == pytest.approx(6.0)


def test_signs_do_not_depend_on_the_coding_of_others() -> None:
    loadings = np.array(found(two_groups()).loadings)
    largest = np.abs(loadings).argmax(axis=0)
    assert (loadings[largest, [0, 1]] > 0).all()


def test_a_fixed_number_is_kept() -> None:
    assert len(found(two_groups(), n_factors=3).names) == 3
    with pytest.raises(StratificationError, match=r"n_factors must be at most .* \(6\), got 7"):
        found(two_groups(), n_factors=7)


def test_a_column_that_repeats_another_is_no_further_factor() -> None:
    values = two_groups()
    doubled = np.column_stack([values, values[:, 0]])
    assert np.isfinite(found(doubled, (*NAMES, "again")).scores).all()
    with pytest.raises(StratificationError, match=r"\(6\), got 7"):
        found(doubled, (*NAMES, "again"), n_factors=7)


def test_noise_keeps_one_factor_and_mostly_none_is_above_chance() -> None:
    rng = np.random.default_rng(5)
    outcomes = [found(rng.standard_normal((N, 6))) for _ in range(20)]
    none_above = [factors for factors in outcomes if factors.n_above_chance == 0]
    assert len(none_above) >= 15
    assert {factors.names for factors in none_above} == {("factor_1",)}


def test_missing_values_are_imputed_and_counted() -> None:
    values = two_groups()
    values[:20, 1] = np.nan
    values[5, 4] = np.nan
    factors = found(values)
    assert factors.n_imputed == (0, 20, 0, 0, 1, 0)
    filled = values.copy()
    filled[:20, 1] = np.median(values[20:, 1])
    filled[5, 4] = np.nanmedian(values[:, 4])
    np.testing.assert_allclose(found(filled).scores, factors.scores)
    assert factors.n_subjects_all_imputed == 0


def test_subjects_without_any_phenotype_are_counted() -> None:
    values = two_groups()
    values[7] = np.nan
    assert found(values).n_subjects_all_imputed == 1


def test_columns_are_dropped_with_the_reason() -> None:
    values = two_groups()
    values[:21, 0] = np.nan
    values[:, 4] = 3.0
    values[:5, 4] = np.nan
    factors = found(values)
    assert factors.phenotypes == ("a2", "a3", "b1", "b3")
    assert [(d.name, d.reason) for d in factors.dropped] == [("a1", "missing"), ("b2", "constant")]
    assert factors.dropped[0].missing_share == pytest.approx(21 / N)
    assert len(found(values, max_missing_share=0.2).phenotypes) == 5


def test_one_usable_phenotype_is_its_own_factor() -> None:
    values = two_groups()
    values[:, 1:] = 0.0
    factors = found(values)
    z = (values[:, 0] - values[:, 0].mean()) / values[:, 0].std(ddof=1)
    np.testing.assert_allclose(np.array(factors.scores)[:, 0], z)
    assert factors.loadings == ((pytest.approx(1.0),),)


def test_nothing_declared_and_nothing_usable_are_outcomes() -> None:
    none = find_factors(np.empty((N, 0)), (), IDS, FactorsConfig(), seed=0)
    assert isinstance(none, NoFactors)
    assert "No phenotypes declared" in none.reason
    gone = find_factors(np.full((N, 2), np.nan), ("x", "y"), IDS, FactorsConfig(), seed=0)
    assert isinstance(gone, NoFactors)
    assert [column.reason for column in gone.dropped] == ["missing", "missing"]


def test_all_missing_is_dropped_whatever_the_setting() -> None:
    values = two_groups()
    values[:, 2] = np.nan
    assert "a3" not in found(values, max_missing_share=1.0).phenotypes


def test_infinite_values_and_repeated_names_are_errors() -> None:
    values = two_groups()
    with pytest.raises(StratificationError, match="once, got a1 repeated"):
        found(values, ("a1", "a1", "a3", "b1", "b2", "b3"))
    values[3, 4] = np.inf
    with pytest.raises(StratificationError, match="infinity in b2"):
        found(values)


def test_chance_eigenvalues_are_seeded_and_grow_with_fewer_subjects() -> None:
    np.testing.assert_array_equal(chance_eigenvalues(50, 5, 1), chance_eigenvalues(50, 5, 1))
    assert (chance_eigenvalues(50, 5, 1) != chance_eigenvalues(50, 5, 2)).any()
    assert chance_eigenvalues(50, 5, 1)[0] > chance_eigenvalues(500, 5, 1)[0] > 1.0


def test_varimax_leaves_a_symmetric_start() -> None:
    # At the unrotated solution of two phenotypes the criterion's gradient is exactly zero.
    correlation = np.array([[1.0, 0.4], [0.4, 1.0]])
    loadings, weights = principal(correlation, 2)
    simple = np.abs(loadings).max(axis=1)
    assert (simple > 0.97).all()
    np.testing.assert_allclose(weights.T @ correlation @ weights, np.eye(2), atol=1e-10)


def test_varimax_is_orthogonal_and_cannot_be_improved_by_a_small_turn() -> None:
    rng = np.random.default_rng(4)
    loadings = rng.standard_normal((9, 3))
    rotation = varimax(loadings)
    np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-10)
    unit = loadings / np.linalg.norm(loadings, axis=1, keepdims=True)
    best = ((unit @ rotation) ** 2).var(axis=0).sum()
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        for angle in (-0.05, 0.05, np.pi / 8):
            turn = np.eye(3)
            turn[[i, i, j, j], [i, j, i, j]] = [
                np.cos(angle),
                np.sin(angle),
                -np.sin(angle),
                np.cos(angle),
            ]
            assert ((unit @ rotation @ turn) ** 2).var(axis=0).sum() < best
