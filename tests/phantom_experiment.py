"""A phantom cohort and an experiment on it, small enough to train in seconds."""

from pathlib import Path

import yaml

from isthmus.cohort.phantom import PhantomConfig, make_phantom

SETTINGS = {
    "preset": "smoke",
    "name": "small",
    "cohort": {
        "root": "cohort",
        "images": "{participant_id}/{participant_id}_{modality}.nii.gz",
        "mask": "mask.nii.gz",
        "modalities": ["T1w", "FA"],
        "phenotypes": [
            "memory_recall",
            "memory_recognition",
            "reaction_time_ms",
            "processing_speed",
        ],
        "confounds": ["age", "sex"],
        "group_by": "family_id",
        "lockbox_share": 0.1,
    },
    "model": {"depth": 2, "base_channels": 2, "embedding_size": 64},
    "training": {"epochs": 2, "global_batch_size": 2},
    "cross_validation": {"n_folds": 2},
    "controls": {"probe_targets": ["age", "sex"]},
    "stratification": {
        "n_permutations": 99,
        "robustness": {
            "n_draws": 20,
            "n_null_phenotypes": 39,
            "n_matched_nulls": 19,
            "n_null_draws": 2,
        },
        "specifications": {
            "clusterers": ["affinity_propagation", "ward"],
            "pca_components": [None],
            "n_null_phenotypes": 19,
        },
    },
    "execution": {"device": "cpu", "threads_per_worker": 1, "ingest_processes": 1},
}


def write_experiment(folder: Path) -> Path:
    """Make the cohort and the experiment file; return the file."""
    make_phantom(folder / "cohort", PhantomConfig(n_subjects=26, grid=(16, 16, 16)))
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(SETTINGS))
    return file
