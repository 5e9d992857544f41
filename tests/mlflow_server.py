"""A real `mlflow server` on loopback that can be killed and started again at the same address."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "platform"
START_SECONDS, END_SECONDS = 90.0, 60.0


class MlflowServer:
    """One server; it takes 10 to 55 s to start.

    It keeps runs in `backend`, a sqlite file of its own unless given, and artifacts in `artifacts`,
    a folder of its own unless given. `given` is added to its environment.
    """

    def __init__(
        self,
        home: Path,
        backend: str | None = None,
        artifacts: str | None = None,
        given: dict[str, str] | None = None,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._home = home
        self._backend = backend or f"sqlite:///{home / 'mlflow.db'}"
        self._artifacts = artifacts or str(home / "artifacts")
        self._given = given or {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"),
            *("--backend-store-uri", self._backend),
            *("--artifacts-destination", self._artifacts),
        ]
        log = self._home / "log"
        with log.open("ab") as written:
            self._process = subprocess.Popen(
                command,
                cwd=self._home,
                stdout=written,
                stderr=written,
                start_new_session=True,
                env={
                    **environment(),
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                    **self._given,
                },
            )
        limit = time.monotonic() + START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.3)

    def kill(self) -> None:
        """End it and its workers at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                said = f"MLflow's server was killed, and is not over after {END_SECONDS:g} s"
                raise AssertionError(said) from None
            self._process = None

    def _answers(self) -> bool:
        """Ask for its health."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
            return True
        return False


def environment() -> dict[str, str]:
    """Let a child process find the package, installed or not."""
    return {**os.environ, "PYTHONPATH": str(SOURCES)}
