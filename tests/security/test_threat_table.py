"""Each row of docs/security.md names tests that show what it says, and they exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ["entry", "what could be tried", "what holds it", "shown by", "what is left"]
# What the issue that asked for the table names; a row each, at least.
ENTRIES = {
    "image",
    "settings",
    "manifest",
    "participants table",
    "embeddings",
    "checkpoint",
    "model version in MLflow",
    "volume store",
    "Ray",
    "MLflow's server",
    "live view",
    "served model",
    "packages",
}


def rows() -> list[list[str]]:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    lines = page.split("## The table", 1)[1].split("## ", 1)[0].strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == COLUMNS
    return cells[2:]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_row_is_whole_and_its_tests_exist(row):
    assert len(row) == len(COLUMNS)
    assert all(row), "what is left is said too, if nothing else as 'nothing known'"
    named = re.findall(r"`([^`]+)::(\w+)`", row[3])
    assert named
    assert re.sub(r"`[^`]+::\w+`|[ ,]", "", row[3]) == ""
    for path, test in named:
        file = ROOT / path
        assert file.is_file(), path
        assert re.search(rf"^def {test}\(", file.read_text(encoding="utf-8"), re.MULTILINE), test


def test_every_entry_has_a_row():
    named = [row[0] for row in rows()]
    assert {
        entry for entry in ENTRIES if not any(name.startswith(entry) for name in named)
    } == set()


def test_every_test_of_this_folder_is_named_in_the_table():
    """One that no row speaks of shows something that the page does not say, or nothing."""
    named = {path for row in rows() for path, _ in re.findall(r"`([^`]+)::(\w+)`", row[3])}
    here = {str(path.relative_to(ROOT)) for path in (ROOT / "tests/security").glob("test_*.py")}
    assert here - named == {"tests/security/test_threat_table.py"}
