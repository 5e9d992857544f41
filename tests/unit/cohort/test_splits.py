import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isthmus.cohort.participants import Participants
from isthmus.cohort.splits import (
    Fold,
    Split,
    check_split,
    draw_hold_out,
    draw_split,
    load_split,
    save_split,
)
from isthmus.config.experiment import CrossValidationConfig
from isthmus.core.errors import CohortError, ConfigError, LeakageError


def folds_of(n: int) -> CrossValidationConfig:
    return CrossValidationConfig(n_folds=n)


@pytest.fixture
def forty(people):
    """Ten pairs and twenty singles; two sites and sexes, an age."""
    families = [f"f{i // 2}" for i in range(20)] + [f"s{i}" for i in range(20)]
    rng = np.random.default_rng(1)
    return people(
        families,
        site=[f"site{i % 2}" for i in rng.permutation(40)],
        sex=["FM"[i % 2] for i in rng.permutation(40)],
        age=list(rng.uniform(20, 80, 40)),
    )


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    sizes=st.lists(st.integers(1, 3), min_size=10, max_size=30),
    n_folds=st.integers(2, 5),
    share=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 1000),
)
def test_families_stay_whole_and_everybody_is_held_out_once(people, sizes, n_folds, share, seed):
    families = [f"f{number}" for number, size in enumerate(sizes) for _ in range(size)]
    site = [f"site{i % 3}" for i in range(len(families))]
    participants = people(families, site=site)
    split = draw_split(participants, folds_of(n_folds), share, ["site"], seed)
    assert len(split.folds) == n_folds
    sizes_of_folds = [len(fold.validation) for fold in split.folds]
    assert max(sizes_of_folds) - min(sizes_of_folds) <= 6
    validated = Counter(label for fold in split.folds for label in fold.validation)
    assert validated == Counter(participants.ids)
    for fold in split.folds:
        parts = [{participants.families[label] for label in ids} for ids in fold.parts.values()]
        assert sum(map(len, parts)) == len(sizes) == len(set().union(*parts))
        assert fold.train
        assert fold.validation
        assert bool(fold.monitor) == (share > 0)


def test_the_same_seed_gives_the_same_folds_whatever_the_order(forty):
    first = draw_split(forty, folds_of(5), 0.1, ["site"], 3)
    again = draw_split(forty.select(forty.ids[::-1]), folds_of(5), 0.1, ["site"], 3)
    assert first == again
    assert draw_split(forty, folds_of(5), 0.1, ["site"], 4).digest != first.digest


def test_site_and_sex_are_balanced(forty):
    for seed in range(5):
        split = draw_split(forty, folds_of(4), 0.0, ["site", "sex"], seed)
        assert split.method == "stratified_group_kfold(site, sex)"
        for fold in split.folds:
            held_out = forty.table.loc[list(fold.validation)]
            assert 8 <= len(held_out) <= 12
            assert abs((held_out["site"] == "site0").mean() - 0.5) <= 0.2
            assert abs((held_out["sex"] == "F").mean() - 0.5) <= 0.2


def test_stratifying_balances_better_than_not(people):
    site = ["A"] * 30 + ["B"] * 10
    participants = people([f"s{i}" for i in range(40)], site=site)

    def spread(columns):
        shares = [
            (participants.table.loc[list(fold.validation), "site"] == "B").mean()
            for seed in range(5)
            for fold in draw_split(participants, folds_of(5), 0.0, columns, seed).folds
        ]
        return np.std(shares)

    assert spread(["site"]) < 0.02
    assert spread([]) > 0.05


def test_numbers_are_balanced_by_terciles(forty):
    split = draw_split(forty, folds_of(4), 0.0, ["age"], 0)
    means = [forty.numeric(["age"], fold.validation).mean() for fold in split.folds]
    assert np.ptp(means) < 12


def test_columns_too_fine_to_balance_are_given_up_and_said_so(forty):
    names = forty.table.assign(name=list(forty.ids))
    participants = type(forty)(names, "family_id")
    split = draw_split(participants, folds_of(4), 0.0, ["site", "name"], 0)
    assert split.method == "stratified_group_kfold(site)"


