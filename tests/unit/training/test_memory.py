"""Freed memory is kept: a second large block costs no new pages."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import numpy as np
from isthmus.training.memory import keep_freed_memory
if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(77)
for _ in range(5):
    block = np.ones(64 * 2**20, np.uint8)
    del block
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    block = np.ones(64 * 2**20, np.uint8)
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=False
    )
    if done.returncode == 77:
        pytest.skip("this C library has no mallopt; glibc has")
    return int(done.stdout)


def test_blocks_are_used_again() -> None:
    assert page_faults("keep") < page_faults("give back") / 5
