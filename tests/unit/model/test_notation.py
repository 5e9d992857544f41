from typing import Any, get_args

import pytest

from isthmus.config.architecture import FusionConfig
from isthmus.model.notation import CLASSES, fusion_in_words

THREE = ("T1w", "FA", "NDI")


@pytest.mark.parametrize(
    ("settings", "modalities", "expected"),
    [
        ({}, THREE, "concatenation; single; sudden; at the bottleneck"),
        (
            {"operation": "tensor", "positions": ["bottleneck", 3, 1]},
            THREE[:2],
            "tensor operation (low-rank product); multi; sudden; at levels 1, 3 and the bottleneck",
        ),
        (
            {"operation": "calibration", "timing": "gradual"},
            THREE,
            "calibration; single; gradual: T1w, FA, NDI; at the bottleneck",
        ),
        ({"operation": "attention"}, ("FA",), "none: FA alone"),
    ],
)
def test_in_words(settings: dict[str, Any], modalities: tuple[str, ...], expected: str) -> None:
    assert fusion_in_words(FusionConfig(**settings), modalities) == expected


def test_every_operation_has_a_class_of_the_review() -> None:
    names = get_args(FusionConfig.model_fields["operation"].annotation)
    assert set(CLASSES) == set(names)
    classes = ("concatenation", "tensor operation", "attention", "calibration")
    assert all(found.startswith(classes) for found in CLASSES.values())
    assert len(set(CLASSES.values())) == len(names)
