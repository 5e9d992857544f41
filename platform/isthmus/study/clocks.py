"""How long each of several things ran that run at the same time."""

import time
from collections.abc import Callable

# Between two notes of the time spent: what a killed driver's sitting may lack in the sum.
NOTE_SECONDS = 5.0


class Clocks:
    """One clock for each thing that runs, by its number.

    Parameters
    ----------
    clock : callable
        Seconds that only grow.

    Examples
    --------
    >>> seconds = iter([0.0, 2.0, 7.0])
    >>> clocks = Clocks(lambda: next(seconds))
    >>> clocks.begin(3)
    >>> clocks.passed(3), clocks.passed(3, is_last=True)
    (2.0, 5.0)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._read: dict[int, float] = {}
        self._kept: dict[int, float] = {}

    def begin(self, number: int) -> None:
        """Start a clock.

        Parameters
        ----------
        number : int
            Whose.
        """
        self._read[number] = self._kept[number] = self._clock()

    def passed(self, number: int, is_last: bool = False) -> float:
        """Read what has passed since the clock was read last.

        Parameters
        ----------
        number : int
            Whose; of one that does not run nothing passes.
        is_last : bool
            Whether it stops here.

        Returns
        -------
        float
            Seconds.
        """
        now = self._clock()
        passed = now - self._read.get(number, now)
        self._read[number] = now
        if is_last:
            del self._read[number]
        return passed

    def is_due(self, number: int) -> bool:
        """Tell whether the time of one that runs is to be kept again.

        Parameters
        ----------
        number : int
            Whose.

        Returns
        -------
        bool
            True every few seconds.
        """
        now = self._clock()
        if now - self._kept.get(number, -NOTE_SECONDS) < NOTE_SECONDS:
            return False
        self._kept[number] = now
        return True

    def unread(self) -> float:
        """Add up what has passed, of all that run, since each was read last.

        Returns
        -------
        float
            Seconds.
        """
        now = self._clock()
        return sum(now - read for read in self._read.values())
