"""What is published of a trial, and that nothing is published twice."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from example_report import make_across, make_report

from isthmus.core.errors import StoreUnavailable
from isthmus.report.fold_files import draw_pictures
from isthmus.report.publish import (
    TrackingPublisher,
    opened_in,
    publish_across,
    publish_stratification,
)
from isthmus.report.run_naming import flat_params, legal_names, run_name
from isthmus.report.strata_files import write_strata_files
from isthmus.report.strata_words import strata_in_words
from isthmus.training.launch import InProcessLauncher
from isthmus.trial.replay import is_published
from isthmus.trial.run import run_trial


class Notebook:
    """A run store that keeps what it is told in memory."""

    def __init__(self, name="", log=None):
        self.run_id, self.log = name, [] if log is None else log

    def open_run(self, experiment, name, key, tags):
        self.log.append(("open", experiment, name, dict(tags)))
        return Notebook("trial", self.log)

    def child(self, name, tags):
        self.log.append(("child", name))
        return Notebook(name, self.log)

    def log_params(self, params):
        self.log.append(("params", self.run_id, dict(params)))

    def log_metrics(self, metrics, step=None):
        self.log.append(("metrics", self.run_id, step, dict(metrics)))

    def log_artifact(self, path: Path, folder=""):
        assert path.exists()
        self.log.append(("artifact", self.run_id, path.name, folder))

    def set_tags(self, tags):
        self.log.append(("tags", self.run_id, dict(tags)))

    def finish(self, succeeded):
        self.log.append(("finish", self.run_id, succeeded))

    def of(self, kind, run_id=None):
        return [e for e in self.log if e[0] == kind and (run_id is None or e[1] == run_id)]


def publish(ran) -> Notebook:
    for mark in ran.directory.glob("fold-*/published"):
        mark.unlink()
    notebook = Notebook()
    publisher = TrackingPublisher(opened_in(notebook))
    for event in ran.events:
        publisher(event)
    return notebook


@pytest.fixture(scope="module")
def published(ran) -> Notebook:
    """The trial, published once: drawing takes seconds."""
    return publish(ran)


def test_runs_metrics_and_artifacts(ran, published):
    notebook = published
    assert [e[1] for e in notebook.of("child")] == ["fold 0", "fold 1"]
    final = [e[3] for e in notebook.of("metrics", "fold 1") if e[2] is None]
    assert final == [ran.result.folds[1].metrics]
    artifacts = {e[2] for e in notebook.of("artifact", "fold 0")}
    assert {"embeddings.parquet", "fidelity.tsv", "strata.json", "model.safetensors"} <= artifacts
    means = notebook.of("metrics", "trial")[0][3]
    assert means["validation_mse"] == ran.result.summary["validation_mse"].mean
    assert "validation_mse_se" in means
    assert notebook.of("finish") == [
        ("finish", "fold 0", True),
        ("finish", "fold 1", True),
        ("finish", "trial", True),
    ]


def test_a_fold_that_was_published_is_not_published_again(ran, published):
    notebook = Notebook()
    run_trial(ran.experiment, InProcessLauncher(), TrackingPublisher(opened_in(notebook)))
    assert not notebook.of("artifact", "fold 0")
    # opening a run again sets it running: it must be finished again too
    assert [e[1:] for e in notebook.of("finish")] == [
        (n, True) for n in ("fold 0", "fold 1", "trial")
    ]
    assert len(notebook.of("artifact", "trial")) == len(published.of("artifact", "trial"))


def test_strata_are_drawn_for_the_trained_encoder_of_each_fold(ran, published):
    notebook = published
    for number, fold in enumerate(ran.result.folds):
        drawn = {e[2] for e in notebook.of("artifact", f"fold {number}") if e[3] == "strata"}
        assert {"robustness.html", "robustness.md"} <= drawn
        assert ("stability.png" in drawn) == (fold.strata.robustness is not None)
        tags = [e[2] for e in notebook.of("tags", f"fold {number}")]
        assert any(
            t.get("isthmus.strata", "").startswith(strata_in_words(fold.strata)) for t in tags
        )
    folders = {e[3] for e in notebook.of("artifact", "trial")}
    assert ("across_encoders" in folders) == (ran.result.across is not None)
    across = {e[2] for e in notebook.of("artifact", "trial") if e[3] == "across_encoders"}
    assert {"across_encoders.json", "across_encoders.html", "across_encoders.md"} <= across


def test_one_report_is_published_with_its_numbers(tmp_path):
    report, notebook = make_report(40, 3, 1, 2, 1, 5, 19), Notebook("run")
    files = write_strata_files(report, tmp_path)
    publish_stratification(notebook, report, files)
    ((_, _, step, metrics),) = notebook.of("metrics", "run")
    assert step is None
    assert metrics["strata_robustness_score"] == report.score.value
    assert metrics == legal_names(metrics)
    assert [e[2] for e in notebook.of("artifact")] == [path.name for path in files]
    assert {e[3] for e in notebook.of("artifact")} == {"strata"}
    assert not notebook.of("finish")


def test_what_encoders_share_is_published_under_legal_names(tmp_path):
    across, notebook = make_across(3, 2), Notebook("run")
    across = replace(
        across, survivals=tuple(replace(s, target=f"{s.target} (z)") for s in across.survivals)
    )
    publish_across(notebook, across, (tmp_path / "not_there.json",))
    ((_, _, _, metrics),) = notebook.of("metrics")
    assert metrics["survival_share/factor_1 _z_"] == across.survivals[0].share
    assert not notebook.of("artifact")


def test_digests_are_tags_and_every_setting_a_param(ran, published):
    notebook = published
    ((_, experiment, name, tags),) = notebook.of("open")
    assert experiment == "small"
    assert name == run_name(ran.experiment.config, ran.result.digest)
    assert tags["isthmus.trial"] == ran.result.digest
    assert tags["isthmus.split_digest"] == ran.result.identity["split"]
    params = flat_params(ran.experiment.config)
    assert params["model.kernel_size"] == 3
    assert json.loads(params["cohort.modalities"]) == ["T1w", "FA"]
    assert not any(key.startswith("execution") for key in params)


def test_the_settings_of_a_run_are_those_it_is_found_by(ran):
    config = ran.experiment.config
    moved = ran.experiment.located(ran.directory / "split.json")
    assert moved.digest == config.digest
    assert flat_params(moved) == flat_params(config)


def test_what_was_cut_short_is_closed_as_failed(ran):
    notebook = Notebook()
    publisher = TrackingPublisher(opened_in(notebook))
    for event in ran.events[:3]:
        publisher(event)
    publisher.close()
    publisher.close()
    assert [e[1:] for e in notebook.of("finish")] == [("fold 0", False), ("trial", False)]


class Flaky(Notebook):
    """A store that is away once, at the n-th thing asked of it."""

    countdown = 0

    def _ask(self):
        Flaky.countdown -= 1
        if Flaky.countdown == 0:
            raise StoreUnavailable("away")

    def open_run(self, *arguments):
        self._ask()
        super().open_run(*arguments)
        return Flaky("trial", self.log)

    def child(self, name, tags):
        self._ask()
        super().child(name, tags)
        return Flaky(name, self.log)


for _name in ("log_params", "log_metrics", "log_artifact", "set_tags", "finish"):

    def _asked(self, *arguments, _name=_name, **named):
        self._ask()
        getattr(Notebook, _name)(self, *arguments, **named)

    setattr(Flaky, _name, _asked)


def test_events_told_again_after_an_absence_at_any_point_leave_the_same(ran, published):
    def entry(e):
        return (
            *e[:3],
            *(sorted(part.items()) if isinstance(part, dict) else part for part in e[3:]),
        )

    expected = {str(entry(e)) for e in published.log}
    n_asked = len(published.log)
    for at in range(1, n_asked + 1, 7):
        for mark in ran.directory.glob("fold-*/published"):
            mark.unlink()
        notebook, Flaky.countdown, n_away = Flaky(), at, 0
        publisher = TrackingPublisher(opened_in(notebook))
        for event in ran.events:
            try:
                publisher(event)
            except StoreUnavailable:
                n_away += 1
                publisher(event)
        assert n_away == 1
        assert {str(entry(e)) for e in notebook.log} == expected
        files = [e for e in notebook.log if e[0] == "artifact"]
        assert len(files) == len(set(files))
        publisher.close()
        assert len(notebook.of("finish")) == 3


def test_what_is_drawn_already_is_not_drawn_again(ran, published):
    pictures = sorted(ran.directory.rglob("*.png"))
    assert len(pictures) > 10
    before = [picture.stat().st_mtime_ns for picture in pictures]
    publish(ran)
    for event in ran.events:
        draw_pictures(event)
    assert [picture.stat().st_mtime_ns for picture in pictures] == before


def test_a_trial_is_known_to_be_published(ran):
    publish(ran)
    assert is_published(ran.directory, "trial")


def test_labels_become_legal_metric_names():
    assert legal_names({"validation_mse/T1w+Gd": 1.0}) == {"validation_mse/T1w_Gd": 1.0}


def test_a_store_that_fails_at_closing_does_not_hide_the_reason(ran, caplog, monkeypatch):
    publisher = TrackingPublisher(opened_in(Notebook()))
    for event in ran.events[:2]:
        publisher(event)

    def fail(self, succeeded):
        raise OSError("the store went away")

    monkeypatch.setattr(Notebook, "finish", fail)
    publisher.close()
    assert caplog.text.count("the store went away") == 2
