import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from isthmus.config.experiment import NormalisationConfig
from isthmus.core.errors import ConfigError, ImageError
from isthmus.volumes.dataset import VolumeDataset
from isthmus.volumes.ingest import ingest
from isthmus.volumes.intensity import fit_normaliser, load_normaliser
from isthmus.volumes.store import open_store

METHODS = ["voxelwise_minmax", "subject_zscore", "robust_percentile", "global_minmax"]
NAMES = ("T1w", "FA")


@pytest.fixture
def cohort(make_cohort):
    return make_cohort(6)


@pytest.fixture
def store(cohort):
    return open_store(ingest(cohort.experiment(), cohort.participants()).store_url)


def fit(store, method="voxelwise_minmax", ids=None, modalities=NAMES, **settings):
    config = NormalisationConfig(method=method, **settings)
    return fit_normaliser(store, ids or store.participant_ids[:4], modalities, config)


def stacked(store, ids):
    return np.stack([store.read(name, NAMES) for name in ids])


def test_voxelwise_is_the_published_formula(store):
    fitted = fit(store)
    x_NMDHW = stacked(store, store.participant_ids[:4]).astype(np.float64)
    low, high = x_NMDHW.min(axis=0), x_NMDHW.max(axis=0)
    for x_MDHW in x_NMDHW:
        expected = (x_MDHW - low) / (high - low + 1e-20)
        np.testing.assert_allclose(fitted.apply(x_MDHW.astype(np.float32)), expected, atol=1e-6)
    y_NMDHW = np.stack([fitted.apply(x.astype(np.float32)) for x in x_NMDHW])
    assert (y_NMDHW.min(axis=0) == 0).all()
    assert (y_NMDHW.max(axis=0)[high > low] == 1).all()


