from collections.abc import Callable

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from isthmus.config.architecture import ModelConfig
from isthmus.config.load import resolve
from isthmus.model.description import count_parameters, describe_model, separable_saving_unit
from isthmus.model.dropout import set_dropout_keys
from isthmus.model.families import FusionModel, build_model


def preset(name: str) -> ModelConfig:
    """The model's settings of a preset."""
    cohort = {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w", "FA"]}
    return resolve({"preset": name, "cohort": cohort}).model


@pytest.mark.parametrize(("name", "expected"), [("released", 3_851_398), ("paper", 1_515_238)])
def test_presets_have_the_published_number_of_parameters(name: str, expected: int) -> None:
    with torch.device("meta"):
        model = build_model(preset(name), ("T1w", "FA"), (128, 128, 96))
    count = count_parameters(model)
    assert count.total == expected
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected
    assert count.by_part["fusion"] == 98_400
    assert count.by_part["encoder.T1w"] == count.by_part["encoder.FA"]
    assert count.by_part["decoder.T1w"] == count.by_part["decoder.FA"]
    assert count.by_part["bottleneck"] == 0


def test_paper_description() -> None:
    description = describe_model(preset("paper"), ("T1w", "FA"), (128, 128, 96), 400_000)
    assert description.compression == 2048.0
    assert description.compression_in_mask == pytest.approx(800_000 / 1536)
    assert description.separable_saving_whole == pytest.approx(2.54, abs=0.005)
    assert description.embedding_shape == (32, 4, 4, 3)
    assert description.padded_grid == (128, 128, 96)


def test_twentyfold_holds_for_a_unit() -> None:
    assert separable_saving_unit(ModelConfig(kernel_size=3), 96) == pytest.approx(20.6, abs=0.05)
    standard = ModelConfig(kernel_size=3, convolution="standard")
    assert separable_saving_unit(standard, 96) == pytest.approx(249_120 / 12_096)


def test_parts_hold_every_parameter(build: Callable[..., FusionModel]) -> None:
    model = build(("T1w", "FA", "NDI"), bottleneck="dense", embedding_size=5)
    count = count_parameters(model)
    assert count.total == sum(p.numel() for p in model.parameters())
    assert count.by_part["bottleneck"] == (32 * 5 + 5) + (5 * 32 + 32)
    assert [name for name in count.by_part if name.startswith("encoder")] == [
        "encoder.T1w",
        "encoder.FA",
        "encoder.NDI",
    ]


def test_multiply_accumulates_by_hand(small: Callable[..., ModelConfig]) -> None:
    config = small(
        depth=1, embedding_size=64, base_channels=2, mid_flow_blocks=0, convolution="standard"
    )
    description = describe_model(config, ("T1w",), (8, 8, 8))
    full, half = 8**3, 4**3
    encoder = full * 27 * (1 * 2 + 2 * 2)
    fusion = half * 4**3 * 2 * 1  # the kernel is the 4x4x4 bottleneck; one filter
    decoder = full * (27 * (1 * 2 + 4 * 4) + 4)  # the 2-channel skip joins before the closing unit
    assert description.multiply_accumulates == encoder + fusion + decoder
    assert description.compression_in_mask is None


@pytest.mark.parametrize("kernels", ["torch", "auto"])
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_activation_estimate_is_what_autograd_keeps(
    norm: str, kernels: str, small: Callable[..., ModelConfig], images: Callable[..., torch.Tensor]
) -> None:
    config = small(norm=norm, dropout=0.2, kernel_size=(3, 4, 3), kernels=kernels)
    model = build_model(config, ("T1w", "FA"), (8, 8, 8)).train()
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    set_dropout_keys(model, [1, 2])
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(images(2, 2, 8, 8, 8))
    measured = sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own) / 2
    estimate = describe_model(config, ("T1w", "FA"), (8, 8, 8)).activation_bytes
    assert estimate == pytest.approx(measured, rel=0.1)
