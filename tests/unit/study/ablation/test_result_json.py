"""A result is written whole and read back equal; what cannot be read says why."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from simulated_ablation import plan_of, progress_of, write_fold

from isthmus.config.ablation.design import ContrastConfig, InferenceConfig
from isthmus.core.errors import ConfigError
from isthmus.study.ablation.conclude import conclude
from isthmus.study.ablation.findings import AblationResult
from isthmus.study.ablation.records import ArmSize, Factor
from isthmus.study.ablation.result_json import read_result, result_from_json, write_result


@pytest.fixture
def result(tmp_path: Path) -> AblationResult:
    plan = plan_of({"all": ("T1w",), "b": ("T1w",), "c": ("T1w",), "d": ("T1w",)}, "all")
    plan = replace(
        plan,
        factors=(Factor("model.skips", "They bypass it.", ("all", "none"), "all"),),
        arms=(
            replace(plan.arms[0], size=ArmSize(10, 20, 30, 40), levels={"z": "1", "a": "2"}),
            *plan.arms[1:],
        ),
    )
    rng = np.random.default_rng(0)
    for run in plan.runs:
        for fold in range(plan.n_folds):
            if run.arm != "d":
                mse = float(rng.normal(1, 0.1))
                labels = rng.integers(0, 3, 120).tolist()
                write_fold(tmp_path, run, fold, {"validation_mse": mse}, labels)
    asked = [
        ContrastConfig(metric="validation_mse", direction="minimize", margin=0.5),
        ContrastConfig(metric="strata_agreement", direction="maximize"),
    ]
    progress = progress_of(plan, d={(0, 0): ("failed", "TrainingDiverged: nan.")})
    return conclude(plan, progress, tmp_path, asked, InferenceConfig())


def test_it_is_read_back_equal(result: AblationResult, tmp_path: Path) -> None:
    assert result.findings[0].ranking is not None
    path = write_result(result, tmp_path / "ablation")
    assert path.name == "result.json"
    assert read_result(tmp_path / "ablation") == result
    content = json.loads(path.read_text())
    assert content["schema_version"] == 1
    assert list(content["plan"]["arms"][0]["levels"]) == ["z", "a"]


def test_another_version_is_refused(result: AblationResult, tmp_path: Path) -> None:
    path = write_result(result, tmp_path / "ablation")
    content = json.loads(path.read_text()) | {"schema_version": 99}
    with pytest.raises(ConfigError, match="schema_version 1, got 99"):
        result_from_json(content)
    with pytest.raises(ConfigError, match="must be the result of an ablation"):
        result_from_json({"schema_version": 1})


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no result\.json"):
        read_result(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(ConfigError, match="must be JSON"):
        read_result(tmp_path)
