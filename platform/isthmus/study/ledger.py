"""The seam through which a study is kept, by Optuna or by anything that keeps trials."""

from typing import Protocol

from isthmus.study.records import Importance, TrialRecord


class LedgerReader(Protocol):
    """A study that is looked at, also while a search writes it."""

    def trials(self) -> tuple[TrialRecord, ...]:
        """List all trials that were suggested so far, by number."""
        ...

    def notes(self) -> dict[str, str]:
        """Read what was noted of the study as a whole."""
        ...

    def importance(self) -> tuple[Importance, ...]:
        """Measure how much each dimension explains, as far as the finished trials allow."""
        ...

    def hypervolume(self, reference_point: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
        """Follow the hypervolume over the finished trials, by number."""
        ...


class Ledger(LedgerReader, Protocol):
    """Where the trials of one study are kept, and their points are chosen.

    One driver writes a ledger at a time. What a method has returned from is kept, also if the
    driver is killed right after it.
    """

    def suggest(self) -> TrialRecord | None:
        """Choose the next point and keep it as a running trial; None once a grid is used up."""
        ...

    def save(self, record: TrialRecord) -> None:
        """Keep what has become of a trial. A state other than ``running`` is final."""
        ...

    def report(self, number: int, level: int, value: float) -> None:
        """Keep what the scheduler compares; a level that is kept already is left alone."""
        ...

    def note(self, name: str, value: str) -> None:
        """Note something of the study as a whole, replacing what was noted under the name."""
        ...
