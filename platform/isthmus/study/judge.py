"""Which trials are stopped early, compared at equal levels alone.

A level is a number of finished folds, or an epoch of the first fold. Reports are kept in the
ledger, so that trials of earlier sittings are compared with too.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from isthmus.config.search_space import Categorical, IntRange, SearchSpace
from isthmus.core.ports import EpochEvent
from isthmus.study.ledger import Ledger
from isthmus.study.records import TrialRecord
from isthmus.study.stopper import Stopper
from isthmus.trial.events import FoldFinished, TrialEvent

MONITORED = "monitor_mse"


def levels_of(space: SearchSpace, n_epochs: int, n_folds: int) -> int:
    """Count the levels of a whole trial.

    Parameters
    ----------
    space : SearchSpace
        Its scheduler says what a level is.
    n_epochs : int
        Epochs of the experiment; the most of them, where they are searched.
    n_folds : int
        Folds.

    Returns
    -------
    int
        The largest level that a trial can come to.
    """
    if space.scheduler.unit == "fold":
        return n_folds
    searched = space.space.get("training.epochs")
    if isinstance(searched, IntRange):
        return searched.high
    return max(searched.choices) if isinstance(searched, Categorical) else n_epochs


class Judge:
    """Reads from trials' events how they stand, and asks the scheduler.

    Parameters
    ----------
    space : SearchSpace
        Its scheduler says what a level is; its first objective is compared.
    stopper : Stopper
        The scheduler, made anew.
    ledger : Ledger
        Keeps the reports.
    """

    def __init__(self, space: SearchSpace, stopper: Stopper, ledger: Ledger) -> None:
        self._scheduler = space.scheduler
        self._metric = space.objectives[0].metric
        self._stopper = stopper
        self._ledger = ledger
        self._scores: dict[int, dict[int, float]] = {}

    def recall(self, records: Iterable[TrialRecord]) -> dict[int, TrialRecord]:
        """Tell the scheduler of what earlier sittings told it.

        Parameters
        ----------
        records : iterable of TrialRecord
            All trials.

        Returns
        -------
        dict of int to TrialRecord
            The trials by number. Of one that is still running the last report is left out: a
            driver may have been killed before it was judged, so it is judged when it is told again.
        """
        kept = {}
        for record in records:
            if record.state == "running":
                record = replace(record, reports=record.reports[:-1])
            for level, value in record.reports:
                self._stopper.recall(record.number, level, value)
            kept[record.number] = record
        return kept

    def begin(self, number: int) -> None:
        """Forget what an earlier attempt told of its folds.

        Parameters
        ----------
        number : int
            The trial, which is begun, or begun again.
        """
        self._scores[number] = {}

    def hear(self, record: TrialRecord, event: TrialEvent) -> tuple[TrialRecord, bool]:
        """Judge a trial, where an event brings it to another level.

        Parameters
        ----------
        record : TrialRecord
            The trial.
        event : TrialEvent
            What happened.

        Returns
        -------
        record : TrialRecord
            With its report, if there is one.
        go_on : bool
            False if it is to be stopped.
        """
        told = self._told(record, event)
        if told is None or any(level == told[0] for level, _ in record.reports):
            return record, True
        go_on = self._stopper.report(record.number, *told)
        self._ledger.report(record.number, *told)
        return replace(record, reports=tuple(sorted((*record.reports, told)))), go_on

    def _told(self, record: TrialRecord, event: TrialEvent) -> tuple[int, float] | None:
        """Read a level and a value; None where nothing can be saved, or there is no number."""
        level, value = 0, math.nan
        if self._scheduler.kind == "none":
            return None
        if self._scheduler.unit == "epoch":
            # Held-out subjects are not looked at while training.
            if isinstance(event, EpochEvent) and event.fold == 0:
                level, value = event.epoch, event.metrics.get(MONITORED, math.nan)
        elif isinstance(event, FoldFinished):
            scores = self._scores[record.number]
            scores[event.result.number] = event.result.metrics.get(self._metric, math.nan)
            level, value = len(scores), sum(scores.values()) / len(scores)
            if level >= int(record.facts.get("n_folds", 1)):
                return None
        return (level, value) if level and math.isfinite(value) else None
