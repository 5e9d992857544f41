from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from isthmus.config.architecture import ModelConfig
from isthmus.model.blocks import ACTIVATIONS, MidFlow, Unit
from isthmus.model.convolution import SameConv3d, SeparableConv3d
from isthmus.model.decoder import DecoderLevel
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import FusionModel

Small = Callable[..., ModelConfig]
Images = Callable[..., torch.Tensor]


def test_unit_is_convolution_norm_activation_pool_dropout(small: Small, images: Images) -> None:
    unit = Unit(2, 3, small(norm="batch", dropout=0.4), "a unit", pool=True).eval()
    unit.norm.running_mean[:] = torch.tensor([0.2, -0.1, 0.0])
    unit.norm.running_variance[:] = torch.tensor([0.5, 2.0, 1.0])
    x = images(2, 2, 6, 6, 6)
    before = F.elu(unit.norm(unit.convolution(x)))
    torch.testing.assert_close(unit.activate(x), before)
    torch.testing.assert_close(unit(x), F.max_pool3d(before, 2))
    unit.dropout.train()
    set_dropout_keys(unit, [1, 2])
    kept = unit(x)
    zeros = kept == 0
    # Dropout comes last: single pooled values are zero, the others are scaled.
    assert 0.2 < zeros.float().mean() < 0.6
    scaled = F.max_pool3d(before, 2)[~zeros] / 0.6
    torch.testing.assert_close(kept[~zeros], scaled, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, small: Small, images: Images) -> None:
    unit = Unit(1, 2, small(activation=name), "a unit")
    x = images(1, 1, 4, 4, 4)
    expected = getattr(F, name)(unit.norm(unit.convolution(x)))
    torch.testing.assert_close(unit(x), expected)
    assert (expected < 0).any() != (name == "relu")


@pytest.mark.parametrize(
    ("changes", "in_mid_flow", "elsewhere"),
    [
        ({"convolution": "standard"}, SameConv3d, SameConv3d),
        ({"convolution": "separable"}, SeparableConv3d, SameConv3d),
        (
            {"convolution": "separable", "separable": {"where": "all"}},
            SeparableConv3d,
            SeparableConv3d,
        ),
    ],
)
def test_which_units_are_separable(
    changes: dict[str, object],
    in_mid_flow: type,
    elsewhere: type,
    build: Callable[..., FusionModel],
) -> None:
    model = build(**changes)
    units = {name: unit for name, unit in model.named_modules() if isinstance(unit, Unit)}
    assert any("mid_flow" in name for name in units)
    for name, unit in units.items():
        assert type(unit.convolution) is (in_mid_flow if "mid_flow" in name else elsewhere), name


def test_mid_flow_adds_to_what_came_in(small: Small, images: Images) -> None:
    x = images(1, 2, 4, 4, 4)
    flow = MidFlow(2, small(mid_flow_blocks=3), "a level").eval()
    assert len(flow.units) == 3
    torch.testing.assert_close(flow(x), x + flow.units[2](flow.units[1](flow.units[0](x))))
    assert MidFlow(2, small(mid_flow_blocks=0), "a level")(x) is x


def test_first_skip_is_the_map_before_pooling(
    build: Callable[..., FusionModel], images: Images
) -> None:
    model = build(depth=2).eval()
    x = images(1, 2, 8, 8, 8)
    _, skips = model.encode(x)
    pooled, full = skips[0]
    assert torch.equal(F.max_pool3d(full, 2), pooled)
    first = model.encoders[0].levels[0]
    assert torch.equal(full, first.closing.activate(first.mid_flow(first.opening(x[:, :1]))))


@pytest.mark.parametrize("has_skip", [True, False])
def test_decoder_level_by_hand(has_skip: bool, small: Small, images: Images) -> None:
    level = DecoderLevel(3, 2, has_skip, small(), "a level").eval()
    x = images(1, 3, 2, 3, 4)
    skip = images(1, 2, 4, 6, 8, seed=2) if has_skip else None
    doubled = x
    for axis in (2, 3, 4):
        doubled = doubled.repeat_interleave(2, dim=axis)
    opened = level.opening(doubled)
    joined = opened if skip is None else torch.cat([opened, skip], dim=1)
    assert joined.shape[1] == 4
    torch.testing.assert_close(level(x, skip), level.closing(level.mid_flow(joined)))
