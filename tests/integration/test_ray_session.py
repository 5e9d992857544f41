"""Starting, joining and leaving Ray: what cannot work is refused soon, and nothing is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from isthmus.core.errors import ConfigError, ResourceError

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# In a session of this process an address would not be looked at: each test has its own process.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "platform")}


def test_addresses_that_cannot_work_are_refused_within_seconds():
    script = (
        "from isthmus.backends.ray_session import ray_session\n"
        "from isthmus.core.errors import IsthmusError\n"
        "for address in ('ray://head:10001', 'head', '127.0.0.1:1'):\n"
        "    try:\n"
        "        with ray_session(address): pass\n"
        "    except IsthmusError as error:\n"
        "        print(type(error).__name__, 'execution.address' in str(error))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=ENVIRONMENT,
    )
    assert done.stdout.splitlines() == [
        f"{ConfigError.__name__} True",
        f"{ConfigError.__name__} True",
        f"{ResourceError.__name__} True",
    ]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_session_leaves_nothing(number, code, tmp_path):
    script = (
        "import signal, sys, time\n"
        # a process started in the background by a shell begins with SIGINT ignored
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from isthmus.backends.ray_session import ray_session\n"
        "import ray\n"
        "try:\n"
        "    with ray_session(None):\n"
        "        print(ray._private.worker._global_node.get_session_dir_path(), flush=True)\n"
        "        time.sleep(100)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(130)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    try:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip()).parents[1]
        assert folder.stat().st_mode & 0o077 == 0
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        assert process.communicate(timeout=60) == ("", "")
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == code
    assert not folder.exists()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive
