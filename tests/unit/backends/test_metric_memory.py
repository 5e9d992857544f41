"""Numbers of a run that are written once, and shown in the order in which they were written."""

import pytest

from isthmus.backends import metric_memory
from isthmus.backends.metric_memory import MetricMemory

NOON_MS = 1_700_000_000_000


@pytest.fixture
def clock(monkeypatch):
    """A wall clock in ms that the test sets."""
    now = [NOON_MS]
    monkeypatch.setattr(metric_memory.time, "time_ns", lambda: now[0] * 1_000_000)
    return now


def test_a_clock_set_back_keeps_the_order_of_what_replaces_one_another(clock):
    memory = MetricMemory({}, lambda name: ())
    stamps = []
    for n_finished, ms in ((1, NOON_MS), (2, NOON_MS - 3_600_000), (3, NOON_MS), (4, NOON_MS + 9)):
        clock[0] = ms
        (point,) = memory.missing({"n_finished": n_finished}, None)
        memory.wrote([point], None)
        stamps.append(point.timestamp)
    assert stamps == [NOON_MS, NOON_MS + 1, NOON_MS + 2, NOON_MS + 9]


def test_a_run_that_is_continued_after_the_clock_was_set_back(clock):
    asked = []

    def history(name):
        asked.append(name)
        return [(0, NOON_MS + 50), (0, NOON_MS + 70)]

    memory = MetricMemory({"n_finished": 2.0}, history)
    assert memory.missing({"n_finished": 2}, None) == []
    assert asked == []
    (point,) = memory.missing({"n_finished": 3}, None)
    assert point.timestamp == NOON_MS + 71
    memory.wrote([point], None)
    (point,) = memory.missing({"n_finished": 4}, None)
    assert (point.timestamp, asked) == (NOON_MS + 72, ["n_finished"])


def test_what_may_have_been_heard_is_sent_again_as_it_was(clock):
    memory = MetricMemory({}, lambda name: ())
    (point,) = memory.missing({"loss": 0.5}, 1)
    clock[0] -= 5000
    assert memory.missing({"loss": 0.5}, 1) == [point]
    memory.wrote([point], 1)
    assert memory.missing({"loss": 0.5}, 1) == []
