"""What was last seen of a source, kept for as long as it is away."""

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar, cast

from isthmus.core.errors import IsthmusError
from isthmus_dashboard.source import Entry, Missing, Source, Standing

SeenT = TypeVar("SeenT")
CHEAP_SECONDS = 0.25
"""An answer that takes no longer is asked for each time."""
SHARE = 0.2
"""Of the time, what asking for one thing may take, however many look and however often."""


@dataclass(frozen=True)
class Seen(Generic[SeenT]):
    """Something of a source, as it is now or as it was last seen.

    Attributes
    ----------
    value : SeenT or None
        None if it was never seen.
    away : str
        Why it cannot be seen now; empty if it can.
    last : datetime or None
        When it was last seen, with its time zone; None if never.
    """

    value: SeenT | None
    away: str = ""
    last: datetime | None = None


@dataclass
class _Turn:
    """Whose turn it is to ask for something."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    n_waiting: int = 0


class LastSeen:
    """Ask a source, and remember its answers for when it is away.

    Parameters
    ----------
    source : Source
        Whom to ask.
    now : callable
        Tells the time of day.
    clock : callable
        Tells the seconds since some moment.

    Notes
    -----
    Each page looks every few seconds, and a search of thousands of trials takes seconds to sum up.
    What took long is therefore given again for a while, and who asks for it meanwhile waits for
    the same answer.
    """

    def __init__(
        self,
        source: Source,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.source = source
        self._now, self._clock = now, clock
        self._kept: dict[Hashable, tuple[object, datetime]] = {}
        self._fresh: dict[Hashable, tuple[object, float]] = {}
        self._asking: dict[Hashable, _Turn] = {}
        self._alone = threading.Lock()

    def entries(self) -> Seen[tuple[Entry, ...]]:
        """List what there is.

        Returns
        -------
        Seen
            The newest first.
        """
        return self._seen("entries", self.source.entries)

    def standing(self, key: str) -> Seen[Standing]:
        """Say how a study stands.

        Parameters
        ----------
        key : str
            Names it in addresses.

        Returns
        -------
        Seen
            Of the study.

        Raises
        ------
        Missing
            If the source is there and has no such study.
        """
        return self._seen(("standing", key), partial(self.source.standing, key))

    def _seen(self, what: Hashable, ask: Callable[[], SeenT]) -> Seen[SeenT]:
        """Ask when it is time to, one at a time."""
        with self._turn(what):
            with self._alone:
                seen, until = self._fresh.get(what, (None, 0.0))
            begun = self._clock()
            if seen is not None and begun < until:
                return cast("Seen[SeenT]", seen)
            answer = self._asked(what, ask)
            ended = self._clock()
            took = ended - begun
            with self._alone:
                self._fresh.pop(what, None)
                if took > CHEAP_SECONDS and not answer.away:
                    self._fresh[what] = (answer, ended + took * (1 / SHARE - 1))
            return answer

    @contextmanager
    def _turn(self, what: Hashable) -> Iterator[None]:
        """Wait until nobody else asks for the same."""
        with self._alone:
            turn = self._asking.setdefault(what, _Turn())
            turn.n_waiting += 1
        try:
            with turn.lock:
                yield
        finally:
            with self._alone:
                turn.n_waiting -= 1
                if not turn.n_waiting:  # an address may name anything, and again and again
                    del self._asking[what]

    def _asked(self, what: Hashable, ask: Callable[[], SeenT]) -> Seen[SeenT]:
        """Ask; where no answer comes, give the last one."""
        try:
            value = ask()
        except Missing:
            raise
        except (IsthmusError, OSError) as error:
            with self._alone:
                kept, last = self._kept.get(what, (None, None))
            return Seen(cast("SeenT | None", kept), str(error), last)
        now = self._now()
        with self._alone:
            self._kept[what] = (value, now)
        return Seen(value, last=now)
