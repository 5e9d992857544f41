"""What the settings of the model refuse before anything is built."""

from typing import Any

import pytest
from pydantic import ValidationError

from isthmus.config.architecture import MASKED_OPERATIONS, FusionConfig, ModelConfig


def test_all_operations_but_concatenation_can_miss_some() -> None:
    assert "concat" not in MASKED_OPERATIONS
    assert len(MASKED_OPERATIONS) == 7
    assert not FusionConfig().accepts_missing
    assert all(FusionConfig(operation=name).accepts_missing for name in MASKED_OPERATIONS)


def test_positions_are_kept_in_the_order_of_depth() -> None:
    config = FusionConfig(positions=("bottleneck", 4, 2))
    assert config.positions == (2, 4, "bottleneck")
    assert config.levels == (2, 4)
    assert config == FusionConfig(positions=(2, 4, "bottleneck"))
    assert FusionConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"positions": []}, "the bottleneck, where the embedding is, once; got []"),
        ({"positions": [1]}, "the bottleneck, where the embedding is, once; got [1]"),
        ({"positions": [1, 1, "bottleneck"]}, "name each level once"),
        ({"positions": ["bottleneck", "bottleneck"]}, "bottleneck, where the embedding is, once"),
        ({"positions": [0, "bottleneck"]}, "greater than or equal to 1"),
        ({"operation": "attention", "rank": 2}, "model.fusion.rank is for model.fusion.operation"),
        ({"operation": "tensor", "heads": 4}, "model.fusion.heads is for model.fusion.operation"),
        ({"heads": 1}, "attention, and concat would ignore it"),
    ],
)
def test_refused_fusions(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        FusionConfig(**settings)
    assert message in str(caught.value)


def test_levels_must_lie_before_the_bottleneck() -> None:
    assert ModelConfig(depth=3, fusion={"positions": [1, 2, "bottleneck"]}).fusion.levels == (1, 2)
    with pytest.raises(ValidationError, match=r"levels below model.depth \(3\), .* got \[3, 4\]"):
        ModelConfig(depth=3, fusion={"positions": [1, 3, 4, "bottleneck"]})
