"""What is told of a search's course, to a terminal and to a tracking store."""

from collections.abc import Callable
from dataclasses import dataclass

from isthmus.study.records import TrialRecord
from isthmus.trial.events import TrialEvent


@dataclass(frozen=True)
class TrialBegun:
    """A trial is about to run; ``record.attempts`` says for which time."""

    record: TrialRecord


@dataclass(frozen=True)
class TrialTold:
    """Something happened within a trial."""

    number: int
    event: TrialEvent


@dataclass(frozen=True)
class TrialRetried:
    """An attempt ended before its time and the trial is begun again."""

    record: TrialRecord
    why: str


@dataclass(frozen=True)
class TrialOver:
    """A trial has come to its final state; also of points that were never begun."""

    record: TrialRecord


@dataclass(frozen=True)
class SearchHalting:
    """No further trial is begun, and those that run are stopped where they can go on later."""

    why: str


StudyEvent = TrialBegun | TrialTold | TrialRetried | TrialOver | SearchHalting
StudyListener = Callable[[StudyEvent], None]
