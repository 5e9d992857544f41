"""A step that does not fit into memory is refused by type, and smaller slices train the same."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.load import load_experiment, resolve
from isthmus.core.errors import OutOfMemory, ResourceError, TrainingDiverged
from isthmus.training.order import slicing, smaller_micro_batch
from isthmus.training.shortage import memory_ran_out, typed_failures
from isthmus.volumes.ingest import ingest

FOLDER = Path(__file__).parent
SCRIPT = FOLDER / "bounded_fit.py"
# Eight subjects at a time take more beyond the imports, two at a time less.
ROOM_MIB = 280
SETTINGS = {
    "preset": "smoke",
    "cohort": {
        "root": "cohort",
        "images": "{participant_id}/{participant_id}_{modality}.nii.gz",
        "modalities": ["T1w", "FA"],
        "lockbox_share": 0.0,
    },
    "volumes": {"normalisation": {"method": "robust_percentile"}},
    "model": {"depth": 2, "base_channels": 8, "embedding_size": 216, "norm": "group"},
    "training": {"epochs": 2, "global_batch_size": 8},
    "execution": {"device": "cpu", "threads_per_worker": 1, "ingest_processes": 1},
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("memory")
    recipe = PhantomConfig(n_subjects=10, grid=(24, 24, 24), twin_share=0.0, sibling_share=0.0)
    make_phantom(folder / "cohort", recipe)
    (folder / "experiment.yaml").write_text(yaml.safe_dump(SETTINGS))
    experiment = load_experiment(folder / "experiment.yaml")
    ingest(experiment, load_participants(experiment))
    return folder / "experiment.yaml"


def start(file: Path, directory: Path, room_mib: int, *overrides: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(file), str(directory), str(room_mib), *overrides]
    path = f"{FOLDER.parents[2] / 'platform'}:{FOLDER.parents[1]}"
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )


def outcome(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return json.loads(output)


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts all memory on Linux only")
def test_what_does_not_fit_goes_through_in_slices_and_trains_the_same(
    file: Path, tmp_path: Path
) -> None:
    unlimited = start(file, tmp_path / "unlimited", 0)
    tight = outcome(start(file, tmp_path / "tight", ROOM_MIB))
    assert tight["losses"] == []
    for part in ("fold 0", "with 8 subjects at a time", "global_batch_size 8", "workers 1"):
        assert part in tight["refusal"]
    assert "Set training.accumulation_steps to 2: 4 at a time" in tight["refusal"]
    assert not (tmp_path / "tight" / "last.pt").exists()
    expected = outcome(unlimited)
    n_slices = 1
    while tight["refusal"]:
        n_slices = tight["smaller"]["training.accumulation_steps"]
        setting = f"training.accumulation_steps={n_slices}"
        tight = outcome(start(file, tmp_path / str(n_slices), ROOM_MIB, setting))
    assert n_slices in (2, 4)
    assert expected["refusal"] is None
    assert len(tight["losses"]) == len(expected["losses"]) == 2
    # In float32 only the order of sums differs.
    assert tight["losses"] == pytest.approx(expected["losses"], rel=1e-5)


def config(minimal_cohort: dict[str, Any], batch: int, steps: int = 1) -> ExperimentConfig:
    training = {"global_batch_size": batch, "accumulation_steps": steps}
    return resolve({"cohort": minimal_cohort, "training": training})


@pytest.fixture
def cohort() -> dict[str, Any]:
    return {"images": "{participant_id}_{modality}.nii.gz", "modalities": ["T1w"]}


@pytest.mark.parametrize(
    ("batch", "steps", "workers", "expected"),
    [(8, 1, 1, 2), (8, 2, 1, 4), (12, 2, 1, 3), (12, 2, 2, 3), (9, 1, 1, 3), (7, 1, 1, 7)],
)
def test_the_next_smaller_part_keeps_the_batch_and_cuts_it_equally(
    cohort: dict[str, Any], batch: int, steps: int, workers: int, expected: int
) -> None:
    before = config(cohort, batch, steps)
    assert smaller_micro_batch(before, workers) == {"training.accumulation_steps": expected}
    after = slicing(config(cohort, batch, expected).training, workers)
    assert after.part_size < slicing(before.training, workers).part_size
    assert after.global_batch_size == batch


@pytest.mark.parametrize(("batch", "steps", "workers"), [(1, 1, 1), (8, 8, 1), (8, 2, 4)])
def test_one_subject_at_a_time_is_the_least(
    cohort: dict[str, Any], batch: int, steps: int, workers: int
) -> None:
    assert smaller_micro_batch(config(cohort, batch, steps), workers) is None


def test_memory_is_told_from_other_failures() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60)
    assert memory_ran_out(refused.value)
    assert memory_ran_out(MemoryError())
    assert memory_ran_out(torch.OutOfMemoryError("CUDA out of memory."))
    assert memory_ran_out(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not memory_ran_out(OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(RuntimeError) as wrong:
        torch.zeros(2) @ torch.zeros(3)
    assert not memory_ran_out(wrong.value)


def test_outside_of_training_no_smaller_slice_is_proposed(
    cohort: dict[str, Any], tmp_path: Path
) -> None:
    with (
        pytest.raises(ResourceError, match="Smaller micro-batches do not help") as refused,
        typed_failures(tmp_path, config(cohort, 8)),
    ):
        torch.empty(2**60)
    assert not isinstance(refused.value, OutOfMemory)


def test_refusals_and_bugs_pass_through(cohort: dict[str, Any], tmp_path: Path) -> None:
    for error in (TrainingDiverged("nan"), OutOfMemory("8 at a time"), KeyError("bug")):
        with pytest.raises(type(error)) as raised, typed_failures(tmp_path, config(cohort, 8)):
            raise error
        assert raised.value is error


def test_what_the_failed_step_held_is_let_go_of(cohort: dict[str, Any], tmp_path: Path) -> None:
    freed: list[bool] = []

    class Held:
        def __del__(self) -> None:
            freed.append(True)

    def step() -> None:
        held = Held()  # noqa: F841 - the frame keeps it
        torch.empty(2**60)

    with pytest.raises(ResourceError), typed_failures(tmp_path, config(cohort, 8)):
        step()
    assert freed == [True]
