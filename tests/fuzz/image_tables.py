"""Manifests and patterns of images: whatever they say, no path leaves the cohort's folder."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from fuzz.table_edits import CELLS, OPERATIONS, edit_table
from fuzz.target import Target

from isthmus.cohort.participants import Participants
from isthmus.config.load import Experiment, resolve
from isthmus.volumes.sources import image_sources, is_there

_PATTERN = b"images: "
_IDS = ("sub-01", "sub-02", "Zoë 2", "{modality}", "a..b", "x" * 100, "~")
_SEEDS = (
    b"participant_id\tmodality\tpath\nsub-01\tT1w\tsub-01/a.nii\nsub-01\tFA\tsub-01/b.nii\n"
    b"sub-02\tT1w\tn/a\nsub-02\tFA\tinside.nii\n",
    b"path\tparticipant_id\tmodality\r\nsub-01/a.nii\tZo\xc3\xab 2\tT1w\r\n",
    _PATTERN + b"{participant_id}/{participant_id}_{modality}.nii.gz",
    _PATTERN + b"sub-01/{modality}/{participant_id}.nii",
)


def _edit(data: bytes, operation: str, place: int, value: bytes) -> bytes:
    """Edit a table; in a pattern, a piece between slashes and braces."""
    if not data.startswith(_PATTERN):
        return edit_table(data, operation, place, value)
    at = place % (len(data) - len(_PATTERN) + 1) + len(_PATTERN)
    if operation == "drop":
        return data[:at] + data[at + len(value) :]
    return data[:at] + value + data[at:]


def _prepare(folder: Path) -> Callable[[bytes], bool]:
    """Make a cohort with links out of it, within it and in a circle; list its images."""
    root, outside = folder / "cohort", folder / "outside"
    (root / "sub-01/T1w").mkdir(parents=True)
    outside.mkdir()
    named = ("sub-01/sub-01_T1w.nii.gz", "sub-01/T1w/sub-01.nii")
    for name in ("sub-01/a.nii", "sub-01/b.nii", "real.nii", *named):
        (root / name).write_bytes(b"x")
    (outside / "a.nii").write_bytes(b"x")
    (root / "leaves").symlink_to(outside)
    (root / "inside.nii").symlink_to("real.nii")
    (root / "loop").symlink_to("loop")
    (root / "up").symlink_to("..")
    people = Participants(pd.DataFrame(index=pd.Index(_IDS, name="participant_id", dtype=object)))
    cohort = {"modalities": ["T1w", "FA"], "manifest": "images.tsv"}
    listed = Experiment(resolve({"cohort": cohort}), root)
    inside = root.resolve()

    def experiment(data: bytes) -> Experiment:
        if not data.startswith(_PATTERN):
            (root / "images.tsv").write_bytes(data)
            return listed
        pattern = data[len(_PATTERN) :].decode("utf-8", "replace")
        update = {"images": pattern, "manifest": None}
        config = listed.config
        # as the settings would be, without checking all of them anew each time
        return Experiment(
            config.model_copy(update={"cohort": config.cohort.model_copy(update=update)}), root
        )

    def list_images(data: bytes) -> bool:
        sources = image_sources(experiment(data), people)
        assert tuple(sources) == _IDS
        paths = [item.path for items in sources.values() for item in items if item.path]
        for path in paths:
            assert path.is_relative_to(inside), path
            assert not is_there(path) or path.resolve().is_relative_to(inside), path
        assert len(set(paths)) == len(paths)
        return True

    return list_images


TARGET = Target(
    "manifests",
    _SEEDS,
    OPERATIONS,
    CELLS,
    _edit,
    _prepare,
)
