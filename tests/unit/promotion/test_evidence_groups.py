"""Errors of groups: estimated within folds, by families, and never where they cannot be told."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from isthmus.cohort.participants import Participants
from isthmus.core.errors import ConfigError
from isthmus.promotion.evidence.groups import compare_groups, read_fidelity, subject_errors


def _people(rng: np.random.Generator, n: int = 60, **columns: Any) -> Participants:
    """Families of two in turns of three folds; sexes alternate within a family."""
    index = pd.Index([f"sub-{i:03d}" for i in range(n)], name="participant_id")
    table = pd.DataFrame(
        {
            "family_id": [f"fam-{i // 2:03d}" for i in range(n)],
            "sex": ["F" if i % 2 else "M" for i in range(n)],
            "scanner": [f"s{(i // 2) % 3}" for i in range(n)],
            "age": rng.normal(40, 9, n),
            **columns,
        },
        index=index,
    )
    return Participants(table, group_by="family_id", site="scanner")


def _errors(people: Participants, rng: np.random.Generator, **effects: float) -> pd.DataFrame:
    """Log errors with effects of sexes or scanners, and folds that differ in how hard they are."""
    ids = list(people.ids)
    fold = np.arange(len(ids)) // 2 % 3
    log_error = rng.normal(-4.0, 0.2, len(ids)) + 0.5 * fold
    for value, effect in effects.items():
        is_one = (people.table[["sex", "scanner"]] == value).any(axis=1).to_numpy()
        log_error = log_error + effect * is_one
    return pd.DataFrame({"participant_id": ids, "fold": fold, "log_error": log_error})


def test_an_effect_is_estimated_within_folds() -> None:
    rng = np.random.default_rng(0)
    people = _people(rng)
    (sex,) = compare_groups(_errors(people, rng, F=0.3), people, ["sex"])
    (pair,) = sex.pairs
    assert (pair.group, pair.other, pair.n_group, pair.n_families_other) == ("F", "M", 30, 30)
    assert pair.log_ratio == pytest.approx(0.3, abs=0.1)
    assert pair.standard_error == pytest.approx(0.2 * math.sqrt(2 / 30), rel=0.3)
    assert pair.degrees_of_freedom == 29


def test_a_difference_between_folds_is_none_between_groups() -> None:
    rng = np.random.default_rng(1)
    people = _people(rng)
    # scanners are folds here: each fold has one scanner, and nothing tells them apart
    (site,) = compare_groups(_errors(people, rng), people, ["site"])
    assert len(site.pairs) == 3
    assert {pair.log_ratio for pair in site.pairs} == {None}
    assert site.pairs[0].n_group == 20


def test_intervals_cover_as_often_as_they_say() -> None:
    # 90 % intervals where nothing differs miss no more often than binomial chance allows
    rng = np.random.default_rng(2)
    people = _people(rng, 24)
    n, missed = 120, 0

    for _ in range(n):
        (sex,) = compare_groups(_errors(people, rng), people, ["sex"])
        pair = sex.pairs[0]
        half = stats.t(pair.degrees_of_freedom).ppf(0.95) * pair.standard_error
        missed += abs(pair.log_ratio) > half
    assert missed <= stats.binom(n, 0.1).ppf(1 - 1e-4)
    assert missed > 0


def test_relatives_of_one_group_count_once() -> None:
    rng = np.random.default_rng(3)
    people = _people(rng, sex=["F" if i // 6 % 2 else "M" for i in range(60)])
    errors = _errors(people, rng)
    (once,) = compare_groups(errors, people, ["sex"])
    # everybody has a twin of the same error: nothing was learnt, and nothing may change
    doubled = people.table.copy()
    doubled.index = pd.Index([f"twin-{label}" for label in people.ids], name="participant_id")
    both = Participants(pd.concat([people.table, doubled]), group_by="family_id", site="scanner")
    twins = errors.assign(participant_id="twin-" + errors["participant_id"])
    (again,) = compare_groups(pd.concat([errors, twins], ignore_index=True), both, ["sex"])
    assert again.pairs[0].log_ratio == pytest.approx(once.pairs[0].log_ratio)
    assert again.pairs[0].standard_error == pytest.approx(once.pairs[0].standard_error)
    assert again.pairs[0].n_group == 2 * once.pairs[0].n_group


def test_a_group_of_one_family_is_told_nothing_of() -> None:
    rng = np.random.default_rng(4)
    people = _people(rng, sex=["F", "F", *["M"] * 58])
    (sex,) = compare_groups(_errors(people, rng), people, ["sex"])
    assert (sex.pairs[0].log_ratio, sex.pairs[0].n_families_group) == (None, 1)


def test_missing_values_are_counted_and_left_out() -> None:
    rng = np.random.default_rng(5)
    people = _people(rng, sex=[None, *(["F", "M"] * 30)[1:]])
    (sex,) = compare_groups(_errors(people, rng), people, ["sex"])
    assert sex.n_unknown == 1
    assert sex.pairs[0].n_group + sex.pairs[0].n_other == 59


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("gender", "The participants have no column 'gender'."),
        ("age", "of at most 10 numbers, but it has 60."),
        ("same", "must be of two groups, but all known are 'x'."),
        ("nothing", "must be of two groups, but no value is known."),
    ],
)
def test_a_column_that_makes_no_groups_says_why(column: str, words: str) -> None:
    rng = np.random.default_rng(6)
    people = _people(rng, same="x", nothing=np.nan)
    (found,) = compare_groups(_errors(people, rng), people, [column])
    assert found.pairs == ()
    assert words in found.reason


def test_few_numbers_are_groups_too() -> None:
    rng = np.random.default_rng(7)
    people = _people(rng, handedness=[1.0, 2.0] * 30)
    (found,) = compare_groups(_errors(people, rng), people, ["handedness"])
    assert (found.pairs[0].group, found.pairs[0].other) == ("1", "2")


def test_each_subject_has_one_error_over_its_modalities(tmp_path: Path) -> None:
    rows = [
        ("model", "sub-1", "T1w", "mse", "0.04"),
        ("model", "sub-1", "FA", "mse", "0.01"),
        ("model", "sub-1", "FA", "cnr_ratio", "n/a"),
        ("pca", "sub-1", "FA", "mse", "9.0"),
        ("model", "sub-2", "T1w", "mse", "0.04"),
        ("model", "sub-3", "T1w", "mse", "0.0"),
        ("model", "sub-3", "FA", "mse", "0.1"),
    ]
    names = ["control", "participant_id", "modality", "metric", "value"]
    pd.DataFrame(rows, columns=names).to_csv(tmp_path / "fidelity.tsv", sep="\t", index=False)
    table = subject_errors([read_fidelity(tmp_path)])
    assert table["participant_id"].tolist() == ["sub-1"]
    assert table["log_error"].tolist() == pytest.approx([math.log(0.02)])
    with pytest.raises(ConfigError, match=r"nowhere/fidelity\.tsv: must be the table"):
        read_fidelity(tmp_path / "nowhere")


def test_a_fold_with_one_of_the_groups_alone_counts_for_nothing() -> None:
    rng = np.random.default_rng(8)
    # every third family is of the third fold, in which there are no men
    people = _people(rng, sex=["F" if i // 2 % 3 == 2 or i % 2 else "M" for i in range(60)])
    errors = _errors(people, rng)
    (whole,) = compare_groups(errors, people, ["sex"])
    (shared,) = compare_groups(errors[errors["fold"] < 2], people, ["sex"])
    assert whole.pairs[0].log_ratio == shared.pairs[0].log_ratio
    assert whole.pairs[0].standard_error == shared.pairs[0].standard_error
    assert whole.pairs[0].n_group == 40
