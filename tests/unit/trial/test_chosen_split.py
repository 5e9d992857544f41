"""Which split a trial uses, what is said of it beforehand, and the name that a proposal gives."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from isthmus.cohort.participants import Participants
from isthmus.cohort.splits import save_split
from isthmus.config.load import load_experiment, resolve
from isthmus.core.errors import ConfigError
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.facts import cohort_facts
from isthmus.trial.preflight import steps_of_folds
from isthmus.trial.preview import preview
from isthmus.trial.propose import propose
from isthmus.trial.run import prepare_trial, run_trial

MONITOR = "training.early_stopping.monitor_share=0.2"


def hand_written(experiment: Path, folder: Path) -> str:
    """Hold out half of the families in each of two folds; give the override that names the file."""
    families = prepare_trial(load_experiment(experiment)).participants.families
    names = sorted(set(families))
    halves = [
        [label for label, family in families.items() if family in chosen]
        for chosen in (names[::2], names[1::2])
    ]
    folds = [{"validation": half} for half in halves]
    (folder / "split.json").write_text(json.dumps({"folds": folds}))
    return f"cross_validation.split_file={folder / 'split.json'}"


def test_a_split_file_without_monitor_is_refused_where_one_is_asked_for(ingested, tmp_path):
    file = hand_written(ingested, tmp_path)
    assert len(prepare_trial(load_experiment(ingested, [file])).split.folds) == 2
    with pytest.raises(ConfigError, match=r"folds \[0, 1\] have none.*set monitor_share to 0"):
        prepare_trial(load_experiment(ingested, [file, MONITOR]))


def test_a_drawn_split_goes_through_its_file_with_the_monitor(ingested, tmp_path):
    drawn = prepare_trial(load_experiment(ingested, [MONITOR]))
    save_split(drawn.split, tmp_path / "split.json")
    file = f"cross_validation.split_file={tmp_path / 'split.json'}"
    again = prepare_trial(load_experiment(ingested, [file, MONITOR]))
    assert again.digest == drawn.digest


def test_a_hold_out_is_drawn_where_it_is_asked_for(ingested, ran):
    hold_out = ["cross_validation.method=hold_out", "cross_validation.hold_out_share=0.3"]
    trial = prepare_trial(load_experiment(ingested, hold_out))
    (fold,) = trial.split.folds
    families = trial.participants.families
    share = families[list(fold.validation)].nunique() / families.nunique()
    assert share == pytest.approx(0.3, abs=0.05)
    assert trial.split.method.startswith("hold_out")
    assert trial.digest != ran.result.digest
    fewer = prepare_trial(load_experiment(ingested, [*hold_out, "cross_validation.n_folds=5"]))
    assert fewer.digest == trial.digest


def test_a_number_of_folds_that_a_file_overrides_is_no_other_trial(ran):
    file = f"cross_validation.split_file={ran.directory / 'split.json'}"
    source = ran.experiment.folder / "experiment.yaml"
    again = prepare_trial(load_experiment(source, [file, "cross_validation.n_folds=7"]))
    assert again.digest == ran.result.digest
    other = prepare_trial(load_experiment(source, ["cross_validation.n_folds=3"]))
    assert other.digest != ran.result.digest


def test_steps_follow_the_folds_in_use():
    people = Participants(pd.DataFrame(index=[f"sub-{i}" for i in range(100)]))
    cohort = {"images": "{participant_id}_{modality}.nii", "modalities": ["T1w"]}

    def steps(*overrides: str) -> tuple[int, int]:
        config = resolve({"cohort": cohort, "training": {"epochs": 1}}, overrides)
        facts = cohort_facts(config, people)
        return int(facts["n_folds"]), int(facts["n_steps_per_fold"])

    assert steps() == (10, 90)
    assert steps("cross_validation.n_folds=2") == (2, 50)
    hold_out = ["cross_validation.method=hold_out", "cross_validation.hold_out_share=0.3"]
    assert steps(*hold_out) == (1, 70)


def test_steps_are_those_of_the_folds_in_use(ran):
    config, split = ran.experiment.config, prepare_trial(ran.experiment).split
    expected = tuple(2 * (len(fold.train) // 2) for fold in split.folds)
    assert steps_of_folds(config, split) == expected
    assert ran.result.facts["n_steps_per_fold"] == max(expected)


def test_a_batch_that_workers_cannot_share_is_refused_before_anything_runs(ingested):
    experiment = load_experiment(ingested, ["execution.workers=3"])
    with pytest.raises(ConfigError, match=r"global_batch_size \(2\) must be a multiple"):
        preview(experiment)
    with pytest.raises(ConfigError, match=r"global_batch_size \(2\) must be a multiple"):
        run_trial(experiment, InProcessLauncher(), lambda event: None)


@pytest.mark.parametrize(
    ("folder", "name"), [("my cohort (2)", "my cohort -2-"), (".hidden", "-hidden")]
)
def test_a_proposal_is_named_after_its_folder_by_a_name_that_is_allowed(
    ingested, tmp_path, folder, name
):
    shutil.copytree(ingested.parent / "cohort", tmp_path / folder)
    destination = tmp_path / "experiment.yaml"
    destination.write_text(propose(tmp_path / folder, destination, "smoke").text)
    assert load_experiment(destination).config.name == name
