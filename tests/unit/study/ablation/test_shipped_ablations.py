"""The files of ablations/: they load, and plan on two and on three modalities."""

import functools
from pathlib import Path

import pytest
import yaml
from phantom_experiment import SETTINGS

from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import make_phantom
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.config.ablation.load import load_ablation
from isthmus.config.load import load_experiment
from isthmus.study.ablation.plan import PreparedAblation, prepare_ablation
from isthmus.volumes.ingest import ingest

FOLDER = Path(__file__).resolve().parents[4] / "ablations"
FILES = sorted(FOLDER.glob("*.yaml"))
SINGLES = ("T1w", "FA", "NDI")


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment on three modalities at the size of the smoke preset, ingested."""
    folder = tmp_path_factory.mktemp("shipped")
    make_phantom(folder / "cohort", PhantomConfig(n_subjects=16, modalities=SINGLES))
    cohort = {**SETTINGS["cohort"], "modalities": list(SINGLES), "lockbox_share": 0.0}
    content = {name: SETTINGS[name] for name in ("preset", "name", "execution")}
    (folder / "experiment.yaml").write_text(yaml.safe_dump({**content, "cohort": cohort}))
    experiment = load_experiment(folder / "experiment.yaml")
    ingest(experiment, load_participants(experiment))
    return folder / "experiment.yaml"


@functools.cache
def planned(name: str, file: Path, modalities: tuple[str, ...] = SINGLES) -> PreparedAblation:
    """Plan a shipped ablation, once."""
    experiment = load_experiment(file, [f"model.modalities=[{','.join(modalities)}]"])
    return prepare_ablation(experiment, load_ablation(FOLDER / f"{name}.yaml", experiment.config))


def test_the_ablations_are_those_that_are_documented():
    assert [file.stem for file in FILES] == [
        "embedding_size",
        "fusion_operation",
        "fusion_timing",
        "loss",
        "modality_subsets",
        "normalisation",
        "separable_vs_standard",
        "skips",
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_ablation_loads_and_says_what_it_asks(file):
    loaded = load_ablation(file)
    assert loaded.name == file.stem
    assert loaded.question.endswith("?")
    first = file.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith("?")
    # both a picture and the strata are looked at
    metrics = {one.metric for one in loaded.contrasts}
    assert {"validation_mse", "strata_robustness_score", "strata_agreement"} <= metrics


@pytest.mark.parametrize("modalities", [SINGLES[:2], SINGLES], ids=["two", "three"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_shipped_ablation_plans(file, modalities, phantom):
    plan = planned(file.stem, phantom, modalities).plan
    infeasible = {arm.name for arm in plan.arms if arm.infeasible}
    # gradual fusion of two modalities is sudden; everything else can be built at this size
    gradual = file.stem == "fusion_timing" and len(modalities) == 2
    assert infeasible == ({"timing gradual"} if gradual else set())
    assert {run.seed for run in plan.runs} == {0, 1}
    assert len(plan.comparisons) >= 1


def test_the_arms_are_those_that_the_files_name(phantom):
    def arms(name: str) -> list[str]:
        return [arm.name for arm in planned(name, phantom).plan.arms]

    sets = ["T1w+FA+NDI", "T1w+FA", "T1w+NDI", "FA+NDI", "T1w", "FA", "NDI"]
    assert arms("modality_subsets") == sets
    assert arms("skips") == ["all", "deep", "none"]
    assert arms("fusion_timing")[1:3] == [
        "positions [1, bottleneck]",
        "positions [1, 2, bottleneck]",
    ]
    assert arms("embedding_size") == ["x1", "x0.25", "x0.5", "x2"]
    sizes = {arm.name: arm.size for arm in planned("embedding_size", phantom).plan.arms}
    assert [sizes[name].embedding_size for name in ("x0.25", "x1", "x2")] == [160, 640, 1280]


def test_separable_networks_come_to_the_size_of_the_standard_one(phantom):
    plan = planned("separable_vs_standard", phantom).plan
    standard, separable, by_parameters, by_compute = (arm.size for arm in plan.arms)
    assert separable.n_parameters < 0.8 * standard.n_parameters
    assert 0.9 < by_parameters.n_parameters / standard.n_parameters < 1.1
    assert 0.9 < by_compute.multiply_accumulates / standard.multiply_accumulates < 1.1
    assert "of standard's" in plan.arms[2].notes[0]
    # the same width meets both here, so that one of them is trained
    assert plan.arms[3].same_as == plan.arms[2].name
    assert {run.arm for run in plan.runs} == {arm.name for arm in plan.arms[:3]}


def test_the_leaky_arm_is_labelled(phantom):
    plan = planned("normalisation", phantom).plan
    assert [arm.leaky for arm in plan.arms] == [False, True]
