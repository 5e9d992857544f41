"""What a client may send a model, and what it is told when it may not."""

import base64
import errno
import gzip
import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle.inputs import BundleInputs
from isthmus.promotion.bundle.load import load_bundle
from isthmus.promotion.bundle.write import write_bundle
from isthmus.promotion.serving import requests
from isthmus.promotion.serving.answers import ANSWER_COLUMNS, answer
from isthmus.promotion.serving.requests import (
    RequestRefused,
    allowed_folder,
    blank_request,
    inline,
    read_subject,
)
from isthmus.trial.run import prepare_trial


@pytest.fixture(scope="module")
def served(ran, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "bundle"
    write_bundle(BundleInputs.of_fold(prepare_trial(ran.experiment), 0), folder)
    return load_bundle(folder, "cpu")


@pytest.fixture(scope="module")
def cohort(ran):
    return ran.experiment.folder / "cohort"


@pytest.fixture(scope="module")
def files(served, ran):
    name = prepare_trial(ran.experiment).split.folds[0].parts["validation"][0]
    return {modality: f"{name}/{name}_{modality}.nii.gz" for modality in served.modalities}


def asked(row, served, images=None, reconstruct=False):
    (found,) = answer([row], served, reconstruct=reconstruct, images=images)
    return found


def data(content):
    return f"data:application/gzip;base64,{base64.b64encode(content).decode()}"


def test_paths_files_and_lists_are_three_ways_to_say_the_same(served, cohort, files):
    by_path = asked(files, served, cohort)
    assert set(by_path) == {column.name for column in ANSWER_COLUMNS}
    sent = {name: data((cohort / file).read_bytes()) for name, file in files.items()}
    lists = {
        name: nib.load(cohort / file).get_fdata(dtype=np.float32).tolist()
        for name, file in files.items()
    }
    absolute = {name: str(cohort.resolve() / file) for name, file in files.items()}
    unpacked = {
        name: data(gzip.decompress((cohort / file).read_bytes())) for name, file in files.items()
    }
    for row in (sent, lists, unpacked, {**sent, "FA": lists["FA"]}):
        assert asked(row, served) == by_path
    assert asked(absolute, served, cohort.resolve()) == by_path
    assert json.loads(json.dumps(by_path, allow_nan=False)) == by_path


def test_a_reconstruction_comes_back_on_the_models_grid_and_may_be_sent_again(
    served, cohort, files
):
    assert asked(files, served, cohort)["reconstruction"] is None
    images = asked(files, served, cohort, reconstruct=True)["reconstruction"]
    assert set(images) == set(served.modalities)
    packed = images["T1w"].partition(";base64,")[2]
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(packed)))
    x_MDHW = served.read_images({name: cohort / file for name, file in files.items()})
    expected = served.predict(x_MDHW, reconstruct=True).reconstruction_MDHW[0]
    np.testing.assert_array_equal(image.get_fdata(dtype=np.float32), expected)
    np.testing.assert_allclose(image.affine, served.record.space.affine)
    assert asked(images, served)["embedding"] != asked(files, served, cohort)["embedding"]


def test_rows_are_answered_in_order_and_the_example_is_one(served, cohort, files):
    example = blank_request(served.record)
    rows = answer(
        [{**files, "participant_id": "sub-a"}, example], served, reconstruct=False, images=cohort
    )
    assert [row["participant_id"] for row in rows] == ["sub-a", "example"]
    assert rows[0]["embedding"] != rows[1]["embedding"]


GOOD = object()
"""Stands for an image that can be used."""

HUGE = nib.Nifti1Header()
HUGE.set_data_shape((1200, 1200, 1200))
HUGE["magic"] = b"n+1\0"
HUGE["vox_offset"] = 352


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (3, "must be a string"),
        (True, "must be a string"),
        ({"a": 1}, "must be a string"),
        ("sub-01.nii.gz", "this server reads no files.*ISTHMUS_SERVE_IMAGES"),
        ("", "this server reads no files"),
        ("data:application/gzip,abc", "must be data:application/gzip;base64"),
        ("data:application/gzip;base64,%%%%", "valid base64"),
        ("data:application/gzip;base64,\u00e9", "valid base64"),
        (data(b""), "begin with a whole NIfTI header"),
        (data(b"no image at all"), "begin with a whole NIfTI header"),
        (data(gzip.compress(bytes(10_000), mtime=0)), "begin with a whole NIfTI header"),
        (data(gzip.compress(b"x", mtime=0)[:-3]), "readable to its last byte"),
        (
            data(
                gzip.compress(HUGE.binaryblock + bytes(4 + 4_000_000), mtime=0)[:20_000]
                + bytes(7_000_000)
            ),
            "at most 536870912 bytes uncompressed",
        ),
        ([], "got 0"),
        ([1.0, 2.0], "16x16x16 finite numbers, got 2"),
        ([[[1.0, 2.0], [3.0]]], "ragged or hold something else"),
        ([[["a"]]], "ragged or hold something else"),
        ([[[None]]], "got 1x1x1|ragged"),
        ([[[10**400]]], "ragged or hold something else"),
        (np.zeros((16, 16, 16)).tolist(), "must not be constant"),
        (np.full((16, 16, 16), np.inf).tolist(), "4096 are not finite"),
        (np.where(np.arange(4096) == 7, np.nan, 1.0).reshape(16, 16, 16).tolist(), "1 are not"),
        (np.full((16, 16, 16), 1e300).tolist(), "4096 are not finite or too large"),
    ],
)
def test_what_is_no_image_is_refused_by_row_and_column(served, value, reason):
    row = {**blank_request(served.record), "FA": value}
    with pytest.raises(RequestRefused, match=rf"(?s)row 0, FA.*({reason})"):
        asked(row, served)


