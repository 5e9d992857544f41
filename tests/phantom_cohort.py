"""Phantom cohorts as an encoder sees them: images made, read back and coded linearly."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import nibabel as nib
import numpy as np
import pytest

from isthmus.cohort.participants import Participants
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.cohort.tables import as_frame, read_table
from isthmus.stratification.embedding_table import EmbeddingTable

GRID = (12, 12, 12)
N_COMPONENTS = 4


def coded_phantom(config: PhantomConfig) -> tuple[EmbeddingTable, Participants]:
    """Make a phantom and give its subjects the leading principal components of their images.

    The strata shift two anatomical latents each, so a linear code of a few components has them in
    it; whether a trained encoder does is the platform's question, and not that of its tests.
    """
    with TemporaryDirectory() as name, _forgetful():
        folder = Path(name)
        make_phantom(folder, config)
        table = read_table(folder / "participants.tsv")
        frame = as_frame(table, keep_text=["family_id", "kinship", "site"])
        images_NP = _read_images(folder, frame.index.tolist(), config.modalities)
    images_NP -= images_NP.mean(axis=0)
    left_NN, lengths_N, _ = np.linalg.svd(images_NP, full_matrices=False)
    values = (left_NN * lengths_N)[:, :N_COMPONENTS]
    ids = tuple(frame.index)
    coded = EmbeddingTable("principal-components", ids, values, ("validation",) * len(ids))
    return coded, Participants(frame, "family_id", "site", kinship_column="kinship")


def _read_images(folder: Path, ids: list[str], modalities: tuple[str, ...]) -> np.ndarray:
    """Read the brain's voxels of all modalities, a row a subject."""
    mask_DHW = np.asarray(nib.load(folder / "mask.nii.gz").dataobj) > 0
    return np.array(
        [
            np.concatenate(
                [
                    nib.load(folder / label / f"{label}_{modality}.nii.gz").get_fdata()[mask_DHW]
                    for modality in modalities
                ]
            )
            for label in ids
        ]
    )


@contextmanager
def _forgetful() -> Iterator[None]:
    """Do not wait for the disk: these files are read at once and deleted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
