"""Two trainings in one folder: the second waits, and is refused if that takes too long."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from isthmus.core.errors import ResourceError
from isthmus.core.ports import EpochEvent
from isthmus.training import lock as lock_module
from isthmus.training.fit import fit
from isthmus.training.lock import lock_folder
from isthmus.training.task import TrainTask

MakeTask = Callable[..., TrainTask]


def test_a_second_training_is_refused_and_leaves_the_first_alone(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "WAIT_SECONDS", 0.1)
    task = make_task()
    refusals: list[str] = []

    def train_beside(event: EpochEvent) -> None:
        live = task.directory / ".last.pt.1.tmp"
        live.touch()
        with pytest.raises(ResourceError, match="One command at a time") as caught:
            fit(task)
        assert live.exists()
        live.unlink()
        refusals.append(str(caught.value))

    fitted = fit(task, train_beside)
    assert fitted.n_epochs == len(refusals) == 3
    assert str(task.directory) in refusals[0]
    assert "Wait for it, or end it" in refusals[0]
    assert fit(task) == fitted


def test_a_folder_is_let_go_of_after_an_error(
    make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_module, "WAIT_SECONDS", 0.0)

    def stop(event: EpochEvent) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(make_task(), stop)
    assert fit(make_task()).n_epochs == 3


def test_who_waits_finds_the_training_done(make_task: MakeTask) -> None:
    task = make_task()
    second: list[object] = []
    waiting = threading.Thread(target=lambda: second.append(fit(task, on_step=_no_step)))

    def start_once(event: EpochEvent) -> None:
        if event.epoch == 1:
            waiting.start()

    first = fit(task, start_once)
    waiting.join(timeout=60)
    assert second == [first]


def test_a_lock_file_left_over_locks_nobody_out(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    for _ in range(2):
        with lock_folder(tmp_path):
            assert (tmp_path / ".lock").exists()


def _no_step(step: int, _: float) -> None:
    """Be told of nothing."""
    raise AssertionError(f"nothing was to be trained, but step {step} was")
