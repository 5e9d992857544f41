"""Which numbers of a run a tracking store has already, so that none is written twice."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple


class Point(NamedTuple):
    """One number as a tracking store keeps it.

    Attributes
    ----------
    name : str
        Of the metric.
    value : float
        May be NaN.
    timestamp : int
        Milliseconds since 1970.
    step : int
        Such as the epoch; 0 for a number of the whole run.
    """

    name: str
    value: float
    timestamp: int
    step: int


class MetricMemory:
    """Remembers what a run's metrics are.

    Parameters
    ----------
    latest : Mapping of str to float
        Latest value of each metric when the run was opened.
    ask_history : callable
        Looks up the step and the timestamp of each number that the store has of a metric.

    Notes
    -----
    A request whose answer was lost may have been heard. Its numbers keep their timestamp when they
    are sent again, by which the store knows them, so that they are kept once.
    """

    def __init__(
        self,
        latest: Mapping[str, float],
        ask_history: Callable[[str], Iterable[tuple[int, int]]],
    ) -> None:
        self._latest = dict(latest)
        # The store is asked once, when a metric from before the opening is logged again.
        self._earlier = frozenset(latest)
        self._ask_history = ask_history
        self._steps: dict[str, set[int]] = {}
        self._newest: dict[str, int] = {}
        self._unsure: dict[tuple[str, float, int], int] = {}

    def missing(self, metrics: Mapping[str, float], step: int | None) -> list[Point]:
        """List the numbers that are still to be written.

        Parameters
        ----------
        metrics : Mapping of str to float
            Numbers by name.
        step : int or None
            None: numbers of the whole run, which replace earlier ones.

        Returns
        -------
        list of Point
            With the timestamp to write them with.
        """
        now = time.time_ns() // 1_000_000
        points = []
        for name, value in metrics.items():
            if not self._has(name, float(value), step):
                key = (name, float(value), step or 0)
                if key not in self._unsure:
                    self._unsure[key] = self._stamp(name, now)
                timestamp = self._unsure[key]
                points.append(Point(name, float(value), timestamp, step or 0))
        return points

    def wrote(self, points: Iterable[Point], step: int | None) -> None:
        """Remember what the store has taken.

        Parameters
        ----------
        points : iterable of Point
            As `missing` listed them.
        step : int or None
            As given to `missing`.
        """
        for point in points:
            self._unsure.pop((point.name, point.value, point.step), None)
            self._latest[point.name] = point.value
            if step is not None:
                self._known_steps(point.name).add(step)

    def _has(self, name: str, value: float, step: int | None) -> bool:
        """Tell whether a number need not be written again."""
        if step is None:
            return self._latest.get(name) == value
        return step in self._known_steps(name)

    def _known_steps(self, name: str) -> set[int]:
        """Look up the steps a metric is recorded at, asking the store once."""
        if name not in self._steps:
            kept = tuple(self._ask_history(name)) if name in self._earlier else ()
            self._steps[name] = {step for step, _ in kept}
            stamps = (timestamp for _, timestamp in kept)
            self._newest[name] = max(stamps, default=self._newest.get(name, 0))
        return self._steps[name]

    def _stamp(self, name: str, now: int) -> int:
        """Choose a timestamp later than all that the metric has."""
        self._known_steps(name)
        self._newest[name] = max(now, self._newest[name] + 1)
        return self._newest[name]
