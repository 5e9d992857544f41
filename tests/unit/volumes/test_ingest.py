import gzip
import json
import logging
import os

import nibabel as nib
import numpy as np
import pytest

from isthmus.core.errors import CohortError, ConfigError, ImageError
from isthmus.volumes import subject
from isthmus.volumes.ingest import ingest
from isthmus.volumes.lockbox_store import open_lockbox_store
from isthmus.volumes.store import open_store


def table(report_url):
    lines = (report_url / "verdicts.tsv").read_text().splitlines()
    names = lines[0].split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]


def reason_of(report, participant_id):
    return dict(report.refused)[participant_id]


def test_good_images_come_back_as_they_were(make_cohort, draw):
    cohort = make_cohort(3)
    heard = []
    report = ingest(cohort.experiment(), cohort.participants(), heard.append)
    assert (report.n_accepted, report.n_refused, report.n_read, report.n_reused) == (3, 0, 6, 0)
    assert len(heard) == 6
    store = open_store(report.store_url)
    assert store.participant_ids == ("sub-00", "sub-01", "sub-02")
    assert store.modalities == ("T1w", "FA")
    assert store.grid == report.grid == (8, 10, 8)
    assert store.mask_DHW is None
    assert store.digest == report.digest
    np.testing.assert_array_equal(
        store.read("sub-01", ["FA", "T1w"]), np.stack([draw(101), draw(100)])
    )


def test_table_of_verdicts(make_cohort, tmp_path):
    cohort = make_cohort(2)
    cohort.path("sub-01", "FA").unlink()
    ingest(cohort.experiment(), cohort.participants())
    rows = table(tmp_path / "store")
    assert [row["verdict"] for row in rows] == ["accepted", "accepted", "accepted", "missing"]
    assert rows[0]["grid"] == "8x10x8"
    assert rows[0]["voxel_size_mm"] == "2x2x2"
    assert rows[0]["dtype"] == "float32"
    assert rows[0]["path"] == "sub-00/sub-00_T1w.nii.gz"
    assert float(rows[0]["minimum"]) == 0.0
    assert 90 < float(rows[0]["maximum"]) <= 100
    assert rows[0]["finite_share"] == "1"
    assert rows[0]["mask_coverage"] == "n/a"
    assert len(rows[0]["sha256"]) == 64
    reason = "modality FA is missing or not readable: sub-01/sub-01_FA.nii.gz."
    assert rows[3]["reason"] == reason


