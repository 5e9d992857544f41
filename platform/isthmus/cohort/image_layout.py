"""Finding the pattern that a folder's images follow, from the labels of the participants."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_IMAGE = re.compile(r"\.nii(\.gz)?$")
_DEEPEST = 6
# Last word of the names of masks and segmentations, which are labels and no modality.
_LABEL_IMAGES = {
    "mask",
    "brainmask",
    "lesion",
    "lesions",
    "lesionmask",
    "dseg",
    "probseg",
    "seg",
} | {*("segmentation", "label", "labels", "aparc", "aseg", "parcellation", "roi")}
_FEWEST_SHARE = 0.5

Found = Mapping[str, Mapping[str, frozenset[str]]]


@dataclass(frozen=True)
class LeftOut:
    """A kind of image that is not proposed as a modality.

    Attributes
    ----------
    label : str
        As it stands in the files' names.
    reason : str
        Why it was left out.
    """

    label: str
    reason: str


@dataclass(frozen=True)
class ImageLayout:
    """Where a folder's images are.

    Attributes
    ----------
    pattern : str
        With ``{participant_id}`` and ``{modality}``.
    modalities : Mapping of str to frozenset of str
        Participants that have an image, for each modality; T1w first, then by name.
    left_out : tuple of LeftOut
        Other labels that fit the pattern.
    elsewhere : tuple of str
        Images of participants that do not fit the pattern, from the folder.
    strangers : tuple of str
        Images within a folder that no participant's label explains.
    """

    pattern: str
    modalities: Mapping[str, frozenset[str]]
    left_out: tuple[LeftOut, ...]
    elsewhere: tuple[str, ...]
    strangers: tuple[str, ...]


def find_layout(folder: Path, participant_ids: Sequence[str]) -> ImageLayout | None:
    """Find the pattern under which most participants have most modalities.

    Parameters
    ----------
    folder : Path
        The cohort's folder; hidden folders and links to folders are passed over.
    participant_ids : sequence of str
        Labels of the participants table, with or without BIDS' ``sub-``.

    Returns
    -------
    ImageLayout or None
        None where no file's name has a participant's label and leaves a modality.
    """
    images = list(_images(folder))
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    fits: dict[str, set[str]] = defaultdict(set)
    owned: set[str] = set()
    keys = {key: label for label in participant_ids for key in (f"sub-{label}", label)}
    for path in images:
        for pattern, label, modality in _readings(path, keys):
            found[pattern][modality].add(label)
            fits[pattern].add(path)
            owned.add(path)
    fewest = _FEWEST_SHARE * len(participant_ids)
    ranked = sorted(found, key=lambda pattern: _rank(pattern, found[pattern], fewest))
    if not ranked or not _chosen(found[ranked[0]], fewest):
        return None
    best = ranked[0]
    chosen = _chosen(found[best], fewest)
    left_out = tuple(
        LeftOut(modality, _reason(modality, len(having), len(participant_ids)))
        for modality, having in sorted(found[best].items())
        if modality not in chosen
    )
    return ImageLayout(
        best,
        {name: frozenset(found[best][name]) for name in chosen},
        left_out,
        tuple(sorted(owned - fits[best])),
        tuple(sorted(path for path in set(images) - owned if "/" in path)),
    )


def _images(folder: Path) -> Iterator[str]:
    """Yield the paths of NIfTI files below a folder, in order."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent).relative_to(folder)
        deep = len(here.parts) >= _DEEPEST
        folders[:] = [] if deep else sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if _IMAGE.search(name) and not name.startswith("."):
                yield (here / name).as_posix()


def _readings(path: str, keys: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield every (pattern, participant, modality) as which a path can be read."""
    *folders, name = path.split("/")
    match = _IMAGE.search(name)
    assert match is not None  # only images are read
    stem, ending = name[: match.start()], match.group()
    owner = next((part for part in folders if part in keys), None) or _prefix(stem, keys)
    if owner is None:
        return
    label = keys[owner]
    token = owner.removesuffix(label) + "{participant_id}"
    above = [token if part == owner else part for part in folders]
    if stem == owner:
        # The folder tells the modality: T1w/sub-01.nii.gz.
        for depth, part in enumerate(above):
            if part == folders[depth]:
                replaced = [*above[:depth], "{modality}", *above[depth + 1 :]]
                yield "/".join([*replaced, token + ending]), label, part
        return
    own_name = stem.startswith(f"{owner}_")
    words = stem.removeprefix(f"{owner}_").split("_") if own_name else stem.split("_")
    start = f"{token}_" if own_name else ""
    for first, last in {(0, len(words)), *((i, i + 1) for i in range(len(words)))}:
        modality = "_".join(words[first:last])
        rest = "_".join([*words[:first], "{modality}", *words[last:]])
        if modality and "-" not in modality and "{" not in path and "}" not in path:
            yield "/".join([*above, start + rest + ending]), label, modality


def _prefix(stem: str, keys: Mapping[str, str]) -> str | None:
    """Longest beginning of a name, up to an underscore, that is a participant's label."""
    words = stem.split("_")
    starts = ("_".join(words[:n]) for n in range(len(words), 0, -1))
    return next((start for start in starts if start in keys), None)


def _is_label_image(modality: str) -> bool:
    """Tell masks and segmentations from modalities."""
    return modality.lower().rsplit("_", 1)[-1] in _LABEL_IMAGES or modality.isdigit()


def _chosen(found: Mapping[str, set[str]], fewest: float) -> list[str]:
    """Modalities that most participants have, T1w first."""
    names = [m for m, having in found.items() if len(having) > fewest and not _is_label_image(m)]
    return sorted(names, key=lambda name: (name != "T1w", name))


def _rank(pattern: str, found: Mapping[str, set[str]], fewest: float) -> tuple[int, int, int, str]:
    """Order patterns: most images of modalities first, then the shortest labels."""
    chosen = _chosen(found, fewest)
    n_images = sum(len(found[name]) for name in chosen)
    return -n_images, sum(map(len, chosen)), -pattern.count("{participant_id}"), pattern


def _reason(modality: str, n_having: int, n: int) -> str:
    """Say why a label is not a modality."""
    if _is_label_image(modality):
        return "a mask or segmentation, not a modality"
    return f"only {n_having} of {n} participants have it"
