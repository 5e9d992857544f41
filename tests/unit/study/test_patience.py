"""A ledger that goes away and comes back: what was asked of it is done, and done once."""

from dataclasses import dataclass, field

import pytest

from isthmus.core.errors import StoreUnavailable
from isthmus.study import patience
from isthmus.study.patience import PatientLedger
from isthmus.study.records import TrialRecord


@dataclass
class Restarting:
    """A ledger of trial numbers whose server drops some calls, before or after it has heard."""

    kept: list[TrialRecord] = field(default_factory=list)
    noted: dict[str, str] = field(default_factory=dict)
    drops: list[str] = field(default_factory=list)

    def _drop(self, when):
        if self.drops and self.drops[0] == when:
            self.drops.pop(0)
            raise StoreUnavailable("the server is shutting down")

    def suggest(self):
        self._drop("before")
        record = TrialRecord(len(self.kept), {"model.depth": len(self.kept)})
        self.kept.append(record)
        self._drop("after")
        return record

    def save(self, record):
        self._drop("before")
        self.kept[record.number] = record

    def note(self, name, value):
        self._drop("before")
        self.noted[name] = value

    def trials(self):
        self._drop("reading")
        return tuple(self.kept)


@pytest.fixture
def pauses(monkeypatch):
    """How long it paused each time; the clock goes on by as much."""
    paused, now = [], [50.0]

    def sleep(seconds):
        paused.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(patience.time, "sleep", sleep)
    monkeypatch.setattr(patience.time, "monotonic", lambda: now[0])
    return paused


@pytest.mark.parametrize(
    "drops",
    [["before"], ["after"], ["before"] * 3, ["after", "reading", "reading"], ["before", "after"]],
    ids=" ".join,
)
def test_each_trial_is_suggested_once_whatever_was_lost(pauses, drops):
    said = []
    server = Restarting()
    ledger = PatientLedger(server, said.append)
    first = ledger.suggest()
    server.drops = list(drops)
    second, third = ledger.suggest(), ledger.suggest()
    assert [record.number for record in (first, second, third)] == [0, 1, 2]
    assert len(server.kept) == 3
    assert len(pauses) == len(drops)
    assert "is away" in said[0]
    assert "shutting down" in said[0]
    assert said[1].startswith("the study's storage is back after")
    assert len(said) == 2


def test_trials_of_an_earlier_sitting_are_not_taken_for_lost_ones(pauses):
    server = Restarting([TrialRecord(0, {"model.depth": 0})])
    ledger = PatientLedger(server, print)
    server.drops = ["before"]
    assert ledger.suggest().number == 1


def test_what_is_to_be_kept_is_waited_for_and_hours_are_not(pauses):
    server = Restarting([TrialRecord(0, {"model.depth": 0})])
    ledger = PatientLedger(server, print)
    server.drops = ["before"]
    ledger.note("wall_seconds", "1")
    assert (server.noted, pauses) == ({}, [])
    ledger.note("wall_seconds", "2")
    server.drops = ["before", "before"]
    ledger.save(TrialRecord(0, {"model.depth": 0}, "infeasible", "too deep"))
    assert server.kept[0].state == "infeasible"
    assert (server.noted, pauses) == ({"wall_seconds": "2"}, [0.5, 1.0])


def test_patience_has_an_end(pauses):
    server = Restarting()
    ledger = PatientLedger(server, print, patience_seconds=30.0)
    server.drops = ["before"] * 1000
    with pytest.raises(StoreUnavailable, match="shutting down"):
        ledger.suggest()
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
