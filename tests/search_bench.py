"""A search's director on a real ledger, told the events of a real trial with other numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from isthmus.config.search_space import SearchSpace
from isthmus.study.attempt import Assignment, Ending
from isthmus.study.director import Director
from isthmus.study.events import StudyEvent, TrialOver
from isthmus.study.prospects import Prospects
from isthmus.study.records import TrialRecord
from isthmus.study.stopper import NeverStop, Stopper
from isthmus.trial.events import FoldFailed, FoldFinished, TrialEvent, TrialFinished, TrialStarted
from isthmus.trial.records import FoldFailure, TrialResult
from isthmus.trial.run import PreparedTrial

SIZES = {"model.embedding_size": {"kind": "categorical", "choices": [64, 128, 192, 256, 320, 384]}}


def space_of(dimensions: dict[str, Any] | None = None, **settings: Any) -> SearchSpace:
    """Make a space without a file."""
    settings = {"sampler": {"kind": "random"}, "budget": {"n_trials": 4}, **settings}
    return SearchSpace.model_validate({"space": dimensions or SIZES, **settings})


def mse_of_size(assignment: Assignment, fold: int) -> float:
    """Larger embeddings are better here."""
    return 1.0 / assignment.experiment.config.model.embedding_size + 0.0001 * fold


@dataclass
class Bench:
    """Directors of one search, one after another, and what they were told."""

    base: PreparedTrial
    events: list[TrialEvent]
    result: TrialResult
    storage: str
    results: dict[str, TrialResult] = field(default_factory=dict)
    told: list[StudyEvent] = field(default_factory=list)
    ledger: Any = None
    mse: Callable[[Assignment, int], float] = mse_of_size
    why_not: Callable[[Any], str | None] = lambda _: None

    def director(
        self,
        space: SearchSpace,
        n_slots: int = 1,
        stopper: Stopper | None = None,
        gpus: float = 0.0,
    ) -> Director:
        """Begin a sitting."""
        from isthmus.backends.optuna_search import OptunaLedger

        self.close()
        self.ledger = OptunaLedger(self.storage, "study", space, seed=0)
        prospects = Prospects(self.base, space, {"threads_per_worker": 1}, self.why_not)
        return Director(
            space,
            self.ledger,
            prospects,
            stopper or NeverStop(),
            n_slots,
            self.results.__getitem__,
            self.told.append,
            gpus,
        )

    def close(self) -> None:
        """End a sitting, as a kill would: only the ledger's connections are let go of."""
        if self.ledger is not None:
            self.ledger.close()
            self.ledger = None

    def course(self, assignment: Assignment) -> list[TrialEvent]:
        """Tell what a trial of these settings would tell, as `mse` has it."""
        config, folds = assignment.experiment.config, []
        for fold in self.result.folds:
            mse = self.mse(assignment, fold.number)
            folds.append(replace(fold, metrics={**fold.metrics, "validation_mse": mse}))
        size = {"embedding_size": config.model.embedding_size}
        result = replace(self.result, folds=tuple(folds), facts={**self.result.facts, **size})
        events: list[TrialEvent] = []
        for event in self.events:
            match event:
                case TrialStarted():
                    events.append(replace(event, config=config, facts={**event.facts, **size}))
                case FoldFinished():
                    number = event.result.number
                    events.append(replace(event, result=folds[number]))
                case TrialFinished():
                    events.append(replace(event, result=result))
                case _:
                    events.append(event)
        return events

    def play(self, director: Director, assignment: Assignment, n_events: int = 10_000) -> bool:
        """Run a trial to its end, or to where it is told to stop, or for some events only."""
        for event in self.course(assignment)[:n_events]:
            if isinstance(event, TrialFinished):
                self.results[self.record(director, assignment.number).folder] = event.result
            if not director.hear(assignment.number, event):
                director.end(assignment.number, Ending("halted"))
                return False
        if n_events == 10_000:
            director.end(assignment.number, Ending("finished"))
        return True

    def play_all(self, director: Director) -> list[Assignment]:
        """Run a search to its end, one trial after another."""
        run = []
        while isinstance(assignment := director.next(), Assignment):
            run.append(assignment)
            self.play(director, assignment)
        assert assignment == "done"
        director.close()
        return run

    def record(self, director: Director, number: int) -> TrialRecord:
        """Look up a trial."""
        return next(record for record in director.records if record.number == number)

    def diverge(self, director: Director, assignment: Assignment) -> bool:
        """Let a trial's first fold diverge."""
        failure = FoldFailure(0, "TrainingDiverged", "the loss is not finite")
        director.hear(assignment.number, self.course(assignment)[0])
        return director.hear(assignment.number, FoldFailed(failure, Path()))

    @property
    def over(self) -> list[TrialRecord]:
        """Trials that were told to be over, in order."""
        return [event.record for event in self.told if isinstance(event, TrialOver)]
