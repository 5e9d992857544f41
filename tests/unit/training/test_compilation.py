"""A compiled model trains as the model itself does; where nothing can compile, that is said."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from isthmus.config.architecture import ModelConfig
from isthmus.config.execution import ExecutionConfig
from isthmus.config.training import TrainingConfig
from isthmus.model.families import build_model
from isthmus.training.order import Slicing
from isthmus.training.ranks import Ranks
from isthmus.training.step import Learner, StepPlan, make_learner, take_step

GRID = (4, 4, 4)
WITHOUT_COMPILER = """
import torch
from isthmus.core.errors import ResourceError
from isthmus.training.compilation import require_compiler
try:
    require_compiler(torch.device("cpu"))
except ResourceError as error:
    print(error)
"""


def learner(execution: ExecutionConfig) -> Learner:
    """Make the same small learner each time."""
    config = ModelConfig(
        depth=1, base_channels=2, kernel_size=3, mid_flow_blocks=0, embedding_size=32, dropout=0.3
    )
    model = build_model(config, ("T1w",), GRID, torch.Generator().manual_seed(0)).train()
    mask, ranks = torch.ones(GRID, dtype=torch.bool), Ranks(0, 1, torch.device("cpu"))
    settings = TrainingConfig(global_batch_size=2, learning_rate=0.01)
    return make_learner(model, mask, settings, Slicing(2, 1, 1), ranks, 0, execution=execution)


def losses(of: Learner) -> list[float]:
    """Take a few steps."""
    x = torch.rand(2, 1, *GRID, generator=torch.Generator().manual_seed(1))
    plans = [StepPlan(("sub-1", "sub-2"), 0, 1, step, 0.01) for step in range(1, 6)]
    return [float(take_step(of, plan, iter([x])).sum()) for plan in plans]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of torch.compile's own inner doings
def test_a_compiled_model_trains_alike_under_the_same_names() -> None:
    plain, compiled = learner(ExecutionConfig()), learner(ExecutionConfig(compile=True))
    expected = losses(plain)
    try:
        found = losses(compiled)
    finally:
        torch.compiler.reset()
    # The first loss comes of the same weights, with the same values dropped.
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert found == pytest.approx(expected, rel=1e-3)
    assert found[-1] < found[0]
    assert list(compiled.model.state_dict()) == list(plain.model.state_dict())
    plain.model.load_state_dict(compiled.model.state_dict())


@pytest.mark.slow
def test_a_missing_compiler_is_told_before_the_first_step(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[3] / "platform"),
            "CXX": str(tmp_path / "no-compiler"),
        },
    )
    assert done.returncode == 0, done.stderr
    assert "execution.compile: true needs torch.compile to work on 'cpu'" in done.stdout
    assert "No working C++ compiler" in done.stdout


def test_what_is_computed_again_is_not_compiled() -> None:
    with pytest.raises(ValidationError, match=r"activation_checkpointing: none, got levels"):
        ExecutionConfig(compile=True, activation_checkpointing="levels")
