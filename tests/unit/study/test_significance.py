"""What a study's strata are worth, of trials that were run."""

import shutil
from pathlib import Path

import pytest

from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.core.errors import StratificationError
from isthmus.stratification.runner import InProcessRunner
from isthmus.study.significance import adjust_study
from isthmus.trial.strata import read_report, strata_job


@pytest.fixture(scope="module")
def trials(ran, tmp_path_factory) -> dict[int, Path]:
    """Three finished trials: one that was run, and each of its folds as if it were another."""
    folder = tmp_path_factory.mktemp("trials")
    for name, fold in (("a", "fold-0"), ("b", "fold-1")):
        (folder / name / fold).mkdir(parents=True)
        shutil.copy(ran.directory / fold / "strata.json", folder / name / fold)
    return {12: ran.directory, 3: folder / "a", 5: folder / "b"}


@pytest.fixture(scope="module")
def people(ran):
    return load_participants(ran.experiment)


def by_trial(report):
    return {one.trial: one for one in report.trials}


def test_each_trial_is_judged_among_all_of_them(ran, trials, people):
    report = adjust_study(ran.experiment, people, trials)
    assert set(by_trial(report)) == {"trial 3", "trial 5", "trial 12"}
    assert report.n_permutations == ran.experiment.config.stratification.n_permutations
    tested = [one for one in report.trials if one.p_naive is not None]
    assert len(tested) == 3
    for one in tested:
        assert 0 < one.p_naive <= one.p_adjusted <= 1


def test_the_reports_of_all_folds_are_used(ran, trials, people):
    config = ran.experiment.config
    job = strata_job(people, config.cohort, config.stratification, config.seed, InProcessRunner())
    reports = {
        f"trial {number}": [
            found
            for file in sorted(directory.glob("fold-*/strata.json"))
            if (found := read_report(file)) is not None
        ]
        for number, directory in trials.items()
    }
    assert [len(own) for own in reports.values()] == [2, 1, 1]
    assert by_trial(adjust_study(ran.experiment, people, trials)) == by_trial(
        job.selection(reports)
    )


def test_the_order_of_the_trials_makes_no_difference(ran, trials, people):
    turned = dict(reversed(trials.items()))
    assert adjust_study(ran.experiment, people, turned) == adjust_study(
        ran.experiment, people, trials
    )


def test_without_phenotypes_or_trials_there_is_nothing_to_adjust(ingested, ran, trials, people):
    bare: Experiment = load_experiment(ingested, ["cohort.phenotypes=[]"])
    assert adjust_study(bare, people, trials) is None
    assert adjust_study(ran.experiment, people, {}) is None


def test_a_fold_without_a_report_is_refused(ran, trials, people, tmp_path):
    with pytest.raises(StratificationError, match=r"each fold.*no fold"):
        adjust_study(ran.experiment, people, {**trials, 1: tmp_path})
    shutil.copytree(trials[3], tmp_path / "broken")
    (tmp_path / "broken" / "fold-1").mkdir()
    with pytest.raises(StratificationError, match=r"broken: each fold.*fold-1"):
        adjust_study(ran.experiment, people, {1: tmp_path / "broken"})
