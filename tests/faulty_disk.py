"""File systems that run full, that are slow and that hang for a while: real ones, mounted here."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from process_ends import told_to_end_is_an_exception

_SECONDS = 30.0


@contextmanager
def small_disk(place: Path, mib: int) -> Iterator[Path]:
    """Mount an ext4 of so many MiB, which is kept in a file."""
    _require_root("mkfs.ext4", "mount", "umount")
    image, disk = place / "disk.img", place / "disk"
    disk.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(mib * 2**20)
    # root may not use more than others: no blocks are kept back for it
    _run("mkfs.ext4", "-q", "-m", "0", str(image))
    with told_to_end_is_an_exception():
        try:
            _mount("mount", "-o", "loop", str(image), str(disk))
            yield disk
        finally:
            _unmount(disk)


class Ballast:
    """Something else's file, which takes all the room that a disk has left."""

    def __init__(self, disk: Path) -> None:
        self._file = disk / "ballast"

    def fill(self) -> None:
        """Write until there is no room for one byte more."""
        with self._file.open("wb", buffering=0) as file:
            for n_bytes in (2**20, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(n_bytes)):
                        pass
            with contextlib.suppress(OSError):
                os.fsync(file.fileno())

    def remove(self) -> None:
        """Make room."""
        self._file.unlink()


class SlowDisk:
    """A folder seen through bindfs, which lets only so many bytes a second pass."""

    def __init__(self, folder: Path, process: psutil.Process) -> None:
        self.folder = folder
        self._process = process

    def hang(self, seconds: float) -> None:
        """Let nothing pass for a while: who reads or writes is held up in the kernel."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def slow_disk(place: Path, write_mib_s: float, read_mib_s: float) -> Iterator[SlowDisk]:
    """Mount a folder whose files are read and written slowly, whatever is in the cache."""
    _require_root("bindfs", "fusermount3", "umount")
    if not Path("/dev/fuse").exists():
        pytest.skip("a slow disk needs /dev/fuse: load the kernel's fuse module")
    behind, disk = place / "behind", place / "disk"
    for folder in (behind, disk):
        folder.mkdir(parents=True)
    limits = (f"--write-rate={write_mib_s * 2**20:.0f}", f"--read-rate={read_mib_s * 2**20:.0f}")
    before = {process.pid for process in psutil.process_iter()}
    with told_to_end_is_an_exception():
        try:
            _mount("bindfs", *limits, str(behind), str(disk))
            (served,) = [
                process
                for process in psutil.process_iter()
                if process.pid not in before
                and process.name() == "bindfs"
                and str(disk) in process.cmdline()
            ]
            yield SlowDisk(disk, served)
        finally:
            _unmount(disk)


def _require_root(*programs: str) -> None:
    """Skip the test where it may not mount, or has not what it mounts with."""
    if os.geteuid():
        pytest.skip("a disk of its own needs root, to mount it")
    packages = {"bindfs": "bindfs", "fusermount3": "fuse3", "mkfs.ext4": "e2fsprogs"}
    for program in programs:
        if shutil.which(program) is None:
            name = packages.get(program, "mount")
            pytest.skip(f"a disk of its own needs {program}: apt-get install {name}")


def _mount(*command: str) -> None:
    """Mount something, or skip the test where the kernel does not let it."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    if done.returncode:
        pytest.skip(f"{command[0]} cannot mount here: {done.stderr.strip()}")


def _run(*command: str) -> None:
    """Run something that has to work."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def _unmount(disk: Path) -> None:
    """Take it away also from those who still hold files open there."""
    command = ["umount", "--lazy", str(disk)]
    subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
