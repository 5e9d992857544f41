"""YAML's traps, each closed."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from isthmus.config.strict_yaml import format_yaml, parse_yaml


@pytest.mark.parametrize("word", ["no", "off", "on", "yes", "n", "y", "1:30", "0123", "2020-01-01"])
def test_what_looks_like_text_is_text(word: str) -> None:
    assert parse_yaml(f"value: {word}") == {"value": word}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-3", 1e-3),
        ("-1E5", -1e5),
        ("1.0e-3", 1e-3),
        (".5", 0.5),
        ("5.", 5.0),
        ("-7", -7),
        ("0", 0),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_and_constants_are_read(written: str, value: object) -> None:
    read = parse_yaml(f"value: {written}")["value"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", ["{a: 1, a: 2}", "b: {a: 1, c: 2, a: 3}", "a: 1\nb: 2\na: 3\n"])
def test_a_key_written_twice_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError, match="'a' stands twice"):
        parse_yaml(text)


@pytest.mark.parametrize(
    "text",
    [
        '!!python/object/apply:os.system ["exit 1"]',
        "!!python/name:os.system",
        "!!python/tuple [1, 2]",
    ],
)
def test_no_object_is_ever_built(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


@pytest.mark.parametrize(
    "text",
    ["!!int abc", "!!int ''", "!!bool maybe", "!!timestamp x", "!!float x", "9" * 5000, "[" * 9000],
)
def test_a_value_that_does_not_fit_its_tag_is_no_yaml(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_yaml(text)


# PyYAML folds line breaks other than \n into spaces; no setting holds one.
_text = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]) | st.just("\n"))
_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _text,
    lambda inner: st.lists(inner) | st.dictionaries(_text, inner),
    max_leaves=8,
)


@given(_plain)
def test_what_is_written_reads_back_the_same(value: object) -> None:
    assert parse_yaml(format_yaml(value)) == value


@pytest.mark.parametrize("word", ["1e-3", "no", "null", "0123", "12", "", "~", "<<", ".5"])
def test_text_that_looks_like_something_else_is_quoted(word: str) -> None:
    assert parse_yaml(format_yaml({"name": word})) == {"name": word}
