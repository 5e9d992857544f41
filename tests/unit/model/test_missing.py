"""Subjects that lack images: what is computed of them, and what they must not touch."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from isthmus.config.architecture import MASKED_OPERATIONS
from isthmus.config.training import LossConfig
from isthmus.core.errors import ConfigError
from isthmus.model.dropout import SubjectKeyedDropout, dropout_of_rows, set_dropout_keys
from isthmus.model.families import FusionModel
from isthmus.model.norm import WorkerBatchNorm

Build = Callable[..., FusionModel]
Images = Callable[..., Tensor]
THREE = ("T1w", "FA", "NDI")
GIVEN = torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 0]], dtype=torch.bool)
FUSIONS: list[dict[str, Any]] = [
    *({"operation": name} for name in MASKED_OPERATIONS),
    {"operation": "mean", "timing": "gradual"},
    {"operation": "attention", "timing": "gradual", "positions": [1, "bottleneck"]},
    {"operation": "tensor", "positions": [1, "bottleneck"]},
]


def named(fusion: dict[str, Any]) -> str:
    """A name for a test."""
    return "-".join(str(value) for value in fusion.values())


def without(x_BMDHW: Tensor, filler: float, given_BM: Tensor = GIVEN) -> Tensor:
    """Images with something else where they are not given."""
    return torch.where(given_BM[:, :, None, None, None], x_BMDHW, filler)


@pytest.mark.parametrize("fusion", FUSIONS, ids=named)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_what_is_not_given_is_not_looked_at(
    fusion: dict[str, Any], norm: str, build: Build, images: Images
) -> None:
    x, target = images(3, 3, 8, 8, 8), images(3, 3, 8, 8, 8, seed=2)
    results = []
    for filler in (torch.nan, 0.5):
        model = build(THREE, fusion=fusion, norm=norm, dropout=0.2).train()
        set_dropout_keys(model, [1, 2, 3])
        output = model(without(x, filler), given_BM=GIVEN)
        model.loss(output, target, None, LossConfig()).sum().backward()
        gradients = [p.grad for p in model.parameters()]
        assert all(g is not None and g.isfinite().all() for g in gradients)
        results.append([*output, *gradients, *model.buffers()])
        assert model.eval().embed(without(x, filler), GIVEN).isfinite().all()
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("fusion", [{}, *FUSIONS], ids=named)
def test_all_given_is_none_said(fusion: dict[str, Any], build: Build, images: Images) -> None:
    x, everything = images(3, 3, 8, 8, 8), torch.ones(3, 3, dtype=torch.bool)
    first, second = (build(THREE, fusion=fusion, norm="batch", dropout=0.2) for _ in range(2))
    for model, given_BM in ((first, None), (second, everything)):
        set_dropout_keys(model, [1, 2, 3])
        output = model.train()(x, given_BM=given_BM)
        model.loss(output, x, None, LossConfig()).sum().backward()
    for (name, one), other in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name
    states = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in states)
    first.eval(), second.eval()
    assert torch.equal(first(x).y_BMDHW, second(x, given_BM=everything).y_BMDHW)
    assert torch.equal(first.embed(x), second.embed(x, everything))


@pytest.mark.parametrize("fusion", FUSIONS, ids=named)
def test_a_subject_is_computed_by_itself(
    fusion: dict[str, Any], build: Build, images: Images
) -> None:
    model, x = build(THREE, fusion=fusion, dropout=0.3).train(), images(3, 3, 8, 8, 8)
    set_dropout_keys(model, [11, 12, 13])
    together = model(x, given_BM=GIVEN)
    for row in range(3):
        set_dropout_keys(model, [11 + row])
        alone = model(x[row : row + 1], given_BM=GIVEN[row : row + 1])
        torch.testing.assert_close(alone.z_BE[0], together.z_BE[row])
        torch.testing.assert_close(alone.logits_BMDHW[0], together.logits_BMDHW[row])


@pytest.mark.parametrize("operation", ["sum", "mean", "max", "attention"])
def test_embedding_without_a_modality_is_that_of_the_others(
    operation: str, build: Build, images: Images
) -> None:
    whole = build(THREE, fusion={"operation": operation}).eval()
    fewer = build(("T1w", "NDI"), fusion={"operation": operation}).eval()
    fewer.encoders[0].load_state_dict(whole.encoders[0].state_dict())
    fewer.encoders[1].load_state_dict(whole.encoders[2].state_dict())
    fewer.fusion.load_state_dict(whole.fusion.state_dict())
    x = images(2, 3, 8, 8, 8)
    given_BM = torch.tensor([[True, False, True]] * 2)
    torch.testing.assert_close(whole.embed(x, given_BM), fewer.embed(x[:, [0, 2]]))


def test_what_was_not_given_is_synthesised_from_the_embedding_alone(
    build: Build, images: Images
) -> None:
    model = build(THREE, fusion={"operation": "mean"}).eval()
    x = images(3, 3, 8, 8, 8)
    y, zeroed = model(x, given_BM=GIVEN), model(x, zero_skips=True, given_BM=GIVEN)
    alike = [
        [torch.allclose(y.y_BMDHW[b, m], zeroed.y_BMDHW[b, m]) for m in range(3)] for b in range(3)
    ]
    assert alike == (~GIVEN).tolist()
    # and it follows from the others: another T1w, another synthesised FA
    other = model(torch.cat([x[:, :1].flip(2), x[:, 1:]], dim=1), given_BM=GIVEN)
    assert not torch.allclose(other.y_BMDHW[1, 1], y.y_BMDHW[1, 1])
    assert torch.equal(other.y_BMDHW[2], y.y_BMDHW[2])


def test_only_given_images_enter_the_statistics(build: Build, images: Images) -> None:
    model = build(THREE, fusion={"operation": "mean"}, norm="batch").train()
    twin = build(THREE, fusion={"operation": "mean"}, norm="batch").train()
    x = images(3, 3, 8, 8, 8)
    model(x, given_BM=GIVEN)
    for m, encoder in enumerate(twin.encoders):
        encoder(x[GIVEN[:, m], m : m + 1])
        found = dict(model.encoders[m].named_buffers())
        for name, value in encoder.named_buffers():
            torch.testing.assert_close(found[name], value)
            assert not torch.equal(value, torch.zeros_like(value)), name


def test_nobody_given_leaves_the_statistics_and_gives_gradients_of_zero(
    build: Build, images: Images
) -> None:
    model = build(THREE, fusion={"operation": "gated"}, norm="batch", dropout=0.2).train()
    before = {name: value.clone() for name, value in model.encoders[1].named_buffers()}
    x, target = images(2, 3, 8, 8, 8), images(2, 3, 8, 8, 8, seed=2)
    set_dropout_keys(model, [1, 2])
    output = model(x, given_BM=torch.tensor([[True, False, True]] * 2))
    model.loss(output, target, None, LossConfig()).sum().backward()
    for name, value in model.encoders[1].named_buffers():
        assert torch.equal(value, before[name]), name
    for name, parameter in model.encoders[1].named_parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter)), name
    assert any(p.grad.abs().max() > 0 for p in model.encoders[0].parameters())
    assert any(p.grad.abs().max() > 0 for p in model.decoders[1].parameters())


@pytest.mark.parametrize("norm", ["group", "instance"])
def test_nobody_given_with_other_normalisations(norm: str, build: Build, images: Images) -> None:
    model = build(THREE, fusion={"operation": "max"}, norm=norm).train()
    x = images(2, 3, 8, 8, 8)
    output = model(x, given_BM=torch.tensor([[True, False, True]] * 2))
    model.loss(output, x, None, LossConfig()).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_autocast_with_missing_images(build: Build, images: Images) -> None:
    for fusion in FUSIONS:
        model = build(THREE, fusion=fusion, norm="batch").train()
        x = without(images(3, 3, 8, 8, 8), torch.nan)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(x, given_BM=GIVEN)
        assert {found.dtype for found in output} == {torch.float32}
        target = images(3, 3, 8, 8, 8, seed=2)
        model.loss(output, target, None, LossConfig()).sum().backward()
        assert all(p.grad.isfinite().all() for p in model.parameters()), fusion


def test_concatenation_refuses_and_names_what_accepts(build: Build) -> None:
    model = build(THREE)
    assert not model.accepts_missing
    with pytest.raises(ConfigError) as caught:
        model.embed(torch.zeros(3, 3, 8, 8, 8), GIVEN)
    for part in ("concat", "T1w of 1, FA of 1, NDI of 1 of 3 subjects", *MASKED_OPERATIONS):
        assert part in str(caught.value)
    assert build(THREE, fusion={"operation": "max"}).accepts_missing


def test_masks_must_fit(build: Build) -> None:
    model, x = build(THREE, fusion={"operation": "mean"}), torch.zeros(3, 3, 8, 8, 8)
    with pytest.raises(ValueError, match=r"have shape \(3, 3\).*got torch.bool of shape \(2, 3\)"):
        model(x, given_BM=GIVEN[:2])
    with pytest.raises(ValueError, match=r"must be of bool .* got torch.int64"):
        model(x, given_BM=GIVEN.long())
    none = GIVEN.clone()
    none[1] = False
    with pytest.raises(ValueError, match=r"of 3 those in rows \[1\] have none"):
        model(x, given_BM=none)


def test_dropout_of_rows_gives_keys_back_and_needs_them() -> None:
    layer = SubjectKeyedDropout(0.5)
    x = torch.ones(3, 2, 4, 4, 4)
    set_dropout_keys(layer, [5, 6, 7])
    whole = layer(x)
    with dropout_of_rows(layer, 3, (0, 2)):
        assert torch.equal(layer(x[[0, 2]]), whole[[0, 2]])
    with dropout_of_rows(layer, 3, ()):
        assert layer(x[:0]).shape == (0, 2, 4, 4, 4)
    assert layer.keys.tolist() == [5, 6, 7]
    for keys in (torch.tensor([1, 2]), None):
        layer.keys = keys
        with pytest.raises(RuntimeError, match="each of the batch's 3 subjects"):
            dropout_of_rows(layer, 3, (0, 2)).__enter__()
    layer.eval()
    with dropout_of_rows(layer, 3, (0, 2)):
        assert torch.equal(layer(x), x)


def test_normalisation_of_nobody() -> None:
    norm = WorkerBatchNorm(2, momentum=0.5).train()
    norm(torch.rand(2, 2, 2, 2, 2))
    before = {name: value.clone() for name, value in norm.named_buffers()}
    y = norm(torch.zeros(0, 2, 2, 2, 2))
    y.sum().backward()
    assert y.shape == (0, 2, 2, 2, 2)
    assert all(torch.equal(value, before[name]) for name, value in norm.named_buffers())
    assert torch.equal(norm.weight.grad, torch.zeros(2))
    assert torch.equal(norm.bias.grad, torch.zeros(2))
