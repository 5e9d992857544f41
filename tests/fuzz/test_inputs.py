"""Any bytes at all: accepted, or refused with an error of ours, in bounded time and memory.

How many inputs each engine tries on each target is set by ISTHMUS_FUZZ_INPUTS; `make fuzz` sets
100000, `make test-faults` a quarter of that. A failing input is printed, to become a test beside
the module that it is about.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fuzz.run import TARGETS

ROOT = Path(__file__).parents[2]
N_INPUTS = int(os.environ.get("ISTHMUS_FUZZ_INPUTS", "1000"))
SECONDS = 60 + N_INPUTS / 20
MOST_MIB = 1024


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A folder in memory where the system has one: each input is a file of its own."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("engine", ["structured", "guided"])
@pytest.mark.parametrize("target", TARGETS)
def test_no_input_ends_in_anything_but_an_error_of_ours(
    target: str, engine: str, in_memory: Path, record_property: Callable[[str, object], None]
) -> None:
    if engine == "guided":
        pytest.importorskip("atheris", reason="needs atheris: pip install 'isthmus[dev]'")
    # A warning of numpy's or Python's on somebody's terminal is a defect, too.
    command = [sys.executable, "-W", "error::RuntimeWarning", "-W", "error::ResourceWarning"]
    command += ["-m", "fuzz.run", target, engine, str(N_INPUTS), str(in_memory)]
    paths = os.pathsep.join(str(ROOT / name) for name in ("tests", "platform"))
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        cwd=in_memory,
        check=False,
    )
    failing, counted = in_memory / "failing-input", in_memory / "counts.json"
    if failing.exists() or not counted.exists():
        given = failing.read_bytes() if failing.exists() else b"(no input failed)"
        pytest.fail(f"{target}, {engine}: {given!r}\n{done.stderr[-6000:]}")
    assert done.returncode == 0, done.stderr[-6000:]
    counts = json.loads(counted.read_text())
    assert counts["inputs"] >= N_INPUTS
    assert counts["inputs"] == counts["accepted"] + counts["refused"]
    assert counts["accepted"] > 0
    assert counts["refused"] > 0
    assert counts["peak_mib"] < MOST_MIB
    record_property(
        "fuzzed",
        f"{target}, {engine}: {counts['inputs']:,} inputs, {counts['accepted']:,} accepted, "
        f"{counts['refused']:,} refused with an error of ours, 0 other; slowest "
        f"{counts['slowest_ms']} ms, {counts['inputs_a_processor_second']:,} a processor second, "
        f"peak {counts['peak_mib']} MiB",
    )


@pytest.mark.parametrize(
    ("attempt", "says"),
    [
        ("open('../escaped', 'w')", "OutOfBounds"),
        ("import os; os.mkdir('../escaped')", "OutOfBounds"),
        ("import os; os.system('true')", "OutOfBounds"),
        ("while True: pass", "TooLong"),
        ("x = bytearray(2**34)", "MemoryError"),
        ("raise KeyError('no error of ours')", "KeyError"),
    ],
)
def test_the_watch_finds_what_it_is_for(attempt: str, says: str, in_memory: Path) -> None:
    """Each thing that no input may do is done once, and found."""
    program = (
        "import resource, sys; from pathlib import Path; from fuzz import run\n"
        "resource.setrlimit(resource.RLIMIT_AS, (run.MOST_BYTES, run.MOST_BYTES))\n"
        "run.SECONDS_AN_INPUT = 0.2\n"
        f"watch = run.Watch(lambda data: exec({attempt!r}) or True, Path(sys.argv[1]), 2)\n"
        "watch.take(b'an input')\n"
    )
    paths = os.pathsep.join(str(ROOT / name) for name in ("tests", "platform"))
    done = subprocess.run(
        [sys.executable, "-c", program, str(in_memory)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=60,
        cwd=in_memory,
        check=False,
    )
    assert done.returncode != 0
    assert says in done.stderr.splitlines()[-1], done.stderr
    assert (in_memory / "failing-input").read_bytes() == b"an input"
    assert not (in_memory.parent / "escaped").exists()
