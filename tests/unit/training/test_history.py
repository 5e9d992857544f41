"""What follows from a history: the best epoch, when to stop."""

from pathlib import Path

import pytest

from isthmus.config.training import EarlyStoppingConfig
from isthmus.training.history import best_epoch, is_over, read_history, stale_epochs, write_history


def watched(*losses: float) -> list[dict[str, float]]:
    return [{"epoch": i, "monitor_loss": loss} for i, loss in enumerate(losses, start=1)]


def test_best_is_the_lowest_and_of_equals_the_first() -> None:
    assert best_epoch(watched(3.0, 1.0, 2.0, 1.0)) == 2


def test_without_a_monitor_the_last_is_best_and_nothing_grows_stale() -> None:
    history = [{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 9.0}]
    assert best_epoch(history) == 2
    assert stale_epochs(history, 0.0) == 0
    assert best_epoch([]) == 0


@pytest.mark.parametrize(
    ("losses", "min_delta", "expected"),
    [
        ((3.0, 2.0, 1.0), 0.0, 0),
        ((1.0, 2.0, 1.5), 0.0, 2),
        ((1.0, 1.0), 0.0, 1),
        ((1.0, 0.9, 0.8), 0.5, 2),
        ((1.0, 0.9, 0.4), 0.5, 0),
    ],
)
def test_stale_epochs(losses: tuple[float, ...], min_delta: float, expected: int) -> None:
    assert stale_epochs(watched(*losses), min_delta) == expected


def test_over_when_patience_or_epochs_run_out() -> None:
    config = EarlyStoppingConfig(monitor_share=0.2, patience=2)
    assert not is_over(watched(1.0, 2.0), 10, config)
    assert is_over(watched(1.0, 2.0, 2.0), 10, config)
    assert is_over(watched(1.0, 0.5), 2, config)
    assert not is_over(watched(1.0, 2.0, 3.0), 10, EarlyStoppingConfig(monitor_share=0.2))


def test_file_round_trip(tmp_path: Path) -> None:
    history = watched(1.0, 0.1)
    write_history(history, tmp_path)
    assert read_history(tmp_path) == tuple(history)
    write_history(history[:1], tmp_path)
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 1
