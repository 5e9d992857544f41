from pathlib import Path

import pytest
import yaml

from isthmus.cohort.discover import discover
from isthmus.cohort.images import image_paths
from isthmus.cohort.participants import load_participants
from isthmus.cohort.phantom import PhantomConfig, make_phantom
from isthmus.config.load import Experiment, resolve
from isthmus.core.errors import CohortError

REAL = Path(__file__).resolve().parents[4] / "shared" / "data"
real_data = pytest.mark.skipif(
    not REAL.is_dir(), reason=f"needs the real images in {REAL} (see docs/)"
)

SUBJECTS = ("sub-01", "sub-02", "sub-03", "sub-04")


def cohort(folder, template, labels=("T1w", "FA"), subjects=SUBJECTS, table=None):
    """A folder of empty files named by a template."""
    for subject in subjects:
        for label in labels:
            path = folder / template.format(s=subject, m=label)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    rows = [f"{s}\t{20 + i}\t{i * i}" for i, s in enumerate(SUBJECTS)]
    text = "\n".join(["participant_id\tage\tscore", *rows])
    (folder / "participants.tsv").write_text(table or text)
    return folder


@pytest.mark.parametrize(
    ("template", "pattern"),
    [
        ("{s}/{s}_{m}.nii.gz", "{participant_id}/{participant_id}_{modality}.nii.gz"),
        ("{s}/anat/{s}_{m}.nii.gz", "{participant_id}/anat/{participant_id}_{modality}.nii.gz"),
        ("{s}_{m}.nii.gz", "{participant_id}_{modality}.nii.gz"),
        ("{s}_{m}.nii", "{participant_id}_{modality}.nii"),
        ("{s}/{m}.nii", "{participant_id}/{modality}.nii"),
        ("{m}/{s}.nii.gz", "{modality}/{participant_id}.nii.gz"),
        (
            "{s}/ses-1/anat/{s}_ses-1_{m}.nii.gz",
            "{participant_id}/ses-1/anat/{participant_id}_ses-1_{modality}.nii.gz",
        ),
        ("{s}/{s}_{m}_brain.nii.gz", "{participant_id}/{participant_id}_{modality}_brain.nii.gz"),
    ],
)
def test_common_layouts_are_found(tmp_path, template, pattern):
    found = discover(cohort(tmp_path, template))
    assert found.images == pattern
    assert found.modalities == ("T1w", "FA")
    assert found.n_complete == found.n_participants == 4
    assert found.warnings == ()


def test_columns_that_can_be_read_in_two_ways_are_left_out_until_mended(tmp_path):
    values = ("3", "-999", "4", "5")
    rows = [f"{s}\t{20 + i}\t{values[i]}\t{i * i}" for i, s in enumerate(SUBJECTS)]
    table = "\n".join(["participant_id\tage\tmood\tscore", *rows])
    found = discover(cohort(tmp_path, "{s}_{m}.nii", table=table))
    assert found.phenotypes == ("score",)
    assert any(
        "Column 'mood' is left out until it is mended: line 3: -999" in w for w in found.warnings
    )


def test_labels_without_the_prefix_of_bids(tmp_path):
    table = "participant_id\tage\n" + "\n".join(f"{s[4:]}\t{i}" for i, s in enumerate(SUBJECTS))
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz", table=table))
    assert found.images == "sub-{participant_id}/sub-{participant_id}_{modality}.nii.gz"


def test_what_is_no_modality_is_left_out_with_a_reason(tmp_path):
    cohort(tmp_path, "{s}/{s}_{m}.nii.gz", labels=("mask", "lesion", "dseg"))
    cohort(tmp_path, "{s}/{s}_{m}.nii.gz", labels=("SWI",), subjects=SUBJECTS[:2])
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz"))
    assert found.modalities == ("T1w", "FA")
    assert [item.label for item in found.left_out] == ["SWI", "dseg", "lesion", "mask"]
    assert found.left_out[0].reason == "only 2 of 4 participants have it"
    assert found.mask is None
    assert any("'SWI'" in line for line in found.warnings)


