"""Who was in a model's training is read of the very trial, or not told."""

import json
import shutil
from dataclasses import replace

import pytest

from isthmus.config.load import load_experiment
from isthmus.promotion.bundle.record import Origin
from isthmus.promotion.embedding.roles import roles_of
from isthmus.trial.run import prepare_trial


@pytest.fixture(scope="module")
def trial(ran):
    return prepare_trial(ran.experiment)


@pytest.fixture
def origin(trial):
    return Origin("fold", 1, "small", trial.digest, dict(trial.identity), "0" * 64)


def test_a_fold_tells_its_parts_and_the_lockbox(trial, origin):
    roles = roles_of(origin, trial.experiment)
    fold = trial.split.folds[1]
    for part, ids in fold.parts.items():
        assert {roles[name] for name in ids} <= {part}
    sealed = [name for name, role in roles.items() if role == "lockbox"]
    assert sealed
    assert set(roles) == {*sealed, *trial.participants.ids}


def test_a_refit_was_trained_on_everybody_but_the_lockbox(trial, origin):
    roles = roles_of(replace(origin, kind="refit", fold=None), trial.experiment)
    assert {roles[name] for name in trial.participants.ids} == {"train"}
    assert set(roles.values()) == {"train", "lockbox"}


def test_without_the_trial_nobody_can_tell(trial, origin, tmp_path):
    assert roles_of(origin, None) is None
    assert roles_of(replace(origin, trial_digest="f" * 64), trial.experiment) is None
    # the same settings elsewhere, where nothing was run
    shutil.copy(trial.experiment.folder / "experiment.yaml", tmp_path)
    assert roles_of(origin, load_experiment(tmp_path / "experiment.yaml")) is None


def test_a_split_that_was_edited_is_not_believed(trial, origin, tmp_path):
    shutil.copy(trial.experiment.folder / "experiment.yaml", tmp_path)
    elsewhere = load_experiment(tmp_path / "experiment.yaml")
    folder = elsewhere.output / trial.directory.name
    folder.mkdir(parents=True)
    for name in ("identity.json", "split.json"):
        shutil.copy(trial.directory / name, folder)
    assert roles_of(origin, elsewhere) is not None
    content = json.loads((folder / "split.json").read_text())
    fold = content["folds"][1]
    fold["validation"].append(fold["train"].pop())
    (folder / "split.json").write_text(json.dumps(content))
    assert roles_of(origin, elsewhere) is None
