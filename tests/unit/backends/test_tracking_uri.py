"""Tracking URIs and the API's limits, without a store."""

import pytest

from isthmus.backends.tracking_limits import batches, cut, first_line, quotable, quoted
from isthmus.backends.tracking_uri import TrackingError, checked_uri, shown, sqlite_uri
from isthmus.core.errors import ConfigError


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:////data/mlflow.db",
        "postgresql://me:pw@db/mlflow",
        "postgresql+psycopg2://db/mlflow",
        "mysql+pymysql://db:3306/mlflow",
        "https://mlflow.example.org/prefix",
        "databricks",
        "databricks://profile",
    ],
)
def test_kinds_that_mlflow_tracks_to_pass_unchanged(uri):
    assert checked_uri(uri) == uri


@pytest.mark.parametrize(
    "uri", ["", "mlruns", "./mlruns", "file:///tmp/mlruns", "sqlite://", "sqlite:///", "http://"]
)
def test_other_kinds_are_refused(uri):
    with pytest.raises(ConfigError, match=r"execution\.tracking_uri"):
        checked_uri(uri)


def test_a_relative_database_becomes_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert checked_uri("sqlite:///mlflow.db") == sqlite_uri(tmp_path / "mlflow.db")


@pytest.mark.parametrize("password", ["secret", "se@cret", "se:cret", "se/cret", "5000"])
def test_passwords_are_not_shown(password):
    text = shown(f"postgresql://me:{password}@db:5432/mlflow")
    assert text == "postgresql://me:***@db:5432/mlflow"


def test_a_uri_without_a_password_is_shown_whole():
    for uri in ("http://localhost:5000/a@b", "sqlite:////data/a.db", "postgresql://me@host/x"):
        assert shown(uri) == uri


def test_texts_that_differ_beyond_the_limit_stay_different():
    assert cut("x" * 100, 100) == "x" * 100
    assert len(cut("x" * 101, 100)) == 100
    assert cut("x" * 101, 100) != cut("x" * 102, 100)


def test_batches_cover_everything_once():
    assert [list(part) for part in batches(range(5), 2)] == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []


def test_messages_are_one_line():
    assert first_line(ValueError("\n  first\n\nsecond")) == "first."
    assert first_line(ValueError()) == "ValueError."
    assert first_line(ValueError("x" * 400)).endswith("...")
    assert "secret" not in first_line(ValueError("no postgresql://me:secret@db/x"))
    assert len(quoted("x" * 100)) == 62


def test_a_quote_in_a_key_is_refused():
    assert quotable("fold-0") == "fold-0"
    with pytest.raises(TrackingError, match="single quote"):
        quotable("it's")
