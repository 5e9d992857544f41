"""The settings of `isthmus stratify`: an experiment's paths, as far as nothing is trained."""

from pathlib import Path
from typing import Any

import pytest

from isthmus.config.load import resolve
from isthmus.config.paths import settings_paths
from isthmus.config.stratify import load_settings, settings_of, stratify_paths
from isthmus.core.errors import ConfigError


def test_the_paths_are_those_of_an_experiment() -> None:
    of_experiment = settings_paths()
    for path, field in stratify_paths().items():
        assert of_experiment[path].description == field.description
    assert "stratification.robustness.n_draws" in stratify_paths()
    assert "execution.stratification_workers" in stratify_paths()
    assert not any(path.startswith(("model.", "training.")) for path in stratify_paths())


def test_an_experiments_settings_are_taken_over_and_overridden(minimal: dict[str, Any]) -> None:
    minimal["cohort"] |= {"phenotypes": ["memory"], "group_by": "family_id"}
    minimal |= {"seed": 3, "stratification": {"alpha": 0.1}}
    settings = settings_of(resolve(minimal), ["stratification.clusterer=ward", "seed=4"])
    assert settings.cohort.phenotypes == ("memory",)
    assert settings.cohort.group_by == "family_id"
    assert (settings.seed, settings.stratification.alpha) == (4, 0.1)
    assert settings.stratification.clusterer == "ward"


def test_without_a_file_everything_is_as_by_default(minimal: dict[str, Any]) -> None:
    settings = load_settings(None)
    assert settings.stratification == resolve(minimal).stratification
    assert settings.cohort.phenotypes == ()


def test_a_file_is_laid_below_the_overrides(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("seed: 2\ncohort: {phenotypes: [a], confounds: [age]}\n")
    settings = load_settings(file, ["cohort.phenotypes=[b, c]"])
    assert settings.cohort.phenotypes == ("b", "c")
    assert settings.cohort.confounds == ("age",)
    assert settings.seed == 2


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("stratification.n_permutation=9", "Did you mean 'stratification.n_permutations'"),
        ("cohort.phenotype=[a]", "Did you mean 'cohort.phenotypes'"),
        ("model.depth=4", "trains nothing and would ignore it"),
        ("cohort.images=x", "trains nothing and would ignore it"),
        ("execution.device=cpu", "trains nothing and would ignore it"),
        ("cohort.phenotypes=[a, a]", "named once"),
        ("cohort.kinship=twin", r"needs cohort\.group_by"),
        ("stratification.alpha=2", "less than 1"),
        ("execution.stratification_workers=0", "greater than or equal to 1"),
    ],
)
def test_what_it_cannot_use_is_refused(minimal: dict[str, Any], override: str, named: str) -> None:
    for read in (
        lambda: load_settings(None, [override]),
        lambda: settings_of(resolve(minimal), [override]),
    ):
        with pytest.raises(ConfigError, match=named) as refused:
            read()
        assert override.partition("=")[0].rpartition(".")[0] in str(refused.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("cohort: {images: x}", r"cohort\.images.*trains nothing"),
        ("execution: {workers: 2}", r"execution\.workers.*trains nothing"),
        ("model: {depth: 2}", r"model.*trains nothing"),
        ("stratification: {robustness: {n_draw: 2}}", "Did you mean .*n_draws"),
        ("[1, 2]", "must hold settings"),
    ],
)
def test_what_a_file_must_not_hold_is_named_with_the_file(
    tmp_path: Path, content: str, named: str
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=named) as refused:
        load_settings(file)
    assert str(file) in str(refused.value)


def test_a_column_is_a_number_or_a_category() -> None:
    both = ["cohort.phenotypes=[a, b]", "cohort.categorical_phenotypes=[b]"]
    with pytest.raises(ConfigError, match=r"numeric or of categories.*\['b'\]"):
        load_settings(None, both)


def test_how_it_is_run_does_not_identify_it() -> None:
    one = load_settings(None)
    other = load_settings(None, ["execution.stratification_workers=7"])
    assert one.identifying_settings() == other.identifying_settings()
    changed = load_settings(None, ["stratification.alpha=0.01"])
    assert changed.identifying_settings() != one.identifying_settings()


def test_the_settings_are_listed_flat_for_a_tracking_store() -> None:
    flat = load_settings(None, ["cohort.phenotypes=[a, b]"]).flat()
    assert flat["cohort.phenotypes"] == '["a", "b"]'
    assert flat["stratification.n_permutations"] == 9999
    assert flat["stratification.specifications.pca_components"] == "[null, 10]"
    assert not any(path.startswith("execution") for path in flat)
