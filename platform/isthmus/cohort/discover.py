"""Looking at a cohort's folder and proposing its settings, with what was left out and why."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from isthmus.cohort.column_doubts import ambiguous_columns
from isthmus.cohort.excerpt import a_few
from isthmus.cohort.image_layout import ImageLayout, LeftOut, find_layout
from isthmus.cohort.tables import as_frame, read_table
from isthmus.core.errors import CohortError

__all__ = ["Discovery", "LeftOut", "discover"]

_MASKS = ("mask.nii.gz", "mask.nii", "brain_mask.nii.gz", "brain_mask.nii", "brainmask.nii.gz")
_FAMILY = ("family_id", "family", "familyid", "fam_id")
_KINSHIP = ("kinship", "zygosity", "relation")
_SITE = ("site", "site_id", "center", "centre", "scanner", "acquisition_site")
_SEX = ("sex", "gender")
_HEAD_SIZE = re.compile(r"(icv|etiv|tiv)(_.*)?$", re.IGNORECASE)
_VOLUME = re.compile(r".*_(ml|mm3|cm3|voxels)$", re.IGNORECASE)
_LABEL_COLUMN = re.compile(r"has_.*|.*_id|id|index|run|session", re.IGNORECASE)
_MANY_MISSING = 0.1
# Of a category to be proposed: its values, and how many must have each of the two commonest.
_MOST_CATEGORIES = 12
_FEWEST_OF_A_CATEGORY = 5


@dataclass(frozen=True)
class Discovery:
    """What a folder looks like, as settings of `cohort`.

    Attributes
    ----------
    folder : Path
        The cohort's folder.
    images : str
        Pattern with ``{participant_id}`` and ``{modality}``.
    modalities : tuple of str
        Labels that more than half of the participants have.
    left_out : tuple of LeftOut
        Other labels that fit the pattern, with the reason.
    mask : str or None
        Brain mask common to the cohort.
    group_by, kinship, site : str or None
        Columns of family, of what a participant is to it, and of site.
    phenotypes : tuple of str
        Numeric columns that may be phenotypes: candidates, to be judged by who knows them.
    categorical_phenotypes : tuple of str
        Text columns of a few values, likewise.
    confounds : tuple of str
        Age, sex and head size.
    n_participants : int
        Rows of the table.
    n_complete : int
        Participants with every modality.
    warnings : tuple of str
        What to know before using the proposal.
    """

    folder: Path
    images: str
    modalities: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    mask: str | None
    group_by: str | None
    kinship: str | None
    site: str | None
    phenotypes: tuple[str, ...]
    categorical_phenotypes: tuple[str, ...]
    confounds: tuple[str, ...]
    n_participants: int
    n_complete: int
    warnings: tuple[str, ...]

    def settings(self) -> dict[str, Any]:
        """Give the proposal as the `cohort` group of an experiment; what is unset is left out.

        Returns
        -------
        dict
            Of lists, strings and numbers, to be written as YAML.
        """
        stratify_by = [
            name
            for name in (self.site, *self.confounds)
            if name and name.lower() in (*_SITE, *_SEX)
        ]
        proposal = {
            "participants": "participants.tsv",
            "images": self.images,
            "mask": self.mask,
            "modalities": list(self.modalities),
            "phenotypes": list(self.phenotypes),
            "categorical_phenotypes": list(self.categorical_phenotypes),
            "confounds": list(self.confounds),
            "group_by": self.group_by,
            "kinship": self.kinship,
            "site": self.site,
            "stratify_by": stratify_by,
        }
        return {name: value for name, value in proposal.items() if value not in (None, [])}


def discover(folder: Path) -> Discovery:
    """Propose the settings of a cohort from its folder.

    No image is opened: `isthmus ingest` judges them.

    Parameters
    ----------
    folder : Path
        With ``participants.tsv`` and NIfTI files named after the participants.

    Returns
    -------
    Discovery
        A proposal, with everything left out listed.

    Raises
    ------
    CohortError
        If there is no usable table, or no image whose name has a participant's label.

    Notes
    -----
    A column that ends in a unit of volume is taken to be derived from the images. Proposed as a
    phenotype it would make images predict themselves; head size is proposed as a confound, the
    others are listed in the warnings.
    """
    if not folder.is_dir():
        raise CohortError(f"{folder}: must be a cohort's folder, but there is none.")
    path = folder / "participants.tsv"
    if not path.exists():
        raise CohortError(
            f"{folder}: must hold a participants.tsv with a column participant_id, but there is "
            "none. Write one line for each participant."
        )
    text = read_table(path)
    columns = {name.lower(): name for name in reversed(text.columns)}
    group_by = next((columns[name] for name in _FAMILY if name in columns), None)
    kinship = next((columns[name] for name in _KINSHIP if group_by and name in columns), None)
    site = next((columns[name] for name in _SITE if name in columns), None)
    table = as_frame(text, keep_text=[name for name in (group_by, kinship, site) if name])
    layout = find_layout(folder, list(table.index))
    if layout is None:
        raise CohortError(
            f"{folder}: must hold NIfTI files (.nii, .nii.gz) named after the participants, such "
            f"as {table.index[0]}/{table.index[0]}_T1w.nii.gz, and more than half of them must "
            "have one modality. Rename the files, or write a manifest and set cohort.manifest."
        )
    if site is not None and table[site].nunique() < 2:
        site = None
    confounds, notes = _confounds(table)
    phenotypes, categories, more = _phenotypes(table, {*confounds, group_by, kinship, site})
    # Families and kin are no columns to leave out: whoever loads the proposal is told of theirs.
    proposed = {
        "cohort.phenotypes": phenotypes,
        "cohort.categorical_phenotypes": categories,
        "cohort.confounds": confounds,
        "cohort.site": (site,) if site else (),
    }
    doubts = ambiguous_columns(text, proposed)
    more += [f"Column '{name}' is left out until it is mended: {doubts[name]}." for name in doubts]
    complete = frozenset.intersection(*layout.modalities.values())
    return Discovery(
        folder,
        layout.pattern,
        tuple(layout.modalities),
        layout.left_out,
        next((name for name in _MASKS if (folder / name).is_file()), None),
        group_by,
        kinship,
        None if site in doubts else site,
        tuple(name for name in phenotypes if name not in doubts),
        tuple(name for name in categories if name not in doubts),
        tuple(name for name in confounds if name not in doubts),
        len(table),
        len(complete),
        (*_image_notes(layout, table, len(complete)), *notes, *more),
    )


def _image_notes(layout: ImageLayout, table: pd.DataFrame, n_complete: int) -> list[str]:
    """Say what of the images was passed over."""
    notes = [f"Images '{item.label}' are left out: {item.reason}." for item in layout.left_out]
    if n_complete < len(table):
        lacking = sorted(set(table.index) - frozenset.intersection(*layout.modalities.values()))
        counted = ", ".join(
            f"{name} {len(table) - len(having)}" for name, having in layout.modalities.items()
        )
        notes.append(
            f"{len(lacking)} of {len(table)} participants lack an image ({counted}) and will be "
            f"left out: {a_few(lacking)}. cohort.missing_modalities: keep would keep them."
        )
    if layout.elsewhere:
        notes.append(
            f"{len(layout.elsewhere)} images of participants do not fit the pattern "
            f"{layout.pattern}: {a_few(layout.elsewhere)}. A manifest can name them."
        )
    if layout.strangers:
        notes.append(
            f"{len(layout.strangers)} images belong to nobody in participants.tsv: "
            f"{a_few(layout.strangers)}."
        )
    return notes


def _confounds(table: pd.DataFrame) -> tuple[tuple[str, ...], list[str]]:
    """Propose age, sex and head size where they vary and are numbers or of two values."""
    kept, notes = [], []
    for name in map(str, table.columns):
        head_size = _HEAD_SIZE.match(name) is not None
        if not (head_size or name.lower() in ("age", *_SEX)):
            continue
        values = table[name]
        numeric = pd.api.types.is_numeric_dtype(values)
        if values.nunique() < 2:
            notes.append(f"Column '{name}' is not proposed as a confound: it does not vary.")
        elif not numeric and values.nunique() > 2:
            notes.append(
                f"Column '{name}' is not proposed as a confound: it is text of "
                f"{values.nunique()} values."
            )
        else:
            kept.append(name)
            n_missing = int(values.isna().sum())
            if n_missing:
                notes.append(f"Confound '{name}' is missing for {n_missing} of {len(table)}.")
    return tuple(kept), notes


def _phenotypes(
    table: pd.DataFrame, taken: set[str | None]
) -> tuple[tuple[str, ...], tuple[str, ...], list[str]]:
    """Propose numbers and categories that vary and are measured apart from the images."""
    kept: list[str] = []
    categories: list[str] = []
    left: dict[str, list[str]] = {}
    for name in map(str, table.columns):
        values = table[name]
        if name in taken or name.lower() in ("age", *_SEX, *_SITE) or _HEAD_SIZE.match(name):
            continue
        if _VOLUME.match(name):
            left.setdefault("derived from the images: checks, not phenotypes", []).append(name)
        elif _LABEL_COLUMN.fullmatch(name):
            left.setdefault("labels, not measurements", []).append(name)
        elif values.nunique() < 2:
            left.setdefault("without variation", []).append(name)
        elif not pd.api.types.is_numeric_dtype(values) and not _is_category(values):
            left.setdefault("text of many values, or of rare ones", []).append(name)
        else:
            (kept if pd.api.types.is_numeric_dtype(values) else categories).append(name)
            share = float(values.isna().mean())
            if share > _MANY_MISSING:
                left.setdefault(
                    "proposed as phenotypes, but more than a tenth of their values is missing", []
                ).append(name)
    notes = [f"Columns {', '.join(names)}: {why}." for why, names in left.items()]
    if not kept:
        untested = "no factors can be made" if categories else "strata cannot be tested"
        notes.append(f"No numeric column looks like a phenotype: {untested}.")
    return tuple(kept), tuple(categories), notes


def _is_category(values: "pd.Series[Any]") -> bool:
    """Tell categories from names and remarks: few values, two of which are no rarities."""
    counts = values.value_counts()
    common = len(counts) >= 2 and int(counts.iloc[1]) >= _FEWEST_OF_A_CATEGORY
    return common and len(counts) <= min(_MOST_CATEGORIES, int(counts.sum()) // 2)
