"""What a second ingest does again, and what it leaves alone: refusals, lost chunks, resources."""

import gzip
import json
import os
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import psutil
import pytest

from isthmus.core.errors import CohortError, ConfigError, ImageError, ResourceError
from isthmus.volumes import examine, nifti, subject
from isthmus.volumes import ingest as ingest_module
from isthmus.volumes.ingest import ingest
from isthmus.volumes.layout import COMPLETE_FILE
from isthmus.volumes.location import StoreLocation
from isthmus.volumes.store import open_store


@pytest.fixture
def settled(monkeypatch):
    """Trust the times of files written just now."""
    monkeypatch.setattr(subject, "_SETTLED_NS", -1)


@pytest.fixture
def spoilt(make_cohort, write, settled):
    """Four subjects: a good one, half a file, a constant image, a missing one."""
    cohort = make_cohort(4, ("T1w",))
    raw = cohort.path("sub-01").read_bytes()
    cohort.path("sub-01").write_bytes(raw[: len(raw) // 2])
    write(cohort.path("sub-02"), np.full((8, 10, 8), 3.0, np.float32))
    cohort.path("sub-03").unlink()
    return cohort


def forbid(*_):
    raise AssertionError("an image was read again")


def set_memory(monkeypatch, *available):
    """Say how much is free, at each question in turn; the last answer holds."""
    answers = list(available)

    def answer():
        return SimpleNamespace(available=answers.pop(0) if len(answers) > 1 else answers[0])

    monkeypatch.setattr(psutil, "virtual_memory", answer)


def test_refused_images_are_not_read_again(spoilt, monkeypatch, caplog):
    caplog.set_level("INFO")
    first = ingest(spoilt.experiment(), spoilt.participants())
    removed = []
    remove = StoreLocation.remove
    monkeypatch.setattr(
        StoreLocation, "remove", lambda self, name: (removed.append(name), remove(self, name))
    )
    monkeypatch.setattr(examine, "read_image", forbid)
    monkeypatch.setattr(subject, "digest_file", forbid)
    second = ingest(spoilt.experiment(), spoilt.participants())
    assert second.verdicts == first.verdicts
    assert second.digest == first.digest
    assert second.refused == first.refused
    assert (second.n_accepted, second.n_read, second.n_reused) == (1, 0, 1)
    assert COMPLETE_FILE not in removed
    assert "1 subjects are stored already and not read again, nor are 3" in caplog.text


def test_refused_subjects_are_in_no_store(spoilt, tmp_path):
    report = ingest(spoilt.experiment(), spoilt.participants())
    records = sorted((tmp_path / "store" / "development" / "records").iterdir())
    assert [json.loads(path.read_text())["accepted"] for path in records] == [True] + 3 * [False]
    assert open_store(report.store_url).participant_ids == ("sub-00",)
    alone = spoilt.experiment(execution__store="alone")
    assert ingest(alone, spoilt.participants(["sub-00"])).digest == report.digest


def test_a_repaired_image_is_taken_in(spoilt, write, draw):
    ingest(spoilt.experiment(), spoilt.participants())
    for number in (1, 2, 3):
        write(spoilt.path(f"sub-0{number}"), draw(number))
    report = ingest(spoilt.experiment(), spoilt.participants())
    assert (report.n_accepted, report.n_read, report.n_withdrawn) == (4, 3, 0)
    store = open_store(report.store_url)
    for number in (1, 2, 3):
        np.testing.assert_array_equal(store.read(f"sub-0{number}", ["T1w"])[0], draw(number))


def test_who_is_refused_and_leaves_was_never_in_the_store(spoilt, tmp_path):
    ingest(spoilt.experiment(), spoilt.participants())
    report = ingest(spoilt.experiment(), spoilt.participants(["sub-00", "sub-02"]))
    assert (report.n_withdrawn, report.n_refused) == (0, 1)
    records = (tmp_path / "store" / "development" / "records").iterdir()
    assert sorted(path.name for path in records) == ["000000.json", "000002.json"]


def test_a_read_that_failed_is_tried_again(make_cohort, settled, monkeypatch):
    cohort = make_cohort(2, ("T1w",))
    unpack = nifti._unpack

    def fail(raw, name, declared_bytes):
        if name.startswith("sub-01"):
            raise OSError(5, "Input/output error")
        return unpack(raw, name, declared_bytes)

    with monkeypatch.context() as patched:
        patched.setattr(nifti, "_unpack", fail)
        report = ingest(cohort.experiment(), cohort.participants())
    assert "Input/output error" in dict(report.refused)["sub-01"]
    assert ingest(cohort.experiment(), cohort.participants()).n_accepted == 2


def test_a_file_that_changed_under_the_refusal_is_read_again(make_cohort, settled, monkeypatch):
    cohort = make_cohort(2, ("T1w",))
    path = cohort.path("sub-01")
    whole = path.read_bytes()
    path.write_bytes(b"\0" * len(whole))
    digest_file = examine.digest_file

    def arrive(given):
        given.write_bytes(whole)
        return digest_file(given)

    with monkeypatch.context() as patched:
        patched.setattr(examine, "digest_file", arrive)
        assert ingest(cohort.experiment(), cohort.participants()).n_refused == 1
    assert ingest(cohort.experiment(), cohort.participants()).n_accepted == 2


def test_a_store_is_unfinished_from_the_first_subject_added_to_it(spoilt):
    ingest(spoilt.experiment(), spoilt.participants())
    with pytest.raises(ImageError, match="strict"):
        ingest(spoilt.experiment(), spoilt.participants(), strict=True)
    assert open_store(spoilt.experiment().store_url).participant_ids == ("sub-00",)
    spoilt.add("sub-04", 4)
    with pytest.raises(ImageError, match="strict"):
        ingest(spoilt.experiment(), spoilt.participants(), strict=True)
    with pytest.raises(ConfigError, match="has not finished"):
        open_store(spoilt.experiment().store_url)


@pytest.mark.parametrize("store", ["store", "memory://resume-test/store"])
def test_a_lost_chunk_is_stored_again(make_cohort, draw, settled, store):
    cohort = make_cohort(3)
    experiment = cohort.experiment(execution__store=store)
    first = ingest(experiment, cohort.participants())
    StoreLocation(experiment.store_url).remove("development/volumes/c/1/1/0/0/0")
    second = ingest(experiment, cohort.participants())
    assert (second.n_read, second.n_reused, second.digest) == (2, 4, first.digest)
    read = open_store(experiment.store_url).read("sub-01", ["FA"])[0]
    np.testing.assert_array_equal(read, draw(101))


@pytest.mark.parametrize("n_processes", [1, 2])
def test_free_memory_does_not_choose_the_cohort(make_cohort, write, monkeypatch, n_processes):
    cohort = make_cohort(4, ("T1w",))
    large = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
    write(cohort.path("sub-02"), large)
    monkeypatch.setattr(ingest_module, "usable_cores", lambda: n_processes)
    experiment = cohort.experiment(volumes__resample=True, execution__ingest_processes=n_processes)
    needed = nifti.read_header(cohort.path("sub-02")).memory_bytes
    set_memory(monkeypatch, n_processes * needed - n_processes, needed)
    report = ingest(experiment, cohort.participants())
    assert report.n_refused == 0


def test_an_image_beyond_all_memory_fails_the_run_and_keeps_the_rest(
    make_cohort, write, monkeypatch
):
    cohort = make_cohort(4, ("T1w",))
    large = np.random.default_rng(0).normal(size=(40, 40, 40)).astype(np.float32)
    write(cohort.path("sub-01"), large)
    experiment = cohort.experiment(volumes__resample=True)
    with monkeypatch.context() as patched:
        set_memory(patched, nifti.read_header(cohort.path("sub-01")).memory_bytes - 1)
        with pytest.raises(ResourceError, match=r"of 1 subjects do not: sub-01: .*participants"):
            ingest(experiment, cohort.participants())
    report = ingest(experiment, cohort.participants())
    assert (report.n_accepted, report.n_reused) == (4, 3)


def test_absurd_headers_stay_refusals_however_little_is_free(make_cohort, monkeypatch):
    cohort = make_cohort(2, ("T1w",))
    header = nib.Nifti1Header()
    header["dim"] = [3, 1000, 1000, 1000, 1, 1, 1, 1]
    header["datatype"], header["bitpix"], header["vox_offset"] = 16, 32, 352
    header["magic"] = b"n+1"
    cohort.path("sub-01").write_bytes(gzip.compress(header.binaryblock + b"\0" * 1000))
    set_memory(monkeypatch, 2**20)
    report = ingest(cohort.experiment(), cohort.participants())
    assert "cannot hold" in dict(report.refused)["sub-01"]


def test_a_mask_beyond_memory_is_not_unpacked(make_cohort, write, monkeypatch, tmp_path):
    cohort = make_cohort(2)
    write(tmp_path / "cohort" / "mask.nii.gz", np.ones((64, 64, 64), np.uint8))
    set_memory(monkeypatch, 2**20)
    monkeypatch.setattr(nifti, "_unpack", forbid)
    with pytest.raises(ResourceError, match=r"mask.nii.gz: reading needs .* are free"):
        ingest(cohort.experiment(cohort__mask="mask.nii.gz"), cohort.participants())


def test_more_processes_than_cores_are_refused_before_anything_is_written(
    make_cohort, monkeypatch, tmp_path
):
    cohort = make_cohort(2)
    monkeypatch.setattr(ingest_module, "usable_cores", lambda: 2)
    with pytest.raises(ResourceError, match=r"asks for 3 .* 2 cores.*ingest_processes to 2"):
        ingest(cohort.experiment(execution__ingest_processes=3), cohort.participants())
    assert not (tmp_path / "store").exists()


def test_processes_are_counted_without_affinity(make_cohort, monkeypatch):
    cohort = make_cohort(2)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(ingest_module, "usable_cores", lambda: 1)
    report = ingest(cohort.experiment(execution__ingest_processes=None), cohort.participants())
    assert report.n_accepted == 2


def manifest(cohort, path_of_last):
    """List the images by hand."""
    lines = ["participant_id\tmodality\tpath"]
    lines += [f"{name}\tT1w\t{name}/{name}_T1w.nii.gz" for name in cohort.ids[:-1]]
    lines.append(f"{cohort.ids[-1]}\tT1w\t{path_of_last}")
    (cohort.folder / "cohort" / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return cohort.experiment(cohort__images=None, cohort__manifest="manifest.tsv")


def test_a_path_that_cannot_be_looked_at_costs_its_subject(make_cohort):
    cohort = make_cohort(2, ("T1w",))
    name = "a" * 300 + ".nii.gz"
    for _ in range(2):
        report = ingest(manifest(cohort, name), cohort.participants())
        assert report.refused == (("sub-01", f"modality T1w is missing or not readable: {name}."),)
    alone = make_cohort(1, ("T1w",))
    with pytest.raises(CohortError, match="there must be image files"):
        ingest(manifest(alone, name), alone.participants())


def test_a_mask_that_cannot_be_looked_at_is_said_so(make_cohort):
    cohort = make_cohort(2)
    with pytest.raises(ImageError, match=r"cohort\.mask must be a file"):
        ingest(cohort.experiment(cohort__mask="a" * 300), cohort.participants())
