"""Subjects who lack an image: left out, or kept with what they have."""

import numpy as np
import pytest

from isthmus.core.errors import ConfigError, ImageError
from isthmus.volumes.ingest import ingest
from isthmus.volumes.intensity import fit_normaliser
from isthmus.volumes.store import open_store

KEPT = {
    "cohort__missing_modalities": "keep",
    "model__fusion__operation": "mean",
}
BOTH = ("T1w", "FA")


@pytest.fixture
def incomplete(make_cohort):
    """Five subjects: two of them whole, two lack one image, one has none."""
    cohort = make_cohort(5)
    cohort.path("sub-01", "FA").unlink()
    cohort.path("sub-02", "T1w").unlink()
    for modality in BOTH:
        cohort.path("sub-03", modality).unlink()
    return cohort


def test_they_are_left_out_unless_kept(incomplete, tmp_path):
    report = ingest(incomplete.experiment(), incomplete.participants())
    assert (report.n_accepted, report.n_incomplete) == (2, 0)
    assert open_store(str(tmp_path / "store")).participant_ids == ("sub-00", "sub-04")


def test_kept_subjects_have_what_they_have(incomplete, tmp_path, draw):
    report = ingest(incomplete.experiment(**KEPT), incomplete.participants(), strict=False)
    assert (report.n_accepted, report.n_refused, report.n_incomplete) == (4, 1, 2)
    assert report.lacking == (("T1w", 1), ("FA", 1))
    assert [name for name, _ in report.refused] == ["sub-03"]
    store = open_store(str(tmp_path / "store"))
    assert store.known("sub-00", BOTH).tolist() == [True, True]
    assert store.known("sub-01", BOTH).tolist() == [True, False]
    assert store.known("sub-01", ("FA",)).tolist() == [False]
    x_MDHW = store.read("sub-01", ("FA", "T1w"))
    assert np.isnan(x_MDHW[0]).all()
    np.testing.assert_array_equal(x_MDHW[1], draw(100))
    with pytest.raises(ImageError, match="modalities must be among"):
        store.known("sub-01", ("NDI",))
    with pytest.raises(ImageError, match="has no subject 'sub-03'"):
        store.known("sub-03", BOTH)


def test_a_refused_image_is_no_missing_one(incomplete, write):
    write(incomplete.path("sub-00"), np.zeros((8, 10, 8), np.float32))
    report = ingest(incomplete.experiment(**KEPT), incomplete.participants())
    assert [name for name, _ in report.refused] == ["sub-00", "sub-03"]
    with pytest.raises(ImageError, match="In a strict ingest every image must be good"):
        ingest(incomplete.experiment(**KEPT), incomplete.participants(), strict=True)


def test_an_image_that_was_not_fetched_is_not_missing(incomplete):
    incomplete.path("sub-01", "FA").symlink_to("not-fetched-yet.nii.gz")
    report = ingest(incomplete.experiment(**KEPT), incomplete.participants())
    assert [name for name, _ in report.refused] == ["sub-01", "sub-03"]
    verdicts = {(item.participant_id, item.modality): item.verdict for item in report.verdicts}
    assert verdicts["sub-01", "FA"] == "refused"
    assert verdicts["sub-02", "T1w"] == "missing"


def test_an_image_that_comes_or_goes_changes_the_store(incomplete, tmp_path, draw, write):
    first = ingest(incomplete.experiment(**KEPT), incomplete.participants())
    again = ingest(incomplete.experiment(**KEPT), incomplete.participants())
    assert (again.n_read, again.n_reused, again.digest) == (0, 6, first.digest)
    write(incomplete.path("sub-01", "FA"), draw(101))
    incomplete.path("sub-00", "FA").unlink()
    other = ingest(incomplete.experiment(**KEPT), incomplete.participants())
    assert other.n_read == 3
    assert other.digest != first.digest
    store = open_store(str(tmp_path / "store"))
    assert store.known("sub-01", BOTH).all()
    assert np.isnan(store.read("sub-00", BOTH)[1]).all()


