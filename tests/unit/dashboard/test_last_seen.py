"""How often a source is asked: anew each time where that is quick, seldom where it is not."""

import threading
from pathlib import Path

import pytest

from isthmus.core.errors import StoreUnavailable
from isthmus_dashboard.last_seen import CHEAP_SECONDS, SHARE, LastSeen
from isthmus_dashboard.source import Entry, Missing, Standing


class Slow:
    """A source whose answers take a time of their own by a clock that the test winds."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.asked = seconds, 0.0, 0

    place = "here"

    def clock(self) -> float:
        return self.now

    def entries(self) -> tuple[Entry, ...]:
        return ()

    def standing(self, key: str) -> Standing:
        self.asked += 1
        self.now += self.seconds
        if key == "nothing":
            raise Missing("There is none.")
        if key == "away":
            raise StoreUnavailable("Nothing answers.")
        return Standing(Entry(key, "search", key), output=Path(str(self.asked)))


def seen_of(source: Slow) -> LastSeen:
    return LastSeen(source, clock=source.clock)


def test_what_is_quick_is_asked_each_time():
    source = Slow(CHEAP_SECONDS / 2)
    seen = seen_of(source)
    assert [str(seen.standing("a").value.output) for _ in range(3)] == ["1", "2", "3"]


def test_a_slow_answer_is_given_again_until_asking_takes_its_share_of_the_time():
    source = Slow(4.0)
    seen = seen_of(source)
    first = seen.standing("a")
    source.now += 4.0 / SHARE - 4.0 - 0.1
    assert seen.standing("a") is first
    assert seen.standing("b").value != first.value
    assert source.asked == 2
    assert str(seen.standing("a").value.output) == "3"  # asking for the other took the rest


@pytest.mark.parametrize("key", ["nothing", "away"])
def test_what_failed_is_asked_again_and_leaves_nothing_behind(key):
    source = Slow(4.0)
    seen = seen_of(source)
    for _ in range(2):
        if key == "nothing":
            with pytest.raises(Missing):
                seen.standing(key)
        else:
            assert seen.standing(key).away == "Nothing answers."
    assert source.asked == 2
    assert not seen._asking


def test_two_who_ask_at_once_wait_for_one_answer():
    source = Slow(4.0)
    seen, inside, go_on = seen_of(source), threading.Event(), threading.Event()
    answer = source.standing

    def held(key: str) -> Standing:
        inside.set()
        assert go_on.wait(30)
        return answer(key)

    source.standing = held
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(seen.standing("a").value)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    assert inside.wait(30)
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert source.asked == 1
    assert found[0] is found[1]
