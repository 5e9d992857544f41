"""What becomes of an attempt that ended before its time, in a search and in an ablation alike."""

from dataclasses import dataclass

from isthmus.core.ports import EpochEvent
from isthmus.study.attempt import Ending
from isthmus.trial.events import TrialEvent

# As many failures before anything finished are taken for a fault that all share.
MOST_FAILURES_FROM_THE_START = 5


@dataclass(frozen=True)
class Verdict:
    """Whether something is begun again.

    Attributes
    ----------
    again : bool
        Begun again, from its checkpoint; otherwise it has failed.
    why : str
        The reason, for people.
    halts : bool
        Not begun again, but not failed either: nothing more is begun in this sitting.
    """

    again: bool
    why: str
    halts: bool = False


class Retries:
    """Counts the deaths of processes.

    Parameters
    ----------
    max_failures : int
        How often the process of one and the same may die, in a sitting.

    Notes
    -----
    A node that is lost is no fault of what ran there, as long as that came further since it was
    begun. Who found no room waits its turn again, as long as others come further meanwhile; where
    nothing does, the cluster is too small now, and that is no fault of anybody's.
    """

    def __init__(self, max_failures: int) -> None:
        self._most = max_failures
        self._deaths: dict[int, int] = {}
        self._n_epochs = 0
        self._at_begin: dict[int, int] = {}
        self._further: set[int] = set()

    def begin(self, number: int) -> None:
        """Hear that something is attempted.

        Parameters
        ----------
        number : int
            What.
        """
        self._at_begin[number] = self._n_epochs
        self._further.discard(number)

    def hear(self, number: int, event: TrialEvent) -> None:
        """Hear of an event within it.

        Parameters
        ----------
        number : int
            What is attempted.
        event : TrialEvent
            What happened.
        """
        if isinstance(event, EpochEvent):
            self._n_epochs += 1
            self._further.add(number)

    def after(self, number: int, ending: Ending) -> Verdict:
        """Judge an attempt that did not come to its own end.

        Parameters
        ----------
        number : int
            What was attempted.
        ending : Ending
            ``died``, ``gone``, ``lost``, ``busy`` or ``room``.

        Returns
        -------
        Verdict
            Again, unless its own process died too often.
        """
        if ending.kind == "busy":
            return Verdict(True, f"it waits its turn: {ending.message}")
        if ending.kind == "room":
            if self._n_epochs == self._at_begin.get(number, 0):
                return Verdict(False, ending.message, halts=True)
            return Verdict(True, f"it waits its turn: {ending.message}")
        if ending.kind == "lost" or (ending.kind == "gone" and number in self._further):
            return Verdict(True, f"{ending.message}; it goes on from its checkpoint")
        deaths = self._deaths[number] = self._deaths.get(number, 0) + 1
        if deaths > self._most:
            return Verdict(False, f"its process died {deaths} times; {ending.message}")
        return Verdict(True, f"its process died ({ending.message}); it goes on from its checkpoint")


def shared_fault(n_failed: int, n_done: int, last_reason: str, kind: str) -> str | None:
    """Tell a fault that all share from failures of some.

    Parameters
    ----------
    n_failed, n_done : int
        How many have failed, and how many have not and are over.
    last_reason : str
        Of the last failure.
    kind : str
        What they are, in the plural.

    Returns
    -------
    str or None
        Why nothing more should be begun; None if something should.

    Examples
    --------
    >>> shared_fault(5, 0, "CohortError: no images", "trials")
    'the first 5 trials all failed, the last one by CohortError: no images'
    >>> shared_fault(5, 1, "CohortError: no images", "trials")
    """
    if n_failed < MOST_FAILURES_FROM_THE_START or n_done:
        return None
    return f"the first {n_failed} {kind} all failed, the last one by {last_reason}"
