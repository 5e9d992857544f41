from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from isthmus.config.architecture import MASKED_OPERATIONS, ModelConfig
from isthmus.config.training import LossConfig
from isthmus.core.errors import ConfigError
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import FAMILIES, FusionModel, build_model

OPERATIONS = ("concat", *MASKED_OPERATIONS)
Build = Callable[..., FusionModel]
Images = Callable[..., torch.Tensor]


@st.composite
def models(draw: st.DrawFn) -> tuple[ModelConfig, tuple[str, ...], tuple[int, int, int]]:
    """Any combination of settings that can be built, on grids that mostly need padding."""
    depth = draw(st.integers(1, 3))
    grid = draw(st.tuples(*[st.integers(4, 9)] * 3))
    positions = prod(-(-edge // 2**depth) for edge in grid)
    bottleneck = draw(st.sampled_from(["spatial", "dense"]))
    filters = draw(st.integers(1, 3))
    values: dict[str, Any] = {
        "depth": depth,
        "base_channels": draw(st.sampled_from([2, 4])),
        "bottleneck": bottleneck,
        "embedding_size": filters * positions if bottleneck == "spatial" else 7 * filters,
        "convolution": draw(st.sampled_from(["standard", "separable"])),
        "kernel_size": draw(st.sampled_from([1, 2, 3, (2, 3, 4)])),
        "mid_flow_blocks": draw(st.integers(0, 2)),
        "norm": draw(st.sampled_from(["batch", "group", "instance"])),
        "activation": draw(st.sampled_from(["elu", "relu", "leaky_relu", "gelu", "silu"])),
        "dropout": draw(st.sampled_from([0.0, 0.2])),
        "skips": draw(st.sampled_from(["all", "deep", "none"])),
    }
    if values["convolution"] == "separable":
        where = draw(st.sampled_from(["mid", "all"]))
        values["separable"] = {
            "where": where,
            "depth_multiplier": draw(st.integers(1, 2)),
            "pointwise_groups": draw(st.sampled_from([1, 2])) if where == "mid" else 1,
            "norm_between": draw(st.booleans()),
        }
    assume(positions > 1 or values["norm"] == "batch")
    modalities = ("T1w", "FA", "NDI")[: draw(st.integers(1, 3))]
    levels = draw(st.sets(st.integers(1, depth - 1))) if depth > 1 else set()
    values["fusion"] = {
        "operation": draw(st.sampled_from(OPERATIONS)),
        "positions": [*levels, "bottleneck"],
    }
    if len(modalities) == 3 and positions > 1:
        values["fusion"]["timing"] = draw(st.sampled_from(["sudden", "gradual"]))
    return ModelConfig(**values), modalities, grid


@settings(max_examples=80, deadline=None, derandomize=True)
@given(models())
def test_every_combination_trains(
    drawn: tuple[ModelConfig, tuple[str, ...], tuple[int, int, int]],
) -> None:
    config, modalities, grid = drawn
    stream = torch.Generator().manual_seed(0)
    model = build_model(config, modalities, grid, stream).train()
    x = torch.rand(2, len(modalities), *grid, generator=stream)
    set_dropout_keys(model, [1, 2])
    output = model(x)
    assert output.z_BE.shape == (2, config.embedding_size)
    assert prod(model.embedding_shape) == model.embedding_size == config.embedding_size
    assert output.logits_BMDHW.shape == output.y_BMDHW.shape == x.shape
    assert torch.equal(output.y_BMDHW, torch.sigmoid(output.logits_BMDHW))
    l_BM = model.loss(output, x, None, LossConfig())
    assert l_BM.shape == (2, len(modalities))
    l_BM.sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"bottleneck": "dense", "embedding_size": 9},
        {"skips": "none"},
        {"fusion": {"operation": "mean"}},
        {"separable": {"where": "all", "norm_between": True}},
    ],
)
def test_every_part_gets_a_gradient(changes: dict[str, Any], build: Build, images: Images) -> None:
    model = build(**changes).train()
    x = images(2, 2, 8, 8, 8)
    model.loss(model(x), x, None, LossConfig(kind="mse")).sum().backward()
    for name, part in model.parts().items():
        gradients = [p.grad for p in part.parameters()]
        assert all(g is not None for g in gradients), name
        assert not gradients or any(g.abs().max() > 0 for g in gradients), name


