import hashlib
import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.cohort.phantom_anatomy import brain_mask, build_anatomy, paint, smooth_field
from isthmus.cohort.phantom_people import LATENTS, draw_people
from isthmus.core.errors import CohortError, ConfigError

SMALL = (16, 20, 16)


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def tables(folder):
    read = {"sep": "\t", "na_values": "n/a", "index_col": "participant_id"}
    return (
        pd.read_csv(folder / "participants.tsv", **read),
        pd.read_csv(folder / "truth.tsv", **read),
    )


def test_equal_recipes_give_equal_bytes(tmp_path):
    config = PhantomConfig(n_subjects=6, grid=SMALL, missing_share=0.3)
    make_phantom(tmp_path / "a", config)
    make_phantom(tmp_path / "b", config)
    first = digests(tmp_path / "a")
    assert first == digests(tmp_path / "b")
    make_phantom(tmp_path / "c", PhantomConfig(n_subjects=6, grid=SMALL, missing_share=0.3, seed=1))
    other = digests(tmp_path / "c")
    assert other["truth.tsv"] != first["truth.tsv"]
    assert other["mask.nii.gz"] == first["mask.nii.gz"]


def test_a_broken_off_phantom_is_completed(tmp_path):
    config = PhantomConfig(n_subjects=3, grid=SMALL)
    make_phantom(tmp_path, config)
    whole = digests(tmp_path)
    kept = tmp_path / "sub-001/sub-001_T1w.nii.gz"
    (tmp_path / "sub-001/sub-001_FA.nii.gz").unlink()
    (tmp_path / "participants.tsv").unlink()
    written = kept.stat().st_mtime_ns
    make_phantom(tmp_path, config)
    assert digests(tmp_path) == whole
    assert kept.stat().st_mtime_ns == written


def test_another_cohort_is_never_written_over(tmp_path):
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-01\n")
    with pytest.raises(CohortError, match="holds something else"):
        make_phantom(tmp_path, PhantomConfig(n_subjects=2, grid=SMALL))
    make_phantom(tmp_path / "p", PhantomConfig(n_subjects=2, grid=SMALL))
    with pytest.raises(CohortError, match="holds something else"):
        make_phantom(tmp_path / "p", PhantomConfig(n_subjects=3, grid=SMALL))


def test_images_are_masked_scaled_nifti(tmp_path):
    config = PhantomConfig(n_subjects=2, grid=SMALL, modalities=("T1w", "FA", "JAC", "QSM"))
    make_phantom(tmp_path, config)
    mask = np.asarray(nib.load(tmp_path / "mask.nii.gz").dataobj)
    assert 0.15 < mask.mean() < 0.6
    for modality in config.modalities:
        image = nib.load(tmp_path / f"sub-002/sub-002_{modality}.nii.gz")
        assert image.shape == SMALL
        assert image.get_data_dtype() == np.int16
        assert image.header["sform_code"] == image.header["qform_code"] == 4
        np.testing.assert_allclose(image.header.get_zooms(), config.voxel_size_mm)
        np.testing.assert_allclose(image.affine @ [7.5, 9.5, 7.5, 1], [0, 0, 0, 1], atol=1e-5)
        values = image.get_fdata()
        assert np.isfinite(values).all()
        assert (values[mask == 0] == 0).all()
        assert (values[mask == 1] != 0).mean() > 0.95


