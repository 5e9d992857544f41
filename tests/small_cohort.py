"""Twelve subjects of 12 x 12 x 12 voxels, and tasks on them, for tests that train."""

from pathlib import Path

import nibabel as nib
import numpy as np

from isthmus.cohort.participants import load_participants
from isthmus.cohort.splits import Fold
from isthmus.config.load import Experiment, load_experiment
from isthmus.core.seeds import generator
from isthmus.training.task import TrainTask
from isthmus.volumes.ingest import ingest

GRID = (12, 12, 12)
IDS = tuple(f"sub-{i:02d}" for i in range(12))
FAMILIES = {name: f"f{i // 2}" for i, name in enumerate(IDS)}
FOLD = Fold(0, train=IDS[:6], monitor=IDS[6:8], validation=IDS[8:])
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


def write_cohort(folder: Path) -> Experiment:
    """Write images and table, and ingest them: balls of differing size, shading and noise."""
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes))
    brain = (radius < 0.95).astype(np.float32)
    rows = ["participant_id\tfamily_id"]
    for i, name in enumerate(IDS):
        draw = generator(7, "subject", i)
        rows.append(f"{name}\t{FAMILIES[name]}")
        for scale, modality in ((100.0, "T1w"), (1.0, "FA")):
            size, slope = 0.4 + 0.3 * draw.random(), 0.2 * draw.random()
            image = brain * (0.3 + np.clip(size - radius, 0, None) + slope * axes[0])
            image = scale * (image + 0.02 * brain * draw.standard_normal(GRID))
            nib.save(
                nib.Nifti1Image(image.astype(np.float32), np.diag([2.0, 2.0, 2.0, 1.0])),
                folder / f"{name}_{modality}.nii.gz",
            )
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    experiment = load_experiment(folder / "experiment.yaml")
    ingest(experiment, load_participants(experiment))
    return experiment


def make_task(
    experiment_file: Path, directory: Path, *overrides: str, fold: Fold = FOLD, seed: int = 5
) -> TrainTask:
    """Make a task on the cohort with some settings overridden."""
    experiment = load_experiment(experiment_file, overrides)
    workers = experiment.config.execution.workers
    return TrainTask(
        experiment.config, experiment.store_url, fold, directory, "enc-0", seed, workers
    )
