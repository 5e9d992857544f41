"""What was last seen of a source, kept for as long as it is away."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar, cast

from isthmus.core.errors import IsthmusError
from isthmus_dashboard.source import Entry, Missing, Source, Standing

SeenT = TypeVar("SeenT")


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


class LastSeen:
    """Ask a source, and remember its answers for when it is away.

    Parameters
    ----------
    source : Source
        Whom to ask.
    now : callable
        Tells the time.
    """

    def __init__(
        self, source: Source, now: Callable[[], datetime] = lambda: datetime.now().astimezone()
    ) -> None:
        self.source = source
        self._now = now
        self._kept: dict[Hashable, tuple[object, datetime]] = {}
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
