"""Settings of missing images: which combinations make sense."""

import pytest

from isthmus.config.load import resolve
from isthmus.core.errors import ConfigError

COHORT = {
    "images": "{participant_id}_{modality}.nii",
    "modalities": ["T1w", "T2w", "FLAIR", "FA", "NDI", "JAC", "MD"],
}
MASKED = "model.fusion.operation=mean"
FOUR = "model.modalities=[T1w, FA, NDI, JAC]"


def load(*overrides):
    return resolve({"cohort": COHORT}, overrides)


@pytest.mark.parametrize(
    "setting",
    [
        "cohort.missing_modalities=keep",
        "training.modality_dropout=0.2",
        "controls.subset_grid=true",
    ],
)
def test_a_fusion_that_needs_every_modality_is_refused(setting):
    with pytest.raises(ConfigError) as refused:
        load(setting, FOUR)
    message = str(refused.value)
    assert setting.partition("=")[0] in message
    assert "concat needs all 4" in message
    assert "one of sum, mean" in message
    assert load(setting, FOUR, MASKED)
    # one modality is not fused with anything
    assert load(setting, "model.modalities=[FA]")


def test_no_dropout_withholds_everything():
    with pytest.raises(ConfigError, match="less than 1"):
        load("training.modality_dropout=1.0", MASKED)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ((FOUR,), False),
        ((FOUR, MASKED), False),
        ((FOUR, MASKED, "training.modality_dropout=0.2"), True),
        ((FOUR, MASKED, "training.modality_dropout=0.2", "controls.subset_grid=false"), False),
        ((FOUR, MASKED, "controls.subset_grid=true"), True),
        (("model.modalities=[FA]", "training.modality_dropout=0.2"), False),
        ((MASKED, "training.modality_dropout=0.2"), False),
    ],
)
def test_where_there_is_a_subset_grid(overrides, expected):
    assert load(*overrides).has_subset_grid is expected


def test_a_grid_of_many_modalities_is_refused():
    with pytest.raises(ConfigError, match="at most 6 modalities may be fused, got 7"):
        load(MASKED, "controls.subset_grid=true")
