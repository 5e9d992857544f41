"""Embedding a cohort in this process: the trial's numbers, nothing twice, a bad image costs one."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from isthmus.cli.main import app
from isthmus.cohort.participants import load_participants
from isthmus.core.errors import ConfigError
from isthmus.promotion.bundle.inputs import BundleInputs
from isthmus.promotion.bundle.write import write_bundle
from isthmus.promotion.embedding.roles import roles_of
from isthmus.promotion.embedding.subject import reconstruction_file
from isthmus.stratification.embedding_table import load_parquet
from isthmus.stratification.foreign_table import load_embeddings
from isthmus.stratification.subjects import choose_subjects
from isthmus.trial.run import prepare_trial


@dataclass(frozen=True)
class Trained:
    """A bundle of a trial's first fold, and the experiment that it was made by."""

    bundle: Path
    experiment_file: Path
    record: object
    table: pd.DataFrame


@pytest.fixture(scope="module")
def trained(ran, ingested, tmp_path_factory) -> Trained:
    trial = prepare_trial(ran.experiment)
    folder = tmp_path_factory.mktemp("bundle") / "model"
    record = write_bundle(BundleInputs.of_fold(trial, 0), folder)
    table = pd.read_parquet(trial.directory / "fold-0" / "embeddings.parquet")
    return Trained(folder, ingested, record, table.set_index("participant_id"))


@pytest.fixture
def cohort(trained, tmp_path) -> Path:
    """A few subjects of the cohort, to be spoilt."""
    source, folder = trained.experiment_file.parent / "cohort", tmp_path / "few"
    ids = sorted(path.name for path in source.glob("sub-*"))[:6]
    for name in ids:
        shutil.copytree(source / name, folder / name)
    (folder / "participants.tsv").write_text("participant_id\n" + "".join(f"{i}\n" for i in ids))
    return folder


def run(*arguments, expect=0):
    result = CliRunner().invoke(app, ["embed", *map(str, arguments)])
    assert result.exit_code == expect, result.output
    return result


def numbers(output):
    return pd.read_parquet(output).set_index("participant_id").filter(like="embedding_")


@pytest.fixture(scope="module")
def whole(trained, tmp_path_factory) -> Path:
    """The whole cohort, by its experiment."""
    output = tmp_path_factory.mktemp("whole") / "embeddings.parquet"
    run(trained.bundle, trained.experiment_file, "-o", output)
    return output


def test_it_is_what_the_trial_embedded_and_says_who_was_in_the_training(trained, whole):
    found = pd.read_parquet(whole).set_index("participant_id")
    assert list(found.index) == sorted(found.index)
    known = found.loc[trained.table.index]
    assert (
        np.abs(known.filter(like="embedding_") - trained.table.filter(like="embedding_")).max(
            axis=None
        )
        < 1e-6
    )
    assert (known["role"] == trained.table["role"]).all()
    # the others are those whom ingest set aside
    sealed = json.loads((trained.experiment_file.parent / "store" / "lockbox.json").read_text())
    others = found.drop(index=trained.table.index)
    assert sorted(others.index) == sealed["participant_ids"]
    assert set(others["role"]) == {"lockbox"}
    assert list(found.columns[:7]) == [
        "role",
        "stratum",
        "membership",
        "error",
        "error_percentile",
        "out_of_distribution",
        "verdict",
    ]
    assert set(found["verdict"]) == {"ok"}
    assert found["error_percentile"].between(0, 100).all()
    metadata = pq.read_schema(whole).metadata
    assert metadata[b"isthmus.encoder_id"].decode() == trained.record.encoder_id
    assert metadata[b"isthmus.model_digest"].decode() == trained.record.digest
    assert metadata[b"isthmus.model"].decode() == str(trained.bundle)


def test_stratify_reads_it_and_leaves_the_lockbox_out(ran, whole):
    table = load_embeddings(whole)
    assert table.encoder_id == load_parquet(whole).encoder_id
    people, config = load_participants(ran.experiment), ran.experiment.config.stratification
    everybody = choose_subjects(table, people, config)
    assert set(everybody.roles) == {"train", "validation"}
    held_out = choose_subjects(table, people, config.model_copy(update={"subjects": "held_out"}))
    assert set(held_out.roles) == {"validation"}


def test_in_another_cohort_a_label_says_nothing_of_the_training(trained, cohort, tmp_path):
    result = run(trained.bundle, cohort, "-o", tmp_path / "e.parquet")
    assert set(pd.read_parquet(tmp_path / "e.parquet")["role"]) == {"unknown"}
    assert "cannot be told" in result.stderr
    assert roles_of(trained.record.origin, None) is None


