"""The token's file, without a Ray."""

import stat
from pathlib import Path

import pytest

from isthmus.backends.ray_token import keep_token_private


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_token_is_made_once_for_its_owner(home):
    made = keep_token_private()
    assert made == home / ".ray" / "auth_token"
    first = made.read_text()
    assert len(bytes.fromhex(first)) == 32
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert keep_token_private() == made
    assert made.read_text() == first
    assert [path.name for path in made.parent.iterdir()] == ["auth_token"]


def test_a_token_that_others_can_read_is_closed(home):
    file = home / ".ray" / "auth_token"
    file.parent.mkdir()
    file.write_text("a" * 64)
    file.chmod(0o644)
    keep_token_private()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == "a" * 64


@pytest.mark.parametrize(
    ("name", "value"),
    [("RAY_AUTH_TOKEN", "b" * 64), ("RAY_AUTH_TOKEN_PATH", "/x"), ("RAY_AUTH_MODE", "disabled")],
)
def test_what_the_user_gave_is_left_alone(home, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    assert keep_token_private() is None
    assert not (home / ".ray").exists()
