"""What is kept of finished subjects: as it was written, of one plan, and still of these files."""

import os
from array import array
from dataclasses import replace

import pytest

from isthmus.core.digest import digest_file
from isthmus.core.errors import ConfigError
from isthmus.promotion.embedding.parts import EmbedPlan, PartFolder, parts_folder
from isthmus.promotion.embedding.row import SubjectRow, is_current, refused
from isthmus.promotion.embedding.source import SubjectImages
from isthmus.volumes.sources import ImageSource
from isthmus.volumes.subject import file_stamp

PLAN = EmbedPlan("0" * 64, "enc-0", "/data/cohort", "{participant_id}_{modality}.nii.gz")


def row(name="sub-1", **changes):
    whole = SubjectRow(
        participant_id=name,
        verdict="ok",
        # as float32 gives them
        embedding=array("d", (0.1, 1.0 / 3.0, -2.5e-7)),
        stratum=1,
        membership=0.25,
        error=0.01,
        error_percentile=50.0,
        out_of_distribution=False,
        images={"T1w": {"path": "/a", "size": 3, "sha256": "1" * 64}, "FA": None},
        reconstructions={"/r/sub-1/x.nii.gz": 12},
    )
    return replace(whole, **changes)


def kept(output, plan=PLAN, fresh=False):
    with PartFolder(output).held(plan, fresh) as rows:
        return rows


@pytest.mark.parametrize("one", [row(), refused("sub-2", "not\ta good image", {"T1w": None})])
def test_a_row_is_read_back_as_it_was_written(one):
    line = one.to_json()
    assert "\n" not in line
    assert SubjectRow.from_json(line) == one


def test_parts_are_read_back_and_the_last_word_on_a_subject_counts(tmp_path):
    output = tmp_path / "e.parquet"
    folder = PartFolder(output)
    with folder.held(PLAN, False) as rows:
        assert rows == {}
        folder.write([row("sub-1"), row("sub-2")])
    again = PartFolder(output)
    with again.held(PLAN, False) as rows:
        assert rows == {"sub-1": row("sub-1"), "sub-2": row("sub-2")}
        again.write([row("sub-1", error=0.5)])
    assert kept(output) == {"sub-1": row("sub-1", error=0.5), "sub-2": row("sub-2")}
    names = [path.name for path in sorted(parts_folder(output).glob("part-*"))]
    assert names == ["part-000000.jsonl", "part-000001.jsonl"]


def test_a_part_that_cannot_be_read_costs_its_own_subjects_alone(tmp_path, caplog):
    folder = PartFolder(tmp_path / "e.parquet")
    with folder.held(PLAN, False):
        folder.write([row("sub-1")])
        folder.write([row("sub-2")])
    (folder.directory / "part-000000.jsonl").write_text('{"participant_id": "sub-1"')
    assert set(kept(tmp_path / "e.parquet")) == {"sub-2"}
    assert "part-000000.jsonl cannot be read" in caplog.text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_digest": "9" * 64}, f"the model of digest {'0' * 64}, not {'9' * 64}"),
        ({"cohort": "/data/other"}, "the cohort in /data/cohort, not /data/other"),
        ({"images": "{participant_id}.nii"}, "the images {participant_id}_{modality}.nii.gz, not"),
    ],
)
def test_one_output_is_of_one_model_and_one_cohort(tmp_path, change, said):
    output = tmp_path / "e.parquet"
    folder = PartFolder(output)
    with folder.held(PLAN, False):
        folder.write([row()])
    with pytest.raises(ConfigError) as refusal:
        kept(output, replace(PLAN, **change))
    assert said in str(refusal.value)
    assert "--fresh" in str(refusal.value)
    # nothing was lost by asking
    assert set(kept(output)) == {"sub-1"}
    assert kept(output, replace(PLAN, **change), fresh=True) == {}
    assert kept(output, replace(PLAN, **change)) == {}


def test_a_file_that_this_command_did_not_begin_is_not_replaced(tmp_path):
    output = tmp_path / "e.parquet"
    output.write_bytes(b"years of work")
    with pytest.raises(ConfigError, match="was not begun by this command"):
        kept(output)
    assert output.read_bytes() == b"years of work"
    assert kept(output, fresh=True) == {}


def test_a_damaged_plan_is_not_guessed_at(tmp_path):
    kept(tmp_path / "e.parquet")
    (parts_folder(tmp_path / "e.parquet") / "plan.json").write_text("{}")
    with pytest.raises(ConfigError, match="must say what the embeddings beside it are of"):
        kept(tmp_path / "e.parquet")


@pytest.fixture
def read(tmp_path):
    """A subject with one image of two, and the row that was made of it."""
    image = tmp_path / "sub-1_T1w.nii.gz"
    image.write_bytes(b"abc")
    sources = (
        ImageSource("sub-1", "T1w", image, image.name),
        ImageSource("sub-1", "FA", tmp_path / "sub-1_FA.nii.gz", "sub-1_FA.nii.gz"),
    )
    made = tmp_path / "made" / "sub-1" / "x.nii.gz"
    made.parent.mkdir(parents=True)
    made.write_bytes(b"123")
    state = {**file_stamp(image), "sha256": digest_file(image)}
    return SubjectImages("sub-1", sources), row(
        images={"T1w": state, "FA": None}, reconstructions={str(made): 3}
    )


def test_a_subject_is_finished_while_its_files_hold_the_same_bytes(read, tmp_path):
    subject, one = read
    image = subject.sources[0].path
    assert is_current(one, subject, None)
    # written anew, the same
    image.unlink()
    image.write_bytes(b"abc")
    os.utime(image, (1, 1))
    assert is_current(one, subject, None)
    image.write_bytes(b"abd")
    assert not is_current(one, subject, None)
    image.unlink()
    assert not is_current(one, subject, None)


def test_an_image_that_turned_up_is_read(read):
    subject, one = read
    subject.sources[1].path.write_bytes(b"new")
    assert not is_current(one, subject, None)


def test_what_could_not_be_read_is_tried_again(read):
    subject, one = read
    unread = {**one.images["T1w"], "sha256": None}
    assert not is_current(replace(one, images={**one.images, "T1w": unread}), subject, None)


def test_a_model_of_other_modalities_repeats_everything(read):
    subject, one = read
    assert not is_current(one, SubjectImages("sub-1", subject.sources[:1]), None)


def test_reconstructions_that_are_wanted_must_be_there_in_full(read, tmp_path):
    subject, one = read
    (made,) = (tmp_path / "made").rglob("*.gz")
    assert is_current(one, subject, tmp_path / "made")
    assert not is_current(one, subject, tmp_path / "another folder")
    assert not is_current(replace(one, reconstructions={}), subject, tmp_path / "made")
    made.write_bytes(b"12")
    assert not is_current(one, subject, tmp_path / "made")
    assert is_current(one, subject, None)
    made.unlink()
    assert not is_current(one, subject, tmp_path / "made")
