"""A bundle's folder: whole or not there, verified when loaded, and free of pickle."""

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from isthmus.core.digest import digest_file
from isthmus.core.errors import ConfigError, DiskFull, ResourceError
from isthmus.promotion.bundle.inputs import BundleInputs
from isthmus.promotion.bundle.load import load_bundle
from isthmus.promotion.bundle.record import read_record, record_to_json
from isthmus.promotion.bundle.write import write_bundle
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.training.evaluate import evaluate
from isthmus.trial.run import prepare_trial


def test_a_bundle_holds_the_trained_files_as_they_are(of_fold):
    names = {path.name for path in of_fold.folder.iterdir()}
    trained = {"model.safetensors", "encoder.json", "normaliser.npz"}
    assert names == trained | {"bundle.json", "mask.npz", "strata.npz"}
    fitted = json.loads((of_fold.inputs.encoder_directory / "fitted.json").read_text())
    for name in trained:
        assert of_fold.record.files[name] == fitted["digests"][name]
    for name in names - {"bundle.json"}:
        assert of_fold.record.files[name] == digest_file(of_fold.folder / name)


def test_the_record_says_where_the_model_is_from(of_fold, of_refit, ran):
    origin, result = of_fold.record.origin, ran.result
    assert (origin.kind, origin.fold, origin.trial_digest) == ("fold", 0, result.digest)
    assert origin.identity == result.identity
    assert of_fold.record.encoder_id == result.folds[0].encoder_id
    assert of_fold.record.n_parameters == result.folds[0].n_parameters
    assert not of_fold.record.accepts_missing
    assert (of_refit.record.origin.kind, of_refit.record.origin.fold) == ("refit", None)
    assert {path.name for path in of_refit.folder.iterdir()} == {
        "model.safetensors",
        "encoder.json",
        "normaliser.npz",
        "bundle.json",
    }


def test_the_record_comes_back_as_it_was_written(of_fold):
    again = read_record(of_fold.folder)
    assert again == of_fold.record
    assert again.digest == of_fold.record.digest
    assert record_to_json(again)["schema_version"] == 1


def test_errors_are_kept_of_every_part(of_fold, of_refit):
    seen, ids = of_fold.record.errors.by_name["all"], of_fold.inputs.ids
    assert {part: own.n for part, own in seen.parts.items()} == {
        part: len(own) for part, own in ids.items() if own
    }
    table = evaluate(of_fold.served.encoder, of_fold.inputs.store, ids["train"], "none")
    mse = table[table["metric"] == "mse"].groupby("participant_id")["value"].mean()
    quantiles = seen.parts["train"].quantiles
    assert quantiles[0] == pytest.approx(mse.min(), rel=1e-6)
    assert quantiles[50] == pytest.approx(mse.median(), rel=1e-6)
    assert quantiles[100] == pytest.approx(mse.max(), rel=1e-6)
    assert set(of_refit.record.errors.by_name["all"].parts) == {"train", "monitor"}


@pytest.mark.parametrize("name", ["model.safetensors", "normaliser.npz", "strata.npz", "mask.npz"])
def test_a_changed_file_is_refused_by_name(of_fold, changed, name):
    content = bytearray((of_fold.folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    folder = changed(name, bytes(content))
    with pytest.raises(ConfigError, match=f"changed/{name}: must have the SHA-256"):
        load_bundle(folder, "cpu")


def test_a_missing_file_is_refused_by_name(of_fold, changed):
    folder = changed("strata.npz", b"")
    (folder / "strata.npz").unlink()
    with pytest.raises(ConfigError, match=r"strata.npz: is part of the bundle"):
        load_bundle(folder, "cpu")


def pickled(kind):
    """Bytes that would be unpickled by a careless reader."""
    file = io.BytesIO()
    if kind == "torch":
        torch.save({"weights": torch.ones(2)}, file)
    else:
        np.savez(file, mask_DHW=np.array([{}], dtype=object), header=np.array([{}], dtype=object))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model.safetensors", "torch"),
        ("normaliser.npz", "numpy"),
        ("strata.npz", "numpy"),
        ("mask.npz", "numpy"),
    ],
)
def test_pickled_content_is_refused_even_if_its_digest_is_right(changed, name, kind, monkeypatch):
    folder = changed(name, pickled(kind), fitting=True)

    def unpickled(*_args, **_settings):
        raise AssertionError("something was unpickled")

    monkeypatch.setattr("pickle.load", unpickled)
    monkeypatch.setattr("pickle.loads", unpickled)
    monkeypatch.setattr("torch.load", unpickled)
    with pytest.raises(ConfigError, match=name):
        load_bundle(folder, "cpu")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r["files"].update({"../../etc/passwd": "0" * 64}), "files must be"),
        (lambda r: r["files"].pop("model.safetensors"), "files must be"),
        (lambda r: r["files"].pop("strata.npz"), "at odds with itself"),
        (lambda r: r.update(modalities=["T1w"]), "at odds with itself"),
        (lambda r: r.update(encoder_id="another"), "network must be the one"),
        (lambda r: r.update(schema_version=2), "schema_version 1, got 2"),
        (lambda r: r.pop("errors"), "errors"),
        (lambda r: r.update(grid=[16, 16]), "grid"),
    ],
)
def test_a_record_that_cannot_be_is_refused(of_fold, changed, change, words):
    record = json.loads((of_fold.folder / "bundle.json").read_text())
    change(record)
    folder = changed("bundle.json", json.dumps(record).encode())
    with pytest.raises(ConfigError, match=words):
        load_bundle(folder, "cpu")


