"""What a search does next: to its total, through kills, failures and budgets."""

import math
from dataclasses import replace

import pytest
from search_bench import SIZES, space_of

import isthmus.backends  # noqa: F401 - sets Ray's switches before Ray is imported
from isthmus.backends.ray_stopper import RayStopper
from isthmus.study.attempt import Assignment, Ending
from isthmus.study.events import SearchHalting, TrialBegun, TrialRetried


def begun(bench):
    return [event.record.number for event in bench.told if isinstance(event, TrialBegun)]


def test_it_runs_its_total_of_different_experiments_and_no_more(bench):
    director = bench.director(space_of())
    run = bench.play_all(director)
    assert len(run) == 4
    assert len({a.experiment.config.digest for a in run}) == 4
    finished = [r for r in director.records if r.state == "finished"]
    assert len(finished) == 4
    for record in finished:
        size = record.point["model.embedding_size"]
        # the mean over two folds, and its standard error
        assert record.values == pytest.approx((1 / size + 0.00005,))
        assert record.standard_errors == pytest.approx((0.00005,))
        assert record.facts["embedding_size"] == size
        assert record.attempts == 1


def test_begun_again_it_has_nothing_left_to_do(bench):
    bench.play_all(bench.director(space_of()))
    again = bench.director(space_of())
    assert again.next() == "done"
    assert [r.state for r in again.records if r.state != "repeated"] == ["finished"] * 4


def test_a_larger_budget_goes_on_where_it_ended(bench):
    bench.play_all(bench.director(space_of()))
    more = bench.play_all(bench.director(space_of(budget={"n_trials": 6})))
    assert len(more) == 2


def test_after_a_kill_what_was_begun_comes_first_and_nothing_twice(bench):
    first = bench.director(space_of(budget={"n_trials": 6}), n_slots=2)
    one, two = first.next(), first.next()
    bench.play(first, one)
    bench.play(first, two, n_events=3)
    three = first.next()
    bench.play(first, three, n_events=1)
    # killed here: nothing is told any more
    second = bench.director(space_of(budget={"n_trials": 6}), n_slots=2)
    again, also = second.next(), second.next()
    assert [again.number, also.number] == [two.number, three.number]
    assert again.experiment.config == two.experiment.config
    bench.play(second, again)
    bench.play(second, also)
    bench.play_all(second)
    records = second.records
    assert sum(r.state == "finished" for r in records) == 6
    assert bench.record(second, two.number).attempts == 2
    digests = [r.digest for r in records if r.state == "finished"]
    assert len(set(digests)) == 6


def test_no_point_is_chosen_before_there_is_a_slot(bench):
    director = bench.director(space_of(), n_slots=2)
    one, two = director.next(), director.next()
    assert isinstance(one, Assignment)
    assert isinstance(two, Assignment)
    assert director.next() == "wait"
    known = len(bench.ledger.trials())
    assert director.next() == "wait"
    assert len(bench.ledger.trials()) == known
    bench.play(director, one)
    assert isinstance(director.next(), Assignment)


def test_what_cannot_be_built_is_closed_with_its_reason_and_spends_nothing(bench):
    dimensions = {
        **SIZES,
        "training.global_batch_size": {"kind": "categorical", "choices": [2, 1000]},
    }
    director = bench.director(space_of(dimensions))
    run = bench.play_all(director)
    assert len(run) == 4
    infeasible = [r for r in director.records if r.state == "infeasible"]
    assert infeasible
    assert all("training.global_batch_size" in r.reason for r in infeasible)
    assert not set(begun(bench)) & {r.number for r in infeasible}


def test_what_does_not_fit_into_memory_is_not_begun(bench):
    bench.why_not = lambda config: "too large" if config.model.embedding_size > 200 else None
    director = bench.director(space_of(budget={"n_trials": 3}))
    run = bench.play_all(director)
    assert sorted(a.experiment.config.model.embedding_size for a in run) == [64, 128, 192]
    assert {r.reason for r in director.records if r.state == "infeasible"} <= {"too large"}