def test_incomplete_participants_and_strangers_are_listed(tmp_path):
    cohort(tmp_path, "{s}/{s}_{m}.nii.gz", subjects=("sub-99",))
    cohort(tmp_path, "{s}/dwi/{s}_{m}.nii.gz", labels=("MD",), subjects=("sub-02",))
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz", subjects=SUBJECTS[:3]))
    assert (found.n_complete, found.n_participants) == (3, 4)
    text = "\n".join(found.warnings)
    assert "1 of 4 participants lack an image (T1w 1, FA 1) and will be left out: sub-04" in text
    assert "2 images belong to nobody in participants.tsv: sub-99/" in text
    assert "do not fit the pattern" in text
    assert "sub-02/dwi/sub-02_MD.nii.gz" in text


def test_columns_are_told_apart(tmp_path):
    header = (
        "participant_id\tAge\tsex\tFamily_ID\tsite\teTIV\thippocampi_ml\thas_T1w\tscan_id\tnote"
        "\tflat\tiq\tsparse"
    )
    rows = [
        f"{s}\t{20 + i}\t{'FM'[i % 2]}\t{i // 2}\t{i % 2}\t{1400 + i}\t{i}\t{i % 2}\t{i}\tx{i}"
        f"\t7\t{100 + i}\t{'n/a' if i else 3}"
        for i, s in enumerate(SUBJECTS)
    ]
    rows[1] = rows[1].replace("\tn/a", "\t4")
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz", table="\n".join([header, *rows])))
    assert (found.group_by, found.site) == ("Family_ID", "site")
    assert found.confounds == ("Age", "sex", "eTIV")
    assert found.phenotypes == ("iq", "sparse")
    text = "\n".join(found.warnings)
    assert "hippocampi_ml: derived from the images" in text
    assert "has_T1w, scan_id: labels" in text
    assert "note: text" in text
    assert "flat: without variation" in text
    assert "sparse: proposed as phenotypes, but more than a tenth" in text
    assert found.settings()["stratify_by"] == ["site", "sex"]


def test_text_of_a_few_common_values_is_proposed_as_categories(tmp_path):
    subjects = [f"sub-{i:02d}" for i in range(1, 25)]
    rows = [
        f"{s}\t{'LR'[i % 3 == 0]}\t{'RR' if i < 20 else 'n/a'}\t{'x' if i < 22 else s}\tword{i}"
        f"\t{['a', 'b', 'c'][i % 3]}\t{i}"
        for i, s in enumerate(subjects)
    ]
    table = "\n".join(["participant_id\thand\tone\trare\tremark\tdiagnosis\tiq", *rows])
    folder = cohort(tmp_path, "{s}/{s}_{m}.nii.gz", table=table, subjects=subjects)
    found = discover(folder)
    assert found.categorical_phenotypes == ("hand", "diagnosis")
    assert found.settings()["categorical_phenotypes"] == ["hand", "diagnosis"]
    assert found.phenotypes == ("iq",)
    text = "\n".join(found.warnings)
    assert "rare, remark: text of many values, or of rare ones" in text
    assert "one: without variation" in text
    assert loads(found, tmp_path)[0].declared == ("diagnosis", "hand", "iq")


@pytest.mark.parametrize("name", ["kinship", "Zygosity", "relation"])
def test_kinship_is_proposed_beside_a_family(tmp_path, name):
    rows = [f"{s}\t{i // 2}\t{i % 2}" for i, s in enumerate(SUBJECTS)]
    table = "\n".join([f"participant_id\tfamily\t{name}", *rows])
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz", table=table))
    assert found.kinship == found.settings()["kinship"] == name
    assert found.phenotypes == ()
    assert loads(found, tmp_path)[0].kinship[SUBJECTS[1]] == "1"
    alone = discover(
        cohort(tmp_path, "{s}/{s}_{m}.nii.gz", table=table.replace("family", "household"))
    )
    assert alone.kinship is None


def test_a_site_that_does_not_vary_is_none(tmp_path):
    table = "participant_id\tsite\n" + "\n".join(f"{s}\tA" for s in SUBJECTS)
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz", table=table))
    assert found.site is None
    assert "No numeric column looks like a phenotype" in found.warnings[-1]


