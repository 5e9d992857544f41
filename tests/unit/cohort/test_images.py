import pytest

from isthmus.cohort.images import confine, fill_pattern, image_paths
from isthmus.cohort.participants import load_participants
from isthmus.core.errors import CohortError, ConfigError


def paths_of(experiment):
    return image_paths(experiment, load_participants(experiment))


def test_a_pattern_gives_every_image(experiment_of, cohort_folder):
    paths = paths_of(experiment_of())
    assert list(paths) == [f"sub-0{i}" for i in range(1, 6)]
    assert paths["sub-03"] == {
        "T1w": cohort_folder.resolve() / "sub-03/sub-03_T1w.nii.gz",
        "FA": cohort_folder.resolve() / "sub-03/sub-03_FA.nii.gz",
    }


def test_a_pattern_is_filled_once():
    assert fill_pattern("{participant_id}_{modality}", "{modality}", "T1w") == "{modality}_T1w"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{participant_id}/{modality}_{session}.nii", r"got \{session\}"),
        ("{participant_id}/{modality}_{modalty}.nii", "Did you mean 'modality'"),
        ("{participant_id}/{modality}{", "matching braces"),
        ("{participant_id}/{modality}{participant_id.__class__}", "may have the fields"),
    ],
)
def test_unknown_fields_are_refused(experiment_of, pattern, message):
    with pytest.raises(ConfigError, match=message):
        paths_of(experiment_of(images=pattern))


@pytest.mark.parametrize(
    ("relative", "message"),
    [
        ("../other/image.nii", "climbs out"),
        ("sub-01/../../image.nii", "climbs out"),
        ("/etc/passwd", "is absolute"),
        ("", "is empty"),
        ("nul\0.nii", "cannot be resolved"),
    ],
)
def test_paths_that_leave_the_folder_are_refused(tmp_path, relative, message):
    with pytest.raises(CohortError, match=message):
        confine(tmp_path, relative)


def test_links_may_point_within_the_folder_only(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "real.nii").write_text("x")
    (root / "inside.nii").symlink_to("real.nii")
    (root / "leaves").symlink_to(outside)
    assert confine(root, "inside.nii") == (root / "real.nii").resolve()
    with pytest.raises(CohortError, match=r"is a link to .*outside/image\.nii"):
        confine(root, "leaves/image.nii")


def test_a_linked_root_is_no_escape(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    assert confine(tmp_path / "root", "a.nii") == (tmp_path / "real/a.nii").resolve()


def test_a_link_in_a_circle_is_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(CohortError, match="cannot be resolved"):
        confine(tmp_path, "a/image.nii")


def test_a_label_that_climbs_is_refused(experiment_of, cohort_folder):
    (cohort_folder / "participants.tsv").write_text("participant_id\n../../etc\n")
    with pytest.raises(CohortError, match="becomes part of file names"):
        paths_of(experiment_of())


def test_a_manifest_may_leave_images_out(experiment_of, cohort_folder):
    (cohort_folder / "images.tsv").write_text(
        "participant_id\tmodality\tpath\nsub-01\tT1w\ta.nii\nsub-01\tFA\tb.nii\n"
        "sub-02\tT1w\tc.nii\nsub-02\tFA\tn/a\n"
    )
    paths = paths_of(experiment_of(manifest="images.tsv"))
    assert paths["sub-01"]["FA"] == cohort_folder.resolve() / "b.nii"
    assert list(paths["sub-02"]) == ["T1w"]
    assert paths["sub-05"] == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("sub-1\tFA\tb.nii", "line 3: there is no participant 'sub-1'.*Did you mean"),
        ("sub-01\tT1\tb.nii", "line 3: the modality must be one of.*Did you mean 'T1w'"),
        ("sub-01\tT1w\tb.nii", "line 3: each image must be listed once.*line 2"),
        ("sub-02\tT1w\ta.nii", "line 3: each image must be a file of its own.*line 2"),
        ("sub-02\tT1w\t../a.nii", "climbs out"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(experiment_of, cohort_folder, row, message):
    (cohort_folder / "images.tsv").write_text(
        f"participant_id\tmodality\tpath\nsub-01\tT1w\ta.nii\n{row}\n"
    )
    with pytest.raises(CohortError, match=message):
        paths_of(experiment_of(manifest="images.tsv"))


def test_a_manifest_needs_its_columns(experiment_of, cohort_folder):
    (cohort_folder / "images.tsv").write_text("participant_id\tmodality\tfile\nsub-01\tT1w\ta\n")
    with pytest.raises(CohortError, match="column 'path'"):
        paths_of(experiment_of(manifest="images.tsv"))
