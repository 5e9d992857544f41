"""What an ablation does next: in which order, through kills, failures, shortages."""

import json
from pathlib import Path

import pytest
from ablation_bench import AblationBench, config_of, plan_of

from isthmus.core.errors import ConfigError
from isthmus.core.ports import EpochEvent
from isthmus.study.ablation.events import (
    AblationHalting,
    ArmFailed,
    FoldOver,
    RunOver,
    UnitBegun,
    UnitRetried,
)
from isthmus.study.ablation.progress import read_progress
from isthmus.study.attempt import Assignment, Ending
from isthmus.trial.events import TrialStarted

IN_ORDER = [
    *("a0 0 0", "a1 0 0", "a2 0 0"),
    *("a0 0 1", "a0 0 all", "a1 0 1", "a1 0 all", "a2 0 1", "a2 0 all"),
    *("a0 1 0", "a1 1 0", "a2 1 0"),
    *("a0 1 1", "a0 1 all", "a1 1 1", "a1 1 all", "a2 1 1", "a2 1 all"),
]
MEMORY = Ending("memory", "OutOfMemory", "its process was killed for want of memory")


@pytest.fixture
def bench(tmp_path: Path) -> AblationBench:
    return AblationBench(tmp_path)


def test_each_fold_of_all_arms_comes_before_the_next_and_a_whole_run_is_gathered(bench):
    director = bench.director()
    assert bench.play_all(director) == IN_ORDER
    assert director.progress.gathered == tuple(range(6))
    assert not director.is_interrupted
    for record in director.progress.folds:
        assert (record.state, record.attempts, record.reused) == ("done", 1, False)
        assert record.seconds > 0
    assert [event.state for event in bench.events(RunOver)] == ["gathered"] * 6


def test_begun_again_it_has_nothing_left_to_do(bench):
    bench.play_all(bench.director())
    bench.told.clear()
    again = bench.director()
    assert again.next() == "done"
    assert not again.is_interrupted
    assert bench.told == []
    assert [record.attempts for record in again.progress.folds] == [1] * 12


def test_no_more_is_handed_out_than_there_are_slots(bench):
    director = bench.director(n_slots=2)
    one, two = director.next(), director.next()
    assert [bench.name(one), bench.name(two)] == ["a0 0 0", "a1 0 0"]
    assert director.next() == "wait"
    bench.play(director, one)
    assert bench.name(director.next()) == "a2 0 0"


def test_after_a_kill_what_was_begun_goes_on_and_what_was_done_is_not_repeated(bench):
    first = bench.director(n_slots=2)
    bench.play(first, first.next())
    first.next(), first.next()  # a1 and a2 run when the driver is killed
    second = bench.director()
    names = bench.play_all(second)
    assert names == IN_ORDER[1:]
    assert bench.fold(second, "a0", 0, 0).attempts == 1
    assert bench.fold(second, "a1", 0, 0).attempts == 2
    assert bench.fold(second, "a0", 0, 1).attempts == 1


def test_what_others_did_before_or_meanwhile_is_taken_up_and_marked_so(bench):
    of_a0 = bench.plan.runs[0]
    bench.write(of_a0, 0)
    director = bench.director()
    assert bench.fold(director, "a0", 0, 0).reused
    bench.write(of_a0, 1)  # by another process, after this one had begun
    names = bench.play_all(director)
    assert [name for name in names if name.startswith("a0 0")] == ["a0 0 all"]
    assert bench.fold(director, "a0", 0, 1).reused
    assert not bench.fold(director, "a0", 1, 0).reused
    (told,) = [e.record for e in bench.events(FoldOver) if e.record.reused]
    assert (told.run, told.fold) == (0, 1)


def test_a_trial_with_a_failed_fold_is_not_taken_for_whole(bench):
    run = bench.plan.runs[0]
    for fold in (0, 1, None):
        bench.write(run, fold)
    file = bench.output / run.folder / "trial.json"
    assert 0 in bench.director().progress.gathered
    for content in ({"succeeded": False, "folds": [{}] * 2}, {"succeeded": True, "folds": [{}]}):
        file.write_text(json.dumps(content))
        assert bench.name(bench.director().next()) == "a0 0 all"


def test_a_gathering_whose_process_died_is_handed_out_again_and_once(bench):
    run = bench.plan.runs[0]
    for fold in (0, 1):
        bench.write(run, fold)
    director = bench.director(n_slots=3)
    first = director.next()
    assert bench.name(first) == "a0 0 all"
    director.end(first.number, Ending("died", "WorkerDied", "it was killed"))
    names = [bench.name(director.next()) for _ in range(3)]
    assert names == ["a0 0 all", "a1 0 0", "a2 0 0"]


def test_what_ran_of_a_failed_arm_when_the_driver_was_killed_is_skipped_by_the_next(bench):
    first = bench.director(n_slots=6)
    by_name = {bench.name(a): a for a in [first.next() for _ in range(5)]}
    bench.diverge(first, by_name["a1 0 0"])
    second = bench.director()
    assert bench.fold(second, "a1", 0, 1).state == "skipped"
    assert not [name for name in bench.play_all(second) if name.startswith("a1")]


