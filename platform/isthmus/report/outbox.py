"""Delivering events to a tracking store from a thread of its own: work never waits for the store.

What cannot be delivered now is kept, in order, until the store is back.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TypeVar

from isthmus.core.errors import StoreUnavailable

EventT = TypeVar("EventT")

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 15.0
PATIENCE_SECONDS = 600.0
# What is left is written on an interruption too, as far as that is a matter of seconds.
HURRY_SECONDS = 10.0
# Behind by tens of trials: writing them takes minutes, in which nothing else is told.
MANY_LEFT = 100

Sayer = Callable[[str], None]


@dataclass(frozen=True)
class _Letter:
    """Something to be done, and whose failure keeps it from being done."""

    owner: object
    call: Callable[[], None]


class Outbox:
    """Calls publishers one after another in one background thread.

    Parameters
    ----------
    tell_user : callable
        Is given a line of text when the store goes away and when it is back, from the background
        thread, and when much is left to be written at the end.
    patience_seconds : float
        How long a store may be away in a row before `close` gives up.

    Notes
    -----
    A publisher that raises `StoreUnavailable` is called with the same event again, after pauses
    that grow from 1 to 15 s, so it must bear being told twice. Everything behind it waits, for all
    of it goes to the same store. Any other error is a publisher's last: it is kept for `failures`,
    the publisher hears no more, and the others go on.

    Used as a context manager it is closed at the end; an error that ends the block is not held up.

    Examples
    --------
    >>> heard = []
    >>> with Outbox(print) as outbox:
    ...     tell = outbox.listener(heard.append)
    ...     tell("begun")
    ...     tell("over")
    >>> heard
    ['begun', 'over']
    """

    def __init__(self, tell_user: Sayer, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._say = tell_user
        self._patience = patience_seconds
        self._changed = threading.Condition()
        self._waiting: deque[_Letter] = deque()
        self._broken: dict[object, Exception] = {}
        self._away_since: float | None = None
        self._refusal: StoreUnavailable | None = None
        self._give_up_at: float | None = None
        self._pause = FIRST_PAUSE_SECONDS
        self._closing = self._in_a_hurry = False
        self._thread = threading.Thread(target=self._deliver_all, name="outbox", daemon=True)
        self._thread.start()

    def listener(self, publisher: Callable[[EventT], None]) -> Callable[[EventT], None]:
        """Make of a publisher one that nobody waits for.

        Parameters
        ----------
        publisher : callable
            Takes an event; is called from the background thread alone.

        Returns
        -------
        callable
            Takes an event and returns at once.
        """
        return lambda event: self._put(_Letter(publisher, partial(publisher, event)))

    def post(self, call: Callable[[], None], owner: object = None) -> None:
        """Have something else done in turn.

        Parameters
        ----------
        call : callable
            Like a publisher, without an event.
        owner : object, optional
            The publisher whose failure keeps it from being done; by default nothing does.
        """
        self._put(_Letter(call if owner is None else owner, call))

    @property
    def failures(self) -> tuple[Exception, ...]:
        """What publishers raised, other than that the store is away; one for each, in order."""
        with self._changed:
            return tuple(self._broken.values())

    @property
    def n_waiting(self) -> int:
        """How many events are still to be delivered."""
        with self._changed:
            return len(self._waiting)

    def require_sound(self, _: object = None) -> None:
        """Raise what a publisher raised, for work that is not to go on without it.

        Raises
        ------
        Exception
            The first of `failures`.
        """
        for failure in self.failures:
            raise failure

    def close(self, wait: bool = True) -> None:
        """Deliver what is left and stop.

        Parameters
        ----------
        wait : bool
            Whether to wait for a store that is away, and for a long queue. If not, what is not
            delivered within seconds is left; nothing is raised then.

        Raises
        ------
        StoreUnavailable
            If the store was away for longer than there is patience.
        Exception
            The first of `failures`, where everything else was delivered.
        """
        with self._changed:
            self._closing = True
            self._in_a_hurry = not wait
            self._give_up_at = None if wait else time.monotonic() + HURRY_SECONDS
            away = self._away_since is not None
            n_left = len(self._waiting)
            self._changed.notify_all()
        if wait and away:
            self._say(
                f"waiting for the tracking store, with {n_left} events left; an interruption is "
                "safe, the results are in their folders"
            )
        elif wait and n_left >= MANY_LEFT:
            self._say(
                f"writing what is left to the tracking store, {n_left} events; an interruption is "
                "safe, the same command goes on with it"
            )
        if not wait:
            self._thread.join(HURRY_SECONDS)
            return
        self._thread.join()
        if self._refusal is not None:
            raise StoreUnavailable(
                f"The tracking store must be back within {self._patience:g} s, but it was away for "
                f"longer, and {self.n_waiting} events were not delivered. Nothing is lost: the "
                "results are in the trial's folder. Run the same command again once the store "
                f"answers, and they are written. It said: {self._refusal}"
            ) from self._refusal
        self.require_sound()
        if self.n_waiting:
            raise RuntimeError(f"an outbox ended with {self.n_waiting} events undelivered")

    def __enter__(self) -> "Outbox":
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        """Close; an error that ends the block is not held up."""
        try:
            self.close(wait=kind is None)
        except KeyboardInterrupt:
            self.close(wait=False)
            raise

    def _put(self, letter: _Letter) -> None:
        """Queue something, unless its owner has failed."""
        with self._changed:
            if self._closing:
                raise RuntimeError("an outbox was used after it was closed")
            if letter.owner not in self._broken:
                self._waiting.append(letter)
                self._changed.notify_all()

    def _deliver_all(self) -> None:
        """Deliver in order until closed and empty, or given up."""
        while (letter := self._next()) is not None:
            try:
                letter.call()
            except StoreUnavailable as refusal:
                if not self._wait_for_store(refusal):
                    return
            except Exception as error:  # whatever it is: raised where the outbox is closed
                self._drop(letter.owner, error)
            else:
                self._delivered()

    def _next(self) -> _Letter | None:
        """Wait for something to deliver; None at the end."""
        with self._changed:
            while not self._waiting and not self._closing:
                self._changed.wait()
            late = self._give_up_at is not None and time.monotonic() > self._give_up_at
            return self._waiting[0] if self._waiting and not late else None

    def _delivered(self) -> None:
        """Forget what was delivered."""
        with self._changed:
            self._waiting.popleft()
            since, self._away_since = self._away_since, None
        if since is not None:
            self._say(f"the tracking store is back after {time.monotonic() - since:.0f} s")

    def _drop(self, owner: object, error: Exception) -> None:
        """Deliver nothing more to a publisher that failed."""
        with self._changed:
            self._broken[owner] = error
            self._waiting = deque(each for each in self._waiting if each.owner != owner)
            self._away_since = None
        self._say(f"not written to the tracking store any more: {error}")

    def _wait_for_store(self, refusal: StoreUnavailable) -> bool:
        """Pause; tell whether to go on."""
        now = time.monotonic()
        with self._changed:
            first = self._away_since is None
            if first:
                self._away_since, self._pause = now, FIRST_PAUSE_SECONDS
        if first:
            self._say(f"the tracking store is away, what is to be written is kept: {refusal}")
        with self._changed:
            if self._closing and self._is_over(now):
                self._refusal = refusal
                return False
            closing = self._closing  # once it is being closed it is tried at once
            self._changed.wait_for(
                lambda: self._in_a_hurry or self._closing != closing, timeout=self._pause
            )
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
            return True

    def _is_over(self, now: float) -> bool:
        """Tell whether a store that is away is not waited for any longer."""
        since = now if self._away_since is None else self._away_since
        return self._in_a_hurry or now - since >= self._patience
