"""Trials that were ended by something that they had no part in."""

from search_bench import space_of

from isthmus.core.ports import EpochEvent
from isthmus.study.attempt import Ending
from isthmus.study.events import TrialRetried


def test_a_trial_that_was_lost_is_begun_again_without_blame(bench):
    director = bench.director(space_of(budget={"n_trials": 1}))
    most = bench.base.experiment.config.execution.max_failures
    for _ in range(most + 2):
        assignment = director.next()
        director.end(assignment.number, Ending("lost", "WorkerDied", "another one was killed"))
    (told, *_) = [event for event in bench.told if isinstance(event, TrialRetried)]
    assert told.why == "another one was killed; it goes on from its checkpoint"
    # None of these counts as a death of its own: as many of those are allowed as before.
    for _ in range(most):
        director.end(director.next().number, Ending("died", "WorkerDied", "killed"))
    assert director.next().number == 0
    assert director.records[0].state == "running"
    assert not director.records[0].changed


def test_a_full_disk_is_told_from_other_reasons_to_halt(bench):
    director = bench.director(space_of())
    director.halt("hours are spent")
    assert director.disk_full is None
    director = bench.director(space_of())
    director.end(director.next().number, Ending("disk", "DiskFull", "no room left"))
    assert director.disk_full == "no room left"


EPOCH = EpochEvent(0, 1, 2, {"train_loss": 0.25}, 10.0)
GONE = Ending("gone", "WorkerDied", "its node is gone")
NO_ROOM = Ending("room", "NoRoom", "the workers must find room")


def test_a_lost_node_counts_only_for_a_trial_that_came_no_further(bench):
    director = bench.director(space_of(budget={"n_trials": 1}))
    most = bench.base.experiment.config.execution.max_failures
    for _ in range(most + 2):
        assignment = director.next()
        assert director.hear(assignment.number, EPOCH)
        director.end(assignment.number, GONE)
    for _ in range(most + 1):  # a trial that brings its nodes down gets nowhere
        director.end(director.next().number, GONE)
    assert director.next() == "done"
    assert director.records[0].state == "failed"
    assert f"died {most + 1} times; its node is gone" in director.records[0].reason


def test_a_trial_without_room_waits_its_turn_while_others_come_further(bench):
    director = bench.director(space_of(budget={"n_trials": 2}), n_slots=2)
    one, two = director.next(), director.next()
    for _ in range(5):
        assert director.hear(one.number, EPOCH)
        director.end(two.number, NO_ROOM)
        assert director.why_halted is None
        assert director.next().number == two.number
    assert director.records[two.number].state == "running"


def test_where_nothing_comes_further_the_search_ends_and_no_trial_has_failed(bench):
    director = bench.director(space_of(budget={"n_trials": 2}), n_slots=2)
    one, two = director.next(), director.next()
    director.end(one.number, NO_ROOM)
    director.end(two.number, NO_ROOM)
    assert director.next() == "done"
    assert director.why_halted == "the workers must find room"
    assert director.disk_full is None
    assert {director.records[run.number].state for run in (one, two)} == {"running"}
    assert bench.director(space_of(budget={"n_trials": 2})).next().number == one.number
