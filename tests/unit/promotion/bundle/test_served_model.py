"""A served model: what it reads, what it says, and what it refuses."""

import gzip
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from isthmus.core.errors import ImageError
from isthmus.training.evaluate import evaluate
from isthmus.volumes.space import Space, resample
from isthmus.volumes.store import open_store


def image_files(bundled, name):
    """The files of a subject of the fold's cohort."""
    root = bundled.inputs.experiment.cohort_root
    return {m: root / name / f"{name}_{m}.nii.gz" for m in ("T1w", "FA")}


@pytest.fixture(scope="module")
def held_out(of_fold):
    return of_fold.inputs.ids["validation"][0]


@pytest.fixture(scope="module")
def volumes(of_fold, held_out):
    return of_fold.served.read_images(image_files(of_fold, held_out))


def test_images_are_read_bit_for_bit_as_the_store_keeps_them(of_fold):
    for name in of_fold.inputs.ids["validation"]:
        read = of_fold.served.read_images(image_files(of_fold, name))
        stored = of_fold.inputs.store.read(name, of_fold.served.modalities)
        assert read.dtype == stored.dtype
        assert np.array_equal(read, stored)


def test_every_subject_is_embedded_as_the_trial_embedded_it(of_fold):
    table = of_fold.inputs.table
    for name in table.participant_ids:
        stored = of_fold.inputs.store.read(name, of_fold.served.modalities)
        trained = table.select([name]).values[0]
        found = of_fold.served.predict(stored).embedding_E
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, trained, rtol=1e-6, atol=1e-6)
        assert np.array_equal(of_fold.served.embed(stored), found)


def test_the_error_is_the_one_that_training_reports(of_fold, held_out, volumes):
    encoder = of_fold.served.encoder
    table = evaluate(encoder, of_fold.inputs.store, [held_out], "none")
    reported = table[table["metric"] == "mse"].set_index("modality")["value"]
    found = of_fold.served.predict(volumes)
    assert found.errors == pytest.approx(reported.to_dict(), rel=1e-6)
    assert found.error == pytest.approx(reported.mean(), rel=1e-6)


def test_subjects_fall_into_the_strata_they_were_clustered_into(of_fold):
    strata = of_fold.inputs.report.strata
    found = [
        of_fold.served.predict(of_fold.inputs.store.read(name, of_fold.served.modalities))
        for name in strata.participant_ids
    ]
    agreement = np.mean([p.stratum == label for p, label in zip(found, strata.labels, strict=True)])
    assert agreement == of_fold.record.strata.agreement == 1.0
    assert all(0.0 <= prediction.membership <= 1.0 for prediction in found)
    by_name = dict(zip(strata.participant_ids, found, strict=True))
    for stratum, name in enumerate(strata.exemplar_ids):
        assert by_name[name].stratum == stratum
        assert by_name[name].membership == pytest.approx(1.0, abs=1e-4)


def test_what_was_never_seen_is_called_strange_and_what_was_is_not(of_fold, volumes):
    usual = of_fold.served.predict(volumes)
    assert not usual.out_of_distribution
    assert 0.0 <= usual.error_percentile <= 100.0
    noise = np.random.default_rng(0).permuted(volumes.reshape(2, -1), axis=1)
    strange = of_fold.served.predict(noise.reshape(volumes.shape))
    assert strange.out_of_distribution
    assert strange.error_percentile == 100.0
    assert strange.error > usual.error


def test_a_reconstruction_is_in_image_units_and_keeps_the_affine(of_fold, volumes, tmp_path):
    served, store = of_fold.served, of_fold.inputs.store
    assert served.predict(volumes).reconstruction_MDHW is None
    prediction = served.predict(volumes, reconstruct=True)
    normaliser = served.encoder.normaliser
    wanted = normaliser.invert(
        served.encoder.reconstruct_volume(normaliser.apply(volumes)), volumes
    )
    assert np.array_equal(prediction.reconstruction_MDHW, wanted)
    for ending in ("nii", "nii.gz"):
        path = tmp_path / f"T1w.{ending}"
        served.save_reconstruction(prediction, "T1w", path)
        image = nib.load(path)
        assert image.get_data_dtype() == np.float32
        assert np.array_equal(np.asarray(image.dataobj), wanted[0])
        assert np.array_equal(image.affine, store.affine)
        assert image.header.get_xyzt_units()[0] == "mm"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["T1w.nii", "T1w.nii.gz"]