def test_a_site_of_two_writings_is_left_out_until_mended(tmp_path):
    sites = ("UCLA", "ucla", "MIT", "MIT")
    rows = [
        f"{s}\t{i * i}\t{site}" for i, (s, site) in enumerate(zip(SUBJECTS, sites, strict=True))
    ]
    table = "\n".join(["participant_id\tscore\tsite", *rows])
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz", table=table))
    assert found.site is None
    assert "stratify_by" not in found.settings()
    assert any(
        "Column 'site' is left out until it is mended: line 3: 'ucla' and 'UCLA'" in w
        for w in found.warnings
    )
    assert loads(found, tmp_path)[0].site is None


def test_families_of_two_writings_are_kept_and_refused(tmp_path):
    """Without its column, families would be torn apart."""
    families = ("Fa", "fa", "F2", "F2")
    rows = [f"{s}\t{i}\t{f}" for i, (s, f) in enumerate(zip(SUBJECTS, families, strict=True))]
    table = "\n".join(["participant_id\tscore\tfamily", *rows])
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz", table=table))
    assert found.group_by == "family"
    with pytest.raises(CohortError, match="line 3, column 'family': 'fa' and 'Fa'"):
        loads(found, tmp_path)


def test_a_common_mask_is_found(tmp_path):
    (tmp_path / "mask.nii.gz").touch()
    found = discover(cohort(tmp_path, "{s}/{s}_{m}.nii.gz"))
    assert found.mask == "mask.nii.gz"
    assert found.warnings == ()


def test_folders_without_a_cohort_are_refused(tmp_path):
    with pytest.raises(CohortError, match="there is none"):
        discover(tmp_path / "nowhere")
    with pytest.raises(CohortError, match=r"must hold a participants\.tsv"):
        discover(tmp_path)
    cohort(tmp_path, "{s}/{s}_{m}.nii.gz", labels=("mask",))
    with pytest.raises(CohortError, match=r"such as sub-01/sub-01_T1w\.nii\.gz"):
        discover(tmp_path)
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-01\nsub-01\n")
    with pytest.raises(CohortError, match="on lines 2 and 3"):
        discover(tmp_path)


def loads(found, folder):
    """The proposal as YAML, resolved, with the participants and paths that it gives."""
    content = yaml.safe_load(yaml.safe_dump({"cohort": found.settings()}))
    experiment = Experiment(resolve(content), folder)
    participants = load_participants(experiment)
    return participants, image_paths(experiment, participants)


def test_the_proposal_for_a_phantom_works(tmp_path):
    make_phantom(tmp_path, PhantomConfig(n_subjects=8, grid=(8, 8, 8), missing_share=0.25))
    found = discover(tmp_path)
    assert found.modalities == ("T1w", "FA")
    assert (found.group_by, found.site, found.mask) == ("family_id", "site", "mask.nii.gz")
    assert found.kinship == "kinship"
    assert found.confounds == ("age", "sex")
    assert len(found.phenotypes) == 8
    assert found.n_complete == 6
    _, paths = loads(found, tmp_path)
    assert sum(p.exists() for images in paths.values() for p in images.values()) == 14


@real_data
def test_the_proposal_for_ixi_works():
    found = discover(REAL / "ixi")
    assert found.images == "{participant_id}/{participant_id}_{modality}.nii.gz"
    assert found.modalities == ("T1w", "GM", "JAC", "WM")
    assert found.mask == "mask.nii.gz"
    assert (found.group_by, found.site) == (None, None)
    assert found.confounds == ("age", "sex", "icv_ml")
    assert found.phenotypes == ("height_cm", "weight_kg", "bmi", "qualification_level")
    assert found.n_complete == found.n_participants > 100
    text = "\n".join(found.warnings)
    assert "gm_ml, wm_ml, ventricles_ml, hippocampi_ml: derived from the images" in text
    _, paths = loads(found, REAL / "ixi")
    assert all(path.exists() for images in paths.values() for path in images.values())


@real_data
def test_the_proposal_for_ms_works():
    found = discover(REAL / "ms_fullres")
    assert found.modalities == ("T1w", "FLAIR", "T1ce", "T2w")
    assert {item.label for item in found.left_out} == {"lesion", "mask"}
    assert found.mask is None
    assert found.confounds == ("age",)
    assert found.phenotypes == ("edss",)
    loads(found, REAL / "ms_fullres")