def test_a_repeated_point_is_not_run_and_the_space_may_be_used_up(bench):
    choices = {"model.embedding_size": {"kind": "categorical", "choices": [64, 128]}}
    director = bench.director(space_of(choices, budget={"n_trials": 5}))
    run = bench.play_all(director)
    assert len(run) == 2
    repeated = [r for r in director.records if r.state == "repeated"]
    finished = {r.number: r for r in director.records if r.state == "finished"}
    assert all(r.values == finished[r.same_as].values for r in repeated)
    assert "used up" in director.why_halted


def test_a_grid_ends_when_all_of_it_was_tried(bench):
    director = bench.director(space_of(sampler={"kind": "grid"}, budget={"n_trials": 50}))
    assert len(bench.play_all(director)) == 6
    assert director.why_halted is None


def test_a_fold_that_diverged_fails_the_trial_by_type_and_ends_it(bench):
    director = bench.director(space_of())
    assignment = director.next()
    assert not bench.diverge(director, assignment)
    director.end(assignment.number, Ending("halted"))
    record = bench.record(director, assignment.number)
    assert record.state == "failed"
    assert record.reason.startswith("TrainingDiverged: fold 0")
    assert record.values is None
    bench.play_all(director)
    # it has cost what a trial costs
    assert sum(r.state == "finished" for r in director.records) == 3


def test_an_objective_that_one_fold_lacks_is_not_averaged_over_the_others(bench):
    director = bench.director(space_of())
    assignment = director.next()
    for event in bench.course(assignment):
        director.hear(assignment.number, event)
    last = bench.course(assignment)[-1].result
    lacking = {k: v for k, v in last.folds[1].metrics.items() if k != "validation_mse"}
    folds = (last.folds[0], replace(last.folds[1], metrics=lacking))
    folder = bench.record(director, assignment.number).folder
    bench.results[folder] = replace(last, folds=folds)
    director.end(assignment.number, Ending("finished"))
    record = bench.record(director, assignment.number)
    assert record.state == "failed"
    assert "ObjectiveUndefined" in record.reason
    assert "validation_mse (in 1 of 2)" in record.reason


def test_out_of_memory_is_tried_with_smaller_slices_of_the_same_batch(bench):
    director = bench.director(space_of())
    first = director.next()
    director.end(first.number, Ending("memory", "OutOfMemory", "no room"))
    second = director.next()
    assert second.number == first.number
    one, two = first.experiment.config.training, second.experiment.config.training
    assert (one.accumulation_steps, two.accumulation_steps) == (1, 2)
    assert one.global_batch_size == two.global_batch_size
    record = bench.record(director, first.number)
    assert record.changed == {"training.accumulation_steps": 2}
    assert any(isinstance(e, TrialRetried) and "out of memory" in e.why for e in bench.told)
    # one subject at a time is the least
    director.end(second.number, Ending("memory", "OutOfMemory", "no room"))
    assert bench.record(director, first.number).state == "failed"
    assert bench.record(director, first.number).reason == "OutOfMemory: no room"


def test_the_change_after_out_of_memory_outlives_a_kill(bench):
    director = bench.director(space_of())
    first = director.next()
    director.end(first.number, Ending("memory", "OutOfMemory", "no room"))
    again = bench.director(space_of()).next()
    assert again.number == first.number
    assert again.experiment.config.training.accumulation_steps == 2


def test_a_process_that_dies_is_begun_again_so_often_and_no_more(bench):
    director = bench.director(space_of(budget={"n_trials": 1}))
    most = bench.base.experiment.config.execution.max_failures
    for _ in range(most + 1):
        assignment = director.next()
        director.end(assignment.number, Ending("died", "WorkerDied", "killed"))
    record = director.records[0]
    assert record.state == "failed"
    assert record.attempts == most + 1
    assert f"died {most + 1} times" in record.reason
    assert director.next() == "done"


def test_a_full_disk_halts_and_loses_nothing(bench):
    director = bench.director(space_of())
    first = director.next()
    director.end(first.number, Ending("disk", "DiskFull", "no room left"))
    assert director.next() == "done"
    assert director.why_halted == "no room left"
    assert director.is_interrupted
    again = bench.director(space_of())
    assert again.next().number == first.number