@pytest.mark.parametrize(
    ("modality", "name", "reconstruct", "words"),
    [
        ("T2w", "a.nii", True, "must be of T1w, FA, got 'T2w'"),
        ("T1w", "a.png", True, "written as .nii or .nii.gz"),
        ("T1w", "a.nii", False, "reconstruct=True"),
    ],
)
def test_a_reconstruction_that_cannot_be_written_is_refused(
    of_fold, volumes, tmp_path, modality, name, reconstruct, words
):
    prediction = of_fold.served.predict(volumes, reconstruct=reconstruct)
    with pytest.raises(ImageError, match=words):
        of_fold.served.save_reconstruction(prediction, modality, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_lacking_modality_is_refused_by_a_model_that_needs_all(of_fold, held_out, volumes):
    files = image_files(of_fold, held_out)
    with pytest.raises(ImageError, match="got none of FA: this model was not trained"):
        of_fold.served.read_images({"T1w": files["T1w"]})
    with pytest.raises(ImageError, match="got none of FA"):
        of_fold.served.predict(volumes, np.array([True, False]))
    with pytest.raises(ImageError, match="Did you mean 'T1w'"):
        of_fold.served.read_images({**files, "T1W": files["T1w"]})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda x: x[:1], r"shape \(2, 16, 16, 16\): T1w, FA .* got \(1, 16, 16, 16\)"),
        (lambda x: x[:, 1:], "got \\(2, 15, 16, 16\\)"),
        (lambda x: x[0], "got \\(16, 16, 16\\)"),
        (lambda x: np.where(x == x.max(), np.nan, x), "T1w volume must be finite, got 1 of 4096"),
        (lambda x: np.where(x == x.max(), np.inf, x), "T1w volume must be finite"),
        (lambda x: np.where(x == x.max(), 1e300, x.astype(float)), "beyond float32"),
        (lambda x: x.astype(complex), "real numbers, got complex"),
        (lambda x: "images", "real numbers, got <U6"),
        (lambda x: [[1.0], [1.0, 2.0]], "must be an array of shape"),
        (lambda x: np.full_like(x, np.nan), "At least one of T1w, FA must be given"),
    ],
)
def test_arrays_that_cannot_be_used_are_refused(of_fold, volumes, make, words):
    for use in (of_fold.served.predict, of_fold.served.embed):
        with pytest.raises(ImageError, match=words):
            use(make(volumes))


def test_a_mask_of_given_images_must_be_one(of_fold, volumes):
    for mask in ([1, 1], [True], [[True, True]]):
        with pytest.raises(ImageError, match="mask of given images must be of bool"):
            of_fold.served.predict(volumes, mask)


def write_nifti(path, voxels, affine):
    nib.save(nib.Nifti1Image(voxels.astype(np.float32), affine), path)
    return path


def test_files_are_refused_for_the_reasons_that_ingest_gives(of_fold, held_out, volumes, tmp_path):
    files, affine = image_files(of_fold, held_out), of_fold.inputs.store.affine
    grid = volumes.shape[1:]
    holed = volumes[0].copy()
    holed[0, 0, 0] = np.nan
    cases = {
        "grid must be 16x16x16, got 17x16x16": (
            np.pad(volumes[0], ((0, 1), (0, 0), (0, 0))),
            affine,
        ),
        "affine must be the cohort's": (volumes[0], affine @ np.diag([-1.0, 1.0, 1.0, 1.0])),
        "voxels must be finite": (holed, affine),
        "must not be constant": (np.ones(grid), affine),
        "of the cohort's mask must have non-zero": (np.eye(16)[:, :, None] * np.ones(16), affine),
    }
    for number, (words, (voxels, its_affine)) in enumerate(cases.items()):
        path = write_nifti(tmp_path / f"{number}.nii", voxels, its_affine)
        with pytest.raises(ImageError, match=f"The T1w image cannot be used: .*{words}"):
            of_fold.served.read_images({**files, "T1w": path})
    (tmp_path / "cut.nii.gz").write_bytes(files["T1w"].read_bytes()[:-100])
    (tmp_path / "none.nii.gz").write_bytes(gzip.compress(b"no image"))
    for name in ("cut.nii.gz", "none.nii.gz", "not_there.nii.gz"):
        with pytest.raises(ImageError, match=f"The T1w image cannot be used: .*{name}"):
            of_fold.served.read_images({**files, "T1w": str(tmp_path / name)})


