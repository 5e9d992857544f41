"""What becomes of an attempt that ended before its time, in a search and in an ablation alike."""

from dataclasses import dataclass

from isthmus.study.attempt import Ending

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
    """

    again: bool
    why: str


class Retries:
    """Counts the deaths of processes.

    Parameters
    ----------
    max_failures : int
        How often the process of one and the same may die, in a sitting.
    """

    def __init__(self, max_failures: int) -> None:
        self._most = max_failures
        self._deaths: dict[int, int] = {}

    def after(self, number: int, ending: Ending) -> Verdict:
        """Judge an attempt that did not come to its own end.

        Parameters
        ----------
        number : int
            What was attempted.
        ending : Ending
            ``died``, ``lost`` or ``busy``.

        Returns
        -------
        Verdict
            Again, unless its own process died too often.
        """
        if ending.kind == "busy":
            return Verdict(True, f"it waits its turn: {ending.message}")
        if ending.kind == "lost":
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
