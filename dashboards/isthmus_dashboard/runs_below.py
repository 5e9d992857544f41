"""The runs below a run, of which those that are over are not fetched again at each look."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from isthmus.core.ports import RunReader, StoredRun

WHOLE_SECONDS = 600.0
"""After this, all are fetched anew: runs that are over may be given labels, or be deleted."""
SKEW_SECONDS = 600.0
"""By how much the clocks of those who close runs may differ."""
_MOST_KEPT = 4


@dataclass(frozen=True)
class _Below:
    """What was found below a run."""

    runs: dict[str, StoredRun]
    fetched: float


class RunsBelow:
    """List runs below a run, and remember those that are over.

    Parameters
    ----------
    clock : callable
        Tells the seconds since some moment.

    Notes
    -----
    A tracking store takes some 13 ms to give a trial's run with all its settings and numbers: half
    a minute for a search of 2,000, each time that somebody looks. Runs that are open, and those
    that ended since the newest ending that is known (less what clocks differ by), are few.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, _Below] = OrderedDict()

    def of(self, reader: RunReader, run_id: str) -> tuple[StoredRun, ...]:
        """List the runs below a run.

        Parameters
        ----------
        reader : RunReader
            Where they are.
        run_id : str
            The run above.

        Returns
        -------
        tuple of StoredRun
            In the order in which they were started; those that are over have no settings.
        """
        now, kept = self._clock(), self._kept.pop(run_id, None)
        if kept is None or now - kept.fetched > WHOLE_SECONDS:
            kept = _Below({}, now)
        ended = [one.ended for one in kept.runs.values() if one.ended is not None]
        since = max(ended) - SKEW_SECONDS if ended else None
        for run in reader.children(run_id, since):
            kept.runs[run.run_id] = run if run.running else replace(run, params={})
        self._kept[run_id] = kept
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return tuple(sorted(kept.runs.values(), key=lambda one: one.started or 0.0))
