"""Headers that lie about where an image lies, and paths that no file system takes."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.load import Experiment, resolve
from isthmus.core.errors import CohortError, ConfigError, ImageError
from isthmus.volumes.examine import Rules, examine_image
from isthmus.volumes.nifti import read_header
from isthmus.volumes.sources import ImageSource, image_sources
from isthmus.volumes.space import Space

GRID = (4, 5, 4)


def written(path: Path, edge_mm: float, **fields: object) -> Path:
    voxels = np.arange(80, dtype=np.int16).reshape(GRID)
    image = nib.Nifti1Image(voxels, np.diag([edge_mm, edge_mm, edge_mm, 1]))
    raw = image.to_bytes()
    header = nib.Nifti1Header(raw[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + raw[348:])
    return path


@pytest.mark.parametrize(
    "fields",
    [
        {"srow_x": [3e38, 3e38, 3e38, 0], "sform_code": 1},
        {"srow_y": [0, np.inf, 0, 0], "sform_code": 1},
        {"srow_z": [0, 0, 2, 1e9], "sform_code": 1},
        {"pixdim": [1, 3e38, 2, 2, 1, 1, 1, 1], "sform_code": 0, "qform_code": 1},
        {"quatern_b": 3e38, "sform_code": 0, "qform_code": 1},
        {"quatern_c": np.nan, "sform_code": 0, "qform_code": 1},
        {"qoffset_x": np.nan, "sform_code": 0, "qform_code": 1},
    ],
)
def test_an_affine_that_overflows_is_refused_without_a_warning(tmp_path, fields):
    with pytest.raises(ImageError, match=r"a\.nii: the affine must be"):
        read_header(written(tmp_path / "a.nii", 2.0, **fields))


@pytest.mark.parametrize("row", [[1e-3, 1e-45, 0, 0], [2, 0, 0, 0]])
def test_parallel_axes_of_any_length_are_refused_without_a_warning(tmp_path, row):
    fields = {"srow_x": row, "srow_y": row, "srow_z": [0, 0, 2, 0], "sform_code": 1}
    with pytest.raises(ImageError, match="the affine must"):
        read_header(written(tmp_path / "a.nii", 2.0, **fields))


@pytest.mark.parametrize(("edge_mm", "verdict"), [(0.002, "refused"), (2000.0, "refused")])
def test_voxels_in_another_unit_are_refused_where_images_are_resampled(tmp_path, edge_mm, verdict):
    rules = Rules(Space(GRID, np.diag([2.0, 2, 2, 1])), None, True, 0.9, 0.5, "float32")
    path = written(tmp_path / "a.nii", edge_mm)
    found, voxels_DHW = examine_image(ImageSource("sub-01", "T1w", path, "a.nii"), rules)
    assert found.verdict == verdict
    assert voxels_DHW is None
    assert "voxel edges must be within 32 times the cohort's, 2x2x2 mm" in found.reason
    assert "mend the header" in found.reason


def sources_of(folder: Path, images: str):
    config = resolve({"cohort": {"images": images, "modalities": ["T1w"]}})
    index = pd.Index(["sub-01"], name="participant_id", dtype=object)
    return image_sources(Experiment(config, folder), Participants(pd.DataFrame(index=index)))


def test_a_path_that_is_too_long_is_no_crash(tmp_path):
    with pytest.raises(CohortError, match="there must be image files, but none of those"):
        sources_of(tmp_path, "x" * 300 + "{participant_id}{modality}.nii")


def test_doubled_braces_name_no_field(tmp_path):
    # every participant would have the one file of that very name
    with pytest.raises(ConfigError, match=r"\{participant_id\} is none; doubled braces are plain"):
        sources_of(tmp_path, "{{participant_id}}_{modality}.nii")
