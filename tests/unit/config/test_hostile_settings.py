"""Settings files that are no settings: found by fuzzing, or by thinking of what would be found."""

import tracemalloc
from pathlib import Path

import pytest
import yaml

from isthmus.config.load import load_experiment, read_yaml, resolve
from isthmus.config.paths import did_you_mean
from isthmus.config.strict_yaml import parse_yaml
from isthmus.core.errors import ConfigError

COHORT = "cohort: {images: '{participant_id}_{modality}.nii', modalities: [T1w]}\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "at most 100,000 values are taken, repeated ones counted as often"),
        (BOMB + "seed: *a9\n", "at most 100,000 values"),
        ("a: &a [*a]", "contains itself"),
        ("a: &a {b: {c: *a}}", "contains itself"),
        ("[" * 60 + "]" * 60, "at most 40 levels"),
        ("{a: " * 60 + "1" + "}" * 60, "at most 40 levels"),
        ('name: "\\ud800"', "half of a surrogate pair"),
        ("seed: !!timestamp 2001-01-01", "the tag .*timestamp' is not taken"),
        ("name: !!binary aGFsbG8=", "the tag .*binary' is not taken"),
        ("a: !!set {b, c}", "the tag .*set' is not taken"),
        ("a: " + "x" * 2**20, "at most 1,048,576 characters"),
    ],
)
def test_what_is_no_plain_document_is_refused_before_it_is_built(text: str, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(yaml.YAMLError, match=message):
            parse_yaml(text)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_an_alias_that_repeats_little_is_taken() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: *a\nc: {<<: {d: *a}}") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": [1, 2]},
    }


def test_no_more_of_a_file_is_read_than_settings_can_be(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    with path.open("wb") as file:
        file.truncate(2**32)
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match=r"a\.yaml: must be YAML: at most 1,048,576 char"):
            read_yaml(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_of_very_many_misses_the_first_are_told_and_how_many_more(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(COHORT + "".join(f"k{n}: 1\n" for n in range(2000)))
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("k0: no such setting.")
    assert len(lines) == 51
    assert lines[-1].endswith("a.yaml: and 1950 more")


def test_a_message_shows_the_start_of_a_long_value() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve({"preset": "p" * 50_000})
    assert len(str(caught.value)) < 300


def test_nothing_is_suggested_for_what_nobody_mistyped() -> None:
    # comparing two texts of this length would take minutes
    long = "ab" * 50_000
    assert did_you_mean(long, {"abab": None}) == ""
    assert did_you_mean("dept", {long: None, "depth": None}) == " Did you mean 'depth'?"
