"""What a search does next: which trial is begun, goes on, is stopped, is begun again.

The ledger is the only truth about which trials there are, a trial's folder about its work: killed
at any moment, a director made anew on the same ledger goes on where the last one was. Whoever runs
the trials (`isthmus.backends.ray_tune`) asks and tells, and decides nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from isthmus.config.search_space import SearchSpace
from isthmus.core.errors import ConfigError
from isthmus.study.attempt import Assignment, Ending
from isthmus.study.budget import Meter
from isthmus.study.events import (
    SearchHalting,
    StudyListener,
    TrialBegun,
    TrialOver,
    TrialRetried,
    TrialTold,
)
from isthmus.study.judge import Judge
from isthmus.study.ledger import Ledger
from isthmus.study.outcome import (
    failed,
    finished,
    fold_failed,
    repeated,
    same_experiment,
    stopped,
)
from isthmus.study.prospects import Prospect, Prospects
from isthmus.study.records import SPENDS_BUDGET, TrialRecord
from isthmus.study.retries import Retries, shared_fault
from isthmus.study.stopper import Stopper
from isthmus.training.order import smaller_micro_batch
from isthmus.trial.events import FoldFailed, TrialEvent, TrialFinished, TrialStarted
from isthmus.trial.records import TrialResult

# Suggestions in a row of which none could be begun: the space is used up, or next to nothing of it
# can be built.
MOST_IN_VAIN = 200


@dataclass
class _Running:
    """A trial that is being run."""

    record: TrialRecord
    prospect: Prospect


class Director:
    """Decides the course of a search.

    Parameters
    ----------
    space : SearchSpace
        What is searched, how, and what it may cost.
    ledger : Ledger
        Keeps the trials.
    prospects : Prospects
        Makes experiments of points.
    stopper : Stopper
        The scheduler, made anew.
    n_slots : int
        Trials at a time. No point is chosen before there is a slot for it, so that the sampler
        knows all that can be known.
    result_of : callable
        Reads a finished trial's result, by the name of its folder.
    tell : callable
        Hears of the search's course.
    gpus_per_trial : float
        Of all its workers together.

    Attributes
    ----------
    why_halted : str or None
        Why the search ended before its number of trials was reached, where it did.
    disk_full : str or None
        What a trial said that found no room left, where that is why it ended.

    Notes
    -----
    Not for several threads at once.
    """

    def __init__(
        self,
        space: SearchSpace,
        ledger: Ledger,
        prospects: Prospects,
        stopper: Stopper,
        n_slots: int,
        result_of: Callable[[str], TrialResult],
        tell: StudyListener,
        gpus_per_trial: float = 0.0,
    ) -> None:
        self._space = space
        self._ledger = ledger
        self._prospects = prospects
        self._n_slots = n_slots
        self._result_of = result_of
        self._tell = tell
        self._running: dict[int, _Running] = {}
        self._retries = Retries(prospects.max_failures)
        self._in_vain = 0
        self._used_up = False
        self.why_halted: str | None = None
        self.disk_full: str | None = None
        self._judge = Judge(space, stopper, ledger)
        self._records = self._judge.recall(ledger.trials())
        self._meter = Meter(space.budget, ledger, self._records.values(), gpus_per_trial)
        self._waiting = [r for r in self._records.values() if r.state == "running"]

    def next(self) -> Assignment | Literal["wait", "done"]:
        """Say which trial is to be begun now.

        Returns
        -------
        Assignment, "wait" or "done"
            A trial; nothing before another trial is over; nothing any more.

        Raises
        ------
        IsthmusError
            If the ledger cannot be written.
        """
        self._watch_budget()
        while self.why_halted is None and len(self._running) < self._n_slots:
            assignment = self._choose()
            if assignment is not None:
                return assignment
            if not self._waiting and self._is_complete:
                break
        return "wait" if self._running else "done"

    def hear(self, number: int, event: TrialEvent) -> bool:
        """Hear of an event within a running trial.

        Parameters
        ----------
        number : int
            The trial.
        event : TrialEvent
            What happened.

        Returns
        -------
        bool
            Whether it is to go on. Of one that is not, `end` is told all the same.
        """
        running = self._running.get(number)
        if running is None:
            return False
        self._retries.hear(number, event)
        record = self._meter.tick(running.record)
        if isinstance(event, TrialStarted):
            leaky = event.config.volumes.normalisation.leaky
            record = replace(record, facts=dict(event.facts), leaky=leaky)
        running.record = self._keep(record)
        self._tell(TrialTold(number, event))
        self._watch_budget()
        if isinstance(event, FoldFailed):
            # The other folds would be trained for a mean that cannot be taken.
            running.record = self._fail(fold_failed(running.record, event.failure))
            return False
        running.record, go_on = self._judge.hear(running.record, event)
        self._records[number] = running.record
        if not go_on:
            running.record = self._close(stopped(running.record, self._space.scheduler))
            return False
        return self.why_halted is None or isinstance(event, TrialFinished)

    def end(self, number: int, ending: Ending) -> None:
        """Hear that an attempt is over.

        Parameters
        ----------
        number : int
            The trial.
        ending : Ending
            How it ended.
        """
        running = self._running.pop(number, None)
        if running is None:
            return
        record = self._meter.tick(running.record, is_last=True)
        if record.state != "running":  # was closed when it was told to stop
            return
        self._keep(record, at_once=True)
        match ending.kind:
            case "finished":
                self._finish(record, running.prospect)
            case "failed":
                self._fail(failed(record, ending.error, ending.message))
            case "memory":
                self._retry_smaller(record, running.prospect, ending)
            case "died" | "gone" | "lost" | "busy" | "room":
                self._retry(record, ending)
            case "disk":
                self.disk_full = self.disk_full or ending.message
                self.halt(ending.message)
            case "halted":
                pass  # it stays running in the ledger, and is taken up by the next sitting

    def halt(self, why: str) -> None:
        """Begin no further trial, and stop those that run where they can go on later.

        Parameters
        ----------
        why : str
            The reason.
        """
        if self.why_halted is None:
            self.why_halted = why
            self._tell(SearchHalting(why))

    @property
    def records(self) -> tuple[TrialRecord, ...]:
        """All trials as they stand, by number."""
        return tuple(self._records[number] for number in sorted(self._records))

    def close(self) -> None:
        """Note what this sitting has spent."""
        self._meter.note()

    @property
    def is_interrupted(self) -> bool:
        """Whether there are trials that were begun and are not over."""
        return any(record.state == "running" for record in self._records.values())

    @property
    def _is_complete(self) -> bool:
        """Whether no further point is to be chosen."""
        n_begun = sum(record.state in SPENDS_BUDGET for record in self._records.values())
        return self._used_up or n_begun >= self._space.budget.n_trials

    def _choose(self) -> Assignment | None:
        """Take up what was left unfinished, or a new point; None if that cannot be begun."""
        if self._waiting:
            return self._consider(self._waiting.pop(0))
        record = None if self._is_complete else self._ledger.suggest()
        if record is None:
            self._used_up = True
            return None
        self._in_vain += 1
        if self._in_vain > MOST_IN_VAIN:
            self.halt(
                f"of {MOST_IN_VAIN} suggestions in a row none could be begun: each was tried "
                "before or cannot be built. The space is used up, or too little of it fits this "
                "cohort and machine; see the reasons of the infeasible trials"
            )
        return self._consider(record)

    def _consider(self, record: TrialRecord) -> Assignment | None:
        """Begin a trial, unless it cannot be built or is another one already."""
        try:
            prospect = self._prospects.make(record.point, record.changed)
        except ConfigError as error:
            self._close(replace(record, state="infeasible", reason=str(error)))
            return None
        record = replace(record, digest=prospect.digest, folder=prospect.folder)
        same = None if record.attempts else same_experiment(record, self.records)
        if same is not None:
            self._close(repeated(record, same))
            return None
        self._in_vain = 0
        return self._begin(record, prospect)

    def _begin(self, record: TrialRecord, prospect: Prospect) -> Assignment:
        """Hand a trial out."""
        record = replace(record, attempts=record.attempts + 1)
        self._meter.begin(record.number)
        self._judge.begin(record.number)
        self._retries.begin(record.number)
        self._running[record.number] = _Running(self._keep(record, at_once=True), prospect)
        self._tell(TrialBegun(record))
        return Assignment(record.number, prospect.experiment)

    def _finish(self, record: TrialRecord, prospect: Prospect) -> None:
        """Read what a trial found."""
        try:
            result = self._result_of(prospect.folder)
        except (OSError, LookupError, TypeError, ValueError) as error:
            self._fail(failed(record, type(error).__name__, f"its result is unreadable: {error}"))
            return
        done = finished(record, result, self._space.objectives)
        if done.state == "finished":
            self._close(done)
        else:
            self._fail(done)

    def _fail(self, record: TrialRecord) -> TrialRecord:
        """Close a trial as failed; give up if nothing else ever happens."""
        self._close(record)
        states = [r.state for r in self._records.values()]
        n_done = states.count("finished") + states.count("stopped")
        fault = shared_fault(states.count("failed"), n_done, str(record.reason), "trials")
        if fault is not None:
            self.halt(fault)
        return record

    def _retry_smaller(self, record: TrialRecord, prospect: Prospect, ending: Ending) -> None:
        """Begin a trial again with less in memory at a time, and the same global batch."""
        config = prospect.experiment.config
        smaller = smaller_micro_batch(config, config.execution.workers)
        if smaller is None:
            self._fail(failed(record, ending.error, ending.message))
            return
        record = replace(record, changed={**record.changed, **smaller})
        changed = ", ".join(f"{path}: {value}" for path, value in smaller.items())
        self._again(record, f"it ran out of memory and is begun again with {changed}")

    def _retry(self, record: TrialRecord, ending: Ending) -> None:
        """Begin a trial again whose process is gone, unless that happened too often."""
        verdict = self._retries.after(record.number, ending)
        if verdict.again:
            self._again(record, verdict.why)
        elif verdict.halts:
            self.halt(verdict.why)
        else:
            self._fail(failed(record, ending.error, verdict.why))

    def _again(self, record: TrialRecord, why: str) -> None:
        """Queue a trial for another attempt, before anything new."""
        self._waiting.insert(0, self._keep(record, at_once=True))
        self._tell(TrialRetried(record, why))

    def _keep(self, record: TrialRecord, at_once: bool = False) -> TrialRecord:
        """Keep what has become of a trial that is not over."""
        self._records[record.number] = record
        if at_once or self._meter.is_due(record.number):
            self._ledger.save(record)
        return record

    def _close(self, record: TrialRecord) -> TrialRecord:
        """Keep a final state."""
        self._records[record.number] = record
        self._ledger.save(record)
        self._tell(TrialOver(record))
        return record

    def _watch_budget(self) -> None:
        """Halt once hours are spent."""
        spent = self._meter.what_is_spent()
        if spent is not None:
            self.halt(spent)
