"""A real PostgreSQL of its own on loopback, which can be stopped, killed and started again."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Literal, Self

import pytest

START_SECONDS = 60.0
STOP_SECONDS = 60.0
USER = "searcher"
PASSWORD = "secret"
# What a stop does with those who are connected: wait for them, cut them off, or drop everything.
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_PROGRAMS = ("initdb", "postgres", "pg_isready", "psql")


class PostgresServer:
    """One server with a data folder under /tmp; a context manager that removes both.

    Parameters
    ----------
    **settings : str
        PostgreSQL's own, such as ``max_connections="100"``. Writes are not forced to the disk
        unless ``fsync="on"`` is given: a killed server loses nothing by that, a machine would.
    """

    def __init__(self, **settings: str) -> None:
        self._binaries = binaries()
        self._settings = {"fsync": "off", "unix_socket_directories": "", **settings}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._as_user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")

    def __enter__(self) -> Self:
        try:
            self._make()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", password: str | None = PASSWORD) -> str:
        """Address a database of it; None leaves the password to PGPASSWORD or PGPASSFILE."""
        who = USER if password is None else f"{USER}:{password}"
        return f"postgresql://{who}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Make an empty database and return its URL."""
        self.sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def sql(self, statement: str, database: str = "postgres") -> list[list[str]]:
        """Ask the server something by its own client; return rows of text."""
        done = subprocess.run(
            [
                *(self._binaries / "psql", "-X", "-q", "-At", "-F", "\t", "-v", "ON_ERROR_STOP=1"),
                *("-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", database),
                *("-c", statement),
            ],
            env={**os.environ, "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "10"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{statement}: {done.stderr}"
        return [line.split("\t") for line in done.stdout.splitlines()]

    def start(self) -> None:
        """Start it, on the data that it had, and wait until it answers."""
        options = [f"{name}={value}" for name, value in self._settings.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._binaries / "postgres", "-D", "data"),
                    *("-p", str(self.port), "-h", "127.0.0.1"),
                    *(text for option in options for text in ("-c", option)),
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **self._as_user,
            )
        ready = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        until = time.monotonic() + START_SECONDS
        while subprocess.run(ready, check=False, timeout=10).returncode:
            told = f"PostgreSQL must answer at port {self.port}: {self.log.read_text()[-4000:]}"
            assert self._process.poll() is None, told
            assert time.monotonic() < until, f"within {START_SECONDS:.0f} s {told}"
            time.sleep(0.05)

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "fast") -> None:
        """Ask it to end, and wait until it has: its data stay."""
        if self._process is not None:
            self._process.send_signal(_SIGNALS[mode])
            self._process.wait(timeout=STOP_SECONDS)
            self._process = None

    def kill(self) -> None:
        """End the server and what serves each connection at once; its data stay."""
        if self._process is None:
            return
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(timeout=STOP_SECONDS)
        self._process = None

    @property
    def log(self) -> Path:
        """What the server has said."""
        return self.folder / "log"

    @property
    def process_id(self) -> int:
        """The server's own process."""
        assert self._process is not None, "PostgreSQL is not running"
        return self._process.pid

    def _make(self) -> None:
        """Make the data folder, with one user who needs the password."""
        (self.folder / "password").write_text(PASSWORD)
        make = [self._binaries / "initdb", "-D", "data", "-U", USER, "-A", "scram-sha-256"]
        make += ["--pwfile=password", "--no-sync"]
        done = subprocess.run(
            make, cwd=self.folder, capture_output=True, text=True, timeout=120, **self._as_user
        )
        assert done.returncode == 0, done.stderr


def binaries() -> Path:
    """Find PostgreSQL's own programs, which are not always on the path, or skip the test."""
    folders = [Path(found).parent for name in ("initdb",) if (found := shutil.which(name))]
    if (config := shutil.which("pg_config")) is not None:
        told = subprocess.run(
            [config, "--bindir"], capture_output=True, text=True, check=True, timeout=STOP_SECONDS
        )
        folders.append(Path(told.stdout.strip()))
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in folders:
        if all((folder / name).exists() for name in _PROGRAMS):
            return folder
    pytest.skip("PostgreSQL is not installed (initdb, postgres): apt-get install postgresql")


def _children(pid: int) -> list[int]:
    """List the processes that a process has started."""
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in listed.read_text().split()] if listed.exists() else []
