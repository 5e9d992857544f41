"""What an ablation writes: one tree of runs, of folds that are told of by several processes."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ablation_bench import plan_of
from run_tree import Tree

from isthmus.core.errors import StoreUnavailable
from isthmus.report.ablation.publish import AblationPublisher
from isthmus.report.ablation.tracking import AblationTracking
from isthmus.report.fold_files import draw_pictures
from isthmus.study.ablation.events import ArmFailed, FoldOver, RunOver, UnitRetried, UnitTold
from isthmus.study.ablation.records import ArmRun, FoldRun, Progress
from isthmus.trial.events import FoldFinished, FoldStarted, TrialFinished, TrialStarted
from isthmus.trial.replay import is_published


class AtOnce:
    """An outbox that delivers at once."""

    def post(self, call: Callable[[], None], owner: object = None) -> None:
        call()


@pytest.fixture
def plan(ran):
    """Two arms at a seed, the first of which is the trial that was run."""
    made = plan_of(n_arms=2, seeds=(0,))
    digest, folder = ran.result.digest, ran.directory.name
    runs = (replace(made.runs[0], digest=digest, folder=folder), *made.runs[1:])
    return replace(made, runs=runs)


@pytest.fixture
def copied(ran, tmp_path: Path) -> Path:
    """The trial's folder, with no marks of having been published."""
    for event in ran.events:
        draw_pictures(event)  # once for all tests: it takes seconds
    folder = tmp_path / ran.directory.name
    shutil.copytree(ran.directory, folder)
    (folder / "published.json").unlink(missing_ok=True)
    return folder


def tracking_of(tree, plan) -> tuple[AblationTracking, AblationPublisher]:
    publisher = AblationPublisher(tree, "small-ablation-sizes", plan, {"ablation.design": "x"})
    return AblationTracking(publisher, AtOnce()), publisher


def told(tracking: AblationTracking, run: ArmRun, fold: int | None, *events: object) -> None:
    for event in events:
        tracking(UnitTold(run, fold, event))


def as_folds(ran, directory: Path):
    """A trial's events by fold, and those of gathering it, as if they were of another folder."""
    start = replace(next(e for e in ran.events if isinstance(e, TrialStarted)), directory=directory)
    folds = {
        number: [
            FoldStarted(number),
            *(
                replace(e, directory=directory / f"fold-{number}")
                for e in ran.events
                if isinstance(e, FoldFinished) and e.result.number == number
            ),
        ]
        for number in (0, 1)
    }
    end = replace(next(e for e in ran.events if isinstance(e, TrialFinished)), directory=directory)
    return start, folds, end


def test_folds_of_one_trial_told_in_turns_make_one_run(ran, plan, copied):
    tree = Tree()
    tracking, publisher = tracking_of(tree, plan)
    run = plan.runs[0]
    start, folds, end = as_folds(ran, copied)
    # the first fold's process, then the second's, then both in turns
    told(tracking, run, 0, start, folds[0][0])
    told(tracking, run, 1, start, folds[1][0], folds[1][1])
    tracking(FoldOver(run, FoldRun(run.number, 1, "done")))
    told(tracking, run, 0, folds[0][1])
    tracking(FoldOver(run, FoldRun(run.number, 0, "done")))
    reused = [replace(folds[number][1], reused=True) for number in (0, 1)]
    told(tracking, run, None, start, *reused, end)
    tracking(RunOver(run, "gathered", ""))
    publisher.close()
    top, trial, *below = tree.runs.values()
    assert trial["opened"] == 1
    assert trial["name"].startswith("a0 seed 0 ")
    assert [each["name"] for each in below] == ["fold 0", "fold 1"]
    assert {each["status"] for each in (trial, *below)} == {"finished"}
    assert trial["tags"]["isthmus.arm"] == "a0 = alias"
    assert trial["tags"]["isthmus.seed"] == "0"
    assert trial["tags"]["isthmus.level.f"] == "a0"
    assert trial["tags"]["isthmus.state"] == "gathered"
    assert trial["tags"]["mlflow.note.content"].startswith("Arm a0 = alias of small-ablation")
    assert top["metrics"]["n_folds_done"]
    for each in (trial, *below):
        assert len(each["files"]) == len(set(each["files"]))
    assert is_published(copied, next(iter(tree.runs)))


def test_what_an_earlier_sitting_left_is_written_once(ran, plan, copied):
    tree = Tree()
    folds = tuple(FoldRun(run.number, fold, "done") for run in plan.runs for fold in (0, 1))
    progress = Progress(folds, gathered=(0,))
    for _ in range(2):
        tracking, _ = tracking_of(tree, plan)
        tracking.open()
        tracking.take_up(plan, progress, copied.parent)
    _, trial, *below = tree.runs.values()
    assert [each["opened"] for each in (trial, *below)] == [1, 1, 1]
    assert {each["status"] for each in (trial, *below)} == {"finished"}
    assert trial["tags"]["isthmus.state"] == "gathered"


def test_an_arm_that_failed_is_closed_as_failed_with_the_reason(ran, plan, copied):
    tree = Tree()
    tracking, _ = tracking_of(tree, plan)
    run = plan.runs[0]
    start, folds, _ = as_folds(ran, copied)
    told(tracking, run, 0, start, folds[0][0])
    tracking(UnitRetried(run, 0, "its process died"))
    tracking(FoldOver(run, FoldRun(run.number, 0, "failed", "TrainingDiverged: so")))
    tracking(ArmFailed("a0", "TrainingDiverged: so", 1))
    tracking(RunOver(run, "failed", "TrainingDiverged: so"))
    top, trial, fold = tree.runs.values()
    assert (trial["status"], fold["status"]) == ("failed", "failed")
    assert trial["tags"]["isthmus.reason"] == "TrainingDiverged: so"
    assert trial["tags"]["isthmus.retried"] == "fold 0: its process died"
    assert {"n_folds_failed", "n_folds_skipped"} <= set(top["metrics"])
    # one of an earlier sitting, too
    records = (FoldRun(0, 0, "failed", "TrainingDiverged: so"), FoldRun(0, 1, "skipped", "..."))
    waiting = tuple(FoldRun(1, fold) for fold in (0, 1))
    again, later = Tree(), Progress((*records, *waiting))
    other = replace(plan, ablation_id="another")
    tracking, _ = tracking_of(again, other)
    tracking.take_up(other, later, copied.parent)
    trial = next(run for run in again.runs.values() if run["name"].startswith("a0 seed 0"))
    assert (trial["status"], trial["tags"]["isthmus.state"]) == ("failed", "failed")


def test_a_store_that_is_away_while_a_run_is_closed_is_told_again(ran, plan, copied, monkeypatch):
    tree = Tree()
    tracking, publisher = tracking_of(tree, plan)
    run = plan.runs[0]
    start, folds, end = as_folds(ran, copied)
    told(tracking, run, 0, start, *folds[0])
    told(tracking, run, None, end)
    with monkeypatch.context() as away:

        def refuse(self: Tree, tags: object) -> None:
            raise StoreUnavailable("away")

        away.setattr(Tree, "set_tags", refuse)
        with pytest.raises(StoreUnavailable):
            publisher.after_run(run, "gathered", "")
    publisher.after_run(run, "gathered", "")
    trial = next(each for each in tree.runs.values() if each["name"].startswith("a0 seed 0"))
    assert trial["tags"]["isthmus.state"] == "gathered"
    assert is_published(copied, next(iter(tree.runs)))