def test_held_out_values_are_clipped_and_constant_voxels_are_zero(store):
    fitted = fit(store)
    held_out = store.read(store.participant_ids[5], NAMES)
    held_out[:, 0, 0, 0] = 50.0
    y_MDHW = fitted.apply(held_out)
    assert y_MDHW.min() == 0.0
    assert y_MDHW.max() == 1.0
    assert (y_MDHW[:, 0, 0, 0] == 0).all()
    loose = fit(store, clip=False).apply(held_out)
    assert loose.min() < 0
    assert loose.max() > 1
    assert (loose[:, 0, 0, 0] == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_only_the_given_ids_matter(cohort, store, write, draw, method):
    before = fit(store, method)
    write(cohort.path("sub-05"), draw(77) * 1000)
    ingest(cohort.experiment(), cohort.participants())
    changed = open_store(store.url)
    assert fit(changed, method).digest == before.digest
    if method != "subject_zscore":
        assert fit(changed, method, ids=changed.participant_ids).digest != before.digest


def test_scalar_bounds_are_those_of_the_pooled_mask(store):
    fitted_ids = store.participant_ids[:4]
    extremes, robust = fit(store, "global_minmax"), fit(store, "robust_percentile")
    for place in range(2):
        inside = stacked(store, fitted_ids)[:, place][:, extremes.mask_DHW].astype(np.float64)
        assert extremes.low_MDHW[place] == np.float32(inside.min())
        assert extremes.high_MDHW[place] == np.float32(inside.max())
        low, high = np.percentile(inside, [1, 99])
        np.testing.assert_allclose(robust.low_MDHW[place], low, rtol=1e-6)
        np.testing.assert_allclose(robust.high_MDHW[place], high, rtol=1e-6)


def test_zscore_maps_five_deviations_to_the_bounds(store):
    fitted = fit(store, "subject_zscore")
    x_MDHW = store.read(store.participant_ids[5], NAMES)
    y_MDHW = fitted.apply(x_MDHW)
    inside = y_MDHW[:, fitted.mask_DHW]
    np.testing.assert_allclose(inside.mean(axis=1), 0.5, atol=1e-6)
    np.testing.assert_allclose(inside.std(axis=1), 0.1, atol=1e-6)
    assert (y_MDHW[:, ~fitted.mask_DHW] == 0).all()
    np.testing.assert_allclose(fitted.apply(7 * x_MDHW + 3)[:, fitted.mask_DHW], inside, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_inverse_gives_image_units_back(store, method):
    fitted = fit(store, method, clip=False)
    x_MDHW = store.read(store.participant_ids[1], NAMES)
    back_MDHW = fitted.invert(fitted.apply(x_MDHW), x_MDHW)
    assert back_MDHW.dtype == np.float32
    np.testing.assert_allclose(back_MDHW, x_MDHW, atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_stay_within_bounds(store, method):
    y_MDHW = fit(store, method).apply(100 * store.read(store.participant_ids[5], NAMES) - 2000)
    assert y_MDHW.dtype == np.float32
    assert y_MDHW.min() >= 0
    assert y_MDHW.max() <= 1


def test_mask_is_what_half_of_the_fitted_have(cohort, write, draw, brain_mask):
    for number, name in enumerate(cohort.ids[:4]):
        for modality in NAMES:
            voxels = draw(number)
            if number >= 2:
                voxels[:4] = 0
            if number >= 1:
                voxels[:, :5] = 0
            write(cohort.path(name, modality), voxels)
    store = open_store(ingest(cohort.experiment(), cohort.participants()).store_url)
    expected = brain_mask.copy()
    expected[:, :5] = False
    np.testing.assert_array_equal(fit(store).mask_DHW, expected)


def test_declared_mask_is_used(cohort, write, brain_mask, tmp_path):
    brain_mask[:4] = False
    write(tmp_path / "cohort" / "mask.nii.gz", brain_mask.astype(np.uint8))
    experiment = cohort.experiment(cohort__mask="mask.nii.gz")
    store = open_store(ingest(experiment, cohort.participants()).store_url)
    np.testing.assert_array_equal(fit(store).mask_DHW, brain_mask)


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded(store, tmp_path, method):
    fitted = fit(store, method, leaky=True)
    fitted.save(tmp_path / "normaliser.npz")
    loaded = load_normaliser(tmp_path / "normaliser.npz")
    assert loaded.digest == fitted.digest
    assert loaded.leaky
    assert loaded.fitted_ids == store.participant_ids[:4]
    x_MDHW = store.read(store.participant_ids[5], NAMES)
    np.testing.assert_array_equal(loaded.apply(x_MDHW), fitted.apply(x_MDHW))


def test_digest_tells_fits_apart(store):
    digests = [fit(store, method).digest for method in METHODS]
    digests += [fit(store, leaky=True).digest, fit(store, clip=False).digest]
    digests += [fit(store, modalities=("FA", "T1w")).digest]
    assert len(set(digests)) == len(digests)
    ids = store.participant_ids[:4]
    assert fit(store, ids=ids[::-1]).digest == fit(store, ids=ids).digest


def test_what_is_no_normaliser_is_refused(tmp_path):
    path = tmp_path / "n.npz"
    with pytest.raises(ConfigError, match="must be a saved normaliser"):
        load_normaliser(path)
    np.savez(path, header=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ConfigError, match=r"must be a saved normaliser.*allow_pickle"):
        load_normaliser(path)
    np.savez(path, header=np.array("{}"))
    with pytest.raises(ConfigError, match="must be a saved normaliser"):
        load_normaliser(path)
    path.write_bytes(b"PK\x03\x04 nonsense")
    with pytest.raises(ConfigError, match="must be a saved normaliser"):
        load_normaliser(path)


def test_unfit_arguments_are_refused(store):
    ids = store.participant_ids
    with pytest.raises(ConfigError, match="at least 2 subjects, each once, got 1"):
        fit(store, ids=ids[:1])
    with pytest.raises(ConfigError, match="each once, got 3 of which 2 differ"):
        fit(store, "global_minmax", ids=[ids[0], ids[1], ids[1]])
    with pytest.raises(ConfigError, match="Modalities must be named"):
        fit(store, modalities=())
    with pytest.raises(ImageError, match="no subject 'sub-77'"):
        fit(store, ids=[ids[0], "sub-77"])
    with pytest.raises(ImageError, match=r"modalities must be among .* got \['NDI'\]"):
        fit(store, modalities=("T1w", "NDI"))
    with pytest.raises(ImageError, match="must have the shape"):
        fit(store).apply(np.zeros((1, 8, 10, 8), np.float32))


def test_nothing_to_scale_by_is_refused(cohort, write, brain_mask, tmp_path):
    for name in cohort.ids:
        voxels = brain_mask.astype(np.float32)
        voxels[0, 0, 0] = 5
        write(cohort.path(name, "FA"), voxels)
    write(tmp_path / "cohort" / "mask.nii.gz", brain_mask.astype(np.uint8))
    experiment = cohort.experiment(cohort__mask="mask.nii.gz")
    store = open_store(ingest(experiment, cohort.participants()).store_url)
    for method in ("robust_percentile", "global_minmax"):
        with pytest.raises(ImageError, match=r"in the mask \['FA'\] is .* throughout"):
            fit(store, method)
    with pytest.raises(ImageError, match=r"must vary in the mask, \['FA'\] does not"):
        fit(store, "subject_zscore").apply(store.read("sub-00", NAMES))


@pytest.mark.parametrize("n_workers", [0, 2])
def test_dataset_gives_normalised_tensors(store, n_workers):
    fitted = fit(store)
    ids = store.participant_ids[::-1]
    dataset = VolumeDataset(store.url, ids, fitted, NAMES)
    assert len(dataset) == 6
    assert dataset[0].dtype == torch.float32
    loader = DataLoader(
        dataset,
        batch_size=2,
        num_workers=n_workers,
    )
    x_BMDHW = torch.cat(list(loader))
    for place, name in enumerate(ids):
        np.testing.assert_array_equal(x_BMDHW[place], fitted.apply(store.read(name, NAMES)))


def test_dataset_refuses_another_order_of_modalities(store):
    with pytest.raises(ValueError, match="must be the normaliser's"):
        VolumeDataset(store.url, store.participant_ids, fit(store), ("FA", "T1w"))
