"""What a search writes: one tree of runs, closed as they ended, and nothing twice."""

import shutil
from dataclasses import replace

import pytest
from run_tree import Tree

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json
from isthmus.report.study_publish import StudyPublisher
from isthmus.study.records import Objective, StudyResult, TrialRecord
from isthmus.trial.replay import IDENTITY_FILE, is_published

POINT = {"model.embedding_size": 64, "model.convolution": "separable"}
OBJECTIVES = (Objective("validation_mse", "minimize"), Objective("strata score", "maximize"))


def study_publisher(tree, files=()):
    return StudyPublisher(
        tree, "sizes", "id", "small", {"sampler": "tpe"}, {"isthmus.space": "x"}, files
    )


def result(*records):
    return StudyResult("sizes", "id", "small", 8, OBJECTIVES, records)


def over(number, state="finished", values=None, **more):
    return TrialRecord(number, POINT, state, values=values, **{"digest": "d", **more})


def test_a_trial_hangs_below_its_study_and_its_folds_below_it(ran):
    tree = Tree()
    study = study_publisher(tree, [ran.directory / "split.json"])
    publisher = study.trial(3, POINT)
    assert not tree.runs
    for event in ran.events:
        publisher(event)
    record = over(3, values=(0.2, 1.0))
    study.after_trial(record, result(record))
    study.finish(succeeded=True)
    study.close()
    top, trial, *folds = tree.runs
    assert top == "small:id"
    assert tree.runs[top]["files"] == [("", "split.json")]
    assert tree.runs[top]["params"] == {"sampler": "tpe"}
    assert tree.runs[trial]["name"].startswith("trial 003 T1w+FA E64")
    assert folds == [f"{trial}/fold 0", f"{trial}/fold 1"]
    assert {run["status"] for run in tree.runs.values()} == {"finished"}
    tags = tree.runs[trial]["tags"]
    assert (tags["isthmus.study"], tags["isthmus.trial_number"]) == ("sizes", "3")
    assert tags["isthmus.point.model.embedding_size"] == "64"
    assert tags["isthmus.state"] == "finished"
    assert "isthmus.reason" not in tags
    note = tags["mlflow.note.content"]
    assert note.startswith("Trial 3 of sizes: model.embedding_size = 64")
    assert "Held-out fidelity" in note
    assert "validation_mse" in tree.runs[trial]["metrics"]
    assert tree.runs[trial]["params"]["model.embedding_size"] == 64
    assert is_published(ran.directory, "small:id")
    assert is_published(ran.directory, trial)


@pytest.mark.parametrize(("state", "status"), [("stopped", "finished"), ("failed", "failed")])
def test_a_trial_cut_short_is_closed_with_its_reason(ran, tmp_path, state, status):
    folder = shutil.copytree(ran.directory, tmp_path / "trial")
    tree = Tree()
    study = study_publisher(tree)
    publisher = study.trial(0, POINT)
    publisher(replace(ran.events[0], directory=folder))
    for event in ran.events[1:3]:
        publisher(event)
    record = over(0, state, reason="below the median of the others")
    study.after_trial(record, result(record))
    _, *runs = tree.runs.values()
    assert [run["status"] for run in runs] == [status] * 2
    assert all(run["tags"]["isthmus.state"] == state for run in runs)
    assert all("below the median" in run["tags"]["isthmus.reason"] for run in runs)
    study.close()
    assert tree.runs["small:id"]["status"] == "failed"
    assert [run["status"] for run in runs] == [status] * 2


def test_an_attempt_that_ended_early_is_noted_and_the_next_one_continues_its_run(ran, tmp_path):
    folder = shutil.copytree(ran.directory, tmp_path / "trial")
    events = [replace(ran.events[0], directory=folder), *ran.events[1:3]]
    tree = Tree()
    study = study_publisher(tree)
    study.give_up(0, "nothing was begun yet")
    for event in events:
        study.trial(0, POINT)(event)
    study.give_up(0, "a worker was killed")
    for event in (*events, ran.events[3]):
        study.trial(0, POINT)(event)
    _, trial, fold = tree.runs.values()
    assert trial["tags"]["isthmus.retried"] == "a worker was killed"
    assert sorted(fold["metrics"]["train_loss"]) == [1, 2]
    assert (trial["opened"], trial["status"], fold["status"]) == (2, "running", "running")
    record = over(0, "failed", reason="again")
    study.after_trial(record, result(record))
    assert (trial["status"], fold["status"]) == ("failed", "failed")


