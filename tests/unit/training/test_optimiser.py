"""Learning rate, weight decay and clipping."""

import copy
import itertools
import math

import pytest
import torch
from torch import nn

from isthmus.config.training import TrainingConfig
from isthmus.training.optimiser import (
    ADAM_EPSILON,
    clip_gradient,
    learning_rate,
    longest_factor,
    make_optimiser,
)


def test_constant_rate_is_constant() -> None:
    config = TrainingConfig(learning_rate=0.01)
    assert {learning_rate(step, 50, config) for step in range(50)} == {0.01}


def test_warmup_rises_to_the_full_rate_and_cosine_falls_to_nearly_nothing() -> None:
    config = TrainingConfig(learning_rate=1.0, schedule="warmup_cosine", warmup_share=0.1)
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert all(a > b for a, b in itertools.pairwise(rates[10:]))
    assert 0 < rates[-1] < 1e-3


def test_no_warmup() -> None:
    config = TrainingConfig(learning_rate=1.0, schedule="warmup_cosine", warmup_share=0.0)
    assert learning_rate(0, 10, config) == 1.0


def test_adamw_decays_kernels_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    optimiser = make_optimiser(
        model, TrainingConfig(optimizer="adamw", weight_decay=0.5, learning_rate=0.1)
    )
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    assert torch.allclose(model[0].weight, torch.tensor(0.95))
    for unchanged in (model[0].bias, model[1].weight, model[1].bias):
        assert torch.equal(unchanged, torch.ones(2))


def steps_of(optimiser: torch.optim.Optimizer, parameter: nn.Parameter, numbers: range) -> None:
    """Step with a gradient for each number."""
    for number in numbers:
        draw = torch.Generator().manual_seed(number)
        parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimiser.step()


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_a_state_of_the_unfused_form_is_continued_in_the_fused_one(optimizer: str) -> None:
    decay = {"weight_decay": 0.1} if optimizer == "adamw" else {}
    config = TrainingConfig(optimizer=optimizer, learning_rate=0.1, **decay)
    before, after = nn.Linear(40, 3, bias=False), nn.Linear(40, 3, bias=False)
    kind = torch.optim.AdamW if decay else torch.optim.Adam
    # The groups are as `make_optimiser` orders them; the second has no parameter here.
    groups = [{"params": [before.weight], **decay}]
    groups += [{"params": [], "weight_decay": 0.0}] if decay else []
    old = kind(groups, lr=0.1, eps=ADAM_EPSILON)
    steps_of(old, before.weight, range(5))
    after.load_state_dict(before.state_dict())
    new = make_optimiser(after, config)
    new.load_state_dict(copy.deepcopy(old.state_dict()))  # the moments are not copied otherwise
    assert all(group["fused"] is True for group in new.param_groups)
    assert set(new.state_dict()["state"][0]) == set(old.state_dict()["state"][0])
    steps_of(old, before.weight, range(5, 9))
    steps_of(new, after.weight, range(5, 9))
    torch.testing.assert_close(after.weight, before.weight, rtol=1e-5, atol=1e-6)
    assert float(new.state_dict()["state"][0]["step"]) == 9.0


def test_a_scaler_leaves_out_a_step_of_the_fused_form() -> None:
    model = nn.Linear(4, 1)
    optimiser = make_optimiser(model, TrainingConfig(learning_rate=0.1))
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    start = model.weight.detach().clone()
    for gradient, factor in ((math.inf, 0.5), (1.0, 1.0)):
        scale = scaler.get_scale()
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, gradient * scale)
        scaler.scale(torch.zeros(()))
        scaler.unscale_(optimiser)
        scaler.step(optimiser)
        scaler.update()
        moved = not torch.equal(model.weight.detach(), start)
        assert moved == math.isfinite(gradient)
        assert scaler.get_scale() == scale * factor
    # The first step of Adam is as long as its rate, whatever the gradient's length.
    torch.testing.assert_close(model.weight.detach(), start - 0.1)


@pytest.mark.parametrize(
    ("rate", "decay", "longest"), [(1e-3, 0.0, 1e-2), (1e38, 0.0, 1e39), (2.0, 50.0, 100.0)]
)
def test_longest_factor_is_that_of_the_first_step(
    rate: float, decay: float, longest: float
) -> None:
    settings = {"optimizer": "adamw", "weight_decay": decay} if decay else {}
    config = TrainingConfig(learning_rate=rate, **settings)
    assert longest_factor(make_optimiser(nn.Linear(2, 2), config)) == pytest.approx(longest)


def test_clipping_scales_the_whole_gradient_and_tells_its_norm() -> None:
    model = nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradient(model, None) == pytest.approx(5.0)
    assert torch.equal(model.weight.grad, torch.tensor([[3.0, 4.0]]))
    assert clip_gradient(model, 1.0) == pytest.approx(5.0)
    assert model.weight.grad.norm() == pytest.approx(1.0, rel=1e-5)


def test_norm_of_a_broken_gradient_is_not_finite() -> None:
    model = nn.Linear(2, 1)
    model.weight.grad = torch.tensor([[math.nan, 1.0]])
    assert not math.isfinite(clip_gradient(model, 1.0))
