"""The losses of the first steps of training: a refactor must reproduce them."""

from collections.abc import Callable

import pytest
import torch

from isthmus.config.load import resolve
from isthmus.model.families import build_model
from isthmus.training.order import Slicing
from isthmus.training.ranks import Ranks
from isthmus.training.step import StepPlan, make_learner, take_step

GRID = (16, 16, 8)
SMALL = {
    "embedding_size": 64,
    "depth": 2,
    "mid_flow_blocks": 1,
    "kernel_size": [3, 4, 3],
}
ARMS = {
    "paper": {},
    "released": {"convolution": "standard"},
    "group_norm_sum_no_skips": {
        "norm": "group",
        "fusion": {"operation": "sum"},
        "skips": "none",
        "bottleneck": "dense",
    },
}


@pytest.mark.parametrize("arm", ARMS)
def test_losses_of_the_first_steps(golden: Callable[..., None], arm: str) -> None:
    config = resolve(
        {
            "cohort": {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w", "FA"]},
            "model": {**SMALL, **ARMS[arm]},
            "training": {"global_batch_size": 2},
        }
    )
    draw = torch.Generator().manual_seed(1)
    model = build_model(config.model, config.fused_modalities, GRID, draw)
    mask_DHW = torch.ones(GRID, dtype=torch.bool)
    ranks = Ranks(0, 1, torch.device("cpu"))
    learner = make_learner(model, mask_DHW, config.training, Slicing(2, 1, 1), ranks, 0)
    x_BMDHW = torch.rand(2, 2, *GRID, generator=draw)
    losses = []
    for step in range(1, 5):
        plan = StepPlan(("sub-1", "sub-2"), 0, 1, step, config.training.learning_rate)
        losses.append(take_step(learner, plan, iter([x_BMDHW])).tolist())
    # Processors differ in the last digits of a float32 sum, and each step carries them on.
    golden(f"losses_{arm}", losses, relative=1e-5)