def test_contrasts_order_the_tissues():
    rng = np.random.default_rng(0)
    grid = (32, 40, 32)
    brain = build_anatomy(
        np.zeros(8), rng.standard_normal((13, 15, 13)), rng.standard_normal((4, 5, 4)), grid
    )
    np.testing.assert_allclose(sum(brain.tissues.values()), 1.0)
    mask = brain_mask(grid)

    def level(modality, tissue):
        inside = mask & (brain.tissues[tissue] > 0.7)
        assert inside.sum() > 20
        return paint(brain, modality)[inside].mean()

    for modality in ("T1w", "FA", "NDI"):
        assert level(modality, "fluid") < level(modality, "cortex") < level(modality, "white")
    assert level("T2w", "fluid") > level("T2w", "cortex") > level("T2w", "white")
    assert level("FLAIR", "cortex") > level("FLAIR", "white") > level("FLAIR", "fluid")
    shares = {name: share[mask].mean() for name, share in brain.tissues.items()}
    assert shares["cortex"] > 0.2
    assert shares["white"] > 0.2
    # The cortex is a ribbon: it lies nearer to the mask's edge than white matter does.
    edge = mask & ~brain_mask(grid)[np.clip(np.arange(32) + 2, 0, 31)]
    assert brain.tissues["cortex"][edge].mean() > brain.tissues["white"][edge].mean()


@pytest.mark.parametrize(
    ("latent", "tissue", "sign"),
    [
        ("ventricle_size", "fluid", 1),
        ("cortical_thickness", "cortex", 1),
        ("sulcal_width", "fluid", 1),
        ("deep_grey_size", "deep_grey", 1),
        ("lesion_load", "lesion", 1),
    ],
)
def test_latents_change_the_tissue_they_name(latent, tissue, sign):
    rng = np.random.default_rng(0)
    folds, shape = rng.standard_normal((13, 15, 13)), rng.standard_normal((4, 5, 4))
    amounts = []
    for value in (-2.0, 2.0):
        latents = np.array([value if name == latent else 0.0 for name in LATENTS])
        tissues = build_anatomy(latents, folds, shape, (32, 40, 32)).tissues
        amounts.append(tissues[tissue][brain_mask((32, 40, 32))].sum())
    assert sign * (amounts[1] - amounts[0]) > 0.02 * amounts[0]


def test_random_fields_have_unit_variance_and_are_smooth():
    rng = np.random.default_rng(0)
    fields = np.stack([smooth_field(rng.standard_normal((5, 5, 5)), SMALL) for _ in range(300)])
    np.testing.assert_allclose(fields.std(axis=0).mean(), 1.0, atol=0.05)
    steps = np.diff(fields, axis=1)
    assert steps.std() < 0.4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_relatives_resemble_each_other_and_twins_most(seed):
    people = draw_people(
        PhantomConfig(n_subjects=900, twin_share=0.4, sibling_share=0.4, n_strata=0, seed=seed)
    )
    kinship = np.array(people.kinship)
    traits = np.hstack([people.factors, people.latents[:, 6:]])
    likeness = {}
    for kind in ("twin", "sibling"):
        members = np.flatnonzero(kinship == kind)
        pairs = [
            (a, b)
            for family in np.unique(people.family[members])
            for a, b in [np.flatnonzero(people.family == family)[:2]]
        ]
        first, second = (traits[[pair[i] for pair in pairs]] for i in (0, 1))
        likeness[kind] = np.mean(first * second)
    assert likeness["twin"] == pytest.approx(0.8, abs=0.15)
    assert likeness["sibling"] == pytest.approx(0.4, abs=0.15)
    sizes = np.bincount(people.family)[people.family]
    assert set(sizes[kinship == "twin"]) == {2}
    assert set(sizes[kinship == "sibling"]) == {2, 3}
    assert set(sizes[kinship == "single"]) == {1}
    assert (kinship == "twin").sum() == 360
    assert (kinship == "sibling").sum() == 360


def test_twins_look_alike(tmp_path):
    config = PhantomConfig(n_subjects=12, grid=SMALL, twin_share=1.0, sibling_share=0, n_strata=0)
    make_phantom(tmp_path, config)
    table, truth = tables(tmp_path)
    assert set(truth["kinship"]) == set(table["kinship"]) == {"twin"}
    volumes = np.stack(
        [nib.load(tmp_path / f"{s}/{s}_T1w.nii.gz").get_fdata().ravel() for s in table.index]
    )
    volumes -= volumes.mean(axis=0)
    likeness = np.corrcoef(volumes)
    same = table["family_id"].to_numpy()[:, None] == table["family_id"].to_numpy()
    related = likeness[same & ~np.eye(12, dtype=bool)]
    assert related.mean() > likeness[~same].mean() + 0.3


