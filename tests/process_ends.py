"""Ends of processes: of those that a test started, and of the test's own."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

_SECONDS = 60.0


def kill_tree(process: psutil.Popen) -> None:
    """Kill a process and all that it started, and wait for their ends."""
    below = process.children(recursive=True) if process.is_running() else []
    for each in [process, *below]:
        with suppress(psutil.NoSuchProcess):
            each.send_signal(signal.SIGKILL)
    left = psutil.wait_procs([process, *below], timeout=_SECONDS)[1]
    assert not left, f"killed, and not over after {_SECONDS:g} s: {left}"


@contextmanager
def told_to_end_is_an_exception() -> Iterator[None]:
    """Let SIGTERM run every `finally`."""

    def end(number: int, _: object) -> None:
        # pytest would take SystemExit for the failure of one test, and go on with the next
        raise KeyboardInterrupt(f"told to end by signal {number}")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
