"""Draws of subjects, permuted targets: every number by a slower road."""

import pickle
from itertools import product

import numpy as np
import pytest
from scipy.stats import chi2_contingency, kruskal, rankdata

from isthmus.config.stratification import TargetKind
from isthmus.core.errors import StratificationError
from isthmus.stratification import association
from isthmus.stratification.arrangements import arrange, observed_and_permuted
from isthmus.stratification.targets import TargetGroup

N, R, D = 60, 7, 4
RNG = np.random.default_rng(0)
CONTINUOUS = RNG.standard_normal((N, 2))
TIED = RNG.integers(0, 4, (N, 2)).astype(float)
SCORES = np.column_stack([CONTINUOUS, TIED])
PERMUTATIONS = np.vstack([np.arange(N), [RNG.permutation(N) for _ in range(R - 1)]])
LABELS = np.where(RNG.random((D, N)) < 0.35, -1, RNG.integers(0, 4, (D, N)))
AGE = RNG.uniform(20, 80, (N, 1))


def group_of(
    values: np.ndarray,
    confounds: np.ndarray | None = None,
    kind: TargetKind = "factor",
    reasons: tuple[str | None, ...] | None = None,
    families: tuple[str, ...] | None = None,
) -> TargetGroup:
    """Make a group of all subjects."""
    n_targets = 1 if kind == "category" else values.shape[1]
    return TargetGroup(
        kind=kind,
        names=tuple(f"t{f}" for f in range(n_targets)),
        places=tuple(range(n_targets)),
        reasons=reasons or (None,) * n_targets,
        levels=tuple(map(str, range(values.shape[1]))) if kind == "category" else (),
        values_AV=values,
        rows_N=np.arange(len(values)),
        families=families,
        kinship=None,
        confounds_NC=confounds,
        n_missing_confounds=0,
    )


def one_hot(codes: np.ndarray) -> np.ndarray:
    return np.eye(codes.max() + 1)[codes]


def residual(values: np.ndarray, confounds: np.ndarray) -> np.ndarray:
    """What least squares leave of columns."""
    design = np.column_stack([np.ones(len(values)), confounds])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


@pytest.mark.parametrize("confounds", [None, AGE])
def test_h_is_that_of_scipy_on_the_drawn_subjects(confounds: np.ndarray | None) -> None:
    found = arrange(group_of(SCORES, confounds), PERMUTATIONS).statistics(LABELS)
    assert found.shape == (D, R, 4)
    for d, r, f in product(range(D), range(R), range(4)):
        values = SCORES[PERMUTATIONS[r], f]
        if confounds is not None:
            values = residual(residual(SCORES, confounds)[PERMUTATIONS[r]], confounds)[:, f]
        parts = [values[LABELS[d] == k] for k in range(4)]
        assert found[d, r, f] == pytest.approx(kruskal(*parts).statistic, abs=1e-10)


def test_chi_squared_is_that_of_scipy_on_the_drawn_subjects() -> None:
    codes = RNG.choice(3, N, p=[0.8, 0.15, 0.05])
    group = group_of(one_hot(codes), kind="category")
    arranged = arrange(group, PERMUTATIONS)
    found = arranged.statistics(LABELS)
    effects = arranged.effect_sizes(found, LABELS)
    for d, r in product(range(D), range(R)):
        drawn = LABELS[d] >= 0
        values = codes[PERMUTATIONS[r]][drawn]
        table = np.array([[(values[LABELS[d][drawn] == k] == c).sum() for c in range(3)]
                          for k in range(4)])  # fmt: skip
        expected = chi2_contingency(table[:, table.any(axis=0)], correction=False).statistic
        assert found[d, r, 0] == pytest.approx(expected, abs=1e-10)
        assert effects[d, r, 0] == pytest.approx(np.sqrt(expected / (drawn.sum() * 2)))


def test_chi_squared_with_confounds_by_its_definition() -> None:
    codes = RNG.integers(0, 3, N)
    arranged = arrange(group_of(one_hot(codes), AGE, "category"), PERMUTATIONS)
    found = arranged.statistics(LABELS)
    scaled = one_hot(codes) / np.sqrt(one_hot(codes).mean(axis=0))
    for d, r in product(range(D), range(R)):
        left = residual(residual(scaled, AGE)[PERMUTATIONS[r]], AGE)
        drawn = left[LABELS[d] >= 0]
        between = sum(
            (LABELS[d] == k).sum() * (left[LABELS[d] == k].mean(axis=0) - drawn.mean(axis=0)) ** 2
            for k in range(4)
        )
        assert found[d, r, 0] == pytest.approx(between.sum(), abs=1e-10)
    assert (arranged.effect_sizes(found, LABELS) <= 1).all()


def test_effect_sizes_are_shares_of_the_drawn_ranks_variance() -> None:
    arranged = arrange(group_of(SCORES), PERMUTATIONS)
    effects = arranged.effect_sizes(arranged.statistics(LABELS), LABELS)
    for d in range(D):
        drawn = LABELS[d] >= 0
        ranks = rankdata(CONTINUOUS[drawn, 0])
        labels = LABELS[d][drawn]
        means = np.array([ranks[labels == k].mean() for k in range(4)])[labels]
        n = drawn.sum()
        share = means.var() / ranks.var()
        # H = (n - 1) share, so epsilon^2 = H (n + 1) / (n^2 - 1) is the share itself.
        assert effects[d, 0, 0] == pytest.approx(share * (n - 1) * (n + 1) / (n**2 - 1))


