"""Whose images a model is given: by an experiment, a folder or a table, never from outside."""

import shutil

import pytest
import yaml

from isthmus.core.errors import CohortError, ConfigError
from isthmus.promotion.embedding.source import find_cohort, subjects_of

PATTERN = "{participant_id}/{participant_id}_{modality}.nii.gz"


def write_folder(folder, ids=("sub-2", "sub-1"), modalities=("T1w", "FA")):
    """A cohort of files that nobody opens."""
    for name in ids:
        (folder / name).mkdir(parents=True)
        for modality in modalities:
            (folder / name / f"{name}_{modality}.nii.gz").write_bytes(b"an image")
    (folder / "participants.tsv").write_text(
        "participant_id\tage\n" + "".join(f"{i}\t40\n" for i in ids)
    )
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "cohort")


def shown(cohort):
    return {s.participant_id: [source.shown for source in s.sources] for s in cohort.subjects}


@pytest.mark.parametrize("given", [".", "participants.tsv"])
def test_a_folder_and_its_table_are_the_same_cohort_in_the_models_order(folder, given):
    cohort = subjects_of(find_cohort(folder / given), ("FA", "T1w"), True)
    assert list(shown(cohort).items()) == [
        (name, [f"{name}/{name}_FA.nii.gz", f"{name}/{name}_T1w.nii.gz"])
        for name in ("sub-1", "sub-2")
    ]
    assert cohort.images == PATTERN
    assert cohort.folder == folder
    assert cohort.participants == folder / "participants.tsv"
    assert cohort.tracking_uri is None


def test_an_experiment_says_where_its_cohort_is_and_how_to_run(folder, tmp_path):
    settings = {
        "cohort": {"root": "cohort", "images": PATTERN, "modalities": ["T1w"]},
        "execution": {"device": "cpu", "tracking_uri": "http://127.0.0.1:5000"},
    }
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(settings))
    place = find_cohort(tmp_path / "experiment.yaml")
    # the model may take what the experiment did not
    cohort = subjects_of(place, ("FA",), True)
    assert shown(cohort)["sub-1"] == ["sub-1/sub-1_FA.nii.gz"]
    assert (cohort.execution.device, cohort.tracking_uri) == ("cpu", "http://127.0.0.1:5000")
    other = find_cohort(tmp_path / "experiment.yaml", "elsewhere/{participant_id}_{modality}.nii")
    with pytest.raises(CohortError, match="none of those"):
        subjects_of(other, ("FA",), True)


def test_a_manifest_may_list_more_than_the_model_takes(folder, tmp_path):
    rows = "".join(
        f"{name}\t{modality}\t{name}/{name}_{modality}.nii.gz\n"
        for name in ("sub-1", "sub-2")
        for modality in ("T1w", "FA")
    )
    (folder / "manifest.tsv").write_text(f"participant_id\tmodality\tpath\n{rows}")
    cohort = {"root": "cohort", "manifest": "manifest.tsv", "modalities": ["T1w", "FA"]}
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump({"cohort": cohort}))
    found = subjects_of(find_cohort(file), ("FA",), True)
    assert shown(found)["sub-2"] == ["sub-2/sub-2_FA.nii.gz"]
    assert found.images == "manifest manifest.tsv"
    with pytest.raises(ConfigError, match=r"--images must be for .* cohort.manifest is manifest"):
        find_cohort(file, PATTERN)


def test_a_pattern_that_is_given_replaces_the_one_that_would_be_found(folder):
    (folder / "derived").mkdir()
    for name in ("sub-1", "sub-2"):
        shutil.copy(folder / name / f"{name}_FA.nii.gz", folder / "derived" / f"{name}-FA.nii.gz")
    place = find_cohort(folder, "derived/{participant_id}-{modality}.nii.gz")
    assert shown(subjects_of(place, ("FA",), True))["sub-1"] == ["derived/sub-1-FA.nii.gz"]


def test_no_image_is_taken_from_outside_the_folder(folder, tmp_path):
    (tmp_path / "elsewhere.nii.gz").write_bytes(b"somebody else's")
    image = folder / "sub-1" / "sub-1_FA.nii.gz"
    image.unlink()
    image.symlink_to(tmp_path / "elsewhere.nii.gz")
    with pytest.raises(CohortError, match="must stay within the cohort's folder"):
        subjects_of(find_cohort(folder, PATTERN), ("FA",), True)
    with pytest.raises(CohortError, match=r"climbs out by '\.\.'"):
        subjects_of(find_cohort(folder, "../{participant_id}_{modality}.nii"), ("FA",), True)


def test_a_modality_that_nobody_has_is_asked_about_where_the_model_needs_it(folder):
    place = find_cohort(folder)
    with pytest.raises(CohortError, match=r"needs T1w, JAC.* there must be a JAC image"):
        subjects_of(place, ("T1w", "JAC"), True)
    cohort = subjects_of(place, ("T1w", "JAC"), False)
    assert all(subject.sources[1].is_missing for subject in cohort.subjects)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda folder: shutil.rmtree(folder), "COHORT must be an experiment.yaml, a folder"),
        (lambda folder: (folder / "participants.tsv").unlink(), "but there is no"),
        (
            lambda folder: [shutil.rmtree(folder / name) for name in ("sub-1", "sub-2")],
            "must hold NIfTI files",
        ),
    ],
)
def test_what_is_no_cohort_is_refused(folder, prepare, said):
    prepare(folder)
    with pytest.raises(CohortError, match=said):
        find_cohort(folder)


def test_a_pattern_must_tell_images_apart(folder):
    with pytest.raises(ConfigError, match=r"--images: cohort.* must contain \{modality\}"):
        find_cohort(folder, "{participant_id}.nii.gz")
