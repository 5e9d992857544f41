"""A cohort of twelve small subjects, ingested once, and tasks on it."""

from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from isthmus.cohort.participants import load_participants
from isthmus.cohort.splits import Fold
from isthmus.config.load import Experiment, load_experiment
from isthmus.core.seeds import generator
from isthmus.training.task import TrainTask
from isthmus.volumes.ingest import ingest

GRID = (12, 12, 12)
N_SUBJECTS = 12
EXPERIMENT = """
cohort:
  participants: participants.tsv
  images: "{participant_id}_{modality}.nii.gz"
  modalities: [T1w, FA]
  group_by: family_id
  lockbox_share: 0.0
volumes: {normalisation: {method: global_minmax}}
model:
  embedding_size: 54
  depth: 2
  base_channels: 2
  kernel_size: 3
  mid_flow_blocks: 1
  norm: batch
  dropout: 0.1
training:
  epochs: 3
  global_batch_size: 2
  learning_rate: 3.0e-3
  loss: {kind: mse, masked: true}
execution: {output: runs, store: store, threads_per_worker: 1, checkpoint_every_steps: 1,
            ingest_processes: 1, device: cpu}
"""


def subject(number: int) -> str:
    return f"sub-{number:02d}"


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("cohort")
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    brain = (radius < 0.95).astype(np.float32)
    rows = ["participant_id\tfamily_id\tage"]
    for i in range(N_SUBJECTS):
        draw = generator(7, "subject", i)
        rows.append(f"{subject(i)}\tf{i // 2}\t{20 + i}")
        for scale, modality in ((100.0, "T1w"), (1.0, "FA")):
            shape = 0.4 + 0.3 * draw.random()
            image = brain * (0.3 + np.clip(shape - radius, 0, None) + 0.2 * draw.random() * axes[0])
            image = scale * (image + 0.02 * brain * draw.standard_normal(GRID))
            nib.save(
                nib.Nifti1Image(image.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0])),
                folder / f"{subject(i)}_{modality}.nii.gz",
            )
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    loaded = load_experiment(folder / "experiment.yaml")
    ingest(loaded, load_participants(loaded))
    return loaded


@pytest.fixture
def fold() -> Fold:
    ids = [subject(i) for i in range(N_SUBJECTS)]
    return Fold(0, train=tuple(ids[:6]), monitor=tuple(ids[6:8]), validation=tuple(ids[8:]))


MakeTask = Callable[..., TrainTask]


@pytest.fixture
def make_task(experiment: Experiment, fold: Fold, tmp_path: Path) -> MakeTask:
    def make(*overrides: str, directory: str = "fold-0", seed: int = 5) -> TrainTask:
        config = load_experiment(experiment.folder / "experiment.yaml", overrides).config
        return TrainTask(config, experiment.store_url, fold, tmp_path / directory, "enc-0", seed)

    return make
