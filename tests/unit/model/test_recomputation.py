"""Levels that are computed again give the same bits: losses, gradients and running statistics."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from isthmus.config.training import LossConfig
from isthmus.model.description import describe_model
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import FusionModel
from isthmus.model.recomputation import Level, recompute_levels

Build = Callable[..., FusionModel]
# The first encoder sees two of three subjects, the second one of them.
GIVEN = torch.tensor([[True, False], [True, True], [False, True]])
NOBODY = torch.tensor([[True, False]] * 3)


def two_passes(
    model: FusionModel, x: torch.Tensor, given: torch.Tensor | None, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """Pass forward and back twice; other keys are set before each pass back."""
    found = {}
    for step in range(2):
        set_dropout_keys(model, range(10 * step, 10 * step + len(x)))
        masks = {} if given is None else {"given_BM": given}
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            output = model(x, **masks)
        loss = model.loss(output, x, None, LossConfig()).sum()
        set_dropout_keys(model, [99])
        loss.backward()
        found[f"loss {step}"] = loss.detach()
    gradients = {f"gradient {name}": p.grad for name, p in model.named_parameters()}
    return {**found, **gradients, **model.state_dict()}


@pytest.mark.parametrize(
    ("changes", "given", "dtype"),
    [
        ({"norm": "batch"}, None, torch.float32),
        ({"norm": "batch", "convolution": "standard", "skips": "deep"}, None, torch.float32),
        ({"norm": "batch"}, None, torch.bfloat16),
        ({"norm": "group", "fusion": {"operation": "mean"}}, GIVEN, torch.float32),
        ({"norm": "batch", "fusion": {"operation": "mean"}}, GIVEN, torch.float32),
        ({"norm": "group", "skips": "none", "dropout": 0.0}, None, torch.float32),
        ({"norm": "group", "fusion": {"operation": "mean"}}, NOBODY, torch.float32),
    ],
)
def test_computing_levels_again_changes_no_bit(
    changes: dict[str, Any],
    given: torch.Tensor | None,
    dtype: torch.dtype,
    build: Build,
    images: Callable[..., torch.Tensor],
) -> None:
    x = images(3, 2, 8, 8, 8)
    results = []
    for on in (False, True):
        model = build(**{"dropout": 0.3, **changes}).train()
        recompute_levels(model, on)
        results.append(two_passes(model, x, given, dtype))
    kept, again = results
    assert kept.keys() == again.keys()
    for name, value in kept.items():
        assert torch.equal(value, again[name]), name
    assert any("running" in name for name in kept) == (changes["norm"] == "batch")


def test_less_is_kept_and_the_second_pass_is_made(
    build: Build, images: Callable[..., torch.Tensor]
) -> None:
    kept_bytes, calls = [], []
    for on in (False, True):
        model = build(norm="batch", dropout=0.3).train()
        recompute_levels(model, on)
        kept: dict[int, torch.Tensor] = {}
        passes = [0]

        def keep(tensor: torch.Tensor, kept: dict[int, torch.Tensor] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        def count(*_: Any, passes: list[int] = passes) -> None:
            passes[0] += 1

        for module in model.modules():
            if isinstance(module, Level):
                module.register_forward_pre_hook(count)
        set_dropout_keys(model, [1, 2])
        x = images(2, 2, 8, 8, 8)
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = model.loss(model(x), x, None, LossConfig()).sum()
        loss.backward()
        kept_bytes.append(sum(t.untyped_storage().nbytes() for t in kept.values()))
        calls.append(passes[0])
    assert kept_bytes[1] < 0.5 * kept_bytes[0]
    n_levels = sum(isinstance(module, Level) for module in model.modules())
    assert calls == [n_levels, 2 * n_levels]


def test_evaluation_keeps_to_one_pass(build: Build, images: Callable[..., torch.Tensor]) -> None:
    model = build(norm="batch").eval()
    x = images(2, 2, 8, 8, 8)
    expected = model(x).logits_BMDHW
    recompute_levels(model, True)
    assert torch.equal(model(x).logits_BMDHW, expected)
    with torch.no_grad():
        assert torch.equal(model(x).logits_BMDHW, expected)


def test_the_estimate_lies_between_what_is_kept_and_all(small: Callable[..., Any]) -> None:
    description = describe_model(small(dropout=0.3), ("T1w", "FA"), (8, 8, 8))
    assert 0 < description.recomputed_bytes < 0.7 * description.activation_bytes
