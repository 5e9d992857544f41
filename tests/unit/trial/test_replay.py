"""What a trial's folder tells again, and that it is known what was published of it."""

import shutil
from dataclasses import replace

import pytest

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json
from isthmus.core.ports import EpochEvent
from isthmus.trial.events import (
    FoldFailed,
    FoldFinished,
    FoldStarted,
    TrialFinished,
    TrialStarted,
)
from isthmus.trial.records import FoldFailure
from isthmus.trial.replay import (
    IDENTITY_FILE,
    fold_folders,
    is_published,
    mark_published,
    replay,
)
from isthmus.trial.run import load_trial


@pytest.fixture
def folder(ran, tmp_path):
    """A copy of a trial's folder, to be changed."""
    return shutil.copytree(ran.directory, tmp_path / "trial")


def test_a_finished_trial_is_told_again_as_a_run_would_tell_it(ran, folder):
    told = list(replay(folder))
    first = ran.events[0]
    assert isinstance(told[0], TrialStarted)
    assert (told[0].digest, told[0].identity) == (first.digest, first.identity)
    assert told[0].facts == first.facts
    assert told[0].config.digest == first.config.digest
    assert told[0].directory == folder
    assert [type(event) for event in told[1:]] == [FoldFinished, FoldFinished, TrialFinished]
    assert [event.result for event in told[1:3]] == list(ran.result.folds)
    assert all(event.reused for event in told[1:3])
    assert [event.directory.name for event in told[1:3]] == ["fold-0", "fold-1"]
    assert told[-1].result == ran.result


def test_a_trial_that_was_stopped_tells_of_the_epochs_of_its_unfinished_fold(ran, folder):
    (folder / "trial.json").unlink()
    (folder / "fold-1" / "fold.json").unlink()
    told = list(replay(folder))
    kinds = [TrialStarted, FoldFinished, FoldStarted, EpochEvent, EpochEvent]
    assert [type(event) for event in told] == kinds
    live = [event for event in ran.events if isinstance(event, EpochEvent) and event.fold == 1]
    assert told[3:] == live
    (folder / IDENTITY_FILE).unlink()
    with pytest.raises(ConfigError, match=r"identity\.json"):
        list(replay(folder))


def test_a_failed_fold_is_told_of(ran, folder):
    result = load_trial(folder)
    failure = FoldFailure(1, "TrainingDiverged", "not finite")
    failed = replace(result, folds=result.folds[:1], failures=(failure,), across=None)
    write_json(folder / "trial.json", failed.to_json())
    (folder / "fold-1" / "fold.json").unlink()
    told = list(replay(folder))
    assert FoldFailed(failure, folder / "fold-1") in told
    assert told[-1] == TrialFinished(failed, folder)


def test_folds_are_told_of_by_number(tmp_path):
    for number in (10, 2, 0):
        (tmp_path / f"fold-{number}").mkdir()
    (tmp_path / "fold-notes").mkdir()
    assert [path.name for path in fold_folders(tmp_path)] == ["fold-0", "fold-2", "fold-10"]


def test_a_folder_that_is_no_trials_is_refused(tmp_path):
    with pytest.raises(ConfigError):
        list(replay(tmp_path))


def test_it_is_known_which_runs_hold_all_results(ran, folder):
    (folder / "published.json").unlink(missing_ok=True)
    assert not is_published(folder, "study")
    mark_published(folder, "trial", "study")
    mark_published(folder, "another")
    assert all(is_published(folder, run) for run in ("trial", "study", "another"))
    assert not is_published(folder, "elsewhere")
    text = (folder / "fold-1" / "fold.json").read_text()
    (folder / "fold-1" / "fold.json").unlink()
    mark_published(folder, "early")
    assert not is_published(folder, "study")
    # a result that came after it was published is not in the run
    (folder / "fold-1" / "fold.json").write_text(text)
    assert is_published(folder, "study")
    assert not is_published(folder, "early")
