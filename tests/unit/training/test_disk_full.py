"""A disk that is really full: refused by type, nothing half-written, and gone on with later."""

import contextlib
import errno
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from isthmus.config.load import load_experiment
from isthmus.core.errors import DiskFull
from isthmus.core.files import disk_full, room_needed, write_atomically, write_bytes, write_json
from isthmus.stratification.embedding_table import load_parquet
from isthmus.training.fit import fit
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.run import run_trial

Resize = Callable[[int], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Resize]]:
    """A file system of its own in memory, and a way to set its size in KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options: str) -> subprocess.CompletedProcess[bytes]:
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)]
        return subprocess.run(command, capture_output=True, check=False)

    if os.geteuid() != 0 or mount("size=64k").returncode != 0:
        pytest.skip("a small disk is mounted for this: run as root, where mount is permitted")
    try:
        yield folder, lambda kib: mount("remount", f"size={kib}k").check_returncode()
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def require_whole(folder: Path) -> list[str]:
    """Read every file to its end; return their names."""
    readers: dict[str, Callable[[Path], Any]] = {
        ".json": lambda path: json.loads(path.read_text()),
        ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
        ".npz": lambda path: dict(np.load(path)),
        ".pt": lambda path: torch.load(path, weights_only=True),
        ".safetensors": load_file,
        ".parquet": load_parquet,
    }
    names = []
    for path in sorted(folder.rglob("*")):
        assert not path.name.endswith(".tmp"), path
        if path.is_file() and path.name != ".lock":
            assert path.stat().st_size, path
            readers.get(path.suffix, Path.read_bytes)(path)
            names.append(path.name)
    return names


def test_a_trial_goes_on_when_there_is_room_again(ran, disk) -> None:
    folder, resize = disk
    file = ran.experiment.folder / "experiment.yaml"
    experiment = load_experiment(file, [f"execution.output={folder}"])
    resize(96)
    with pytest.raises(DiskFull, match="the file system is full") as refused:
        run_trial(experiment, InProcessLauncher(), lambda _: None)
    assert str(folder) in str(refused.value)
    assert "Make room, or set execution.output" in str(refused.value)
    assert "fitted.json" not in require_whole(folder)
    resize(64 * 1024)
    result = run_trial(experiment, InProcessLauncher(), lambda _: None)
    for number, fold in enumerate(result.folds):
        before = ran.result.folds[number]
        assert fold.metrics == before.metrics
        for name in ("model.safetensors", "embeddings.parquet", "fidelity.tsv"):
            there = ran.directory / f"fold-{number}" / name
            here = folder / ran.directory.name / f"fold-{number}" / name
            assert here.read_bytes() == there.read_bytes(), name


def test_a_full_disk_stops_a_training_at_its_last_checkpoint(make_task, disk) -> None:
    folder, resize = disk
    task = make_task(directory=str(folder / "fold"))
    steps: list[int] = []

    def fill(step: int, _: float) -> None:
        steps.append(step)
        if step == 4:
            _fill(folder)

    resize(4096)
    with pytest.raises(DiskFull, match="fold"):
        fit(task, on_step=fill)
    assert steps == [1, 2, 3, 4]
    assert "last.pt" in require_whole(folder / "fold")
    (folder / "filler").unlink()
    fitted = fit(task, on_step=lambda step, _: steps.append(step))
    assert steps[4] == 4  # step 4 had been taken, but not saved
    alone = fit(make_task(directory="alone"))
    assert fitted.digests == alone.digests


@pytest.mark.parametrize("write", [torch.save, np.save], ids=["torch", "numpy"])
def test_whatever_a_library_raises_the_old_file_stays(disk, write) -> None:
    folder, resize = disk
    resize(256)
    path = folder / "a.bin"
    write_bytes(path, b"old")
    large = np.zeros(10**6) if write is np.save else torch.zeros(10**6)
    put = (lambda f: write(f, large)) if write is np.save else (lambda f: write(large, f))
    with pytest.raises(DiskFull, match=str(folder)), room_needed(folder):
        write_atomically(path, put)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in folder.iterdir()] == ["a.bin"]
    write_json(folder / "b.json", {"there is": "room again"})


def test_other_errors_pass_through_and_quotas_are_named(tmp_path: Path) -> None:
    for error in (PermissionError(errno.EACCES, "no"), ValueError("a bug")):
        with pytest.raises(type(error)) as raised, room_needed(tmp_path):
            raise error
        assert raised.value is error
    full = disk_full(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path / "not" / "made")
    assert "quota is used up" in str(full)
    with pytest.raises(DiskFull) as again, room_needed(Path("/elsewhere")):
        raise full
    assert again.value is full


def _fill(folder: Path) -> None:
    """Leave no room on a disk."""
    with (folder / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))
