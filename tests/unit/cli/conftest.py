"""The terminal's width, which test runners have ideas of."""

import pytest

from isthmus.cli import terminal


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """As wide as where nobody looks at a width."""
    monkeypatch.setattr(terminal.out, "width", terminal.PIPE_COLUMNS)
