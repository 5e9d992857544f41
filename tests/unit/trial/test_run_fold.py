"""One fold of a trial by itself: as the whole trial would have it, and kept apart from it."""

import threading
from pathlib import Path

import pytest
from phantom_experiment import write_experiment

from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.core.errors import ConfigError, FolderBusy
from isthmus.training import lock
from isthmus.training.launch import InProcessLauncher
from isthmus.training.lock import lock_folder
from isthmus.trial.events import EncodersComparing, FoldFinished, FoldStarted, TrialStarted
from isthmus.trial.run import prepare_trial, run_fold, run_trial
from isthmus.volumes.ingest import ingest


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The small experiment, with a folder of its own to run in."""
    made = load_experiment(write_experiment(tmp_path_factory.mktemp("folds")))
    ingest(made, load_participants(made))
    return made


def files_of(folder: Path) -> dict[str, bytes]:
    """What training and evaluation left of a fold, but for times."""
    names = ("model.safetensors", "embeddings.parquet", "fidelity.tsv", "strata.json")
    return {name: (folder / name).read_bytes() for name in names}


def test_folds_in_any_order_and_gathered_are_the_trial(experiment, ran):
    told = []
    for number in (1, 0):
        result = run_fold(experiment, number, InProcessLauncher(), told.append)
        assert result.metrics == ran.result.folds[number].metrics
    assert [event.number for event in told if isinstance(event, FoldStarted)] == [1, 0]
    assert len([event for event in told if isinstance(event, TrialStarted)]) == 2
    directory = prepare_trial(experiment).directory
    assert not (directory / "trial.json").exists()
    assert (directory / "split.json").read_bytes() == (ran.directory / "split.json").read_bytes()

    gathered = []
    result = run_trial(experiment, InProcessLauncher(), gathered.append)
    assert [e.reused for e in gathered if isinstance(e, FoldFinished)] == [True, True]
    assert any(isinstance(event, EncodersComparing) for event in gathered)
    assert result.digest == ran.result.digest
    assert result.across == ran.result.across
    assert result.summary == ran.result.summary
    for number in (0, 1):
        mine, theirs = (d / f"fold-{number}" for d in (directory, ran.directory))
        assert files_of(mine) == files_of(theirs)

    again = []
    assert run_fold(experiment, 0, InProcessLauncher(), again.append) == result.folds[0]
    assert isinstance(again[-1], FoldFinished)
    assert again[-1].reused


def test_a_fold_that_the_trial_does_not_have_is_refused(experiment):
    with pytest.raises(ConfigError, match=r"must be one of \[0, 1\] of its trial, got 2"):
        run_fold(experiment, 2, InProcessLauncher(), lambda _: None)


def test_while_a_fold_runs_another_may_but_not_the_same_and_not_the_trial(experiment, monkeypatch):
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.5)
    begun, may_end = threading.Event(), threading.Event()

    def hold(event: object) -> None:
        if isinstance(event, TrialStarted):
            begun.set()
            assert may_end.wait(60)

    launcher = InProcessLauncher()
    first = threading.Thread(target=run_fold, args=(experiment, 0, launcher, hold))
    first.start()
    try:
        assert begun.wait(60)
        run_fold(experiment, 1, launcher, lambda _: None)
        with pytest.raises(FolderBusy):
            run_fold(experiment, 0, launcher, lambda _: None)
        with pytest.raises(FolderBusy):
            run_trial(experiment, launcher, lambda _: None)
    finally:
        may_end.set()
        first.join()
    with lock_folder(prepare_trial(experiment).directory), pytest.raises(FolderBusy):
        run_fold(experiment, 1, launcher, lambda _: None)