def test_a_fold_that_fails_fails_its_arm_at_all_seeds_and_no_other(bench):
    director = bench.director(n_slots=2)
    one, two = director.next(), director.next()
    assert not bench.diverge(director, two)
    bench.play(director, one)
    names = bench.play_all(director)
    assert not [name for name in names if name.startswith("a1")]
    failed = bench.fold(director, "a1", 0, 0)
    assert (failed.state, failed.reason) == (
        "failed",
        "TrainingDiverged: fold 0: the loss is not finite",
    )
    for seed, fold in ((0, 1), (1, 0), (1, 1)):
        skipped = bench.fold(director, "a1", seed, fold)
        assert skipped.state == "skipped"
        assert skipped.reason.startswith("its arm had failed already, by TrainingDiverged")
    assert director.progress.gathered == (0, 1, 4, 5)
    assert not director.is_interrupted
    (told,) = bench.events(ArmFailed)
    assert (told.arm, told.n_skipped) == ("a1", 3)
    over = [event for event in bench.events(RunOver) if event.state == "failed"]
    assert sorted(event.run.number for event in over) == [2, 3]


def test_what_runs_of_a_failed_arm_may_finish(bench):
    director = bench.director(n_slots=6)
    running = [director.next() for _ in range(5)]
    by_name = {bench.name(assignment): assignment for assignment in running}
    bench.diverge(director, by_name["a1 0 0"])
    assert not [e for e in bench.events(RunOver) if e.run.number == 2]
    bench.play(director, by_name["a1 0 1"])
    assert bench.fold(director, "a1", 0, 1).state == "done"
    assert [e.state for e in bench.events(RunOver) if e.run.number == 2] == ["failed"]


def test_one_whose_process_died_is_not_begun_again_once_its_arm_has_failed(bench):
    director = bench.director(n_slots=6)
    by_name = {bench.name(a): a for a in [director.next() for _ in range(5)]}
    bench.diverge(director, by_name["a1 0 0"])
    director.end(by_name["a1 0 1"].number, Ending("died", "WorkerDied", "killed"))
    assert bench.fold(director, "a1", 0, 1).state == "skipped"
    assert not bench.events(UnitRetried)


def test_a_failure_stays_until_it_is_to_be_tried_again(bench):
    first = bench.director()
    bench.diverge(first, first.next())
    bench.play_all(first)
    again = bench.director()
    assert again.next() == "done"
    assert bench.fold(again, "a0", 0, 0).state == "failed"
    retried = bench.director(retry_failed=True)
    names = bench.play_all(retried)
    assert names == [name for name in IN_ORDER if name.startswith("a0")]
    assert bench.fold(retried, "a0", 0, 0).attempts == 2
    assert {record.state for record in retried.progress.folds} == {"done"}


def test_what_was_skipped_waits_again_once_others_did_what_failed(bench):
    first = bench.director()
    bench.diverge(first, first.next())
    bench.write(bench.plan.runs[0], 0)
    again = bench.director()
    assert bench.fold(again, "a0", 0, 0).state == "done"
    assert bench.fold(again, "a0", 0, 1).state == "waiting"


def test_a_death_costs_no_arm_until_there_are_too_many(bench):
    director = bench.director(max_failures=2)
    for attempt in (1, 2):
        assignment = director.next()
        assert bench.name(assignment) == "a0 0 0"
        assert bench.events(UnitBegun)[-1].attempt == attempt
        director.end(assignment.number, Ending("died", "WorkerDied", "it was killed"))
    director.end(director.next().number, Ending("lost", "WorkerDied", "another one was"))
    assert "it goes on from its checkpoint" in bench.events(UnitRetried)[0].why
    director.end(director.next().number, Ending("died", "WorkerDied", "it was killed"))
    record = bench.fold(director, "a0", 0, 0)
    assert record.reason == "WorkerDied: its process died 3 times; it was killed"
    assert record.attempts == 4


def test_a_result_counts_also_where_the_process_died_right_after(bench):
    director = bench.director()
    assignment = director.next()
    bench.write(bench.run_of(assignment), assignment.fold)
    director.end(assignment.number, Ending("died", "WorkerDied", "it was killed"))
    assert bench.fold(director, "a0", 0, 0).state == "done"


def test_a_shortage_is_tried_once_more_as_it_is_and_never_changes_the_arm(bench):
    director = bench.director()
    one = director.next()
    director.end(one.number, MEMORY)
    two = director.next()
    assert (two.number, two.experiment) == (one.number, one.experiment)
    director.end(two.number, MEMORY)
    record = bench.fold(director, "a0", 0, 0)
    assert record.state == "failed"
    assert record.reason.startswith("OutOfMemory: its process was killed for want of memory. All")
    assert "set training.accumulation_steps: 2 in the experiment" in record.reason