def test_nothing_is_done_twice_and_what_changed_is_done_again(trained, cohort, tmp_path):
    output = tmp_path / "e.parquet"
    run(trained.bundle, cohort, "-o", output)
    first, parts = output.read_bytes(), tmp_path / "e.parts"
    made = {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*")}
    result = json.loads(run(trained.bundle, cohort, "-o", output, "--json").stdout)
    assert result["n_found"] == result["n_embedded"] == 6
    assert {path.name: path.stat().st_mtime_ns for path in parts.glob("part-*")} == made
    assert output.read_bytes() == first
    names = sorted(path.name for path in cohort.glob("sub-*"))
    before = numbers(output)
    shutil.copy(
        cohort / names[1] / f"{names[1]}_FA.nii.gz", cohort / names[0] / f"{names[0]}_FA.nii.gz"
    )
    result = json.loads(run(trained.bundle, cohort, "-o", output, "--json").stdout)
    assert result["n_found"] == 5
    after = numbers(output)
    assert (after.loc[names[1:]] == before.loc[names[1:]]).all(axis=None)
    assert (after.loc[names[0]] != before.loc[names[0]]).any()


def test_an_image_that_is_refused_costs_its_subject_alone(trained, cohort, tmp_path):
    names = sorted(path.name for path in cohort.glob("sub-*"))
    (cohort / names[0] / f"{names[0]}_T1w.nii.gz").write_bytes(b"no image")
    (cohort / names[1] / f"{names[1]}_FA.nii.gz").unlink()
    output = tmp_path / "e.parquet"
    result = run(trained.bundle, cohort, "-o", output, expect=4)
    assert "4 of 6 subjects embedded" in result.stdout
    assert list(numbers(output).index) == names[2:]
    verdicts = pd.read_csv(tmp_path / "e.verdicts.tsv", sep="\t").set_index("participant_id")
    assert list(verdicts["embedded"]) == ["no", "no"] + ["yes"] * 4
    assert verdicts["verdict"][names[0]].startswith("The T1w image cannot be used:")
    assert f"{names[1]}_FA.nii.gz" in verdicts["verdict"][names[1]]
    # the verdicts are kept too, and an image that is put right is read
    good = cohort / names[0] / f"{names[0]}_T1w.nii.gz"
    shutil.copy(cohort / names[2] / f"{names[2]}_T1w.nii.gz", good)
    again = json.loads(run(trained.bundle, cohort, "-o", output, "--json", expect=4).stdout)
    assert (again["n_found"], sorted(again["refused"])) == (5, [names[1]])


def test_where_all_are_refused_the_verdicts_say_why(trained, cohort, tmp_path):
    for image in cohort.rglob("*_T1w.nii.gz"):
        image.write_bytes(b"no image")
    result = run(trained.bundle, cohort, "-o", tmp_path / "e.parquet", expect=2)
    assert "all 6 were refused" in result.stderr
    assert len((tmp_path / "e.verdicts.tsv").read_text().splitlines()) == 7
    assert not (tmp_path / "e.parquet").exists()


def test_reconstructions_keep_the_affine_and_are_part_of_what_is_finished(
    trained, cohort, tmp_path
):
    output, made = tmp_path / "e.parquet", tmp_path / "made"
    run(trained.bundle, cohort, "-o", output)
    plain = output.read_bytes()
    result = json.loads(
        run(trained.bundle, cohort, "-o", output, "--reconstructions", made, "--json").stdout
    )
    assert result["n_found"] == 0
    assert output.read_bytes() == plain
    name = sorted(path.name for path in cohort.glob("sub-*"))[0]
    files = sorted(path.name for path in (made / name).iterdir())
    assert files == [f"{name}_{modality}_reconstruction.nii.gz" for modality in ("FA", "T1w")]
    image = nib.load(cohort / name / f"{name}_FA.nii.gz")
    there = reconstruction_file(made, name, "FA")
    back = nib.load(there)
    assert np.array_equal(back.affine, image.affine)
    assert back.shape == image.shape
    assert np.isfinite(back.get_fdata()).all()
    content = there.read_bytes()
    there.unlink()
    arguments = (trained.bundle, cohort, "-o", output, "--reconstructions", made, "--json")
    assert json.loads(run(*arguments).stdout)["n_found"] == 5
    assert there.read_bytes() == content


def test_another_cohort_or_model_needs_another_output(trained, cohort, whole, tmp_path):
    before = whole.read_bytes()
    result = run(trained.bundle, cohort, "-o", whole, expect=2)
    assert "it was begun with the cohort in" in result.stderr
    assert whole.read_bytes() == before
    output = tmp_path / "e.parquet"
    output.write_bytes(b"years of work")
    assert "would be lost" in run(trained.bundle, cohort, "-o", output, expect=2).stderr
    run(trained.bundle, cohort, "-o", output, "--fresh")
    assert len(numbers(output)) == 6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "e.csv"], "-o must name a .parquet file"),
        (["-o", "e.parquet", "--reconstructions", "few/made"], "outside the cohort's"),
        (["-o", "e.parquet", "--device", "tpu"], "--device must be auto, cpu or cuda"),
        (["-o", "e.parquet", "--workers", "10000"], "training workers must fit"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_made(
    trained, cohort, tmp_path, monkeypatch, options, said
):
    monkeypatch.chdir(tmp_path)
    assert said in " ".join(run(trained.bundle, "few", *options, expect=2).stderr.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["few"]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("few", "this folder is no bundle"),
        ("brain@champion", "Give --tracking-uri"),
        ("no/such/folder", "A model must be named as"),
    ],
)
def test_what_is_no_model_is_refused(cohort, tmp_path, monkeypatch, model, said):
    monkeypatch.chdir(tmp_path)
    assert said in " ".join(run(model, "few", expect=2).stderr.split())


def test_a_registry_that_would_not_be_asked_is_refused(trained, cohort, tmp_path):
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    result = run(trained.bundle, cohort, "--tracking-uri", uri, expect=2)
    assert "is a folder: it would be ignored" in " ".join(result.stderr.split())


def test_a_bundle_that_was_tampered_with_is_refused(trained, cohort, tmp_path):
    copy = tmp_path / "tampered"
    shutil.copytree(trained.bundle, copy)
    (copy / "model.safetensors").write_bytes(b"other weights")
    result = run(copy, cohort, "-o", tmp_path / "e.parquet", expect=2)
    assert "it was changed after the bundle was written" in result.stderr
    assert not list((tmp_path / "e.parts").glob("part-*"))


@pytest.mark.parametrize("labels", [("a/../../b", "FA"), ("sub-1", "../FA"), (".sub", "FA")])
def test_no_label_leads_out_of_the_folder_of_reconstructions(labels, tmp_path):
    with pytest.raises(ConfigError, match="Labels become part of file names"):
        reconstruction_file(tmp_path, *labels)
