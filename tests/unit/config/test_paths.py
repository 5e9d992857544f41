"""Dotted paths, and what is suggested for one that names nothing."""

from typing import Any

import pytest

from isthmus.config.paths import did_you_mean, merge, put, require_path, settings_paths
from isthmus.core.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("model.embeding_size", "model.embedding_size"),
        ("modle.depth", "model.depth"),
        ("model.Dropout", "model.dropout"),
        ("embedding_size", "model.embedding_size"),
        ("training.batch_size", "training.global_batch_size"),
        ("training.learning-rate", "training.learning_rate"),
        ("model.preference", "stratification.affinity_propagation.preference"),
        ("stratification.n_factors", "stratification.factors.n_factors"),
        ("model.channels", "model.base_channels"),
    ],
)
def test_the_setting_that_was_meant_is_suggested(written: str, meant: str) -> None:
    assert did_you_mean(written, settings_paths()) == f" Did you mean '{meant}'?"


@pytest.mark.parametrize("written", ["bogus", "model.zzz", "", "model.", "training.cheese", "gpu"])
def test_nothing_is_suggested_where_nothing_is_near(written: str) -> None:
    assert did_you_mean(written, settings_paths()) == ""


def test_nothing_is_suggested_out_of_nothing() -> None:
    assert did_you_mean("model.depth", {}) == ""


def test_leaves_are_listed_and_groups_are_not() -> None:
    paths = settings_paths()
    assert "volumes.normalisation.leaky" in paths
    assert "model" not in paths
    assert "model.fusion" not in paths


def test_a_known_path_is_accepted_and_others_are_not() -> None:
    require_path("model.depth", "here")
    with pytest.raises(ConfigError, match=r"here: model\.fusion: a group of settings"):
        require_path("model.fusion", "here")
    with pytest.raises(ConfigError, match=r"here: model\.deep: no such setting"):
        require_path("model.deep", "here")


def test_put_makes_missing_groups() -> None:
    tree: dict[str, Any] = {}
    put(tree, "a.b.c", 1)
    put(tree, "a.d", 2)
    assert tree == {"a": {"b": {"c": 1}, "d": 2}}


def test_put_refuses_to_lead_through_a_value() -> None:
    with pytest.raises(ConfigError, match="'a' must be a group of settings, got 1"):
        put({"a": 1}, "a.b", 2)


def test_merge_lays_groups_together_and_replaces_the_rest() -> None:
    below = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    above = {"a": {"y": [3]}, "c": {"z": 1}}
    assert merge(below, above) == {"a": {"x": 1, "y": [3]}, "b": 1, "c": {"z": 1}}
    assert below == {"a": {"x": 1, "y": [1, 2]}, "b": 1}