def test_a_trial_that_failed_before_it_began_has_a_run_and_an_infeasible_one_has_none():
    tree = Tree()
    study = study_publisher(tree)
    failed = over(0, "failed", reason="ImageError: no such image", digest=None)
    infeasible = over(1, "infeasible", reason="does not divide", digest=None)
    for record in (failed, infeasible):
        study.after_trial(record, result(failed, infeasible))
    _, run = tree.runs.values()
    assert (run["name"], run["status"]) == ("trial 000 failed", "failed")
    assert run["tags"]["isthmus.point.model.embedding_size"] == "64"
    assert "no such image" in run["tags"]["isthmus.reason"]


def test_the_course_of_a_study_does_not_depend_on_the_order_in_which_trials_end():
    records = [
        over(0, values=(0.5, 1.0)),
        over(1, "infeasible", digest=None),
        over(2, values=(0.3, 0.5)),
        over(3, "stopped"),
        over(4, values=(0.4, 2.0)),
    ]
    hypervolume = ((0, 0.1), (2, 0.2), (4, 0.4))
    courses = []
    for order in ([0, 1, 2, 3, 4], [4, 2, 1, 3, 0]):
        tree = Tree()
        study, ended = study_publisher(tree), []
        for number in order:
            ended.append(number)
            so_far = [
                record if record.number in ended else TrialRecord(record.number, POINT)
                for record in records
            ]
            volume = tuple(step for step in hypervolume if step[0] in ended)
            study.after_trial(records[number], replace(result(*so_far), hypervolume=volume))
        courses.append(tree.runs["small:id"]["metrics"])
    assert courses[0] == courses[1]
    course = courses[0]
    assert course["validation_mse"] == {0: 0.5, 2: 0.3, 4: 0.4}
    assert course["best_validation_mse"] == {0: 0.5, 1: 0.5, 2: 0.3, 3: 0.3, 4: 0.3}
    assert course["best_strata score"] == {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 4: 2.0}
    assert course["hypervolume"] == {0: 0.1, 2: 0.2, 4: 0.4}
    assert course["n_trials_finished"][4] == 3
    assert course["n_trials_infeasible"][4] == 1


def test_what_an_earlier_sitting_left_is_written_once(ran, tmp_path):
    folder = shutil.copytree(ran.directory, tmp_path / "trial")
    for mark in (*folder.glob("fold-*/published"), folder / "published.json"):
        mark.unlink(missing_ok=True)
    tree, record = Tree(), over(0, values=(0.2, 1.0))
    assert study_publisher(tree).publish_left(record, folder, result(record))
    (trial,) = [run for run in tree.runs.values() if run["name"].startswith("trial 000")]
    assert trial["status"] == "finished"
    assert {name for _, name in trial["files"]} >= {"trial.json", "summary.md", "controls.png"}
    folds = [run for run in tree.runs.values() if run["name"].startswith("fold")]
    assert [sorted(run["metrics"]["train_loss"]) for run in folds] == [[1, 2]] * 2
    assert not study_publisher(tree).publish_left(record, folder, result(record))
    assert trial["opened"] == 1
    # of another study it is not written yet
    other = StudyPublisher(tree, "sizes", "other", "small", {}, {})
    assert other.publish_left(record, folder, result(record))


def test_a_stopped_trial_that_was_left_keeps_the_epochs_it_came_to(ran, tmp_path):
    folder = shutil.copytree(ran.directory, tmp_path / "trial")
    started = ran.events[0]
    content = {"digest": started.digest, "identity": started.identity, "facts": started.facts}
    write_json(folder / IDENTITY_FILE, content)
    for file in ("trial.json", "fold-0/fold.json", "fold-1/fold.json", "fold-1/history.jsonl"):
        (folder / file).unlink()
    tree, record = Tree(), over(0, "stopped", reason="asha")
    assert study_publisher(tree).publish_left(record, folder, result(record))
    _, trial, fold = tree.runs.values()
    assert sorted(fold["metrics"]["train_loss"]) == [1, 2]
    assert (trial["status"], fold["status"]) == ("finished", "finished")
    assert fold["tags"]["isthmus.reason"] == "asha"


def test_a_folder_that_is_gone_is_refused(tmp_path):
    record = over(0, values=(0.2, 1.0))
    with pytest.raises(ConfigError):
        study_publisher(Tree()).publish_left(record, tmp_path / "gone", result(record))


def test_files_go_into_the_studys_run(tmp_path):
    page = tmp_path / "study.html"
    page.write_text("<html>")
    tree = Tree()
    study_publisher(tree).publish_files([page], "study")
    assert tree.runs["small:id"]["files"] == [("study", "study.html")]
