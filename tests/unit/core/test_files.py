"""A file is written whole, or not at all."""

import json
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from isthmus.core.files import write_atomically, write_json, write_text


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "Zürich\n")
    assert path.read_bytes() == "Zürich\n".encode()
    assert _names(path.parent) == ["c.txt"]


def test_old_content_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "a long first text")
    write_text(path, "short")
    assert path.read_text() == "short"


def test_a_writer_that_fails_leaves_the_old_content_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def half(file: BinaryIO) -> None:
        file.write(b"half of the n")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_atomically(path, half)
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["a.bin"]


def test_a_rename_that_fails_leaves_the_old_content_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a"
    (path / "full").mkdir(parents=True)  # a folder cannot be replaced by a file
    with pytest.raises(OSError):  # noqa: PT011  # which one depends on the system
        write_text(path, "new")
    assert _names(tmp_path) == ["a"]
    assert _names(path) == ["full"]


def test_a_writer_that_is_killed_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    child = os.fork()
    if child == 0:
        write_atomically(path, lambda file: os._exit(9))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert path.read_text() == "old"


def test_a_reader_sees_no_file_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"

    def look(file: BinaryIO) -> None:
        file.write(b"half")
        file.flush()
        assert not path.exists()

    write_atomically(path, look)
    assert path.read_bytes() == b"half"


def test_json_is_read_back_and_readable(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "é"}
    path = tmp_path / "a.json"
    write_json(path, value)
    assert json.loads(path.read_text()) == value
    assert path.read_text().endswith("}\n")
    assert path.read_text().index('"a"') < path.read_text().index('"b"')


def test_json_that_is_no_number_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text()) == {"a": 1}
