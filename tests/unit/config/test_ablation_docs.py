"""docs/ablations.md: its example loads as it says, and no part of the language is left out."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from isthmus.config.ablation.design import (
    AblationConfig,
    BaselineConfig,
    ContrastConfig,
    FactorConfig,
    InferenceConfig,
    LevelConfig,
    MatchConfig,
    SubsetsConfig,
)
from isthmus.config.ablation.load import load_ablation

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "ablations.md").read_text(encoding="utf-8")
GROUPS: tuple[type[BaseModel], ...] = (
    AblationConfig,
    BaselineConfig,
    ContrastConfig,
    FactorConfig,
    InferenceConfig,
    LevelConfig,
    MatchConfig,
    SubsetsConfig,
)


def test_the_example_loads_with_the_overrides_beside_it(tmp_path):
    (tmp_path / "width.yaml").write_text(PAGE.partition("```yaml\n")[2].partition("```")[0])
    assert load_ablation(tmp_path / "width.yaml").name == "width"
    overrides = ["n_seeds=4", "factors.training.loss.kind.values=[mse, huber]"]
    assert all(f'"{one}"' in PAGE or f"--ablation-set {one}" in PAGE for one in overrides)
    loaded = load_ablation(tmp_path / "width.yaml", None, overrides)
    assert loaded.factors["training.loss.kind"].values == ("mse", "huber")


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_every_part_of_the_language_is_documented(group):
    language = PAGE.partition("## Running")[0]
    for name, field in group.model_fields.items():
        assert name in language, name
        assert str(field.description).endswith(".")


def test_every_shipped_file_is_listed():
    for file in sorted((ROOT / "ablations").glob("*.yaml")):
        assert f"| `{file.stem}` |" in PAGE