def test_hours_that_are_spent_stop_what_runs_where_it_can_go_on(bench):
    budget = {"n_trials": 4, "gpu_hours": 1e-9}
    director = bench.director(space_of(budget=budget), gpus=1.0)
    first = director.next()
    assert not bench.play(director, first)
    assert director.next() == "done"
    assert "gpu_hours" in director.why_halted
    assert any(isinstance(event, SearchHalting) for event in bench.told)
    director.close()
    # the sum is over all sittings
    assert bench.director(space_of(budget=budget), gpus=1.0).next() == "done"
    more = bench.director(space_of(budget={"n_trials": 4, "gpu_hours": 1.0}), gpus=1.0)
    assert more.next().number == first.number
    assert bench.record(more, first.number).gpu_seconds > 0


def test_a_trial_that_is_finished_when_hours_are_spent_is_not_thrown_away(bench):
    director = bench.director(space_of())
    first = director.next()
    *before, last = bench.course(first)
    for event in before:
        assert director.hear(first.number, event)
    director.halt("spent")
    assert director.hear(first.number, last)
    bench.results[bench.record(director, first.number).folder] = last.result
    director.end(first.number, Ending("finished"))
    assert bench.record(director, first.number).state == "finished"


def scheduled(bench, space):
    return RayStopper(space.scheduler, "minimize", n_levels=2, seed=0)


def test_the_scheduler_stops_on_the_first_folds(bench):
    kinds = {"kind": "asha", "unit": "fold", "grace": 1, "reduction_factor": 2}
    space = space_of(scheduler=kinds, budget={"n_trials": 6}, sampler={"kind": "grid"})
    director = bench.director(space, stopper=scheduled(bench, space))
    bench.play_all(director)
    stopped = [r for r in director.records if r.state == "stopped"]
    finished = [r for r in director.records if r.state == "finished"]
    assert stopped
    assert len(stopped) + len(finished) == 6
    for record in stopped:
        ((level, value),) = record.reports
        assert level == 1
        assert value == pytest.approx(1 / record.point["model.embedding_size"])
        assert "asha at fold 1" in record.reason
    best = min(director.records, key=lambda r: (r.values or (math.inf,))[0])
    assert best.point["model.embedding_size"] == 384
    # kept in the ledger too
    kept = {r.number: r for r in bench.ledger.trials()}
    assert all(kept[r.number].reports == r.reports for r in director.records)


def test_a_trial_killed_before_it_was_judged_is_judged_when_it_goes_on(bench):
    kinds = {"kind": "asha", "unit": "fold", "grace": 1, "reduction_factor": 2}
    space = space_of(scheduler=kinds, budget={"n_trials": 2})
    bench.mse = lambda assignment, fold: float(assignment.number + 1)
    director = bench.director(space, stopper=scheduled(bench, space))
    bench.play(director, director.next())
    second = director.next()
    # killed right after the report was kept
    bench.ledger.report(second.number, 1, 2.0)
    again = bench.director(space, stopper=scheduled(bench, space))
    assignment = again.next()
    assert assignment.number == second.number
    assert not bench.play(again, assignment)
    assert bench.record(again, second.number).state == "stopped"


def test_a_fault_that_all_trials_share_ends_the_search(bench):
    director = bench.director(space_of(budget={"n_trials": 6}))
    n_run = 0
    while isinstance(assignment := director.next(), Assignment):
        n_run += 1
        director.end(assignment.number, Ending("failed", "ValueError", "the same each time"))
    assert n_run == 5
    assert "the first 5 trials all failed" in director.why_halted


def test_a_dimension_that_is_not_asked_has_its_setting_s_default(bench):
    dimensions = {
        "training.optimizer": {"kind": "categorical", "choices": ["adam", "adamw"]},
        "training.weight_decay": {
            "kind": "float",
            "low": 0.001,
            "high": 0.1,
            "when": {"training.optimizer": "adamw"},
        },
    }
    director = bench.director(space_of(dimensions, budget={"n_trials": 6}))
    run = bench.play_all(director)
    by = {a.experiment.config.training.optimizer: a.experiment.config.training for a in run}
    assert by["adam"].weight_decay == 0.0
    assert by["adamw"].weight_decay >= 0.001
    assert all(r.state != "infeasible" for r in director.records)
