"""Among which trials a model is chosen, and which of a trial's encoders stands for it."""

from dataclasses import replace

import pytest
import yaml
from example_bundle import make_trial, write_trial_folder
from example_evidence import make_evidence
from example_study import make_study
from hypothesis import given
from hypothesis import strategies as st

from isthmus.config.promotion.load import load_gates
from isthmus.core.errors import CohortError, ConfigError
from isthmus.promotion.contest import ALONE, contest_of_trial, typical_fold
from isthmus.promotion.decision import JudgedTrial, PromotionDecision
from isthmus.promotion.gates.judge import judge
from isthmus.promotion.promote import _number
from isthmus.promotion.registry.aliases import AliasRefused, crown
from isthmus.promotion.registry.history import read_history
from isthmus.promotion.request import PromotionRequest, check_request, require_lockbox
from isthmus.promotion.verdict import failed
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


@pytest.mark.parametrize("name", ["a/b", "a:b", "a@b", "", " ", "..", " a", "x" * 300])
def test_a_name_that_no_registry_takes_is_refused_before_anything_is_looked_at(tmp_path, name):
    contest = contest_of_trial(trial_folder(tmp_path))
    with pytest.raises(ConfigError, match="--model must be a name"):
        check_request(contest, PromotionRequest(load_gates("standard"), name))


@pytest.mark.parametrize("name", ["brain-ae", "my model", "a.b_c", "Größe 2"])
def test_a_name_that_a_registry_takes_is_taken(tmp_path, name):
    contest = contest_of_trial(trial_folder(tmp_path))
    check_request(contest, PromotionRequest(load_gates("standard"), name))


@pytest.mark.parametrize("reason", [" ", "x" * 2001])
def test_a_reason_that_cannot_be_recorded_is_refused_before_anything_is_looked_at(tmp_path, reason):
    contest = contest_of_trial(trial_folder(tmp_path))
    request = PromotionRequest(load_gates("standard"), "example", override=reason)
    with pytest.raises(AliasRefused, match="--override must be given a reason"):
        check_request(contest, request)


def test_the_longest_reason_fits_a_registrys_label_whatever_its_letters():
    plan = crown((), {}, "1", passed=False, decision="d" * 64, override="ß" * 2000, at="2031")
    assert plan.move is not None
    assert len(plan.move.label[1]) < 5000
    assert read_history(dict([plan.move.label])) == (plan.move,)


def test_gates_on_a_lockbox_that_is_not_there_are_refused_before_a_refit(tmp_path):
    contest = contest_of_trial(trial_folder(tmp_path))
    with pytest.raises(CohortError, match="nobody was set aside"):
        require_lockbox(contest.experiment)


def test_a_folder_of_neither_is_refused_with_what_to_name(tmp_path):
    with pytest.raises(ConfigError, match="must be the folder of a search or of a trial"):
        contest_of_trial(tmp_path)
    folder = trial_folder(tmp_path)
    (folder / "trial.json").unlink()
    with pytest.raises(ConfigError, match=r"no trial\.json.*isthmus train .*goes on"):
        contest_of_trial(folder)


@pytest.mark.parametrize(("override", "chosen"), [(None, None), ("the only one there is", ALONE)])
def test_of_a_study_with_one_finished_trial_the_reason_is_for_that_one(tmp_path, override, chosen):
    contest = contest_of_trial(trial_folder(tmp_path))
    record = replace(make_study().trials[0], number=ALONE)
    contest = replace(contest, study=replace(make_study(), trials=(record,)))
    gates = load_gates("standard")
    evidence = replace(make_evidence(), number=ALONE, leaky=True)
    verdicts = judge(evidence, gates)
    assert [verdict.gate for verdict in failed(verdicts)] == ["not_leaky"]
    judged = PromotionDecision(
        study="example",
        key="k",
        time="2031-01-01T00:00:00+00:00",
        gates=gates.model_dump(mode="json"),
        judged=(JudgedTrial(ALONE, "example", evidence, verdicts),),
        chosen=None,
        succession=None,
        lockbox=None,
        lockbox_verdicts=(),
        outcome="refused",
    )
    request = PromotionRequest(gates, "example", override=override)
    check_request(contest, request)
    assert _number(contest, request, judged)[0] == chosen