def test_one_bad_image_costs_its_subject_only(make_cohort, write, draw, affine):
    cohort = make_cohort(9)
    raw = cohort.path("sub-01").read_bytes()
    cohort.path("sub-01").write_bytes(raw[: len(raw) // 2])
    write(cohort.path("sub-02"), np.full((8, 10, 8), np.nan, np.float32))
    write(cohort.path("sub-03"), np.full((8, 10, 8), 3.0, np.float32))
    write(cohort.path("sub-04"), draw(4, (9, 10, 8)))
    shifted = affine.copy()
    shifted[0, 3] += 12
    write(cohort.path("sub-05"), draw(5), shifted)
    write(cohort.path("sub-06"), np.repeat(draw(6)[..., None], 2, axis=-1))
    some = draw(7)
    some[4, 4, 4] = np.inf
    write(cohort.path("sub-07"), some)
    cohort.path("sub-08").unlink()
    report = ingest(cohort.experiment(), cohort.participants())
    assert open_store(report.store_url).participant_ids == ("sub-00",)
    assert (report.n_accepted, report.n_refused) == (1, 8)
    assert "readable to its last byte" in reason_of(report, "sub-01")
    assert "finite values, got none (all NaN" in reason_of(report, "sub-02")
    assert "must not be constant, but every voxel is 3" in reason_of(report, "sub-03")
    assert "grid must be 8x10x8, got 9x10x8; set volumes.resample" in reason_of(report, "sub-04")
    assert "affine must be the cohort's, but corners of the grid lie 12 mm" in reason_of(
        report, "sub-05"
    )
    assert "4D with 2 frames" in reason_of(report, "sub-06")
    assert "at least 1 of the voxels must be finite, got 0.998" in reason_of(report, "sub-07")
    assert "modality T1w is missing" in reason_of(report, "sub-08")


def test_strict_makes_one_bad_image_the_run(make_cohort, write, tmp_path):
    cohort = make_cohort(3)
    write(cohort.path("sub-01"), np.full((8, 10, 8), 3.0, np.float32))
    cohort.path("sub-02").unlink()
    with pytest.raises(ImageError, match=r"strict(.|\n)*2 of 3(.|\n)*sub-01: (.|\n)*sub-02: "):
        ingest(cohort.experiment(), cohort.participants(), strict=True)
    assert len(table(tmp_path / "store")) == 6
    with pytest.raises(ConfigError, match="has not finished"):
        open_store(str(tmp_path / "store"))
    assert ingest(cohort.experiment(), cohort.participants()).n_reused == 2


def test_nobody_left_is_an_error(make_cohort, write):
    cohort = make_cohort(2)
    for name in cohort.ids:
        write(cohort.path(name), np.full((8, 10, 8), 3.0, np.float32))
    with pytest.raises(ImageError, match="2 of 2 subjects are refused"):
        ingest(cohort.experiment(), cohort.participants())


def test_no_image_at_all_is_an_error_and_leaves_nothing(make_cohort, tmp_path):
    cohort = make_cohort(2)
    experiment = cohort.experiment(cohort__images="{participant_id}/{modality}.nii.gz")
    with pytest.raises(CohortError, match=r"none of those that cohort.images"):
        ingest(experiment, cohort.participants())
    assert not (tmp_path / "store").exists()


def test_lost_values_become_zero_where_allowed(make_cohort, write, draw):
    cohort = make_cohort(2)
    some = draw(7)
    some[4, 4, 4] = np.nan
    write(cohort.path("sub-01"), some)
    report = ingest(cohort.experiment(volumes__min_finite_share=0.9), cohort.participants())
    assert open_store(report.store_url).read("sub-01", ["T1w"])[0, 4, 4, 4] == 0.0


def test_second_run_reads_nothing(make_cohort, caplog):
    cohort = make_cohort(3)
    first = ingest(cohort.experiment(), cohort.participants())
    with caplog.at_level(logging.INFO):
        second = ingest(cohort.experiment(), cohort.participants())
    assert (second.n_read, second.n_reused) == (0, 6)
    assert second.verdicts == first.verdicts
    assert second.digest == first.digest
    assert "3 subjects are stored already and not read again" in caplog.text


def test_changed_source_is_read_again_whatever_its_times_say(make_cohort, write, draw, monkeypatch):

    cohort = make_cohort(3, ("T1w",))
    experiment = cohort.experiment(
        cohort__images="{participant_id}/{participant_id}_{modality}.nii"
    )
    for number, name in enumerate(cohort.ids):
        write(cohort.path(name).with_suffix(""), draw(number))
    first = ingest(experiment, cohort.participants())
    monkeypatch.setattr(subject, "_SETTLED_NS", -1)
    path = cohort.path("sub-01").with_suffix("")
    before = path.stat()
    write(path, draw(77))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    second = ingest(experiment, cohort.participants())
    assert (second.n_read, second.n_reused) == (1, 2)
    assert second.digest != first.digest
    np.testing.assert_array_equal(open_store(second.store_url).read("sub-01", ["T1w"])[0], draw(77))


def test_settled_source_is_not_even_hashed(make_cohort, monkeypatch, caplog):
    cohort = make_cohort(2)
    ingest(cohort.experiment(), cohort.participants())
    monkeypatch.setattr(subject, "_SETTLED_NS", -1)
    monkeypatch.setattr(subject, "digest_file", None)
    with caplog.at_level(logging.INFO):
        assert ingest(cohort.experiment(), cohort.participants()).n_read == 0
    assert "2 by their files' size and times, 0 by hashing" in caplog.text


def test_touched_source_is_hashed_and_not_read(make_cohort):
    cohort = make_cohort(2)
    ingest(cohort.experiment(), cohort.participants())
    cohort.path("sub-00").touch()
    assert ingest(cohort.experiment(), cohort.participants()).n_read == 0


def test_a_source_gone_bad_takes_its_subject_out(make_cohort, write):
    cohort = make_cohort(3)
    ingest(cohort.experiment(), cohort.participants())
    write(cohort.path("sub-01"), np.full((8, 10, 8), 3.0, np.float32))
    report = ingest(cohort.experiment(), cohort.participants())
    store = open_store(report.store_url)
    assert store.participant_ids == ("sub-00", "sub-02")
    with pytest.raises(ImageError, match="no subject 'sub-01'"):
        store.read("sub-01", ["T1w"])


def test_participants_come_and_go(make_cohort, draw, tmp_path):
    cohort = make_cohort(3)
    ingest(cohort.experiment(), cohort.participants())
    cohort.add("sub-99", 9)
    report = ingest(cohort.experiment(), cohort.participants(["sub-02", "sub-99", "sub-00"]))
    assert (report.n_read, report.n_reused, report.n_withdrawn) == (2, 4, 1)
    store = open_store(report.store_url)
    assert store.participant_ids == ("sub-00", "sub-02", "sub-99")
    np.testing.assert_array_equal(store.read("sub-99", ["T1w"])[0], draw(900))
    np.testing.assert_array_equal(store.read("sub-02", ["T1w"])[0], draw(200))
    chunks = tmp_path / "store" / "development" / "volumes" / "c"
    assert {path.name for path in chunks.iterdir() if any(path.rglob("*/0"))} >= {"0", "2", "3"}
    assert not [path for path in (chunks / "1").rglob("*") if path.is_file()]


def test_digest_is_of_the_content_not_of_its_history(make_cohort):
    cohort = make_cohort(4)
    grown = cohort.experiment(execution__store="grown")
    ingest(grown, cohort.participants(["sub-03", "sub-01"]))
    grown_report = ingest(grown, cohort.participants())
    assert grown_report.digest == ingest(cohort.experiment(), cohort.participants()).digest
    halves = cohort.experiment(execution__store="half", volumes__storage_dtype="float16")
    assert ingest(halves, cohort.participants()).digest != grown_report.digest


def test_other_settings_need_another_store(make_cohort):
    cohort = make_cohort(2)
    ingest(cohort.experiment(), cohort.participants())
    with pytest.raises(
        ConfigError, match=r"volumes.storage_dtype was 'float32', is 'float16'.*execution\.store"
    ):
        ingest(cohort.experiment(volumes__storage_dtype="float16"), cohort.participants())
    with pytest.raises(ConfigError, match=r"cohort.modalities was \['FA', 'T1w'\], is \['T1w'\]"):
        ingest(cohort.experiment(cohort__modalities=["T1w"]), cohort.participants())
    reordered = cohort.experiment(cohort__modalities=["FA", "T1w"])
    assert ingest(reordered, cohort.participants()).n_read == 0


def test_store_is_not_mixed_into_another_folder(make_cohort, tmp_path):
    cohort = make_cohort(2)
    with pytest.raises(ConfigError, match="must be a store or an empty folder"):
        ingest(cohort.experiment(execution__store="."), cohort.participants())
    assert not (tmp_path / "store.json").exists()


def test_grid_is_that_of_most_images(make_cohort, write, draw):
    cohort = make_cohort(3, ("T1w",))
    write(cohort.path("sub-00"), draw(0, (6, 6, 6)))
    report = ingest(cohort.experiment(), cohort.participants())
    assert report.grid == (8, 10, 8)
    assert report.reference == "2 of 3 images"
    assert [name for name, _ in report.refused] == ["sub-00"]
    declared = cohort.experiment(execution__store="b", volumes__grid=[6, 6, 6])
    assert ingest(declared, cohort.participants()).n_accepted == 1
    nobody = cohort.experiment(execution__store="c", volumes__grid=[7, 7, 7])
    with pytest.raises(ConfigError, match="grid is 7x7x7, but no image has it"):
        ingest(nobody, cohort.participants())


def test_grid_does_not_move_when_the_majority_does(make_cohort, write, draw):
    cohort = make_cohort(2, ("T1w",))
    ingest(cohort.experiment(), cohort.participants())
    for number in range(5):
        cohort.add(f"sub-9{number}", number)
        write(cohort.path(f"sub-9{number}"), draw(number, (6, 6, 6)))
    report = ingest(cohort.experiment(), cohort.participants())
    assert (report.grid, report.n_refused, report.n_reused) == ((8, 10, 8), 5, 2)


def test_mask_gives_grid_and_coverage(make_cohort, write, draw, brain_mask, tmp_path):
    cohort = make_cohort(3, ("T1w",))
    write(tmp_path / "cohort" / "mask.nii.gz", brain_mask.astype(np.uint8))
    half = draw(1)
    half[:, :, :5] = 0
    write(cohort.path("sub-01"), half)
    report = ingest(cohort.experiment(cohort__mask="mask.nii.gz"), cohort.participants())
    assert "at least 0.5 of the cohort's mask must have non-zero" in reason_of(report, "sub-01")
    assert report.verdicts[0].mask_coverage == 1.0
    np.testing.assert_array_equal(open_store(report.store_url).mask_DHW, brain_mask)
    write(tmp_path / "cohort" / "mask.nii.gz", np.ones((8, 10, 8), np.uint8))
    with pytest.raises(ConfigError, match=r"cohort\.mask was another file"):
        ingest(cohort.experiment(cohort__mask="mask.nii.gz"), cohort.participants())


def test_bad_masks_are_refused(make_cohort, write, tmp_path):
    cohort = make_cohort(2)
    with pytest.raises(ImageError, match=r"cohort\.mask must be a file .*got 'mask.nii.gz'"):
        ingest(cohort.experiment(cohort__mask="mask.nii.gz"), cohort.participants())
    write(tmp_path / "cohort" / "mask.nii.gz", np.zeros((8, 10, 8), np.uint8))
    with pytest.raises(ImageError, match="mask must have voxels that are not zero"):
        ingest(cohort.experiment(cohort__mask="mask.nii.gz"), cohort.participants())
    with pytest.raises(CohortError, match="climbs"):
        ingest(cohort.experiment(cohort__mask="../mask.nii.gz"), cohort.participants())


def test_resampling_brings_all_to_one_grid(make_cohort, write, draw, brain_mask, tmp_path):
    cohort = make_cohort(3, ("T1w",))
    fine = np.diag([1.0, 1, 1, 1])
    fine[:3, 3] = [-7.5, -9.5, -7.5]
    write(cohort.path("sub-01"), np.kron(draw(100), np.ones((2, 2, 2))).astype(np.float32), fine)
    write(tmp_path / "cohort" / "mask.nii.gz", brain_mask.astype(np.uint8))
    report = ingest(
        cohort.experiment(volumes__resample=True, cohort__mask="mask.nii.gz"), cohort.participants()
    )
    assert [verdict.resampled for verdict in report.verdicts] == [False, True, False]
    assert report.verdicts[1].grid == "16x20x16"
    read = open_store(report.store_url).read("sub-01", ["T1w"])[0]
    assert np.corrcoef(read[brain_mask], draw(100)[brain_mask])[0, 1] > 0.8
    coarse = cohort.experiment(
        volumes__resample=True,
        cohort__mask="mask.nii.gz",
        volumes__voxel_size_mm=[4, 4, 4],
        execution__store="coarse",
    )
    assert ingest(coarse, cohort.participants()).grid == (4, 5, 4)
    assert open_store(coarse.store_url).mask_DHW.shape == (4, 5, 4)


def test_resampling_what_lies_elsewhere_is_refused(make_cohort, write, draw, affine):
    cohort = make_cohort(3, ("T1w",))
    affine[:3, 3] += 500
    write(cohort.path("sub-01"), draw(1), affine)
    report = ingest(cohort.experiment(volumes__resample=True), cohort.participants())
    assert "constant, but on the cohort's grid every voxel is 0" in reason_of(report, "sub-01")


def test_half_precision_says_what_it_cannot_hold(make_cohort, write, draw):
    cohort = make_cohort(3, ("T1w",))
    write(cohort.path("sub-01"), draw(1) * 1000)
    write(cohort.path("sub-02"), draw(1) * 1e-12)
    report = ingest(cohort.experiment(volumes__storage_dtype="float16"), cohort.participants())
    assert "within +-65504" in reason_of(report, "sub-01")
    assert "storage_dtype: float32" in reason_of(report, "sub-01")
    assert "constant, but stored as float16" in reason_of(report, "sub-02")
    read = open_store(report.store_url).read("sub-00", ["T1w"])
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read[0], draw(0).astype(np.float16))


def test_a_lost_chunk_is_not_read_as_an_image(make_cohort, tmp_path):
    cohort = make_cohort(2)
    ingest(cohort.experiment(), cohort.participants())
    chunk = tmp_path / "store/development/volumes/c/1/0/0/0/0"
    chunk.unlink()
    with pytest.raises(ImageError, match=r"of sub-01 are lost or damaged; remove .*000001.json"):
        open_store(str(tmp_path / "store")).read("sub-01", ["T1w"])


def test_store_behind_a_url(make_cohort, draw):
    cohort = make_cohort(6)
    experiment = cohort.experiment(
        execution__store="memory://ingest-test/store",
        cohort__lockbox_share=0.4,
        execution__ingest_processes=None,
    )
    first = ingest(experiment, cohort.participants())
    again = ingest(experiment, cohort.participants())
    assert (first.n_read, again.n_read, again.digest) == (12, 0, first.digest)
    assert 1 <= first.n_lockbox <= 3
    lockbox = open_lockbox_store("memory://ingest-test/store", cohort.ids)
    for store in (open_store("memory://ingest-test/store"), lockbox):
        for name in store.participant_ids:
            assert store.read(name, ["T1w"])[0].sum() == draw(100 * int(name[-2:])).sum()


def test_unknown_store_url(make_cohort):
    cohort = make_cohort(2)
    with pytest.raises(ConfigError, match=r"execution\.store must be a folder or an fsspec URL"):
        ingest(cohort.experiment(execution__store="nosuch://x"), cohort.participants())


def test_no_store_is_said_so(tmp_path):
    with pytest.raises(ConfigError, match=r"no volume store at .* Run isthmus ingest"):
        open_store(str(tmp_path / "nothing"))


def test_foreign_json_is_said_so(make_cohort, tmp_path):
    cohort = make_cohort(2)
    ingest(cohort.experiment(), cohort.participants())
    (tmp_path / "store" / "store.json").write_text("{")
    with pytest.raises(ConfigError, match=r"store\.json: must be JSON"):
        open_store(str(tmp_path / "store"))
    (tmp_path / "store" / "store.json").write_text('{"schema_version": 99}')
    with pytest.raises(ConfigError, match="must have schema_version 1"):
        open_store(str(tmp_path / "store"))


def test_manifest_may_leave_a_modality_out(make_cohort, tmp_path):
    cohort = make_cohort(2)
    lines = ["participant_id\tmodality\tpath"]
    for name, modality in [("sub-00", "T1w"), ("sub-00", "FA"), ("sub-01", "T1w")]:
        lines.append(f"{name}\t{modality}\t{name}/{name}_{modality}.nii.gz")
    (tmp_path / "cohort" / "manifest.tsv").write_text("\n".join(lines) + "\n")
    experiment = cohort.experiment(cohort__images=None, cohort__manifest="manifest.tsv")
    report = ingest(experiment, cohort.participants())
    assert reason_of(report, "sub-01") == "modality FA is missing: the manifest names no file."


def test_absurd_header_costs_its_subject(make_cohort):
    cohort = make_cohort(2, ("T1w",))
    header = nib.Nifti2Header()
    header["dim"] = [3, 100_000, 100_000, 100_000, 1, 1, 1, 1]
    header["datatype"], header["bitpix"], header["vox_offset"] = 16, 32, 544
    header["magic"] = b"n+2\0\r\n\x1a\n"
    cohort.path("sub-01").write_bytes(gzip.compress(header.binaryblock + b"\0" * 1000))
    report = ingest(cohort.experiment(), cohort.participants())
    assert "declares 100000x100000x100000 voxels" in reason_of(report, "sub-01")


def test_a_damaged_record_is_ingested_again(make_cohort, tmp_path):
    cohort = make_cohort(2)
    before = ingest(cohort.experiment(), cohort.participants())
    path = tmp_path / "store/development/records/000001.json"
    record = json.loads(path.read_text())
    del record["images"]["FA"]["stamp"]
    path.write_text(json.dumps(record))
    after = ingest(cohort.experiment(), cohort.participants())
    assert (after.n_read, after.n_reused, after.digest) == (2, 2, before.digest)


def test_what_a_killed_beginning_left_does_not_hinder(make_cohort, tmp_path):
    cohort = make_cohort(2)
    (tmp_path / "store").mkdir()
    for name in (".store.json.123.tmp", "zarr.0123.partial", "ingest.lock"):
        (tmp_path / "store" / name).write_text("")
    assert ingest(cohort.experiment(), cohort.participants()).n_accepted == 2


def test_records_hold_what_was_stored(make_cohort, tmp_path):
    cohort = make_cohort(1)
    ingest(cohort.experiment(), cohort.participants())
    record = json.loads((tmp_path / "store/development/records/000000.json").read_text())
    assert record["participant_id"] == "sub-00"
    assert set(record["images"]) == {"T1w", "FA"}
