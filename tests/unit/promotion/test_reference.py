import pytest

from isthmus.core.errors import ConfigError
from isthmus.promotion.registry.reference import ModelReference, parse_reference


@pytest.mark.parametrize(
    ("text", "name", "which", "uri"),
    [
        ("brain@champion", "brain", "champion", "models:/brain@champion"),
        ("models:/brain@challenger", "brain", "challenger", "models:/brain@challenger"),
        ("brain/3", "brain", "3", "models:/brain/3"),
        ("models:/brain/003", "brain", "3", "models:/brain/3"),
        (" brain ae ", "brain ae", "champion", "models:/brain ae@champion"),
        ("models:/brain", "brain", "champion", "models:/brain@champion"),
    ],
)
def test_what_people_type(text, name, which, uri):
    reference = parse_reference(text)
    assert reference == ModelReference(name, which)
    assert reference.uri == uri


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no model"),
        ("models:/", "names no model"),
        ("@champion", "names no model"),
        ("/3", "names no model"),
        ("models://brain/3", "names no model"),
        ("runs:/0123/model", "names no model"),
        ("brain@", "after @"),
        ("brain@a@b", "after @"),
        ("brain@3", "after @"),
        ("brain@champion/3", "after @"),
        ("brain/3@champion", "by its number and by an alias"),
        ("brain/", "after /"),
        ("brain/0", "after /"),
        ("brain/-1", "after /"),
        ("brain/champion", "after /"),
        ("brain/3/4", "after /"),
        ("brain/\u0663", "after /"),
    ],
)
def test_what_is_none(text, reason):
    with pytest.raises(ConfigError, match=reason) as refused:
        parse_reference(text)
    assert repr(text) in str(refused.value)
    assert "NAME@alias, NAME/3 or NAME" in str(refused.value)
