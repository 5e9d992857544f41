"""The live view over a real MLflow store: while a search runs, at its end, and while it is away."""

from dataclasses import replace
from pathlib import Path

import pytest
from dash.development.base_component import Component
from example_study import MSE, make_study, study_of
from phantom_experiment import write_experiment

from isthmus.backends.mlflow_reader import MlflowRunReader
from isthmus.backends.mlflow_store import MlflowRunStore
from isthmus.backends.tracking_uri import sqlite_uri
from isthmus.cli.dashboard import source_of
from isthmus.cohort.participants import load_participants
from isthmus.config.load import load_experiment
from isthmus.core.ports import EpochEvent
from isthmus.report.study_publish import StudyPublisher
from isthmus.study.record_json import write_study
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.events import FoldStarted, TrialStarted
from isthmus.trial.run import run_trial
from isthmus.volumes.ingest import ingest
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Context
from isthmus_dashboard.last_seen import LastSeen
from isthmus_dashboard.render import render
from isthmus_dashboard.scans import Scans
from isthmus_dashboard.source import Missing

POINT = {"model.embedding_size": 64, "model.convolution": "separable"}
SPACE = """
space:
  model.embedding_size: {kind: categorical, choices: [64, 128]}
objectives: [{metric: validation_mse, direction: minimize}]
budget: {n_trials: 3}
"""


class Search:
    """A search of three trials that is written to a store step by step."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.uri = folder, sqlite_uri(folder / "mlflow.db")
        experiment = load_experiment(write_experiment(folder))
        ingest(experiment, load_participants(experiment))
        self.events = []
        self.result = run_trial(experiment, InProcessLauncher(), self.events.append)
        (folder / "space.yaml").write_text(SPACE)
        self.publisher = StudyPublisher(
            MlflowRunStore(self.uri),
            "sizes",
            "id",
            "small",
            {"sampler": "random"},
            {"isthmus.study": "sizes", "isthmus.study_id": "id"},
            [folder / "space.yaml"],
        )
        values = (self.result.summary[MSE.metric].mean,)
        first, second, third = make_study(3, (MSE,)).trials
        own = {"digest": self.result.digest, "point": POINT, "reason": ""}
        self.first = replace(first, state="finished", values=values, **own)
        self.second = replace(second, state="failed", reason="OutOfMemory: no room", digest=None)
        self.third = replace(third, state="running", point=POINT)

    def run(self) -> None:
        """Let one trial finish and one fail before it began; a third is in its first epoch."""
        study = replace(make_study(0, (MSE,)), trials=(self.first, self.second, self.third))
        publish = self.publisher.trial(0, POINT)
        for event in self.events:
            publish(event)
        self.publisher.after_trial(self.first, study)
        self.publisher.after_trial(self.second, study)
        started = next(one for one in self.events if isinstance(one, TrialStarted))
        publish = self.publisher.trial(2, POINT)
        publish(replace(started, digest="f" * 64))
        publish(FoldStarted(0))
        publish(EpochEvent(0, 1, 2, {"train_loss": 0.25}, 10.0))

    def end(self) -> None:
        """Write the record as a sitting's end does."""
        trials = (self.first, self.second, replace(self.third, state="failed", reason="X: y"))
        study = study_of(trials, (MSE,))
        self.publisher.close()
        self.publisher.publish_files([write_study(study, self.folder / "record")])
        self.publisher.finish(succeeded=True)


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    made = Search(tmp_path_factory.mktemp("tracked"))
    made.run()
    return made


def source_over(search, scratch, output=None):
    return source_of(search.uri, output, scratch)


def said(pieces) -> str:
    """All words of a page."""
    if isinstance(pieces, list | tuple):
        return " ".join(map(said, pieces))
    if isinstance(pieces, Component):
        return said(getattr(pieces, "children", None))
    return "" if pieces is None else str(pieces)


def test_a_search_is_followed_while_it_runs_and_at_its_end(search, tmp_path):
    source = source_over(search, tmp_path)
    (entry,) = source.entries()
    assert (entry.kind, entry.name, entry.state) == ("search", "sizes", "not over")
    live = source.standing(entry.key)
    assert "runs of its trials" in live.note
    assert live.study is not None
    assert (live.study.n_trials, live.study.best) == (3, 0)
    first = next(one for one in live.study.trials if one.number == 0)
    assert first.values == pytest.approx(search.first.values)
    assert first.standard_errors[0] == pytest.approx(
        search.result.summary[MSE.metric].standard_error
    )
    assert first.point == POINT
    assert first.facts["n_parameters"] == search.result.facts["n_parameters"]
    running = next(one for one in live.trials if one.number == 2)
    assert (running.state, running.whole) == ("not over", False)
    (fold,) = running.folds
    assert (fold.number, fold.epoch, fold.n_epochs, fold.loss) == (0, 1, 2, 0.25)

    context = Context(LastSeen(source), Scans())
    words = said(render(context, Address(entry.key)))
    assert "epoch 1 of 2" in words
    for page in ("robustness", "embeddings", "images"):
        words = said(render(context, Address(entry.key, page)))
        assert "fault of isthmus" not in words
        assert "trial 0" in words
    assert "Sagittal slice" in words, words  # weights from the store, volumes from the cohort's

    search.end()
    render(context, Address(entry.key))
    ended = source.standing(entry.key)
    assert (ended.note, ended.entry.state) == ("", "finished")
    assert ended.study.trials[1].reason == "OutOfMemory: no room"

    database = search.folder / "mlflow.db"
    database.rename(search.folder / "elsewhere.db")
    try:
        away = said(render(context, Address(entry.key)))
        assert "The store is away" in away
        assert "OutOfMemory: no room" in away  # the last view, still
        assert not database.exists()
    finally:
        (search.folder / "elsewhere.db").rename(database)
    assert "The store is away" not in said(render(context, Address(entry.key)))


def test_what_is_not_in_the_store_is_named(search, tmp_path):
    source = source_over(search, tmp_path)
    (entry,) = source.entries()
    with pytest.raises(Missing, match="has no study"):
        source.standing("0" * 32)
    with pytest.raises(Missing, match=r"no run|must be a run"):
        source.files(entry.key, "0" * 32, None, ("trial.json",))
    whole = next(one for one in source.standing(entry.key).trials if one.whole)
    with pytest.raises(Missing, match="has no fold 9"):
        source.files(entry.key, whole.key, 9, ("fold.json",))
    with pytest.raises(Missing, match=r"must have the artifact panels\.npz"):
        source.files(entry.key, whole.key, 0, ("panels.npz",))
    beside = source_over(search, tmp_path, search.folder / "runs")
    assert (beside.files(entry.key, whole.key, 0, ("panels.npz",)) / "panels.npz").is_file()


def test_runs_are_found_by_a_label_and_told_with_their_numbers(search):
    reader = MlflowRunReader(search.uri)
    assert [run.name for run in reader.tagged("isthmus.study_id")] == ["sizes"]
    assert reader.tagged("isthmus.no_such_label") == ()
    trial = next(run for run in reader.tagged("isthmus.trial_number") if run.finished)
    assert trial.params["training.epochs"] == "2"
    assert trial.metrics["validation_mse"] == pytest.approx(search.first.values[0])
    fold = reader.children(trial.run_id)[0]
    course = reader.history(fold.run_id, "train_loss")
    assert [step for step, _ in course] == [1, 2]
    assert reader.history(fold.run_id, "no_such_number") == ()
