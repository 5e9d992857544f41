"""Checkpoints: whole, typed, and of one task."""

import logging
import os
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus.core.errors import ConfigError
from isthmus.training.checkpoint import (
    Checkpoint,
    UnreadableCheckpoint,
    find_checkpoint,
    load_checkpoint,
    random_state,
    remove_leftovers,
    restore_random_state,
    save_checkpoint,
)

TASK = "a" * 64


@pytest.fixture
def checkpoint() -> Checkpoint:
    model = torch.nn.Linear(30, 30)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 30)).sum().backward()
    optimiser.step()
    return Checkpoint(
        task=TASK,
        epoch=3,
        step=2,
        model=model.state_dict(),
        optimiser=optimiser.state_dict(),
        scaler={},
        best_model=None,
        history=[{"epoch": 1, "train_loss": 0.5}],
        loss_sums=[1.0, 2.0],
        seconds=1.5,
        random_states=[random_state()],
    )


def test_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "last.pt")
    loaded = load_checkpoint(tmp_path / "last.pt")
    assert torch.equal(loaded.model["weight"], checkpoint.model["weight"])
    moment = checkpoint.optimiser["state"][0]["exp_avg_sq"]
    assert torch.equal(loaded.optimiser["state"][0]["exp_avg_sq"], moment)
    assert (loaded.epoch, loaded.step, loaded.history) == (3, 2, checkpoint.history)
    assert list(tmp_path.iterdir()) == [tmp_path / "last.pt"]


def test_random_generators_are_restored() -> None:
    state = random_state()
    drawn = (random.random(), float(np.random.random()), float(torch.rand(())))  # noqa: NPY002
    restore_random_state(state)
    again = (random.random(), float(np.random.random()), float(torch.rand(())))  # noqa: NPY002
    assert drawn == again


def test_another_task_is_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save_checkpoint(checkpoint, tmp_path / "last.pt")
    with pytest.raises(ConfigError, match=r"last.pt: must be of the task that is trained \(bbbb"):
        find_checkpoint(tmp_path, "b" * 64)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
def test_damaged_checkpoint_is_passed_over(
    checkpoint: Checkpoint, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(checkpoint, path)
    save_checkpoint(replace(checkpoint, epoch=2, step=0), tmp_path / "best.pt")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        weights = checkpoint.model["weight"].numpy().tobytes()
        content[bytes(content).index(weights) + 100] ^= 0xFF
    damaged = {
        "truncated": content[: len(content) // 2],
        "flipped": content,
        "empty": b"",
        "text": b"not a checkpoint",
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(UnreadableCheckpoint, match=r"last\.pt"):
        load_checkpoint(path)
    with caplog.at_level(logging.WARNING, "isthmus.training"):
        found = find_checkpoint(tmp_path, TASK)
    assert found == tmp_path / "best.pt"
    assert "passed over" in caplog.text


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Malicious:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "ran"),)

    torch.save({"format": 1, "model": Malicious()}, tmp_path / "last.pt")
    with pytest.raises(UnreadableCheckpoint):
        load_checkpoint(tmp_path / "last.pt")
    assert not (tmp_path / "ran").exists()


def test_fields_of_another_version_are_refused(tmp_path: Path) -> None:
    torch.save({"format": 1, "model": {}}, tmp_path / "last.pt")
    with pytest.raises(UnreadableCheckpoint, match="must hold"):
        load_checkpoint(tmp_path / "last.pt")
    torch.save({"format": 99}, tmp_path / "last.pt")
    with pytest.raises(UnreadableCheckpoint, match="format 1"):
        load_checkpoint(tmp_path / "last.pt")


def test_nothing_there(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path, TASK) is None


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".last.pt.123.tmp").write_bytes(b"half")
    (tmp_path / "last.pt").write_bytes(b"whole")
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "last.pt"]
