"""A ledger that is waited for while what keeps it is away, so that a restart ends no search."""

import time
from collections.abc import Callable
from typing import TypeVar

from isthmus.core.errors import StoreUnavailable
from isthmus.study.ledger import Ledger
from isthmus.study.records import Importance, TrialRecord

ResultT = TypeVar("ResultT")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 10.0
PATIENCE_SECONDS = 600.0


class PatientLedger:
    """Asks a ledger (`isthmus.study.ledger.Ledger`) again while it is away.

    Parameters
    ----------
    ledger : Ledger
        Raises `StoreUnavailable` where what keeps it does not answer.
    tell_user : callable
        Is given a line of text when the ledger goes away and when it is back.
    patience_seconds : float
        How long it may be away in a row before the error is raised.

    Notes
    -----
    A server that was cut off may have kept what it could not confirm. Each method bears being
    called again: `save` and `report` leave alone what is kept already, and a trial that was
    suggested and never handed out is handed out, not suggested a second time.

    Time is measured by a clock that nobody sets. Meanwhile running trials go on training until they
    have something to tell; they wait for no longer than this does.
    """

    def __init__(
        self,
        ledger: Ledger,
        tell_user: Callable[[str], None],
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._ledger = ledger
        self._say = tell_user
        self._patience = patience_seconds
        self._n_known = len(ledger.trials())

    def suggest(self) -> TrialRecord | None:
        """Choose the next point and keep it as a running trial.

        Returns
        -------
        TrialRecord or None
            The trial; None once a grid is used up.

        Raises
        ------
        StoreUnavailable
            If the ledger was away for longer than there is patience.
        """
        is_again = False

        def ask() -> TrialRecord | None:
            """Take the trial that an earlier try has left, if it has; else choose one."""
            nonlocal is_again
            if is_again and len(kept := self._ledger.trials()) > self._n_known:
                return kept[self._n_known]
            is_again = True
            return self._ledger.suggest()

        record = self._patiently(ask)
        self._n_known += record is not None
        return record

    def save(self, record: TrialRecord) -> None:
        """Keep what has become of a trial. A state other than ``running`` is final.

        Parameters
        ----------
        record : TrialRecord
            The trial.
        """
        self._patiently(lambda: self._ledger.save(record))

    def report(self, number: int, level: int, value: float) -> None:
        """Keep what the scheduler compares; a level that is kept already is left alone.

        Parameters
        ----------
        number : int
            The trial.
        level : int
            Such as a fold or an epoch.
        value : float
            At that level.
        """
        self._patiently(lambda: self._ledger.report(number, level, value))

    def note(self, name: str, value: str) -> None:
        """Note something of the study as a whole, or not, where the ledger is away.

        It is noted again every few seconds, and the end of a command is not to wait for it.

        Parameters
        ----------
        name : str
            Under which it is found again.
        value : str
            What is noted.
        """
        try:
            self._ledger.note(name, value)
        except StoreUnavailable:
            return

    def trials(self) -> tuple[TrialRecord, ...]:
        """List all trials that were suggested so far, by number."""
        return self._patiently(self._ledger.trials)

    def notes(self) -> dict[str, str]:
        """Read what was noted of the study as a whole."""
        return self._patiently(self._ledger.notes)

    def importance(self) -> tuple[Importance, ...]:
        """Measure how much each dimension explains, as far as the finished trials allow."""
        return self._patiently(self._ledger.importance)

    def hypervolume(self, reference_point: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
        """Follow the hypervolume over the finished trials.

        Parameters
        ----------
        reference_point : tuple of float
            Of the objectives.

        Returns
        -------
        tuple of (int, float)
            Number and hypervolume, by number.
        """
        return self._patiently(lambda: self._ledger.hypervolume(reference_point))

    def _patiently(self, call: Callable[[], ResultT]) -> ResultT:
        """Call until it works, with pauses that grow, or for long enough."""
        since, pause = None, FIRST_PAUSE_SECONDS
        while True:
            try:
                result = call()
            except StoreUnavailable as refusal:
                now = time.monotonic()
                if since is None:
                    since = now
                    self._say(
                        "the study's storage is away and is waited for, for "
                        f"{self._patience:.0f} s at most: {refusal}"
                    )
                if now - since >= self._patience:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                if since is not None:
                    self._say(f"the study's storage is back after {time.monotonic() - since:.0f} s")
                return result
