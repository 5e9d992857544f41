"""An ablation small enough to run in a minute, and what it leaves behind."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from tiny_search import write_ingested

from isthmus.study.ablation.findings import AblationResult
from isthmus.study.ablation.result_json import read_result

SKIPS: Mapping[str, Any] = {
    "question": "Do skip connections bypass the embedding?",
    "design": "one_factor_out",
    "factors": {"model.skips": {"hypothesis": "They do.", "values": ["all", "none"]}},
    "n_seeds": 1,
    "contrasts": [
        {"metric": "validation_mse", "direction": "minimize", "relative_margin": 0.05},
        {"metric": "strata_agreement", "direction": "either"},
    ],
}


def write_ablation(
    folder: Path, settings: Mapping[str, Any] | None = None, **ablation: Any
) -> tuple[Path, Path]:
    """Make a cohort that is ingested, an experiment on it and an ablation; return the two files.

    `settings` are the experiment's, by dotted path; `ablation` replaces parts of the ablation's
    file. The ablation's folder is then ``folder / "runs" / "small-ablation-skips"``.
    """
    experiment_file = write_ingested(folder, settings)
    ablation_file = folder / "skips.yaml"
    ablation_file.write_text(yaml.safe_dump({**SKIPS, **ablation}))
    return experiment_file, ablation_file


def ablation_folder(folder: Path) -> Path:
    """Where `write_ablation(folder)`'s ablation is kept once it is begun."""
    return folder / "runs" / "small-ablation-skips"


def noted(ablation: Path) -> dict[str, dict[str, Any]]:
    """Read what was noted of each fold that was begun, by trial and number."""
    file = ablation / "progress.json"
    folds: dict[str, dict[str, Any]] = (
        json.loads(file.read_text())["folds"] if file.exists() else {}
    )
    return folds


def done_folds(runs: Path) -> dict[Path, tuple[int, int]]:
    """What training and evaluating folds wrote of those that are done, told from it rewritten."""
    files = [
        file
        for done in runs.glob("small-*/fold-*/fold.json")
        for file in (done, done.parent / "model.safetensors")
    ]
    return {file: (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}


def result_of(ablation: Path) -> AblationResult:
    """Read what came of an ablation."""
    return read_result(ablation)