def test_strata_shift_one_factor_and_the_anatomy():
    people = draw_people(PhantomConfig(n_subjects=300, phenotype_effect=1.0))
    means = [people.factors[people.stratum == s].mean(axis=0) for s in range(3)]
    assert np.diff([m[0] for m in means]) == pytest.approx([1.0, 1.0], abs=0.35)
    assert np.ptp([m[1] for m in means]) < 0.5
    assert np.ptp([m[2] for m in means]) < 0.5
    latents = np.stack([people.latents[people.stratum == s].mean(axis=0) for s in range(3)])
    assert np.ptp(latents[:, :6], axis=0).min() > 3
    assert np.bincount(people.stratum).min() > 70


def test_two_factors_can_be_shifted():
    people = draw_people(PhantomConfig(n_subjects=300, n_shifted_factors=2))
    spread = [
        np.ptp([people.factors[people.stratum == s, k].mean() for s in range(3)]) for k in range(3)
    ]
    assert min(spread[:2]) > 1.4
    assert spread[2] < 0.5


@pytest.mark.parametrize("config", [PhantomConfig(planted=False), PhantomConfig(n_strata=0)])
def test_without_strata_nothing_is_planted(config):
    config = type(config)(n_subjects=400, planted=config.planted, n_strata=config.n_strata)
    people = draw_people(config)
    assert set(people.stratum) == {0}
    across = np.corrcoef(people.latents.T, people.factors.T)[:8, 8:]
    assert np.abs(across).max() < 0.2
    assert abs(np.corrcoef(people.age, people.factors[:, 0])[0, 1]) < 0.2


def test_confounded_strata_differ_by_age_alone():
    people = draw_people(PhantomConfig(n_subjects=400, confound_only=True))
    ages = [people.age[people.stratum == s].mean() for s in range(3)]
    assert np.diff(ages).min() > 12
    memory = people.factors[:, 0]
    assert np.ptp([memory[people.stratum == s].mean() for s in range(3)]) > 1.5
    rest = memory - np.polyval(np.polyfit(people.age, memory, 1), people.age)
    assert np.ptp([rest[people.stratum == s].mean() for s in range(3)]) < 0.35


def test_phenotypes_of_one_factor_correlate(tmp_path):
    make_phantom(
        tmp_path,
        PhantomConfig(n_subjects=200, grid=(8, 8, 8), modalities=("T1w",), planted=False),
    )
    table, _ = tables(tmp_path)
    r = table.iloc[:, 5:].corr()
    assert r.shape == (8, 8)
    assert r.loc["memory_recall", "memory_recognition"] > 0.45
    assert r.loc["reaction_time_ms", "processing_speed"] < -0.45
    assert r.loc["systolic_bp_mmhg", "cholesterol_mmol_l"] > 0.45
    assert abs(r.loc["memory_recall", "systolic_bp_mmhg"]) < 0.25
    assert 0 < table.iloc[:, 5:].isna().mean().mean() < 0.05


def test_missing_files_are_as_many_as_asked(tmp_path):
    make_phantom(tmp_path, PhantomConfig(n_subjects=10, grid=(8, 8, 8), missing_share=0.3))
    assert len(list(tmp_path.glob("sub-*/*.nii.gz"))) == 17
    assert {len(list((tmp_path / f"sub-{i:03d}").iterdir())) for i in range(1, 11)} == {1, 2}


