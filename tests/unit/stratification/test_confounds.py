import numpy as np

from isthmus.stratification.confounds import confound_basis, residuals, standard_residuals

RNG = np.random.default_rng(0)
AGE = RNG.uniform(20, 80, 40)


def test_collinear_and_constant_confounds_add_nothing() -> None:
    basis = confound_basis(np.column_stack([AGE, AGE / 12.0, np.full(40, 9.0)]))
    assert basis.shape == (40, 2)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-12)


def test_units_of_a_confound_do_not_matter() -> None:
    sex = RNG.integers(0, 2, 40)
    values = RNG.standard_normal((3, 40))
    plain = residuals(values, confound_basis(np.column_stack([AGE, sex])))
    scaled = residuals(values, confound_basis(np.column_stack([1e9 * AGE, 1e-6 * sex])))
    np.testing.assert_allclose(scaled, plain, atol=1e-12)


def test_residuals_are_those_of_least_squares() -> None:
    values = RNG.standard_normal((2, 40))
    design = np.column_stack([np.ones(40), AGE])
    expected = values.T - design @ np.linalg.lstsq(design, values.T, rcond=None)[0]
    np.testing.assert_allclose(residuals(values, confound_basis(AGE[:, None])), expected.T)


def test_what_is_explained_wholly_becomes_zeros() -> None:
    values = np.stack([1e6 * AGE + 3.0, np.full(40, 2.0), AGE + RNG.standard_normal(40)])
    left = standard_residuals(values, confound_basis(AGE[:, None]))
    assert not left[:2].any()
    assert left[2].any()
