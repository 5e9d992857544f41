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

    above: str
    runs: dict[str, StoredRun]
    fetched: float

    def take(self, found: tuple[StoredRun, ...]) -> None:
        """Keep runs as they are now; of those that are over, not their settings."""
        for run in found:
            self.runs[run.run_id] = run if run.running else replace(run, params={})


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
        kept = self._kept.get(run_id)
        if kept is None or self._clock() - kept.fetched > WHOLE_SECONDS or self._miss(reader, kept):
            kept = _Below(run_id, {}, self._clock())
            kept.take(reader.children(run_id))
        self._kept[run_id] = kept
        self._kept.move_to_end(run_id)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)
        return tuple(sorted(kept.runs.values(), key=lambda one: one.started or 0.0))

    def _miss(self, reader: RunReader, kept: _Below) -> bool:
        """Take what is new; say whether a run that was open has ended long ago, by its clock."""
        ended = [one.ended for one in kept.runs.values() if one.ended is not None]
        found = reader.children(kept.above, max(ended) - SKEW_SECONDS if ended else None)
        was_open = {one.run_id for one in kept.runs.values() if one.running}
        kept.take(found)
        return not was_open <= {one.run_id for one in found}
