"""Trials that were ended by something that they had no part in."""

from search_bench import space_of

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
