"""This process by itself, and the settings it computes under."""

import pytest
import torch

from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ResourceError
from isthmus.training.ranks import Ranks, alone, compute_settings


def test_alone_is_a_world_of_one_even_in_a_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert alone(ExecutionConfig(device="cpu")) == Ranks(0, 1, torch.device("cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_alone_takes_the_device_that_was_asked_for() -> None:
    with pytest.raises(ResourceError, match=r"execution\.device: cuda needs a GPU"):
        alone(ExecutionConfig(device="cuda"))


def test_settings_hold_for_evaluation_and_are_put_back() -> None:
    execution = ExecutionConfig(device="cpu", threads_per_worker=2)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with compute_settings(execution, alone(execution)):
            assert torch.get_num_threads() == 2
            assert torch.backends.cudnn.deterministic
            assert not torch.backends.cudnn.benchmark
        assert torch.get_num_threads() == 3
        assert not torch.backends.cudnn.deterministic
    finally:
        torch.set_num_threads(before)
