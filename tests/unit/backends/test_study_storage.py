"""Storage URLs of studies, whether anything answers, and what is made of failures."""

import errno
import socket
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from isthmus.backends.study_storage import (
    StudyError,
    checked_storage,
    file_of,
    readable_errors,
    require_storage,
)
from isthmus.backends.tracking_uri import engine_uri
from isthmus.core.errors import ConfigError, DiskFull


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_relative_file_is_made_absolute(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = checked_storage(f"{kind}:///study.db")
    assert url == f"{kind}:///{tmp_path}/study.db"
    assert checked_storage(url) == url
    assert file_of(url) == tmp_path / "study.db"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "study.db",
        "sqlite:///",
        "journal:///",
        "sqlite://study.db",
        "postgresql:///studies",
        "postgresql://",
        "http://localhost:5000",
        "redis://localhost",
    ],
)
def test_other_urls_are_refused_with_one_that_would_do(url: str) -> None:
    with pytest.raises(ConfigError, match=r"must be sqlite:///.*write sqlite:///") as refused:
        checked_storage(url)
    assert repr(url) in str(refused.value)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder"):
        checked_storage(f"sqlite:///{tmp_path}")


def test_passwords_are_not_told() -> None:
    with pytest.raises(ConfigError) as refused:
        checked_storage("redis://me:secret@host/studies")
    assert "secret" not in str(refused.value)
    with pytest.raises(StudyError) as failed, readable_errors("mysql://me:secret@host/studies"):
        raise OSError("no route to mysql://me:secret@host/studies")
    assert "secret" not in str(failed.value)
    assert "me:***@host" in str(failed.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:pw@db:5433/s?a=b", "postgresql+psycopg2://me:pw@db:5433/s?a=b"),
        ("postgres://db/s", "postgresql+psycopg2://db/s"),
        ("postgresql+pg8000://db/s", "postgresql+pg8000://db/s"),
        ("mysql+pymysql://db/s", "mysql+pymysql://db/s"),
        ("sqlite:////data/s.db", "sqlite:////data/s.db"),
    ],
)
def test_the_driver_of_a_server_is_named(url: str, expected: str) -> None:
    assert checked_storage(url) == url
    assert engine_uri(url).partition("connect_timeout=")[0].rstrip("?&") == expected


def test_waiting_for_postgresql_ends_unless_the_user_says_otherwise() -> None:
    assert "connect_timeout=10&" in engine_uri("postgresql://db/s")
    assert "tcp_user_timeout=60000" in engine_uri("postgresql://db/s?sslmode=require")
    own = engine_uri("postgresql+psycopg2://db/s?connect_timeout=99")
    assert own.count("connect_timeout") == 1
    assert "?connect_timeout=99&" in own


def test_a_server_that_does_not_answer_is_told_of_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = taken.getsockname()[1]
        for kind in ("postgresql", "postgres", "mysql+pymysql"):
            with pytest.raises(StudyError, match=r"ConnectionRefusedError") as refused:
                require_storage(f"{kind}://me:secret@127.0.0.1:{port}/s")
            assert "secret" not in str(refused.value)


def test_a_server_that_answers_is_enough() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        require_storage(f"postgresql://127.0.0.1:{server.getsockname()[1]}/s")
    require_storage("sqlite:////nowhere/s.db")


class _ServerFull(Exception):
    """As psycopg2 tells of a full disk of the server."""

    pgcode = "53100"


@pytest.mark.parametrize(
    "cause",
    [OSError(errno.ENOSPC, "No space left"), OSError(errno.EDQUOT, "quota"), _ServerFull("full")],
)
def test_a_full_disk_is_recognised_behind_other_errors(cause: Exception, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    with pytest.raises(DiskFull, match="same command again") as full, readable_errors(url):
        raise OperationalError("INSERT", {}, cause) from cause
    assert f"{tmp_path}/s.db" in str(full.value)


def test_a_database_that_is_full_by_its_own_limit_is_recognised(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "s.db") as database:
        database.execute("PRAGMA max_page_count=2")
        database.execute("CREATE TABLE numbers (one TEXT)")
        with pytest.raises(DiskFull), readable_errors("sqlite:///s.db", sqlite3.Error):
            database.execute("INSERT INTO numbers VALUES (?)", ("x" * 100_000,))
    database.close()


def test_errors_that_are_bugs_pass_through() -> None:
    with pytest.raises(KeyError), readable_errors("sqlite:////nowhere/s.db"):
        raise KeyError("number")
    with pytest.raises(StudyError, match="KeyError"), readable_errors("sqlite:///s.db", KeyError):
        raise KeyError("number")
