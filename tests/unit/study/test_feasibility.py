"""Points that cannot be trained are told with the reason; the bound on memory is one."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import resolve
from isthmus.model.description import describe_model
from isthmus.study.feasibility import why_not
from isthmus.training.footprint import least_bytes

GRID = (32, 32, 32)
COHORT = {"images": "{participant_id}_{modality}.nii.gz", "modalities": ["T1w", "FA"]}
SMALL = {"depth": 2, "base_channels": 2, "embedding_size": 512, "kernel_size": 3}
# Prints what a step adds to the memory of a process that has taken a small one.
STEPS = """
import json, sys
import psutil, torch
from peak_memory import peak_bytes
from isthmus.config.load import resolve
from isthmus.model.families import build_model
from isthmus.training.order import slicing
from isthmus.training.ranks import Ranks, compute_settings
from isthmus.training.step import StepPlan, make_learner, take_step

def steps(settings, grid, n_steps):
    config, ranks = resolve(settings), Ranks(0, 1, torch.device("cpu"))
    cut, names = slicing(config.training, 1), config.fused_modalities
    model, mask = build_model(config.model, names, grid), torch.ones(grid, dtype=torch.bool)
    ids = tuple(f"sub-{i}" for i in range(cut.global_batch_size))
    with compute_settings(config.execution, ranks):
        learner = make_learner(model, mask, config.training, cut, ranks, 0)
        for number in range(n_steps):
            part = torch.rand(cut.part_size, len(names), *grid)
            take_step(learner, StepPlan(ids, 0, 1, number + 1, 1e-3), iter([part]))

settings, small, grid = json.loads(sys.argv[1])
steps(small, (8, 8, 8), 1)
before = psutil.Process().memory_info().rss
steps(settings, tuple(grid), 2)
print(peak_bytes() - before)
"""


def settings(model: dict[str, Any] | None = None, **training: Any) -> dict[str, Any]:
    return {
        "cohort": COHORT,
        "model": {**SMALL, **(model or {})},
        "training": training,
        "execution": {"device": "cpu", "threads_per_worker": 1},
    }


def config(model: dict[str, Any] | None = None, **training: Any) -> ExperimentConfig:
    return resolve(settings(model, **training))


def test_nothing_speaks_against_what_can_be_trained() -> None:
    assert why_not(config(global_batch_size=4), GRID, 2, 2**34, n_train=4) is None
    assert why_not(config(), GRID, 1, None) is None


@pytest.mark.parametrize(
    ("changed", "workers", "named"),
    [
        (config({"embedding_size": 500}), 1, "model.embedding_size must be a multiple"),
        (config(global_batch_size=4), 3, r"multiple of.*execution\.workers \(3\)"),
        (config(global_batch_size=8), 1, "at most the training fold's 6 subjects"),
        (
            config({"depth": 5, "embedding_size": 64}, global_batch_size=2, accumulation_steps=2),
            1,
            "more than one value a channel",
        ),
    ],
)
def test_what_cannot_be_built_has_a_reason(
    changed: ExperimentConfig, workers: int, named: str
) -> None:
    reason = why_not(changed, GRID, workers, None, n_train=6)
    assert reason is not None
    assert re.search(named, reason), reason


def test_a_single_voxel_is_enough_where_a_slice_has_two_subjects() -> None:
    deep = {"depth": 5, "embedding_size": 64}
    assert why_not(config(deep, global_batch_size=2), GRID, 1, None) is None
    sliced = config(deep, global_batch_size=4, accumulation_steps=2)
    assert why_not(sliced, GRID, 2, None) is None


def test_memory_rules_out_what_does_not_fit_one_subject_at_a_time() -> None:
    batch = config(global_batch_size=8)
    description = describe_model(batch.model, batch.fused_modalities, GRID)
    one = least_bytes(batch, description, n_subjects=1)
    assert least_bytes(batch, description, n_subjects=8) > 4 * one
    # eight at a time would not fit either, but smaller slices do
    assert why_not(batch, GRID, 1, one) is None
    reason = why_not(batch, GRID, 1, one - 1)
    assert reason is not None
    assert "at least" in reason
    assert "one subject at a time" in reason


def test_half_the_precision_takes_less() -> None:
    full, half = config(), config(precision="bfloat16")
    description = describe_model(full.model, full.fused_modalities, GRID)
    assert least_bytes(half, description, 1) < 0.7 * least_bytes(full, description, 1)


@pytest.mark.parametrize(
    ("model", "training"),
    [
        ({"base_channels": 8, "norm": "group"}, {"global_batch_size": 4}),
        ({"base_channels": 8}, {"global_batch_size": 4, "precision": "bfloat16"}),
        ({"base_channels": 64, "convolution": "standard", "mid_flow_blocks": 0}, {}),
    ],
)
def test_a_real_step_takes_no_less_than_the_bound(
    model: dict[str, Any], training: dict[str, Any]
) -> None:
    measured = resolve(settings(model, **training))
    description = describe_model(measured.model, measured.fused_modalities, GRID)
    bound = least_bytes(measured, description, measured.training.global_batch_size)
    small = settings({"depth": 1, "base_channels": 1, "embedding_size": 64}, **training)
    tests = Path(__file__).parents[2]
    paths = os.pathsep.join([str(tests), str(tests.parent / "platform")])
    done = subprocess.run(
        [sys.executable, "-c", STEPS, json.dumps([settings(model, **training), small, GRID])],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    taken = int(done.stdout)
    assert bound <= taken < 4 * bound


def test_a_model_is_looked_at_once() -> None:
    full_size = {"cohort": COHORT}
    assert why_not(resolve(full_size), (128, 128, 96), 1, 2**40) is None
    start = time.process_time()
    for rate in (1e-4, 1e-3):
        other = resolve({**full_size, "training": {"learning_rate": rate}})
        assert why_not(other, (128, 128, 96), 1, 2**40) is None
    assert time.process_time() - start < 0.3
