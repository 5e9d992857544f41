"""The audit of packages notices what it is for, and never waits for a network."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).with_name("audit.py")


@pytest.fixture(scope="module")
def audit():
    spec = importlib.util.spec_from_file_location("audit", AUDIT)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_without_a_network_the_audit_says_so_and_ends():
    """Nothing listens at the proxy that it is given."""
    nowhere = "http://127.0.0.1:1"
    done = subprocess.run(
        [sys.executable, str(AUDIT)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env={**os.environ, "HTTPS_PROXY": nowhere, "https_proxy": nowhere, "NO_PROXY": ""},
    )
    assert "\nadvisories not checked: " in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == (1 if "WRONG" in done.stderr else 0)


def test_another_version_than_the_pinned_one_is_noticed(audit, monkeypatch):
    pinned = audit.pins()
    assert audit.unpinned(["numpy", "torch"]) == []
    monkeypatch.setattr(audit, "pins", lambda: {**pinned, "numpy": "0.1"})
    (line,) = audit.unpinned(["numpy", "torch"])
    assert line.endswith("constraints.txt has 0.1")
    monkeypatch.setattr(audit, "pins", dict)
    assert len(audit.unpinned(["numpy", "torch"])) == 2


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("MIT", 0),
        ("GPL-3.0-or-later", 1),
        ("AGPL-3.0", 1),
        ("GNU General Public License v3 (GPLv3)", 1),
        ("", 1),
    ],
)
def test_a_licence_that_binds_is_noticed(audit, monkeypatch, text, wrong):
    monkeypatch.setattr(audit, "licence", lambda name: text)
    assert len(audit.unlicensed(["numpy"])) == wrong


def test_what_is_needed_is_followed_through_extras(audit):
    used = audit.needed([])
    assert {"torch", "mlflow", "flask", "grpcio"} <= used
    assert "pytest" not in used
    assert used < audit.needed(["dev"])