def test_monitor_families_come_from_the_training_fold(forty):
    split = draw_split(forty, folds_of(4), 0.2, ["site"], 0)
    for fold in split.folds:
        assert 0.1 < len(fold.monitor) / (len(fold.train) + len(fold.monitor)) < 0.3
    assert len({fold.monitor for fold in split.folds}) == 4


def test_more_folds_than_families_are_refused(people):
    with pytest.raises(CohortError, match=r"n_folds \(3\).*4 participants are 2 families"):
        draw_split(people(["a", "a", "b", "b"]), folds_of(3), 0.0, [], 0)


def test_nobody_left_to_train_on_is_refused(people):
    with pytest.raises(CohortError, match="must leave a family to train on"):
        draw_split(people(["a", "b"]), folds_of(2), 0.5, [], 0)


def test_a_hold_out_is_one_fold_of_whole_families(forty):
    split = draw_hold_out(forty, 0.25, 0.1, ["site"], 0)
    (fold,) = split.folds
    assert 6 <= len(fold.validation) <= 14
    assert len(fold.train) + len(fold.monitor) + len(fold.validation) == 40
    assert split == draw_hold_out(forty, 0.25, 0.1, ["site"], 0)


def test_folds_and_hold_outs_are_stratified_by_the_declared_site(people):
    table = people([f"s{i}" for i in range(40)], site=["A"] * 30 + ["B"] * 10, sex=["F", "M"] * 20)
    participants = Participants(table.table, "family_id", "site")
    folds = draw_split(participants, folds_of(5), 0.0, [], 0)
    assert folds.method == "stratified_group_kfold(site)"
    assert all(
        (participants.table.loc[list(fold.validation), "site"] == "B").sum() == 2
        for fold in folds.folds
    )
    assert draw_hold_out(participants, 0.2, 0.0, ["sex"], 0).method == "hold_out(sex, site)"
    assert draw_hold_out(participants, 0.2, 0.0, ["site", "sex"], 0).method == "hold_out(site, sex)"


def test_the_digest_is_stable_and_of_who_is_where():
    split = Split((Fold(0, ("a", "b"), (), ("c",)), Fold(1, ("c",), (), ("a", "b"))), 1, "x")
    assert split.digest == "278b26e3ecac66a9bf223a49de628d7b1fa82b0947f438f72f09635b532d4d79"
    other_way = Split((Fold(0, ("b", "a"), (), ("c",)), Fold(1, ("c",), (), ("b", "a"))), 2, "y")
    assert other_way.digest == split.digest
    moved = Split((Fold(0, ("a",), ("b",), ("c",)), Fold(1, ("c",), (), ("a", "b"))), 1, "x")
    assert moved.digest != split.digest


def test_a_file_gives_the_split_back(forty, tmp_path):
    split = draw_split(forty, folds_of(3), 0.2, [], 0)
    save_split(split, tmp_path / "split.json")
    assert load_split(tmp_path / "split.json", forty) == split


def write(path, folds, **more):
    path.write_text(json.dumps({"folds": folds, **more}))
    return path


def test_the_shortest_form_written_by_hand(people, tmp_path):
    participants = people(["a", "a", "b", "c"])
    folds = [{"validation": ["sub-000", "sub-001"]}, {"validation": ["sub-002", "sub-003"]}]
    split = load_split(write(tmp_path / "s.json", folds), participants)
    assert split.folds[0] == Fold(0, ("sub-002", "sub-003"), (), ("sub-000", "sub-001"))
    assert split.method == "written by hand"


def test_one_fold_by_hand_is_a_hold_out(people, tmp_path):
    folds = [{"validation": ["sub-000"], "monitor": ["sub-001"]}]
    split = load_split(write(tmp_path / "s.json", folds), people(["a", "b", "c"]))
    assert split.folds[0].train == ("sub-002",)


