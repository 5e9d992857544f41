"""A synthetic cohort on disk: brain-like images, families, planted strata and phenotypes."""

import gzip
import io
import json
from dataclasses import asdict
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from isthmus.cohort.phantom_anatomy import (
    FOLDS,
    SHADING,
    SHAPE,
    Anatomy,
    brain_mask,
    build_anatomy,
    paint,
    smooth_field,
)
from isthmus.cohort.phantom_people import FACTORS, LATENTS, People, draw_people, draw_phenotypes
from isthmus.cohort.phantom_settings import PhantomConfig
from isthmus.core.errors import CohortError
from isthmus.core.files import write_bytes, write_json, write_text
from isthmus.core.seeds import generator

__all__ = ["PhantomConfig", "make_phantom"]

RECIPE_NAME = "phantom.json"
# Twelve bits of grey are more than the noise leaves, and compress to half of sixteen.
_GREY_LEVELS = 4095


def make_phantom(folder: Path, config: PhantomConfig) -> None:
    """Write a phantom cohort; files that are there already are not made again.

    Writes ``participants.tsv``, ``<participant_id>/<participant_id>_<modality>.nii.gz``, the
    template's ``mask.nii.gz``, ``phantom.json`` (the recipe), and ``truth.tsv`` (the stratum,
    kinship and latent values of each participant, which no analysis may read; the kinship is in
    ``participants.tsv`` too).

    Parameters
    ----------
    folder : Path
        Where to write: a new or empty folder, or one with the same phantom, whole or in part.
    config : PhantomConfig
        What is planted.

    Raises
    ------
    CohortError
        If the folder holds something else.

    Notes
    -----
    The bytes are a function of the configuration (and of the versions of numpy and zlib). A
    volume costs about 10 ms at 32 x 40 x 32.
    """
    recipe = json.loads(json.dumps(asdict(config)))
    _check_folder(folder, recipe)
    write_json(folder / RECIPE_NAME, recipe)
    people = draw_people(config)
    mask_DHW = brain_mask(config.grid)
    _write_image(folder / "mask.nii.gz", mask_DHW.astype(np.uint8), config, slope=1.0)
    absent = _absent(config, people)
    for row, label in enumerate(people.participant_ids):
        paths = {
            modality: folder / label / f"{label}_{modality}.nii.gz"
            for modality in config.modalities
            if (label, modality) not in absent
        }
        todo = {modality: path for modality, path in paths.items() if not path.exists()}
        if not todo:
            continue
        anatomies = {
            shown: _anatomy(config, people, row, shown)
            for shown in {config.shows_strata(modality) for modality in todo}
        }
        for modality, path in todo.items():
            anatomy = anatomies[config.shows_strata(modality)]
            image_DHW = _acquire(config, people, row, anatomy, modality)
            slope = float(np.abs(image_DHW).max()) / _GREY_LEVELS or 1.0
            stored = np.round(image_DHW / slope).astype(np.int16)
            _write_image(path, stored, config, slope)
    _write_truth(folder / "truth.tsv", people)
    _write_participants(folder / "participants.tsv", config, people)


def _check_folder(folder: Path, recipe: dict[str, object]) -> None:
    """Refuse a folder with another cohort in it."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise CohortError(f"{folder}: a phantom needs a folder, but this is a file.")
    try:
        found = json.loads((folder / RECIPE_NAME).read_text("utf-8"))
        # A recipe of an earlier version lacks what has been added since, at its default.
        same = {**json.loads(json.dumps(asdict(PhantomConfig()))), **found} == recipe
    except (OSError, ValueError, TypeError):
        same = not any(folder.iterdir())
    if not same:
        raise CohortError(
            f"{folder}: a phantom needs an empty folder, or one with the same phantom, but this "
            "holds something else. Name another folder, or empty this one."
        )


def _absent(config: PhantomConfig, people: People) -> set[tuple[str, str]]:
    """Choose whose file of which modality does not exist."""
    rng = generator(config.seed, "phantom", "absent")
    n = len(people.participant_ids)
    chosen = rng.permutation(n)[: round(config.missing_share * n)]
    which = rng.integers(0, len(config.modalities), n)
    return {(people.participant_ids[i], config.modalities[which[i]]) for i in chosen}


def _anatomy(config: PhantomConfig, people: People, row: int, with_stratum: bool) -> Anatomy:
    """Shape one participant's brain; relatives share part of its random fields."""
    latents = people.latents[row] - (0.0 if with_stratum else people.shifts[row])
    family = generator(config.seed, "phantom", "family", int(people.family[row]))
    own = generator(config.seed, "phantom", "own", people.participant_ids[row])
    likeness = people.likeness[row]
    folds, shape = (
        np.sqrt(likeness) * family.standard_normal(size)
        + np.sqrt(1 - likeness) * own.standard_normal(size)
        for size in (FOLDS, SHAPE)
    )
    return build_anatomy(tuple(latents), folds, shape, config.grid)


