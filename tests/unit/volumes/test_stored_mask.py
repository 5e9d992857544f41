"""A store's mask that is lost, damaged or another one is refused, and made anew by ingest."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zarr
from zarr.codecs import GzipCodec

from isthmus.volumes.ingest import ingest
from isthmus.volumes.layout import read_rules, require_settings
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.store import open_store
from isthmus.volumes.stored_mask import LostMaskError

CHUNK, METADATA = "mask/c/0/0/0", "mask/zarr.json"
GRID = (8, 10, 8)
N_VOXELS = 8 * 10 * 8


@pytest.fixture
def store(make_cohort, write, brain_mask, tmp_path):
    """A small store with a mask, and what ingests into it again."""
    write(tmp_path / "cohort" / "mask.nii.gz", brain_mask.astype(np.uint8))
    cohort = make_cohort(2)
    experiment = cohort.experiment(cohort__mask="mask.nii.gz")

    def again():
        return ingest(experiment, cohort.participants())

    return Path(again().store_url), again


def without_digest(folder: Path) -> None:
    """Make a store one of the time before the mask's digest was kept."""
    file = folder / "store.json"
    content = json.loads(file.read_text())
    assert content.pop("mask_digest")
    file.write_text(json.dumps(content))


def rewritten(folder: Path, values: np.ndarray, **more) -> None:
    """Put another mask there, as zarr writes one."""
    place = zarr.storage.LocalStore(folder)
    zarr.create_array(place, name="mask", data=values, chunks=GRID, overwrite=True, **more)


def packed(n_bytes: int) -> bytes:
    return pa.compress(bytes(n_bytes), codec="zstd", asbytes=True)


def redescribed(folder: Path, **change) -> None:
    file = folder / METADATA
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))


def gzipped(folder: Path) -> None:
    """The chunk becomes 20 MB, and the description says that it may."""
    redescribed(folder, codecs=[{"name": "bytes"}, GzipCodec(level=5).to_dict()])
    (folder / CHUNK).write_bytes(pa.compress(bytes(20_000_000), codec="gzip", asbytes=True))


def regridded(folder: Path) -> None:
    grid = {"name": "regular", "configuration": {"chunk_shape": [8, 10, 4]}}
    redescribed(folder, chunk_grid=grid)


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "another codec": (gzipped, "another array"),
    "other chunks": (regridded, "another array"),
    "another grid": (lambda folder: redescribed(folder, shape=[8, 10, 9]), "another array"),
    "endless": (lambda folder: redescribed(folder, shape=[float("inf")] * 3), "another array"),
    "text": (lambda folder: redescribed(folder, data_type="string"), "another array"),
    "lost": (lambda folder: shutil.rmtree(folder / "mask"), "not there"),
    "lost chunk": (lambda folder: (folder / CHUNK).unlink(), "lost its values"),
    "cut": (
        lambda folder: (folder / CHUNK).write_bytes((folder / CHUNK).read_bytes()[:-9]),
        "damaged",
    ),
    "no frame": (lambda folder: (folder / CHUNK).write_bytes(bytes(40)), "damaged"),
    "a hole": (lambda folder: os.truncate(folder / CHUNK, 2**40), "damaged"),
    "no JSON": (lambda folder: (folder / METADATA).write_bytes(b"\xff"), "damaged"),
    "no bytes": (lambda folder: (folder / CHUNK).write_bytes(b""), "one value a voxel"),
    "short": (lambda folder: (folder / CHUNK).write_bytes(packed(5)), "one value a voxel"),
    "a frame of 10 MB behind": (
        lambda folder: (folder / CHUNK).write_bytes(packed(N_VOXELS) + packed(10_000_000)),
        "one value a voxel",
    ),
    "empty": (lambda folder: (folder / CHUNK).write_bytes(packed(N_VOXELS)), "is empty"),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("old", [False, True], ids=["", "old"])
def test_a_mask_that_is_not_ours_is_refused_and_made_anew(store, brain_mask, how, old):
    folder, again = store
    damage, why = DAMAGE[how]
    if old:
        without_digest(folder)
    damage(folder)
    before = pa.total_allocated_bytes()
    with pytest.raises(LostMaskError, match=f"{why}.*isthmus ingest again"):
        open_store(str(folder))
    assert pa.total_allocated_bytes() - before < 2**20
    assert again().n_accepted == 2
    np.testing.assert_array_equal(open_store(str(folder)).mask_DHW, brain_mask)
    assert json.loads((folder / "store.json").read_text())["mask_digest"]


def test_another_mask_is_told_by_the_digest(store, brain_mask):
    folder, again = store
    rewritten(folder, ~brain_mask)
    with pytest.raises(LostMaskError, match="not the one that was stored"):
        open_store(str(folder))
    again()
    np.testing.assert_array_equal(open_store(str(folder)).mask_DHW, brain_mask)


def test_what_ingest_would_make_of_it_must_be_what_was_stored(store):
    folder, again = store
    file = folder / "store.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "mask_digest": "0" * 64}))
    with pytest.raises(LostMaskError, match="remove the store first"):
        again()


def test_stores_of_before_the_digest_was_kept_still_open(store, brain_mask):
    folder, again = store
    digest = open_store(str(folder)).digest
    without_digest(folder)
    opened = open_store(str(folder))
    np.testing.assert_array_equal(opened.mask_DHW, brain_mask)
    assert opened.digest == digest
    assert again().n_reused == 4


def test_a_mask_as_zarr_wrote_it_by_itself_is_ours(store, brain_mask):
    """The codecs were not named before; they are the ones that zarr takes."""
    folder, _ = store
    rewritten(folder, brain_mask)
    np.testing.assert_array_equal(open_store(str(folder)).mask_DHW, brain_mask)


def test_truth_values_are_zero_or_one(store, brain_mask):
    """numpy counts a byte of 2 twice, and would take more values than there are."""
    folder, _ = store
    twos = np.where(brain_mask, 2, 0).astype(np.uint8).tobytes()
    (folder / CHUNK).write_bytes(pa.compress(twos, codec="zstd", asbytes=True))
    location = StoreLocation(str(folder))
    mask_DHW = read_rules(location, require_settings(location)).mask_DHW
    assert mask_DHW is not None
    assert np.count_nonzero(mask_DHW) == brain_mask.sum()
    assert set(np.unique(mask_DHW.view(np.uint8))) == {0, 1}
