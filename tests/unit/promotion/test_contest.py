"""Among which trials a model is chosen, and which of a trial's encoders stands for it."""

from dataclasses import replace

import pytest
import yaml
from example_bundle import make_trial, write_trial_folder
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core.errors import ConfigError
from isthmus.promotion.contest import ALONE, contest_of_trial, typical_fold
from isthmus.trial.records import FoldFailure

TRIAL = make_trial(n_folds=1)


def trial_folder(output):
    folder = write_trial_folder(output, TRIAL)
    experiment = {
        "cohort": {
            "root": "cohort",
            "modalities": ["T1w"],
            "images": "{participant_id}_{modality}.nii",
        }
    }
    (folder / "experiment.yaml").write_text(yaml.safe_dump(experiment))
    return folder


def with_errors(errors):
    folds = (
        replace(TRIAL.folds[0], number=i, metrics={"validation_mse": error})
        for i, error in enumerate(errors)
    )
    return replace(TRIAL, folds=tuple(folds))


@pytest.mark.parametrize(
    ("errors", "fold"),
    [((1.0,), 0), ((1.0, 2.0), 1), ((3.0, 1.0, 2.0), 2), ((4.0, 1.0, 2.0, 3.0), 3)],
)
def test_the_encoder_in_the_middle_stands_for_the_trial(errors, fold):
    assert typical_fold(with_errors(errors)) == fold


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=9))
def test_it_is_never_better_than_half_of_them(errors):
    chosen = errors[typical_fold(with_errors(errors))]
    assert 2 * sum(error <= chosen for error in errors) > len(errors)
    assert 2 * sum(error >= chosen for error in errors) >= len(errors)


def test_a_trial_of_which_a_fold_failed_has_no_encoder_in_the_middle():
    broken = replace(TRIAL, failures=(FoldFailure(1, "TrainingDiverged", "the loss is inf"),))
    with pytest.raises(ConfigError, match="but 1 failed"):
        typical_fold(broken)


def test_one_trial_by_itself_is_chosen_among_none(tmp_path):
    folder = trial_folder(tmp_path)
    contest = contest_of_trial(folder)
    assert contest.directories == {ALONE: folder}
    assert contest.study is None
    assert contest.key == TRIAL.digest


def test_a_folder_of_neither_is_refused_with_what_to_name(tmp_path):
    with pytest.raises(ConfigError, match="must be the folder of a search or of a trial"):
        contest_of_trial(tmp_path)
    folder = trial_folder(tmp_path)
    (folder / "trial.json").unlink()
    with pytest.raises(ConfigError, match=r"no trial\.json.*isthmus train .*goes on"):
        contest_of_trial(folder)
