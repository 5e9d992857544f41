"""Small cohorts on disk, written here so that every fault in them is known."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.load import Experiment, resolve
from isthmus.config.paths import put

GRID = (8, 10, 8)
AFFINE = np.array([[2.0, 0, 0, -7], [0, 2, 0, -9], [0, 0, 2, -7], [0, 0, 0, 1]])


def brain(grid: tuple[int, int, int] = GRID) -> np.ndarray:
    """An ellipsoid."""
    axes = np.meshgrid(*[np.linspace(-1, 1, edge) for edge in grid], indexing="ij")
    return sum(axis**2 for axis in axes) < 1.0


def draw_volume(seed: int, grid: tuple[int, int, int] = GRID) -> np.ndarray:
    """Positive values in the ellipsoid, zero outside."""
    values = np.random.default_rng(seed).uniform(1, 100, size=grid)
    return np.where(brain(grid), values, 0).astype(np.float32)


def write_image(path: Path, voxels: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write a NIfTI image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, affine), path)


@dataclass
class WrittenCohort:
    """A cohort's folder and how to study it."""

    folder: Path
    ids: list[str]
    modalities: tuple[str, ...]

    def path(self, participant_id: str, modality: str = "T1w") -> Path:
        """Where an image is."""
        return self.folder / "cohort" / participant_id / f"{participant_id}_{modality}.nii.gz"

    def experiment(self, **settings: Any) -> Experiment:
        """Settings by dotted path, with __ for the dot."""
        content: dict[str, Any] = {
            "cohort": {
                "root": "cohort",
                "images": "{participant_id}/{participant_id}_{modality}.nii.gz",
                "modalities": list(self.modalities),
                "lockbox_share": 0.0,
            },
            "execution": {"store": "store", "ingest_processes": 1},
        }
        for name, value in settings.items():
            put(content, name.replace("__", "."), value)
        return Experiment(resolve(content), self.folder)

    def participants(self, ids: list[str] | None = None) -> Participants:
        """Everybody, or some; family f1 holds the first two."""
        chosen = self.ids if ids is None else ids
        families = [f"f{max(1, self.ids.index(one)) if one in self.ids else one}" for one in chosen]
        table = pd.DataFrame({"family_id": families}, index=pd.Index(chosen, name="participant_id"))
        return Participants(table, group_by="family_id")

    def add(self, participant_id: str, seed: int) -> None:
        """Write one more subject."""
        for place, modality in enumerate(self.modalities):
            write_image(self.path(participant_id, modality), draw_volume(100 * seed + place))
        self.ids.append(participant_id)


MakeCohort = Callable[..., WrittenCohort]


@pytest.fixture
def make_cohort(tmp_path: Path) -> MakeCohort:
    """Write a good cohort."""

    def make(n_subjects: int = 3, modalities: tuple[str, ...] = ("T1w", "FA")) -> WrittenCohort:
        cohort = WrittenCohort(tmp_path, [], modalities)
        for number in range(n_subjects):
            cohort.add(f"sub-{number:02d}", number)
        return cohort

    return make


@pytest.fixture
def draw() -> Callable[..., np.ndarray]:
    return draw_volume


@pytest.fixture
def write() -> Callable[..., None]:
    return write_image


@pytest.fixture
def brain_mask() -> np.ndarray:
    return brain()


@pytest.fixture
def affine() -> np.ndarray:
    return AFFINE.copy()


@pytest.fixture
def shared_data() -> Path:
    """Real images, which not every checkout has beside it."""
    folder = Path(__file__).parents[4] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the real images in {folder}")
    return folder