def test_loss_falls_when_trained(build: Build, images: Images) -> None:
    model = build(norm="batch").train()
    x = images(2, 2, 8, 8, 8)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    history = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = model.loss(model(x), x, None, LossConfig(kind="mse")).sum()
        loss.backward()
        optimiser.step()
        history.append(loss.item())
    assert history[-1] < 0.5 * history[0]


def test_embed_is_the_embedding_of_forward(build: Build, images: Images) -> None:
    model = build().eval()
    x = images(2, 2, 8, 8, 8)
    assert torch.equal(model.embed(x), model(x).z_BE)
    assert model.embed(x).dtype == torch.float32


@pytest.mark.parametrize("skips", ["all", "none"])
def test_given_embedding_is_decoded_instead(skips: str, build: Build, images: Images) -> None:
    model = build(skips=skips).eval()
    x = images(2, 2, 8, 8, 8)
    own = model(x)
    same = model(x, embedding=own.z_BE)
    torch.testing.assert_close(same.y_BMDHW, own.y_BMDHW)
    swapped = model(x, embedding=own.z_BE.flip(0))
    assert torch.equal(swapped.z_BE, own.z_BE.flip(0))
    assert (swapped.y_BMDHW - own.y_BMDHW).abs().max() > 1e-4


def test_without_skips_only_the_embedding_reaches_the_images(build: Build, images: Images) -> None:
    model = build(skips="none").eval()
    one, other = images(2, 2, 8, 8, 8), images(2, 2, 8, 8, 8, seed=2)
    z_BE = model.embed(one)
    assert torch.equal(model(other, embedding=z_BE).y_BMDHW, model(one).y_BMDHW)
    assert torch.equal(model(one, zero_skips=True).y_BMDHW, model(one).y_BMDHW)


@pytest.mark.parametrize("skips", ["all", "deep"])
def test_skips_carry_the_image_around_the_embedding(
    skips: str, build: Build, images: Images
) -> None:
    model = build(skips=skips).eval()
    one, other = images(2, 2, 8, 8, 8), images(2, 2, 8, 8, 8, seed=2)
    z_BE = model.embed(one)
    assert not torch.allclose(model(other, embedding=z_BE).y_BMDHW, model(one).y_BMDHW)
    ablated = model(one, zero_skips=True)
    assert not torch.allclose(ablated.y_BMDHW, model(one).y_BMDHW)
    # With zeroed skips, again only the embedding counts.
    zeroed = model(other, embedding=z_BE, zero_skips=True)
    torch.testing.assert_close(zeroed.y_BMDHW, ablated.y_BMDHW)


def test_skips_are_the_maps_of_their_own_modality(build: Build, images: Images) -> None:
    model = build(depth=3, grid=(16, 16, 16), embedding_size=64).eval()
    x = images(1, 2, 16, 16, 16)
    _, skips = model.encode(x)
    shapes = [tuple(skip.shape[1:]) for skip in skips[0]]
    assert shapes == [(4, 4, 4, 4), (2, 8, 8, 8), (2, 16, 16, 16)]
    changed = x.clone()
    changed[:, 1] = 0.0
    _, others = model.encode(changed)
    assert all(torch.equal(a, b) for a, b in zip(skips[0], others[0], strict=True))
    assert not torch.equal(skips[1][0], others[1][0])


def test_skip_settings_leave_out_maps(build: Build, images: Images) -> None:
    x = images(1, 2, 8, 8, 8)
    counts = {s: len(build(skips=s).encode(x)[1][0]) for s in ("all", "deep", "none")}
    assert counts == {"all": 2, "deep": 1, "none": 0}


def test_ablating_skips_keeps_the_decoders_width(build: Build) -> None:
    whole, bare = build(skips="all"), build(skips="none")
    for level, other in zip(whole.decoders[0].levels, bare.decoders[0].levels, strict=True):
        for part in ("mid_flow", "closing"):
            sizes = [p.shape for p in getattr(level, part).parameters()]
            assert sizes == [p.shape for p in getattr(other, part).parameters()]


