"""Learning rate, weight decay and clipping."""

import itertools
import math

import pytest
import torch
from torch import nn

from isthmus.config.training import TrainingConfig
from isthmus.training.optimiser import clip_gradient, learning_rate, make_optimiser


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