def test_a_lost_chunk_is_not_taken_for_a_missing_image(incomplete, tmp_path):
    ingest(incomplete.experiment(**KEPT), incomplete.participants())
    (tmp_path / "store/development/volumes/c/1/0/0/0/0").unlink()
    with pytest.raises(ImageError, match="volumes of sub-01 are lost"):
        open_store(str(tmp_path / "store")).read("sub-01", BOTH)
    assert ingest(incomplete.experiment(**KEPT), incomplete.participants()).n_read == 1


def test_a_store_made_the_other_way_is_refused_and_an_old_one_is_not(incomplete, tmp_path):
    ingest(incomplete.experiment(), incomplete.participants())
    # a store of the time before there was a choice has the same settings
    assert "missing_modalities" not in (tmp_path / "store/store.json").read_text()
    with pytest.raises(ConfigError, match=r"cohort\.missing_modalities was 'exclude', is 'keep'"):
        ingest(incomplete.experiment(**KEPT), incomplete.participants())


@pytest.mark.parametrize("method", ["voxelwise_minmax", "global_minmax", "robust_percentile"])
def test_normalisation_is_fitted_on_those_who_have_the_modality(make_cohort, tmp_path, method):
    cohort = make_cohort(4)
    cohort.path("sub-03", "FA").unlink()
    experiment = cohort.experiment(**KEPT, volumes__normalisation__method=method)
    ingest(experiment, cohort.participants())
    store, config = open_store(str(tmp_path / "store")), experiment.config.volumes.normalisation
    fitted = fit_normaliser(store, cohort.ids, BOTH, config)
    of_fa = fit_normaliser(store, cohort.ids[:3], ("FA",), config)
    of_t1w = fit_normaliser(store, cohort.ids, ("T1w",), config)
    np.testing.assert_array_equal(fitted.low_MDHW[1], of_fa.low_MDHW[0])
    np.testing.assert_array_equal(fitted.high_MDHW[1], of_fa.high_MDHW[0])
    np.testing.assert_array_equal(fitted.high_MDHW[0], of_t1w.high_MDHW[0])
    # every second voxel of the mask is that of those who have something
    np.testing.assert_array_equal(fitted.mask_DHW, of_t1w.mask_DHW)
    y_MDHW = fitted.apply(store.read("sub-03", BOTH))
    assert np.isnan(y_MDHW[1]).all()
    assert np.isfinite(y_MDHW[0]).all()


def test_a_modality_that_too_few_have_is_not_normalised(incomplete, tmp_path):
    experiment = incomplete.experiment(**KEPT)
    ingest(experiment, incomplete.participants())
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(ConfigError, match=r"of 2 there are \{'FA': 1\}"):
        fit_normaliser(store, ("sub-00", "sub-01"), BOTH, experiment.config.volumes.normalisation)


def test_zscore_leaves_what_is_missing_missing(incomplete, tmp_path):
    experiment = incomplete.experiment(**KEPT, volumes__normalisation__method="subject_zscore")
    ingest(experiment, incomplete.participants())
    store = open_store(str(tmp_path / "store"))
    config = experiment.config.volumes.normalisation
    fitted = fit_normaliser(store, ("sub-00", "sub-01"), BOTH, config)
    original_MDHW = store.read("sub-01", BOTH)
    y_MDHW = fitted.apply(original_MDHW)
    assert np.isnan(y_MDHW[1]).all()
    back_MDHW = fitted.invert(np.nan_to_num(y_MDHW), original_MDHW)
    assert np.isfinite(back_MDHW[0]).all()


def test_a_manifest_says_what_is_missing(incomplete):
    lines = ["participant_id\tmodality\tpath"]
    lines += [
        f"{name}\t{modality}\t{name}/{name}_{modality}.nii.gz"
        for name in incomplete.ids[:3]
        for modality in BOTH
        if (name, modality) != ("sub-01", "FA")
    ]
    lines.append("sub-01\tFA\tn/a")
    (incomplete.folder / "cohort/manifest.tsv").write_text("\n".join(lines) + "\n")
    settings = {**KEPT, "cohort__images": None, "cohort__manifest": "manifest.tsv"}
    ids = incomplete.ids[:3]
    report = ingest(incomplete.experiment(**settings), incomplete.participants(ids))
    # sub-02's T1w is named and not there: that is no missing image
    assert [name for name, _ in report.refused] == ["sub-02"]
    assert report.n_incomplete == 1
