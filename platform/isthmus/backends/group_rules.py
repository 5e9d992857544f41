"""When a group of training workers is begun again, and with how many: the rules, without Ray."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus.backends.ray_worker import Noticeboard
from isthmus.core.errors import NoRoom
from isthmus.training.checkpoint import LAST_FILE


@dataclass(frozen=True)
class GroupRules:
    """What the policies go by, for one launch.

    Attributes
    ----------
    sizes : tuple of int
        The numbers of workers that will do, the fewest first.
    max_failures : int
        Failures of the training's own that are borne.
    wait_minutes : float
        How long room for the workers is waited for.
    fold : int
        Number of the fold, for messages.
    directory : Path
        The task's folder, where the last checkpoint is.
    board : Noticeboard
        What workers and driver have to say.
    """

    sizes: tuple[int, ...]
    max_failures: int
    wait_minutes: float
    fold: int
    directory: Path
    board: Noticeboard

    @property
    def is_elastic(self) -> bool:
        """Whether the number of workers may change."""
        return len(self.sizes) > 1

    def fitting(self, room: int) -> int:
        """Say how many workers to start where there is room for so many.

        Parameters
        ----------
        room : int
            Workers that could be placed.

        Returns
        -------
        int
            The most of `sizes` that fit; 0 where there are too few.
        """
        return max((n for n in self.sizes if n <= room), default=0)

    @property
    def mark(self) -> int:
        """Stands for the last checkpoint: another one, another mark; 0 before the first."""
        try:
            return (self.directory / LAST_FILE).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def no_room(self, each: Mapping[str, float]) -> NoRoom:
        """Say that the workers were waited for in vain.

        Parameters
        ----------
        each : Mapping of str to float
            What one worker reserves.

        Returns
        -------
        NoRoom
            To be raised.
        """
        least = f" (or {self.sizes[0]}: execution.min_workers)" if self.is_elastic else ""
        return NoRoom(
            f"The {self.sizes[-1]} workers{least} of fold {self.fold} must find room on the "
            f"cluster, but for {self.wait_minutes:g} minutes (execution.worker_wait_minutes) so "
            f"much was not free: each needs {dict(each)}. Wait for what runs there, add nodes or "
            "set fewer of them; run the command again to go on from the last checkpoint in "
            f"{self.directory}."
        )


@dataclass(frozen=True)
class GroupFailure:
    """A group of workers that failed.

    Attributes
    ----------
    nodes : frozenset of str
        Where its workers were.
    mark : int
        `GroupRules.mark` at that time.
    """

    nodes: frozenset[str]
    mark: int


def n_charged(failures: Sequence[GroupFailure], dead: frozenset[str]) -> int:
    """Count the failures that are the training's own.

    Parameters
    ----------
    failures : sequence of GroupFailure
        In the order in which they happened.
    dead : frozenset of str
        Nodes that are lost by now.

    Returns
    -------
    int
        All but those by which a node was lost that no later group was on, where a checkpoint was
        written since the failure before: a training that brings its nodes down gets no further.

    Examples
    --------
    >>> lost = GroupFailure(frozenset({"a", "b"}), mark=1)
    >>> crashed = GroupFailure(frozenset({"a"}), mark=2)
    >>> n_charged([lost, crashed], dead=frozenset({"b"}))
    1
    """
    charged, later = 0, frozenset[str]()
    before = [None, *(failure.mark for failure in failures)]
    for failure, mark_before in reversed(list(zip(failures, before, strict=False))):
        is_lost = bool((failure.nodes - later) & dead)
        charged += not (is_lost and failure.mark != mark_before)
        later |= failure.nodes
    return charged