def test_whole_draws_are_the_null_of_the_association_test() -> None:
    group = group_of(SCORES, AGE, families=tuple(f"f{i // 2}" for i in range(N)))
    labels = RNG.integers(0, 3, N)
    test = association.associate(SCORES, labels, group.plan(99, 5), AGE)
    found = observed_and_permuted(group, 99, seed=5).statistics(labels[np.newaxis])[0]
    np.testing.assert_allclose(found[0], test.statistic, rtol=1e-12)
    np.testing.assert_allclose(found[1:], test.null, rtol=1e-12)


def test_what_has_one_value_or_one_stratum_among_the_drawn_is_nan() -> None:
    scores = np.column_stack([np.arange(N) < 5, CONTINUOUS[:, 0]]).astype(float)
    labels = np.full((3, N), -1)
    labels[0, 10:50] = np.arange(40) % 2
    labels[1, 10:50] = 6
    found = arrange(group_of(scores), PERMUTATIONS[:1]).statistics(labels)[:, 0]
    np.testing.assert_array_equal(np.isnan(found), [[True, False], [True, True], [True, True]])
    category = group_of(one_hot(scores[:, 0].astype(int)), kind="category")
    assert np.isnan(arrange(category, PERMUTATIONS[:1]).statistics(labels)).all()


def test_targets_that_cannot_be_tested_stay_nan() -> None:
    group = group_of(SCORES, reasons=(None, "It is known for 3 subjects only.", None, None))
    found = arrange(group, PERMUTATIONS).statistics(LABELS)
    np.testing.assert_array_equal(np.isnan(found).all(axis=(0, 1)), [False, True, False, False])


@pytest.mark.parametrize("kind", ["factor", "category"])
def test_a_target_that_the_confounds_explain_is_nan(kind: TargetKind) -> None:
    sex = RNG.integers(0, 2, N)
    values = one_hot(sex) if kind == "category" else sex[:, np.newaxis].astype(float)
    group = group_of(values, np.column_stack([sex, AGE[:, 0]]), kind)
    assert np.isnan(arrange(group, PERMUTATIONS).statistics(LABELS)).all()


def test_nobody_known_has_no_permutation_and_no_statistic() -> None:
    group = group_of(np.empty((0, 2)), reasons=("none", "none"))
    arranged = observed_and_permuted(group, 99, seed=0)
    found = arranged.statistics(np.empty((3, 0), dtype=int))
    assert found.shape == (3, 1, 2)
    assert np.isnan(found).all()
    assert np.isnan(arranged.effect_sizes(found, np.empty((3, 0), dtype=int))).all()


@pytest.mark.parametrize("kind", ["factor", "category"])
def test_chunks_copies_and_company_have_no_influence(
    monkeypatch: pytest.MonkeyPatch, kind: TargetKind
) -> None:
    values = SCORES if kind == "factor" else one_hot(RNG.integers(0, 3, N))
    group = group_of(values, AGE, kind)
    whole = arrange(group, PERMUTATIONS)
    monkeypatch.setattr(association, "_CHUNK_BYTES", 8 * N * 3 * 2)
    pieces = pickle.loads(pickle.dumps(arrange(group, PERMUTATIONS)))
    alone = np.concatenate([pieces.statistics(LABELS[d : d + 1]) for d in range(D)])
    np.testing.assert_array_equal(alone, whole.statistics(LABELS))


@pytest.mark.parametrize("kind", ["factor", "category"])
def test_tables_that_cannot_be_written_to_serve_as_well(kind: TargetKind) -> None:
    """Processes that share memory hand arrays on so."""
    values = SCORES if kind == "factor" else one_hot(RNG.integers(0, 3, N))
    arranged = arrange(group_of(values, kind=kind), PERMUTATIONS)
    expected = arranged.statistics(LABELS)
    for table in (arranged.sources_RN, arranged.codes_OFN, arranged.columns_ONC):
        if table is not None:
            table.setflags(write=False)
    np.testing.assert_array_equal(arranged.statistics(LABELS), expected)


def test_names_of_strata_have_no_influence() -> None:
    arranged = arrange(group_of(SCORES), PERMUTATIONS)
    renamed = np.where(LABELS < 0, -1, np.array([40, 7, 0, 1000])[LABELS])
    np.testing.assert_allclose(
        arranged.statistics(renamed), arranged.statistics(LABELS), rtol=1e-12
    )


def test_arrays_of_other_subjects_are_refused() -> None:
    with pytest.raises(StratificationError, match="group's 60 subjects, got an array of shape"):
        arrange(group_of(SCORES), PERMUTATIONS[:, :50])
    with pytest.raises(StratificationError, match="Labels must be of the group's 60 subjects"):
        arrange(group_of(SCORES), PERMUTATIONS).statistics(LABELS[:, :50])
