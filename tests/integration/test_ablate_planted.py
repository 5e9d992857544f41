"""A planted truth is found: which modality carries the strata, and which is noise."""

import copy
from pathlib import Path

import pytest
import yaml
from phantom_experiment import SETTINGS
from tiny_ablation import result_of
from tiny_search import isthmus

from isthmus.backends.worker_share import usable_cores
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.study.ablation.findings import AblationResult

pytestmark = [
    pytest.mark.long,
    pytest.mark.ray,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(usable_cores() < 2, reason="two folds at a time need two cores"),
]
MODALITIES = ("T1w", "FA", "FLAIR")
PROBE = "probe_memory_recall.r/embedding"
QUESTION = {
    "question": "Which modality carries the strata, and which is noise?",
    "design": "modality_subsets",
    "hypothesis": "T1w carries all of it; FA shows the same brains without, FLAIR nothing.",
    "n_seeds": 2,
    # What the strata shift reaches the phenotypes too. Without skips the embedding has to carry it.
    "settings": {"model.skips": "none", "training.epochs": 6, "training.learning_rate": 0.003},
    "contrasts": [
        {"metric": PROBE, "direction": "maximize"},
        {"metric": "validation_mse", "direction": "minimize", "relative_margin": 0.05},
    ],
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[AblationResult, str]:
    folder = tmp_path_factory.mktemp("planted")
    make_phantom(
        folder / "cohort",
        PhantomConfig(
            n_subjects=96,
            grid=(16, 16, 16),
            modalities=MODALITIES,
            signal_modalities=("T1w",),
            noise_modalities=("FLAIR",),
            phenotype_effect=4.0,
        ),
    )
    settings = copy.deepcopy(SETTINGS)
    settings["cohort"] |= {"modalities": list(MODALITIES), "lockbox_share": 0.0}
    settings["controls"] = {"probe_targets": ["memory_recall"]}
    settings["cross_validation"] = {"n_folds": 3}
    settings["stratification"]["robustness"]["n_draws"] = 10
    _write(folder / "experiment.yaml", settings)
    _write(folder / "planted.yaml", QUESTION)
    assert isthmus("ingest", "experiment.yaml", folder=folder).returncode == 0
    ran = isthmus("ablate", "experiment.yaml", "planted.yaml", folder=folder, seconds=1500)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    report = folder / "runs" / "small-ablation-planted"
    return result_of(report), (report / "summary.md").read_text()


def _write(file: Path, content: object) -> None:
    file.write_text(yaml.safe_dump(content))


def test_all_seven_sets_are_run_whole(planted):
    result, _ = planted
    assert [arm.name for arm in result.plan.arms] == [
        "T1w+FA+FLAIR",
        "T1w+FA",
        "T1w+FLAIR",
        "FA+FLAIR",
        "T1w",
        "FA",
        "FLAIR",
    ]
    assert {fold.state for fold in result.progress.folds} == {"done"}
    assert len(result.progress.gathered) == 14


def test_the_carrier_is_found_and_noise_is_not(planted):
    result, summary = planted
    primary = result.findings[0]
    assert primary.metric == PROBE
    verdicts = {one.comparison.name: one.verdict for one in primary.contrasts}
    assert verdicts["adding T1w"] == "better"
    assert verdicts["adding FA"] != "better"
    assert verdicts["adding FLAIR"] == "not_resolvable"
    assert "adding T1w: better" in summary


def test_sets_with_the_carrier_come_first(planted):
    ranking = planted[0].findings[0].ranking
    assert ranking is not None
    assert set(ranking.arms[:4]) == {"T1w+FA+FLAIR", "T1w+FA", "T1w+FLAIR", "T1w"}