@pytest.mark.parametrize("shape", [(8, 16, 16), (16, 16, 16, 2)])
def test_an_image_of_another_grid_is_refused_as_ingest_would(served, shape):
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    row = {**blank_request(served.record), "FA": inline(image, served.record.space.affine)}
    with pytest.raises(RequestRefused, match=r"row 0, FA: .*(16x16x16|3D)"):
        asked(row, served)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../secret.nii.gz",
        "sub/../../secret.nii.gz",
        "link.nii.gz",
        "linked/secret.nii.gz",
        "a\0b.nii.gz",
        " ",
    ],
)
def test_a_path_out_of_the_allowed_folder_is_refused_and_says_nothing_of_it(served, tmp_path, path):
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "secret.nii.gz").write_bytes(b"secret")
    (images / "link.nii.gz").symlink_to(tmp_path / "secret.nii.gz")
    (images / "linked").symlink_to(tmp_path)
    row = {**blank_request(served.record), "FA": path}
    with pytest.raises(RequestRefused, match="must lie within the folder") as refused:
        asked(row, served, images.resolve())
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.parametrize("path", ["nobody.nii.gz", "folder", "pipe.nii.gz", "a" * 300])
def test_what_is_no_file_is_refused(served, tmp_path, path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.nii.gz")
    with pytest.raises(RequestRefused, match="there must be a file"):
        asked({**blank_request(served.record), "FA": path}, served, tmp_path)


def test_other_files_of_the_folder_are_refused_by_name(served, tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\n")
    with pytest.raises(RequestRefused, match=r"row 0, FA: .*must be a \.nii or \.nii\.gz"):
        asked({**blank_request(served.record), "FA": "participants.tsv"}, served, tmp_path)


def test_a_file_that_cannot_be_opened_is_refused_without_its_place(
    served, cohort, files, monkeypatch
):
    def denied(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("isthmus.volumes.nifti._open", denied)
    with pytest.raises(RequestRefused, match="Permission denied") as refused:
        asked(files, served, cohort.resolve())
    assert str(cohort.resolve()) not in str(refused.value)


@pytest.mark.parametrize("label", ["../escaped", "anat/FA"])
def test_a_modality_that_reads_like_a_path_leads_nowhere(served, tmp_path, monkeypatch, label):
    example = blank_request(served.record)
    odd = replace(served, record=replace(served.record, modalities=("T1w", label)))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    written = []
    monkeypatch.setattr(
        Path, "write_bytes", lambda path, content: written.append(path) or path.touch()
    )
    with pytest.raises(RequestRefused, match="row 0, T1w"):
        read_subject({"T1w": example["T1w"], label: example["FA"]}, 0, odd, None)
    assert len(written) == 2
    assert {path.resolve().parent.parent for path in written} == {tmp_path.resolve()}
    assert not list(tmp_path.iterdir())


def test_a_path_that_no_system_has_is_refused(served, tmp_path):
    with pytest.raises(RequestRefused, match="at most 4096 characters"):
        asked({**blank_request(served.record), "FA": "a" * 5000}, served, tmp_path)


def test_columns_and_participants(served):
    good = blank_request(served.record)
    with pytest.raises(RequestRefused, match=r"row 0: the columns must be T1w, FA, .*'Fa'"):
        asked({"T1w": good["T1w"], "Fa": good["FA"]}, served)
    with pytest.raises(RequestRefused, match="participant_id: must be a string, got 5"):
        asked({**good, "participant_id": 5}, served)
    assert asked({**good, "participant_id": None}, served)["participant_id"] is None


@pytest.mark.parametrize("lacking", [None, float("nan")])
def test_an_image_that_the_model_needs_must_be_there(served, lacking):
    with pytest.raises(RequestRefused, match=r"row 0: .*every modality \(T1w, FA\).*none of FA"):
        asked({**blank_request(served.record), "FA": lacking}, served)


def test_how_many_rows(served):
    for n_rows in (0, requests.MOST_ROWS + 1):
        with pytest.raises(RequestRefused, match=rf"1 to 64 rows, got {n_rows}"):
            answer([{}] * n_rows, served, reconstruct=False, images=None)


def test_an_image_that_is_sent_has_a_largest_size(served, monkeypatch):
    monkeypatch.setattr(requests, "MOST_BYTES", 100)
    with pytest.raises(RequestRefused, match="at most 100 characters"):
        asked(blank_request(served.record), served)


def test_the_folder_that_may_be_read(tmp_path):
    assert allowed_folder({}) is None
    assert allowed_folder({"ISTHMUS_SERVE_IMAGES": " "}) is None
    assert allowed_folder({"ISTHMUS_SERVE_IMAGES": str(tmp_path)}) == tmp_path.resolve()
    for wrong in ("images", str(tmp_path / "nowhere")):
        with pytest.raises(ConfigError, match="existing folder by its absolute path"):
            allowed_folder({"ISTHMUS_SERVE_IMAGES": wrong})


def test_the_header_above_declares_what_it_should():
    assert struct.unpack("<4h", HUGE.binaryblock[40:48]) == (3, 1200, 1200, 1200)
