"""Things that are timed in turns, so that a machine that slows down slows all of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

_TURN_S = 0.06
_MOST_CALLS = 30


class Clock:
    """Takes the time on the CPU, or in the queue of a GPU.

    Parameters
    ----------
    device : torch.device
        What computes.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"

    def mark(self) -> Any:
        """Take the time."""
        if not self._on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def wait(self) -> None:
        """Wait until everything is done that was asked for."""
        if self._on_gpu:
            torch.cuda.synchronize()

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        """Return the seconds between each mark and the next; on a GPU, after waiting."""
        between = pairwise(marks)
        if self._on_gpu:
            return [earlier.elapsed_time(later) / 1e3 for earlier, later in between]
        return [later - earlier for earlier, later in between]


@dataclass(frozen=True)
class Ratio:
    """How much longer one thing takes than another, round by round.

    Attributes
    ----------
    median, lowest, highest : float
        Over the rounds.
    """

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, longer: Sequence[float], shorter: Sequence[float]) -> "Ratio":
        """Divide each round's seconds."""
        ratios = [a / b for a, b in zip(longer, shorter, strict=True)]
        return cls(statistics.median(ratios), min(ratios), max(ratios))

    def described(self) -> str:
        """Write the median, and the range that the rounds span."""
        return f"**{self.median:.2f}** ({self.lowest:.2f} to {self.highest:.2f})"


def in_turns(
    acts: Mapping[str, Callable[[Clock], list[Any]]], n_rounds: int, device: torch.device
) -> dict[str, list[list[float]]]:
    """Time some acts in turns.

    Each act returns the marks it took. A turn is one call that does not count, then calls for a
    while; who begins changes with the round. Returned are, by act and round, the medians of the
    seconds between its marks.
    """
    clock, names = Clock(device), list(acts)
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    for number in range(n_rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            found[name].append(_turn(acts[name], clock))
    return found


def _turn(act: Callable[[Clock], list[Any]], clock: Clock) -> list[float]:
    """Take one turn."""
    act(clock)
    clock.wait()
    started = time.perf_counter()
    marks = [act(clock)]
    clock.wait()
    one = time.perf_counter() - started
    n_calls = max(1, min(_MOST_CALLS, round(_TURN_S / one)))
    marks += [act(clock) for _ in range(n_calls - 1)]
    clock.wait()
    between = [clock.seconds(each) for each in marks]
    return [statistics.median(values) for values in zip(*between, strict=True)]