def test_strata_are_in_the_images(tmp_path):
    make_phantom(tmp_path, PhantomConfig(n_subjects=45, grid=SMALL, twin_share=0, sibling_share=0))
    _, truth = tables(tmp_path)
    volumes = np.stack(
        [nib.load(tmp_path / f"{s}/{s}_T1w.nii.gz").get_fdata().ravel() for s in truth.index]
    )
    stratum = truth["stratum"].to_numpy()
    correct = 0
    for left_out in range(45):
        others = np.arange(45) != left_out
        centres = [volumes[others & (stratum == s)].mean(axis=0) for s in range(3)]
        distances = [np.linalg.norm(volumes[left_out] - centre) for centre in centres]
        correct += int(np.argmin(distances) == stratum[left_out])
    assert correct > 30


def between_strata(folder, modality):
    """Share of a modality's variance over people, in its most telling voxels, between strata."""
    people, truth = tables(folder)
    images = np.stack(
        [
            nib.load(folder / name / f"{name}_{modality}.nii.gz").get_fdata().ravel()
            for name in people.index
        ]
    )
    images = images[:, images.min(axis=0) > 0]
    groups = [images[(truth["stratum"] == s).to_numpy()] for s in sorted(truth["stratum"].unique())]
    within = sum(((g - g.mean(axis=0)) ** 2).sum(axis=0) for g in groups)
    whole = ((images - images.mean(axis=0)) ** 2).sum(axis=0)
    return float(np.quantile(1 - within / whole, 0.99))


def test_strata_show_in_signal_modalities_alone(tmp_path):
    modalities = ("T1w", "FA", "FLAIR")
    config = PhantomConfig(
        n_subjects=30,
        grid=SMALL,
        modalities=modalities,
        signal_modalities=("T1w",),
        noise_modalities=("FLAIR",),
        twin_share=0.0,
        sibling_share=0.0,
    )
    make_phantom(tmp_path, config)
    told = {modality: between_strata(tmp_path, modality) for modality in modalities}
    assert told["T1w"] > 0.6
    # 3 strata of 30 people: what chance leaves at the 99th of many voxels
    assert max(told["FA"], told["FLAIR"]) < 0.4


def test_an_earlier_versions_phantom_is_the_same_still(tmp_path):
    config = PhantomConfig(n_subjects=2, grid=SMALL)
    make_phantom(tmp_path, config)
    recipe = json.loads((tmp_path / "phantom.json").read_text())
    del recipe["signal_modalities"], recipe["noise_modalities"]
    (tmp_path / "phantom.json").write_text(json.dumps(recipe))
    make_phantom(tmp_path, config)
    with pytest.raises(CohortError, match="holds something else"):
        make_phantom(tmp_path, PhantomConfig(n_subjects=2, grid=SMALL, noise_modalities=("FA",)))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"n_subjects": 0}, "n_subjects must be at least 1, got 0"),
        ({"twin_share": 0.8, "sibling_share": 0.4}, "at most 1"),
        ({"missing_share": 1.5}, "missing_share must be within 0 and 1"),
        ({"modalities": ("T1w", "../x")}, "modalities must be distinct labels"),
        ({"modalities": ("T1w", "T1w")}, "modalities must be distinct labels"),
        ({"modalities": ()}, "modalities must be distinct labels"),
        ({"grid": (8, 8, 4)}, "at least 8 voxels"),
        ({"voxel_size_mm": (1.0, 1.0, 0.0)}, "lengths above 0"),
        ({"n_shifted_factors": 4}, "from 0 to 3"),
        ({"noise": float("nan")}, "noise must be at least 0"),
        ({"signal_modalities": ("T2w",)}, "signal_modalities must be among its modalities"),
        ({"noise_modalities": ("T2w",)}, "noise_modalities must be among its modalities"),
        (
            {"signal_modalities": ("FA",), "noise_modalities": ("FA",)},
            "noise_modalities must be none of its signal_modalities",
        ),
    ],
)
def test_impossible_recipes_are_refused(recipe, message):
    with pytest.raises(ConfigError, match=message):
        PhantomConfig(**recipe)
