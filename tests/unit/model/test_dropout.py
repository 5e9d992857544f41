from collections.abc import Callable

import pytest
import torch
from torch import nn

from isthmus.model.dropout import SubjectKeyedDropout, number_dropout_layers, set_dropout_keys
from isthmus.model.families import FusionModel


def dropped(share: float, keys: list[int], layer: int = 0, n: int = 20_000) -> torch.Tensor:
    """Pass ones through a layer in training."""
    module = SubjectKeyedDropout(share)
    module.layer = layer
    set_dropout_keys(module, keys)
    return module(torch.ones(len(keys), 2, n // 2, 1, 1))


def test_share_and_scale() -> None:
    y = dropped(0.3, [1])
    assert y.unique().tolist() == pytest.approx([0.0, 1 / 0.7], rel=1e-4)
    # Five standard deviations of a binomial share with n = 20,000.
    assert (y == 0).float().mean().item() == pytest.approx(0.3, abs=0.017)
    assert y.mean().item() == pytest.approx(1.0, abs=0.024)


def test_mask_belongs_to_key_and_layer() -> None:
    both = dropped(0.5, [7, 8])
    assert torch.equal(dropped(0.5, [8])[0], both[1])
    assert torch.equal(dropped(0.5, [8, 7]), both.flip(0))
    for other in (dropped(0.5, [9]), dropped(0.5, [7], layer=1)):
        # Independent masks of a half agree on about half of the values.
        assert (other[0] == both[0]).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_evaluation_and_no_share_change_nothing() -> None:
    x = torch.ones(2, 1, 2, 2, 2)
    assert SubjectKeyedDropout(0.5).eval()(x) is x
    assert SubjectKeyedDropout(0.0)(x) is x


def test_keys_are_needed_in_training() -> None:
    module = SubjectKeyedDropout(0.5)
    with pytest.raises(RuntimeError, match=r"2 subjects, got none: call set_dropout_keys"):
        module(torch.ones(2, 1, 2, 2, 2))
    set_dropout_keys(module, [1, 2, 3])
    with pytest.raises(RuntimeError, match="2 subjects, got 3"):
        module(torch.ones(2, 1, 2, 2, 2))


def test_gradient_passes_where_values_were_kept() -> None:
    module = SubjectKeyedDropout(0.5)
    set_dropout_keys(module, [4])
    x = torch.ones(1, 1, 4, 4, 4, requires_grad=True)
    y = module(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_layers_are_numbered_in_order() -> None:
    model = nn.Sequential(SubjectKeyedDropout(0.1), nn.ReLU(), SubjectKeyedDropout(0.1))
    number_dropout_layers(model)
    assert [model[0].layer, model[2].layer] == [0, 1]


def test_a_subject_is_dropped_alike_in_any_batch(
    build: Callable[..., FusionModel], images: Callable[..., torch.Tensor]
) -> None:
    model = build(dropout=0.3, norm="group").train()
    layers = [m.layer for m in model.modules() if isinstance(m, SubjectKeyedDropout)]
    assert layers == list(range(len(layers)))
    x = images(3, 2, 8, 8, 8)
    set_dropout_keys(model, [11, 12, 13])
    together = model(x)
    for subject, key in enumerate((11, 12, 13)):
        set_dropout_keys(model, [key])
        alone = model(x[subject : subject + 1])
        torch.testing.assert_close(alone.logits_BMDHW[0], together.logits_BMDHW[subject])
    set_dropout_keys(model, [21, 22, 23])
    assert not torch.allclose(model(x).logits_BMDHW, together.logits_BMDHW)
