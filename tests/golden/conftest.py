"""Golden values: what a refactor must reproduce. `make golden` alone rewrites them."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isthmus.core.files import write_json

FOLDER = Path(__file__).parent
Golden = Callable[..., None]


@pytest.fixture
def golden() -> Golden:
    """Return a check of a value against its file, or the rewriting of that file."""

    def check(name: str, value: Any, relative: float = 0.0) -> None:
        path = FOLDER / f"{name}.json"
        if os.environ.get("ISTHMUS_WRITE_GOLDEN"):
            write_json(path, value)
            return
        expected = json.loads(path.read_text(encoding="utf-8"))
        if relative:
            value, expected = _numbers(value), _numbers(expected)
            assert value == pytest.approx(expected, rel=relative, abs=0.0)
        assert value == expected or relative

    return check


def _numbers(value: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested mappings and sequences, for a comparison with tolerance."""
    if isinstance(value, dict):
        parts = [_numbers(inner, f"{path}/{key}") for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        parts = [_numbers(inner, f"{path}/{number}") for number, inner in enumerate(value)]
    else:
        return {path: value}
    return {key: inner for part in parts for key, inner in part.items()}