def test_a_family_split_across_parts_is_named(people, tmp_path):
    folds = [{"validation": ["sub-000", "sub-002"]}, {"validation": ["sub-001"]}]
    with pytest.raises(
        LeakageError,
        match=r"family 0417 is in train and validation of fold 0 \(sub-000, sub-001\)",
    ):
        load_split(write(tmp_path / "s.json", folds), people(["0417", "0417", "c"]))


def test_a_family_split_between_train_and_monitor_leaks_too(people, tmp_path):
    folds = [{"validation": ["sub-002"], "monitor": ["sub-001"]}]
    with pytest.raises(LeakageError, match="train and monitor"):
        load_split(write(tmp_path / "s.json", folds), people(["a", "a", "c"]))


def test_nobody_is_held_out_twice(people):
    everybody = ("sub-000", "sub-001", "sub-002")
    folds = tuple(Fold(i, everybody[1:], (), everybody[:1]) for i in range(2))
    with pytest.raises(LeakageError, match="sub-000 is in the validation of folds 0 and 1"):
        check_split(Split(folds, 0, ""), people(["a", "b", "c"]))


@pytest.mark.parametrize(
    ("folds", "error", "message"),
    [
        ([{"validation": ["sub-000", "sub-9"]}], ConfigError, "fold 0 names sub-9"),
        (
            [{"validation": ["sub-000"]}, {"validation": ["sub-001"]}],
            ConfigError,
            "1 are in no fold's validation: sub-002",
        ),
        (
            [{"validation": ["sub-000"], "train": ["sub-001"]}],
            ConfigError,
            "fold 0 leaves out sub-002",
        ),
        ([{"validation": []}], ConfigError, "validation part, but fold 0 has 0"),
        ([{"validation": ["sub-000", "sub-001", "sub-002"]}], ConfigError, "each train part"),
        ([{"validation": ["sub-000", "sub-000"]}], LeakageError, "validation and validation"),
        (
            [{"validation": ["sub-000"], "train": ["sub-000", "sub-001", "sub-002"]}],
            LeakageError,
            "sub-000 is in train and validation of fold 0",
        ),
        ([{"held_out": ["sub-000"]}], ConfigError, "held_out: no such entry"),
        ([{"validation_": ["sub-000"]}], ConfigError, "Did you mean 'validation'"),
        ([{"train": ["sub-000"]}], ConfigError, "validation: must be given"),
        ([{"validation": "sub-000"}], ConfigError, "must be a list of participant_ids"),
        ([["sub-000"]], ConfigError, "must be an object"),
        ([], ConfigError, "at least one fold"),
    ],
)
def test_files_that_do_not_fit_are_refused(people, tmp_path, folds, error, message):
    with pytest.raises(error, match=message):
        load_split(write(tmp_path / "s.json", folds), people(["a", "b", "c"]))


def test_an_edited_file_does_not_match_its_digest(people, tmp_path):
    participants = people(["a", "b", "c", "d"])
    path = tmp_path / "s.json"
    save_split(draw_split(participants, folds_of(2), 0.0, [], 0), path)
    content = json.loads(path.read_text())
    for part in ("train", "validation"):
        first, second = (fold[part] for fold in content["folds"])
        content["folds"][0][part], content["folds"][1][part] = second, first
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="edited after it was written"):
        load_split(path, participants)
    del content["digest"]
    path.write_text(json.dumps(content))
    load_split(path, participants)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "must be a split in JSON"),
        ("[]", "must be a JSON object"),
        ('{"fold": []}', "fold: no such entry.*mean 'folds'"),
        ('{"folds": [{"validation": ["sub-000"]}], "seed": "1"}', "seed must be a whole number"),
        ("[" * 100000, "must be a split in JSON"),
    ],
)
def test_broken_files_are_refused(people, tmp_path, text, message):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_split(tmp_path / "s.json", people(["a", "b"]))


def test_a_missing_file_is_refused(people, tmp_path):
    with pytest.raises(ConfigError, match="no such split file"):
        load_split(tmp_path / "s.json", people(["a", "b"]))
