"""A baseline that is a search's winner: its settings, and what is told of where they come from."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.load import load_ablation
from isthmus.config.load import Experiment, load_experiment
from isthmus.config.search_load import load_space
from isthmus.core.errors import ConfigError
from isthmus.study.ablation.plan import PreparedAblation, prepare_ablation
from isthmus.study.record_json import write_study
from isthmus.study.records import StudyResult, TrialRecord
from isthmus.study.search import prepare_search

SPACE = {
    "space": {
        "model.base_channels": {"kind": "categorical", "choices": [2, 4]},
        "training.loss.kind": {"kind": "categorical", "choices": ["mse", "huber"]},
        "training.loss.huber_delta": {
            "kind": "categorical",
            "choices": [0.2, 0.3],
            "when": {"training.loss.kind": "huber"},
        },
    }
}
POINTS = (
    {"model.base_channels": 2, "training.loss.kind": "mse"},
    {
        "model.base_channels": 4,
        "training.loss.kind": "huber",
        "training.loss.huber_delta": 0.3,
    },
)
SKIPS = {"hypothesis": "It matters.", "values": ["all", "none"]}


def _asked(folder: Path, **baseline: Any) -> AblationConfig:
    """An ablation of the skips over a baseline."""
    content = {
        "question": "Does it matter?",
        "design": "one_factor_out",
        "factors": {"model.skips": SKIPS},
        "contrasts": [{"metric": "validation_mse", "direction": "minimize"}],
        "n_seeds": 1,
        "baseline": baseline,
    }
    (folder / "asked.yaml").write_text(yaml.safe_dump(content))
    return load_ablation(folder / "asked.yaml")


@pytest.fixture
def searched(ingested, tmp_path) -> Experiment:
    """An experiment that was searched: its second trial is best, its first the smallest."""
    experiment = load_experiment(ingested, [f"execution.output={tmp_path / 'runs'}"])
    (tmp_path / "sizes.yaml").write_text(yaml.safe_dump(SPACE))
    space = load_space(tmp_path / "sizes.yaml", experiment.config)
    kept = prepare_search(experiment, space, fork=False)
    trials = tuple(
        TrialRecord(number, point, "finished", changed={"training.accumulation_steps": 2})
        for number, point in enumerate(POINTS)
    )
    failed = TrialRecord(2, POINTS[0], "failed", "TrainingDiverged")
    write_study(
        StudyResult("sizes", kept.study_id, "small", 3, (), (*trials, failed), 1, (0, 1), 0),
        kept.folder,
    )
    return experiment


def _planned(searched: Experiment, folder: Path, *overrides: str, **how: Any) -> PreparedAblation:
    """Plan over the winner."""
    output = f"execution.output={searched.output}"
    experiment = load_experiment(searched.folder / "experiment.yaml", [output, *overrides])
    return prepare_ablation(experiment, _asked(folder, search="sizes", **how))


def test_all_arms_start_from_the_winner(searched, tmp_path):
    best = _planned(searched, tmp_path)
    for experiment in best.experiments.values():
        config = experiment.config
        assert (config.model.base_channels, config.training.loss.kind) == (4, "huber")
        assert config.training.loss.huber_delta == 0.3
        assert config.training.accumulation_steps == 2  # what the search changed to go on
    smallest = _planned(searched, tmp_path, trial="smallest").experiments[0].config
    assert (smallest.model.base_channels, smallest.training.loss.kind) == (2, "mse")
    assert smallest.training.loss.huber_delta == 0.1  # was not asked: the default
    assert _planned(searched, tmp_path, trial=0).experiments[0].config == smallest


def test_where_the_baseline_comes_from_is_told(searched, tmp_path):
    notes = _planned(searched, tmp_path).plan.baseline.notes
    assert notes[0] == "Settings of trial 1 (best) of the search small-search-sizes."
    assert "which this ablation uses too: the baseline looks better there than it is" in notes[1]
    assert _planned(searched, tmp_path, "seed=7").plan.baseline.notes[1:] == (
        "The search was run with other settings than now: seed.",
    )


def test_a_winner_that_there_is_not_is_refused(searched, tmp_path):
    with pytest.raises(ConfigError, match=r"one of \[0, 1\], got 2"):
        _planned(searched, tmp_path, trial=2)
    with pytest.raises(ConfigError, match=r"baseline\.search: none: .*must be the folder"):
        prepare_ablation(searched, _asked(tmp_path, search="none"))