def test_what_was_given_decides_for_a_model_that_can_do_without(of_refit):
    served, store = of_refit.served, of_refit.inputs.store
    name = of_refit.inputs.ids["train"][0]
    root = of_refit.inputs.experiment.cohort_root
    assert of_refit.record.accepts_missing
    x_MDHW = served.read_images({"T1w": root / f"{name}_T1w.nii.gz"})
    assert np.isnan(x_MDHW[1]).all()
    whole = store.read(name, served.modalities)
    assert np.array_equal(x_MDHW[0], whole[0])
    given_M = np.array([True, False])
    by_nan, by_mask = served.predict(x_MDHW), served.predict(whole, given_M)
    assert np.array_equal(by_nan.embedding_E, by_mask.embedding_E)
    assert by_nan.given == by_mask.given == ("T1w",)
    assert by_nan.error == by_mask.error == by_nan.errors["T1w"]
    normal = served.encoder.normaliser.apply(whole)
    assert np.array_equal(by_mask.embedding_E, served.encoder.embed_volume(normal, given_M))
    complete = served.predict(whole)
    assert complete.given == ("T1w", "FA")
    assert not np.allclose(complete.embedding_E, by_nan.embedding_E)


def test_an_image_without_units_to_come_back_to_is_not_written(of_refit, tmp_path):
    served, name = of_refit.served, of_refit.inputs.ids["train"][0]
    whole = of_refit.inputs.store.read(name, served.modalities)
    prediction = served.predict(whole, np.array([True, False]), reconstruct=True)
    assert np.isfinite(prediction.reconstruction_MDHW[0]).all()
    with pytest.raises(ImageError, match="no FA was given"):
        served.save_reconstruction(prediction, "FA", tmp_path / "FA.nii")


def test_a_bundle_without_strata_puts_nobody_into_one(of_refit):
    name = of_refit.inputs.ids["train"][0]
    found = of_refit.served.predict(of_refit.inputs.store.read(name, ("T1w", "FA")))
    assert found.stratum is None
    assert found.membership is None
    assert of_refit.record.without_strata.startswith("The robustness job was not run")


def test_another_grid_follows_the_rules_of_a_store_that_resamples(
    of_fold, held_out, volumes, tmp_path
):
    record = of_fold.record
    rules = replace(of_fold.served.image_rules, resample=True)
    served = replace(of_fold.served, record=record, image_rules=rules)
    files, affine = image_files(of_fold, held_out), of_fold.inputs.store.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ [1, 0, 0]
    wider = np.pad(volumes[0], ((1, 1), (0, 0), (0, 0)))
    path = write_nifti(tmp_path / "wider.nii", wider, affine)
    read = served.read_images({**files, "T1w": path})
    wanted = resample(wider, Space(wider.shape, affine), record.space)
    assert np.array_equal(read[0], wanted)
    np.testing.assert_allclose(read[0], volumes[0], rtol=1e-5, atol=1e-3)


def test_the_store_is_not_needed_to_serve(of_fold, held_out):
    assert open_store(of_fold.inputs.store.url).grid == of_fold.record.grid
    content = (of_fold.folder / "bundle.json").read_text()
    assert str(of_fold.inputs.experiment.cohort_root) not in content
    assert of_fold.inputs.store.url not in content