def test_no_bundle_and_another_one_are_told_apart(of_fold, tmp_path):
    with pytest.raises(ConfigError, match="must be the folder of a bundle"):
        load_bundle(tmp_path, "cpu")
    assert load_bundle(of_fold.folder, "cpu", of_fold.record.digest).record == of_fold.record
    with pytest.raises(ConfigError, match="must be the bundle of digest 000000000000"):
        load_bundle(of_fold.folder, "cpu", "0" * 64)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_a_gpu_that_is_not_there_is_no_surprise(of_fold):
    with pytest.raises(ResourceError, match="needs a GPU"):
        load_bundle(of_fold.folder, "cuda")


def test_the_same_bundle_is_replaced_and_no_other_one(of_fold, ran, tmp_path):
    destination = tmp_path / "bundle"
    shutil.copytree(of_fold.folder, destination)
    (destination / "bundle.json").touch()
    again = write_bundle(of_fold.inputs, destination)
    assert again.digest == of_fold.record.digest
    other = BundleInputs.of_fold(prepare_trial(ran.experiment), 1)
    with pytest.raises(ConfigError, match="bundle of another model"):
        write_bundle(other, destination)
    assert load_bundle(destination, "cpu").record == of_fold.record
    something = tmp_path / "something"
    something.mkdir()
    (something / "file").touch()
    with pytest.raises(ConfigError, match="holds something else"):
        write_bundle(of_fold.inputs, something)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "something"]


def test_a_tampered_training_is_not_bundled(of_fold, tmp_path):
    trained = tmp_path / "fold-0"
    shutil.copytree(of_fold.inputs.encoder_directory, trained)
    card = json.loads((trained / "encoder.json").read_text())
    (trained / "encoder.json").write_text(json.dumps(card | {"leaky": True}))
    with pytest.raises(ConfigError, match="files are as it left them"):
        write_bundle(replace(of_fold.inputs, encoder_directory=trained), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_inputs_of_different_encoders_are_not_bundled(of_fold, tmp_path):
    table = of_fold.inputs.table
    other = EmbeddingTable("another", table.participant_ids, table.values, table.roles)
    moved = EmbeddingTable(table.encoder_id, table.participant_ids, table.values * 2, table.roles)
    cases = {
        "must be by the encoder in": {"table": other},
        "The strata must be of the embeddings given": {"table": moved},
        "differs by 0.5 of the largest value": {"table": moved, "report": None},
    }
    for words, change in cases.items():
        with pytest.raises(ConfigError, match=words):
            write_bundle(replace(of_fold.inputs, **change), tmp_path / "bundle")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        write_bundle(of_fold.inputs, tmp_path / "bundle", quantile=1.0)
    with pytest.raises(ConfigError, match=r"one of \[0, 1\]"):
        BundleInputs.of_fold(prepare_trial(of_fold.inputs.experiment), 7)
    assert not list(tmp_path.iterdir())


def test_a_full_disk_leaves_nothing_behind(of_fold, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr("isthmus.promotion.bundle.write.write_record", full)
    with pytest.raises(DiskFull):
        write_bundle(of_fold.inputs, tmp_path / "bundle")
    assert not list(tmp_path.iterdir())