def _acquire(
    config: PhantomConfig, people: People, row: int, anatomy: Anatomy, modality: str
) -> npt.NDArray[np.float64]:
    """Add what a scanner adds: the site's scale, the coil's shading and noise; cut to the brain."""
    site = int(people.site[row])
    at_site = generator(config.seed, "phantom", "site", site, modality)
    scale, noisier = np.exp(at_site.normal(0.0, 0.02)), np.exp(at_site.normal(0.0, 0.1))
    rng = generator(config.seed, "phantom", "noise", people.participant_ids[row], modality)
    if modality in config.noise_modalities:
        noise_DHW = 0.5 + 0.1 * rng.standard_normal(config.grid)
        return np.where(brain_mask(config.grid), np.maximum(noise_DHW, 0.01), 0.0)
    image_DHW = paint(anatomy, modality)
    noise_DHW = config.noise * noisier * rng.standard_normal(config.grid)
    if modality != "JAC":
        shading_DHW = 0.02 * smooth_field(rng.standard_normal(SHADING), config.grid)
        image_DHW = np.maximum(scale * image_DHW * (1 + shading_DHW) + noise_DHW, 0.01)
    else:
        image_DHW = image_DHW + 0.3 * noise_DHW
    return np.where(brain_mask(config.grid), image_DHW, 0.0)


def _write_image(
    path: Path, stored: npt.NDArray[np.generic], config: PhantomConfig, slope: float
) -> None:
    """Write a NIfTI file with its own slope; nothing in it tells when or where it was made."""
    header = nib.Nifti1Header()
    header.set_data_dtype(stored.dtype)
    header.set_data_shape(stored.shape)
    voxels = np.array(config.voxel_size_mm)
    affine = np.diag([*voxels, 1.0])
    affine[:3, 3] = -voxels * (np.array(config.grid) - 1) / 2
    header.set_sform(affine, code=4)
    header.set_qform(affine, code=4)
    header.set_xyzt_units("mm")
    header.set_slope_inter(slope, 0.0)
    header["vox_offset"] = 352
    plain = io.BytesIO()
    header.write_to(plain)
    plain.write(bytes(352 - plain.tell()))
    plain.write(stored.tobytes(order="F"))
    packed = gzip.compress(plain.getvalue(), compresslevel=4, mtime=0)
    write_bytes(path, packed)


def _write_participants(path: Path, config: PhantomConfig, people: People) -> None:
    """Write the table that a study sees."""
    phenotypes = draw_phenotypes(config, people)
    columns = {
        "participant_id": list(people.participant_ids),
        "family_id": [f"fam-{number:03d}" for number in people.family],
        "kinship": list(people.kinship),
        "site": [f"site{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[n % 26]}{n // 26 or ''}" for n in people.site],
        "age": [f"{age:.1f}" for age in people.age],
        "sex": list(people.sex),
        **phenotypes,
    }
    _write_table(path, columns)


def _write_truth(path: Path, people: People) -> None:
    """Write what was planted."""
    columns = {
        "participant_id": list(people.participant_ids),
        "stratum": [str(stratum) for stratum in people.stratum],
        "kinship": list(people.kinship),
        **{name: [f"{v:.4f}" for v in people.factors[:, i]] for i, name in enumerate(FACTORS)},
        **{name: [f"{v:.4f}" for v in people.latents[:, i]] for i, name in enumerate(LATENTS)},
    }
    _write_table(path, columns)


def _write_table(path: Path, columns: dict[str, list[str]]) -> None:
    """Write tab-separated columns."""
    rows = zip(*columns.values(), strict=True)
    lines = ["\t".join(columns), *("\t".join(row) for row in rows)]
    write_text(path, "\n".join(lines) + "\n")
