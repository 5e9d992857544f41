"""That work does not wait for a store, that order is kept, and that nothing is lost silently."""

import threading
import time

import pytest

from isthmus.core.errors import StoreUnavailable
from isthmus.report import outbox as module
from isthmus.report.outbox import Outbox


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(module, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(module, "HURRY_SECONDS", 1.0)


class Store:
    """Takes events while it is there."""

    def __init__(self):
        self.there, self.took, self.asked = True, [], 0

    def __call__(self, event):
        self.asked += 1
        if not self.there:
            raise StoreUnavailable("connection refused")
        self.took.append(event)


def cut_short(error, publisher, n_events=1):
    """Work that tells of events and is then ended by an error."""
    with Outbox([].append) as outbox:
        for event in range(n_events):
            outbox.listener(publisher)(event)
        raise error


def until(condition):
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_events_of_all_publishers_arrive_in_order():
    took = []
    with Outbox(print) as outbox:
        tells = [outbox.listener(lambda event, n=n: took.append((n, event))) for n in range(3)]
        for event in range(200):
            tells[event % 3](event)
    assert took == [(event % 3, event) for event in range(200)]


def test_nobody_waits_for_a_slow_publisher():
    let_go, took = threading.Event(), []

    def slow(event):
        let_go.wait(10)
        took.append(event)

    with Outbox(print) as outbox:
        tell = outbox.listener(slow)
        start = time.monotonic()
        for event in range(1000):
            tell(event)
        assert time.monotonic() - start < 1
        assert took == []
        let_go.set()
    assert len(took) == 1000


def test_a_store_that_was_away_gets_everything_in_order():
    said, store = [], Store()
    with Outbox(said.append) as outbox:
        tell = outbox.listener(store)
        tell(0)
        until(lambda: store.took == [0])
        store.there = False
        for event in range(1, 6):
            tell(event)
        until(lambda: store.asked > 4)
        assert outbox.n_waiting == 5
        store.there = True
        until(lambda: not outbox.n_waiting)
    assert store.took == [0, 1, 2, 3, 4, 5]
    assert len(said) == 2
    assert "away" in said[0]
    assert "connection refused" in said[0]
    assert "back" in said[1]


def test_a_second_absence_is_told_of_too():
    said, store = [], Store()
    with Outbox(said.append) as outbox:
        tell = outbox.listener(store)
        for event in (0, 1):
            store.there = False
            tell(event)
            until(lambda n=2 * event + 1: len(said) == n)
            store.there = True
            until(lambda n=2 * event + 2: len(said) == n)
    assert store.took == [0, 1]
    assert ["away" in line for line in said] == [True, False, True, False]


def test_patience_ends_with_the_number_of_what_was_not_delivered():
    store = Store()
    store.there = False
    outbox = Outbox([].append, patience_seconds=0.3)
    tell = outbox.listener(store)
    for event in range(7):
        tell(event)
    time.sleep(0.5)
    # work goes on for as long as it likes: only the end waits, and no longer than there is patience
    assert outbox.n_waiting == 7
    with pytest.raises(StoreUnavailable, match=r"7 events.*same command.*connection refused"):
        outbox.close()


def test_closing_waits_for_a_store_that_comes_back_in_time():
    said, store = [], Store()
    store.there = False
    outbox = Outbox(said.append, patience_seconds=30)
    outbox.listener(store)("late")
    until(lambda: said)
    threading.Timer(0.3, lambda: setattr(store, "there", True)).start()
    outbox.close()
    assert store.took == ["late"]
    assert any("waiting for the tracking store" in line for line in said)


def test_an_error_that_ends_the_work_does_not_wait_for_a_store_that_is_away():
    store = Store()
    store.there = False
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        cut_short(KeyboardInterrupt(), store)
    assert time.monotonic() - start < 0.9
    assert store.took == []


def test_an_error_that_ends_the_work_still_delivers_to_a_store_that_is_there():
    store = Store()
    with pytest.raises(ValueError, match="the work failed"):
        cut_short(ValueError("the work failed"), store, 50)
    assert store.took == list(range(50))


def test_an_error_that_ends_the_work_does_not_wait_for_one_delivery_that_hangs():
    let_go = threading.Event()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        cut_short(KeyboardInterrupt(), lambda _: let_go.wait(20))
    assert 0.9 < time.monotonic() - start < 3
    let_go.set()


def test_a_publisher_that_fails_hears_no_more_and_the_others_go_on():
    said, heard, broken = [], [], []

    def breaks(event):
        broken.append(event)
        raise ValueError("a bad name")

    outbox = Outbox(said.append)
    tell, tell_broken = outbox.listener(heard.append), outbox.listener(breaks)
    for event in range(5):
        tell(event)
        tell_broken(event)
    with pytest.raises(ValueError, match="a bad name"):
        outbox.close()
    assert heard == [0, 1, 2, 3, 4]
    assert broken == [0]
    assert len([line for line in said if "a bad name" in line]) == 1
    assert [str(failure) for failure in outbox.failures] == ["a bad name"]


def test_work_that_is_not_to_go_on_without_its_publisher_hears_of_the_failure():
    def breaks(event):
        raise ValueError("a bad name")

    outbox = Outbox([].append)
    outbox.require_sound("nothing is wrong yet")
    outbox.listener(breaks)("event")
    until(lambda: outbox.failures)
    with pytest.raises(ValueError, match="a bad name"):
        outbox.require_sound("next event")
    outbox.close(wait=False)


def test_what_is_posted_is_done_in_turn_and_of_a_failed_owner_only_if_it_need_not_be_sound():
    done = []

    def breaks(event):
        raise ValueError("a bad name")

    outbox = Outbox([].append)
    outbox.listener(done.append)("event")
    outbox.post(lambda: done.append("after the event"))
    outbox.listener(breaks)("event")
    until(lambda: outbox.failures)
    outbox.post(lambda: done.append("never"), owner=breaks)
    outbox.post(lambda: done.append("closed"))
    with pytest.raises(ValueError, match="a bad name"):
        outbox.close()
    assert done == ["event", "after the event", "closed"]


def test_what_is_told_after_the_end_is_a_bug():
    outbox = Outbox(print)
    outbox.close()
    with pytest.raises(RuntimeError, match="after it was closed"):
        outbox.listener(print)("event")


@pytest.mark.parametrize(("n_left", "told"), [(5, []), (150, [150])])
def test_a_long_queue_at_the_end_is_told_of(n_left, told):
    let_go, said, took = threading.Event(), [], []

    def say(text):
        said.append(text)
        let_go.set()

    def slow(event):
        let_go.wait(10)
        took.append(event)

    outbox = Outbox(say)
    for event in range(n_left):
        outbox.listener(slow)(event)
    if not told:
        let_go.set()
    outbox.close()
    assert took == list(range(n_left))
    assert [f"{n} events" in text for n, text in zip(told, said, strict=True)] == [True] * len(told)
