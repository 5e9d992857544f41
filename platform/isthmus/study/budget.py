"""What a search has spent, over all its sittings, and whether that is enough."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from isthmus.config.search_space import BudgetConfig
from isthmus.study.clocks import NOTE_SECONDS, Clocks
from isthmus.study.ledger import Ledger, LedgerReader
from isthmus.study.records import TrialRecord

WALL_NOTE = "wall_seconds"
_HOUR = 3600.0


def wall_seconds(ledger: LedgerReader) -> float:
    """Read how long a search took, over all sittings that noted it.

    Parameters
    ----------
    ledger : LedgerReader
        Of the search.

    Returns
    -------
    float
        Seconds.
    """
    return float(ledger.notes().get(WALL_NOTE, 0.0))


class Meter:
    """Measures the time of a search and of its trials.

    Parameters
    ----------
    budget : BudgetConfig
        Hours that may be spent.
    ledger : Ledger
        Where the hours of earlier sittings are, and these are noted.
    records : iterable of TrialRecord
        Trials of earlier sittings.
    gpus_per_trial : float
        Of all its workers together.
    clock : callable
        Seconds that only grow.
    """

    def __init__(
        self,
        budget: BudgetConfig,
        ledger: Ledger,
        records: Iterable[TrialRecord],
        gpus_per_trial: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = budget
        self._ledger = ledger
        self._gpus = gpus_per_trial
        self._clock = clock
        self._began = clock()
        self._before = wall_seconds(ledger)
        self._noted = self._began
        self._gpu_seconds = sum(record.gpu_seconds for record in records)
        self._clocks = Clocks(clock)

    @property
    def wall_seconds(self) -> float:
        """Time of all sittings."""
        return self._before + self._clock() - self._began

    @property
    def gpu_seconds(self) -> float:
        """Time x GPUs of all trials, with that of running ones up to now."""
        return self._gpu_seconds + self._clocks.unread() * self._gpus

    def begin(self, number: int) -> None:
        """Start a trial's clock.

        Parameters
        ----------
        number : int
            The trial.
        """
        self._clocks.begin(number)

    def tick(self, record: TrialRecord, is_last: bool = False) -> TrialRecord:
        """Add to a running trial's time what has passed since the last tick.

        Parameters
        ----------
        record : TrialRecord
            The trial.
        is_last : bool
            Whether its clock stops here.

        Returns
        -------
        TrialRecord
            With the time added.
        """
        passed = self._clocks.passed(record.number, is_last)
        self._gpu_seconds += passed * self._gpus
        return replace(
            record,
            seconds=record.seconds + passed,
            gpu_seconds=record.gpu_seconds + passed * self._gpus,
        )

    def is_due(self, number: int) -> bool:
        """Tell whether a running trial's time is to be kept again.

        Parameters
        ----------
        number : int
            The trial.

        Returns
        -------
        bool
            True every few seconds.
        """
        return self._clocks.is_due(number)

    def note(self) -> None:
        """Note the time of the search in the ledger."""
        self._noted = self._clock()
        self._ledger.note(WALL_NOTE, f"{self.wall_seconds:.3f}")

    def what_is_spent(self) -> str | None:
        """Tell whether hours are used up.

        Returns
        -------
        str or None
            Which; None while there are some left, or they are not limited.
        """
        if self._clock() - self._noted >= NOTE_SECONDS:
            self.note()
        for name, limit, spent in (
            ("wall_hours", self._budget.wall_hours, self.wall_seconds),
            ("gpu_hours", self._budget.gpu_hours, self.gpu_seconds),
        ):
            if limit is not None and spent >= limit * _HOUR:
                return (
                    f"budget.{name} ({limit:g}) is spent. Raise it and run the same command to go "
                    "on; what was begun continues where it is now"
                )
        return None
