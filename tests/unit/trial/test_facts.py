"""A model in numbers and words."""

import pytest

from isthmus.config.load import resolve
from isthmus.core.errors import ConfigError
from isthmus.trial.facts import model_facts

COHORT = {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w", "FA", "NDI"]}


def test_the_fusion_is_said_in_the_reviews_terms() -> None:
    fusion = {"operation": "attention", "positions": [4, "bottleneck"], "timing": "gradual"}
    config = resolve({"cohort": COHORT, "model": {"fusion": fusion}})
    assert model_facts(config, (64, 64, 32))["fusion"] == (
        "attention (across modalities); multi; gradual: T1w, FA, NDI; at level 4 and the bottleneck"
    )


def test_what_cannot_be_fused_so_is_refused_before_anything_is_trained() -> None:
    model = {"modalities": ["T1w", "NDI"], "fusion": {"timing": "gradual"}}
    config = resolve({"cohort": COHORT, "model": model})
    with pytest.raises(ConfigError, match=r"gradual must have at least 3 modalities, got 2"):
        model_facts(config, (64, 64, 32))
