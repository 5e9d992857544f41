"""Digests identify content: equal content always, different content never."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.digest import digest_array, digest_file, digest_of

_plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(), _plain))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert digest_of(dict(reversed(value.items()))) == digest_of(value)


@given(_plain, _plain)
def test_different_values_differ(one: object, two: object) -> None:
    assert (digest_of(one) == digest_of(two)) == (_canonical(one) == _canonical(two))


def _canonical(value: object) -> object:
    """Tell True from 1, and forget the order of keys."""
    if isinstance(value, dict):
        return ("mapping", sorted((key, repr(_canonical(inner))) for key, inner in value.items()))
    if isinstance(value, list):
        return [_canonical(inner) for inner in value]
    return repr(value)


def test_the_order_of_a_sequence_matters() -> None:
    assert digest_of([1, 2]) != digest_of([2, 1])


def test_a_digest_does_not_change_over_time() -> None:
    assert digest_of({"b": [1, 2.5, None], "a": "é"}) == (
        "84afbf1d4853005f9dd0c81cb1819b53ce86978340764c062160f6e8356665de"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_without_canonical_form_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of({"a": value})


def test_a_file_is_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "one").write_bytes(content)
    (tmp_path / "two").write_bytes(content)
    (tmp_path / "three").write_bytes(content[:-1] + b"x")
    one, two, three = (digest_file(tmp_path / name) for name in ("one", "two", "three"))
    assert one == two
    assert one != three


def test_an_array_is_its_type_shape_and_values() -> None:
    base = np.arange(6, dtype=np.float32)
    digests = {
        digest_array(base),
        digest_array(base.reshape(2, 3)),
        digest_array(base.reshape(3, 2)),
        digest_array(base.astype(np.float64)),
        digest_array(base.astype(np.int32)),
        digest_array(base + 1),
    }
    assert len(digests) == 6


def test_an_array_is_not_its_layout_in_memory() -> None:
    base = np.arange(24).reshape(4, 6)
    assert digest_array(np.asfortranarray(base)) == digest_array(base)
    assert digest_array(base[:, ::2]) == digest_array(base[:, ::2].copy())
