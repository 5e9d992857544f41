"""The probe: what it finds where there is something, and what it says where there is nothing."""

import numpy as np
import pandas as pd
import pytest

from isthmus.core.errors import CohortError
from isthmus.trial.probe import is_categorical, probe

N_TRAIN, N_VALIDATION = 60, 30
IDS = tuple(f"sub-{i:03d}" for i in range(N_TRAIN + N_VALIDATION))


def families() -> pd.Series:
    return pd.Series([f"fam-{i // 2}" for i in range(len(IDS))], index=IDS)


def run(target: pd.Series, values: np.ndarray):
    train, validation = IDS[:N_TRAIN], IDS[N_TRAIN:]
    return probe(
        target,
        families(),
        "embedding",
        (train, values[:N_TRAIN]),
        (validation, values[N_TRAIN:]),
    )


@pytest.fixture
def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(len(IDS), 20))


def test_a_planted_quantity_is_found(values):
    noise = np.random.default_rng(1).normal(scale=0.3, size=len(IDS))
    age = pd.Series(50 + 10 * (values[:, 0] + noise), index=IDS, name="age")
    score = run(age, values)
    assert score.kind == "ridge"
    assert score.scores["r"] > 0.8
    assert score.scores["mae"] < 0.6 * score.scores["mae_of_mean"]


def test_a_planted_class_is_found(values):
    sex = pd.Series(np.where(values[:, 3] > 0, "F", "M"), index=IDS, name="sex")
    score = run(sex, values)
    assert score.kind == "logistic"
    assert score.scores["auc"] > 0.85
    assert score.scores["balanced_accuracy"] > 0.75


def test_nothing_is_found_where_nothing_is(values):
    scores = []
    for seed in range(8):
        noise = np.random.default_rng(100 + seed).normal(size=len(IDS))
        score = run(pd.Series(noise, index=IDS, name="age"), values)
        scores.append(score.scores.get("r", 0.0))
    assert abs(np.mean(scores)) < 0.2


def test_missing_targets_are_left_out_and_counted(values):
    age = pd.Series(values[:, 0], index=IDS, name="age")
    age.iloc[[0, 1, 70]] = np.nan
    score = run(age, values)
    assert (score.n_train, score.n_validation) == (N_TRAIN - 2, N_VALIDATION - 1)


def test_a_constant_target_is_untestable_and_says_so(values):
    score = run(pd.Series(1.5, index=IDS, name="age"), values)
    assert score.kind == "untestable"
    assert "constant" in score.note
    assert score.scores == {}


def test_two_valued_numbers_are_classes():
    assert is_categorical(pd.Series([0.0, 1.0, 1.0]))
    assert not is_categorical(pd.Series([0.0, 1.0, 2.0]))


def test_a_column_of_names_is_refused():
    names = pd.Series([f"name-{i}" for i in range(11)], name="occupation")
    with pytest.raises(CohortError, match=r"at most 10 classes.*occupation.*has 11"):
        is_categorical(names)


def test_a_class_of_one_family_is_untestable(values):
    sex = pd.Series("F", index=IDS, name="sex")
    sex.iloc[[0, 1, 70]] = "M"
    score = run(sex, values)
    assert (score.kind, score.scores) == ("untestable", {})
    assert "one family" in score.note


def test_a_rare_class_does_not_stop_the_choice_of_the_penalty(values):
    sex = pd.Series("F", index=IDS, name="sex")
    sex.iloc[[0, 4, 70, 75]] = "M"
    score = run(sex, values)
    assert score.kind == "logistic"
    assert 0.0 <= score.scores["auc"] <= 1.0


def test_as_many_components_as_subjects_do_not_forbid_everything():
    generator = np.random.default_rng(5)
    images = generator.normal(size=(len(IDS), 3)) @ generator.normal(size=(3, 400))
    images += 0.3 * generator.normal(size=images.shape)
    age = pd.Series(50 + 0.5 * images[:, :40].sum(axis=1), index=IDS, name="age")
    centred = images - images[:N_TRAIN].mean(axis=0)
    axes = np.linalg.svd(centred[:N_TRAIN], full_matrices=False)[2][: N_TRAIN - 1]
    score = run(age, centred @ axes.T)
    assert score.scores["mae"] < 0.5 * score.scores["mae_of_mean"]


def test_the_unit_of_the_representation_does_not_matter(values):
    age = pd.Series(values[:, 0] + values[:, 1], index=IDS, name="age")
    assert run(age, values).scores == pytest.approx(run(age, 1e-4 * values).scores)