@pytest.mark.parametrize("grid", [(8, 8, 8), (7, 9, 5), (16, 4, 10)])
def test_padding_is_cropped_back_in_place(
    grid: tuple[int, int, int], build: Build, images: Images
) -> None:
    filters = prod(-(-edge // 4) for edge in grid)
    model = build(grid=grid, embedding_size=filters).eval()
    x = images(1, 2, *grid)
    y = model(x).y_BMDHW
    assert y.shape == x.shape
    # A voxel of the image changes its own surroundings most, through the full-resolution skip.
    place = tuple(edge // 2 for edge in grid)
    changed = x.clone()
    changed[(0, 0, *place)] += 5.0
    fixed = model.embed(x)
    effect = (model(changed, embedding=fixed).y_BMDHW - model(x).y_BMDHW)[0, 0].abs()
    peak = torch.unravel_index(effect.argmax(), effect.shape)
    assert all(abs(int(p) - q) <= 3 for p, q in zip(peak, place, strict=True))


def test_padded_positions_do_not_enter_the_image(build: Build, images: Images) -> None:
    model = build(grid=(6, 6, 6), embedding_size=8).eval()
    framed = build(grid=(8, 8, 8), embedding_size=8).eval()
    x = images(1, 2, 6, 6, 6)
    outer = torch.zeros(1, 2, 8, 8, 8)
    outer[..., 1:7, 1:7, 1:7] = x
    torch.testing.assert_close(model(x).y_BMDHW, framed(outer).y_BMDHW[..., 1:7, 1:7, 1:7])


@pytest.mark.parametrize("operation", ["sum", "mean"])
def test_fusion_of_equal_maps(operation: str, build: Build, images: Images) -> None:
    model = build(fusion={"operation": operation}).eval()
    maps = [images(1, 4, 2, 2, 2, seed=s) for s in (1, 2)]
    joined = maps[0] + maps[1]
    if operation == "mean":
        joined = joined / 2
    torch.testing.assert_close(model.fusion([[x] for x in maps]), model.fusion.unit(joined))


def test_autocast_keeps_outputs_in_float32(build: Build, images: Images) -> None:
    model = build(norm="batch", dropout=0.2).train()
    x = images(2, 2, 8, 8, 8)
    set_dropout_keys(model, [1, 2])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(x)
    assert {t.dtype for t in output} == {torch.float32}
    model.loss(output, x, None, LossConfig()).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_generator_alone_decides_the_model(build: Build, images: Images) -> None:
    x = images(1, 2, 8, 8, 8)
    before = torch.get_rng_state()
    first, second = build().eval(), build().eval()
    assert torch.equal(first(x).y_BMDHW, second(x).y_BMDHW)
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_come_back_from_their_state(build: Build, images: Images) -> None:
    model = build(norm="batch").train()
    model(images(2, 2, 8, 8, 8))
    again = build(norm="batch")
    again.load_state_dict(model.state_dict())
    x = images(1, 2, 8, 8, 8, seed=3)
    assert torch.equal(again.eval()(x).y_BMDHW, model.eval()(x).y_BMDHW)


def test_wrong_input_says_what_was_expected(build: Build) -> None:
    with pytest.raises(ValueError, match=r"\(subjects, 2, 8, 8, 8\).*got \(1, 3, 8, 8, 8\)"):
        build()(torch.zeros(1, 3, 8, 8, 8))
    with pytest.raises(ValueError, match=r"must have shape \(1, 32\), got \(1, 31\)"):
        build()(torch.zeros(1, 2, 8, 8, 8), embedding=torch.zeros(1, 31))


@pytest.mark.parametrize("modalities", [(), ("T1w", "T1w")])
def test_modalities_must_differ(modalities: tuple[str, ...], build: Build) -> None:
    with pytest.raises(ConfigError, match="at least one modality, each once"):
        build(modalities)


def test_modality_labels_are_free(build: Build) -> None:
    assert build(("keys", "T1w.norm")).modalities == ("keys", "T1w.norm")


def test_single_voxel_bottleneck(build: Build, images: Images) -> None:
    with pytest.raises(ConfigError, match="bottleneck is a single voxel"):
        build(depth=3, embedding_size=4, norm="instance")
    model = build(depth=3, embedding_size=4, norm="batch").train()
    assert model(images(2, 2, 8, 8, 8)).z_BE.shape == (2, 4)


def test_every_family_of_the_settings_is_there() -> None:
    names = ModelConfig.model_fields["family"].annotation.__args__
    assert set(names) == set(FAMILIES)