def test_where_slices_are_smallest_none_smaller_are_advised(bench):
    bench.config = config_of(accumulation_steps=8)
    director = bench.director()
    for _ in range(2):
        director.end(director.next().number, MEMORY)
    assert "accumulation_steps" not in bench.fold(director, "a0", 0, 0).reason


def test_a_folder_that_another_process_writes_is_come_back_to(bench):
    bench.plan = plan_of(n_arms=2, seeds=(0,))
    director = bench.director()
    first = director.next()
    director.end(first.number, Ending("busy", "FolderBusy", "another one writes it"))
    bench.write(bench.plan.runs[0], 0)
    assert bench.play_all(director) == ["a1 0 0", "a0 0 1", "a1 0 1", "a1 0 all", "a0 0 all"]
    assert bench.fold(director, "a0", 0, 0).reused


def test_without_room_nothing_fails_and_the_rest_is_left_to_the_next_command(bench):
    director = bench.director(n_slots=2)
    one, two = director.next(), director.next()
    no_room = Ending("room", "NoRoom", "the workers must find room")
    assert director.hear(one.number, EpochEvent(0, 1, 2, {"train_loss": 0.25}, 10.0))
    director.end(two.number, no_room)  # the other one gets further: it waits its turn
    assert "waits its turn" in bench.events(UnitRetried)[0].why
    director.end(director.next().number, no_room)
    assert director.why_halted == "the workers must find room"
    director.end(one.number, Ending("halted"))
    assert director.next() == "done"
    assert {fold.state for fold in director.progress.folds} == {"waiting"}
    assert director.is_interrupted
    assert bench.director().next().number == one.number


def test_a_full_disk_halts_and_leaves_what_can_go_on(bench):
    director = bench.director(n_slots=2)
    one, two = director.next(), director.next()
    director.end(one.number, Ending("disk", "DiskFull", "no room left"))
    assert director.disk_full == "no room left"
    assert [event.why for event in bench.events(AblationHalting)] == ["no room left"]
    assert not director.hear(two.number, bench.started(two))
    director.end(two.number, Ending("halted"))
    assert director.next() == "done"
    assert director.is_interrupted
    assert bench.fold(director, "a0", 0, 0).state == "waiting"
    assert bench.play_all(bench.director()) == IN_ORDER


def test_arms_that_all_fail_before_anything_was_done_halt_it(bench):
    bench.plan = plan_of(n_arms=7, seeds=(0,))
    director = bench.director()
    for _ in range(5):
        bench.diverge(director, director.next())
    assert director.next() == "done"
    assert director.why_halted.startswith("the first 5 arms all failed, the last one by Training")
    done = AblationBench(bench.output / "other", bench.plan)
    director = done.director()
    done.play(director, director.next())
    for _ in range(6):
        done.diverge(director, director.next())
    assert director.why_halted is None


@pytest.mark.parametrize("changed", [{"identity": {"split": "another"}}, {"digest": "another"}])
def test_a_trial_that_is_not_the_planned_one_is_refused(bench, changed):
    director = bench.director()
    assignment = director.next()
    assert not director.hear(assignment.number, bench.started(assignment, **changed))
    director.end(assignment.number, Ending("halted"))
    record = bench.fold(director, "a0", 0, 0)
    assert record.state == "failed"
    assert record.reason.startswith("LeakageError: the ")
    assert not [e for e in bench.told if getattr(e, "event", None).__class__ is TrialStarted]


def test_encoders_that_cannot_be_compared_cost_no_fold_and_are_said(bench):
    bench.plan = plan_of(n_arms=2, seeds=(0,))
    director = bench.director()
    names = []
    while isinstance(assignment := director.next(), Assignment):
        names.append(bench.name(assignment))
        if assignment.fold is None and names[-1].startswith("a1"):
            director.end(assignment.number, Ending("failed", "StratificationError", "no strata"))
        else:
            bench.play(director, assignment)
    progress = bench.director().progress
    assert progress.gathered == (0,)
    assert progress.ungathered == {1: "StratificationError: no strata"}
    assert {record.state for record in progress.folds} == {"done"}
    assert bench.director().next() == "done"
    assert bench.name(bench.director(retry_failed=True).next()) == "a1 0 all"


def test_notes_outlive_another_order_of_arms(bench):
    first = bench.director()
    bench.diverge(first, first.next())
    runs = bench.plan.runs
    turned = tuple(run.__class__(**{**run.__dict__, "number": 5 - run.number}) for run in runs)
    bench.plan = bench.plan.__class__(**{**bench.plan.__dict__, "runs": turned[::-1]})
    again = bench.director()
    assert bench.fold(again, "a0", 0, 0).state == "failed"
    assert bench.fold(again, "a1", 0, 0).state == "waiting"


def test_notes_that_cannot_be_read_are_named(bench):
    bench.folder.mkdir(parents=True)
    notes = bench.folder / "progress.json"
    for content in ("{", json.dumps({"schema_version": 99})):
        notes.write_text(content)
        with pytest.raises(ConfigError, match=r"progress\.json: must be"):
            read_progress(bench.plan, bench.output, bench.folder)
