"""Two workers train what one does: same losses, same stops, same errors."""

import json
import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.multiprocessing

from isthmus.config.load import Experiment
from isthmus.training.fit import fit
from isthmus.training.history import read_history

TESTS = Path(__file__).parents[1]
FOLDERS = (TESTS.parent / "platform", TESTS, TESTS / "integration")
TWENTY_STEPS = (
    "training.epochs=10",
    "training.global_batch_size=4",
    "model.dropout=0.1",
    "training.early_stopping.monitor_share=0.2",
)


@pytest.fixture(scope="module", autouse=True)
def importable() -> Iterator[None]:
    """Let this process and those it starts import what lies beside the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, *map(str, FOLDERS)])
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path[-3:]))
        multiprocessing.set_forkserver_preload(["ddp_worker"])
        yield


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    from small_cohort import write_cohort

    return write_cohort(tmp_path_factory.mktemp("cohort"))


def train_together(
    experiment: Experiment, directory: Path, *overrides: str, stop_after: int | None = None
) -> list[dict[str, object]]:
    """Train with two processes; return what each of them saw."""
    import ddp_worker

    rendezvous = directory.with_name(f"{directory.name}.rendezvous")
    rendezvous.unlink(missing_ok=True)
    file = experiment.folder / "experiment.yaml"
    arguments = (2, rendezvous, file, directory, overrides, stop_after)
    torch.multiprocessing.start_processes(
        ddp_worker.work, args=arguments, nprocs=2, start_method="forkserver"
    )
    return [
        json.loads(directory.with_name(f"{directory.name}.rank-{rank}.json").read_text())
        for rank in range(2)
    ]


@pytest.mark.parametrize(("accumulation", "norm"), [(1, "batch"), (2, "batch"), (2, "group")])
def test_twenty_steps_of_two_workers_are_those_of_one(
    experiment: Experiment, tmp_path: Path, accumulation: int, norm: str
) -> None:
    from ddp_worker import EIGHT
    from small_cohort import make_task

    settings = (
        *TWENTY_STEPS,
        f"training.accumulation_steps={accumulation}",
        f"model.norm={norm}",
    )
    alone: list[float] = []
    task = make_task(experiment.folder / "experiment.yaml", tmp_path / "one", *settings, fold=EIGHT)
    fit(task, on_step=lambda _, loss: alone.append(loss))
    first, second = train_together(experiment, tmp_path / "two", *settings)
    assert first["error"] is None
    assert first == second
    assert len(alone) == 20
    assert first["losses"] == pytest.approx(alone, rel=1e-5)
    pairs = zip(read_history(tmp_path / "one"), read_history(tmp_path / "two"), strict=True)
    # A bias before batch normalisation has no true gradient, and Adam makes steps of its rounding.
    # Training does not feel them; running means lag behind them, and so evaluation does.
    rel = 1e-3 if norm == "batch" else 1e-5
    for one, two in pairs:
        assert two["monitor_loss"] == pytest.approx(one["monitor_loss"], rel=rel)
        assert two["monitor_mse_FA"] == pytest.approx(one["monitor_mse_FA"], rel=rel)


def test_two_workers_withhold_what_one_does(experiment: Experiment, tmp_path: Path) -> None:
    from ddp_worker import EIGHT
    from small_cohort import make_task

    from isthmus.cohort.participants import load_participants
    from isthmus.config.load import load_experiment
    from isthmus.volumes.ingest import ingest

    folder = tmp_path / "incomplete"
    shutil.copytree(experiment.folder, folder, ignore=shutil.ignore_patterns("store", "runs"))
    for name in ("sub-01_FA", "sub-02_FA", "sub-05_T1w", "sub-09_T1w"):
        (folder / f"{name}.nii.gz").unlink()
    settings = (
        *TWENTY_STEPS,
        "training.accumulation_steps=2",
        "training.modality_dropout=0.5",
        "cohort.missing_modalities=keep",
        "model.fusion.operation=mean",
        "model.norm=group",
    )
    incomplete = load_experiment(folder / "experiment.yaml", settings)
    assert ingest(incomplete, load_participants(incomplete)).n_incomplete == 4
    alone: list[float] = []
    task = make_task(folder / "experiment.yaml", tmp_path / "one", *settings, fold=EIGHT)
    fit(task, on_step=lambda _, loss: alone.append(loss))
    first, second = train_together(incomplete, tmp_path / "two", *settings)
    assert first["error"] is None
    assert first == second
    assert first["losses"] == pytest.approx(alone, rel=1e-5)
    pairs = zip(read_history(tmp_path / "one"), read_history(tmp_path / "two"), strict=True)
    for one, two in pairs:
        for name in ("train_loss_FA", "monitor_loss", "monitor_mse_T1w"):
            assert two[name] == pytest.approx(one[name], rel=1e-5)


def test_two_workers_resume_to_the_bit(experiment: Experiment, tmp_path: Path) -> None:
    train_together(experiment, tmp_path / "whole", *TWENTY_STEPS[1:])
    stopped = train_together(experiment, tmp_path / "cut", *TWENTY_STEPS[1:], stop_after=3)
    assert [worker["error"] for worker in stopped] == ["Stopped: ", "Stopped: "]
    resumed = train_together(experiment, tmp_path / "cut", *TWENTY_STEPS[1:])
    assert len(resumed[0]["losses"]) == 6 - 2  # the third step was not saved
    weights = [tmp_path / name / "model.safetensors" for name in ("whole", "cut")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_all_workers_stop_on_divergence_and_name_the_global_batch(
    experiment: Experiment, tmp_path: Path
) -> None:
    settings = (*TWENTY_STEPS, "training.learning_rate=1e30", "model.norm=group")
    first, second = train_together(experiment, tmp_path / "two", *settings)
    assert str(first["error"]).startswith("TrainingDiverged: ")
    assert first == second
    assert str(first["error"]).split("global batch: ")[1].count("sub-") == 4


def test_all_workers_are_refused_alike(experiment: Experiment, tmp_path: Path) -> None:
    train_together(experiment, tmp_path / "two", *TWENTY_STEPS[1:], "training.epochs=1")
    first, second = train_together(experiment, tmp_path / "two", *TWENTY_STEPS[1:])
    assert "another folder" in str(first["error"])
    assert first == second
    first, second = train_together(
        experiment, tmp_path / "odd", *TWENTY_STEPS, "training.global_batch_size=3"
    )
    assert "execution.workers (2)" in str(first["error"])
    assert first == second
