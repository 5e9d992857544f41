"""Ray Tune as what runs trials, or folds of them: placement, processes, their deaths.

What is decided is decided by the director, on a ledger that outlives all of this: Tune's own state
is of no use to a later sitting, so each begins a run of Tune of its own and throws it away.
"""

import contextlib
import json
import logging
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray.tune
from ray.tune import FailureConfig, RunConfig, TuneConfig, Tuner
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from isthmus.backends.permit import grant, withdraw
from isthmus.backends.process_endings import (
    Process,
    ending_of_error,
    endings_of_kill,
    error_of,
    process_of,
    require_survivable,
)
from isthmus.backends.tune_worker import (
    ENDING,
    EVENT,
    NUMBER,
    PERMIT,
    Work,
    packed,
    train_and_draw,
    work_in_process,
)
from isthmus.backends.worker_share import TrialShare
from isthmus.core.errors import ResourceError
from isthmus.core.files import room_needed
from isthmus.study.attempt import Assignment, Director, Ending
from isthmus.trial.wire import from_wire

_POLL_SECONDS = 0.2
_MOST_KILLED_AT_ONCE = 100
# No process of a trial's gets as far as its first line of ours in so short a time. One that ends
# sooner says nothing of the trial; two in a row, that Ray starts none: after the head was lost and
# came back with what it knew, say.
_STILLBORN_SECONDS, _MOST_STILLBORN = 3.0, 2


@dataclass(frozen=True)
class TuneExecutor:
    """Run what a director hands out (`isthmus.core.ports.TrialExecutor`), in a `ray_session`.

    Attributes
    ----------
    share : TrialShare
        What each trial reserves.
    folder : Path
        The search's or the ablation's; every node must reach it. Tune keeps what it cannot do
        without below it while this lasts.
    work : callable
        What is done for each trial, in a process of Tune's.

    Notes
    -----
    A trial of one worker trains in the process that Tune gave it, which the next trial is given
    too; one of several workers is a driver there, of a nested Ray Train.
    """

    share: TrialShare
    folder: Path
    work: Work = train_and_draw

    def run(self, director: Director) -> None:
        """Run what the director says until there is nothing more.

        Parameters
        ----------
        director : Director
            Is asked and told from a thread of this call's own.

        Raises
        ------
        Exception
            What the director raised, such as that its ledger cannot be written.
        ResourceError
            If Ray itself is gone, or starts no processes any more.
        """
        scratch = self.folder / ".tune"
        link = _Link(director, scratch / "permits")
        try:
            while (failure := self._fit(link, scratch)) is not None:
                link.survive(failure)
        except BaseException:
            link.is_over = True
            raise
        if link.failure is not None:
            raise link.failure

    def _fit(self, link: "_Link", scratch: Path) -> BaseException | None:
        """Begin a run of Tune and wait for its end; return what it raised."""
        shutil.rmtree(scratch, ignore_errors=True)
        # It would print a stack when what it notes of itself finds no room, and name, by numbers of
        # its own, attempts that were begun again since; nobody reads that.
        for name in ("execution.experiment_state", "tune"):
            logging.getLogger(f"ray.tune.{name}").setLevel(logging.CRITICAL)
        failures: list[BaseException] = []

        def fit() -> None:
            """Wait for Tune, aside: in the main thread it would take over Ctrl-C."""
            try:
                self._tuner(link, scratch).fit()
            except BaseException as error:
                failures.append(error)

        tune = threading.Thread(target=fit, name="ray-tune", daemon=True)
        tune.start()
        try:
            while tune.is_alive():
                tune.join(_POLL_SECONDS)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return failures[0] if failures else None

    def _tuner(self, link: "_Link", scratch: Path) -> Tuner:
        """Describe the run to Ray Tune."""
        work = self.work

        def trial(config: dict[str, Any]) -> None:
            """Run a trial in a process of Tune's."""
            work_in_process(config, work)

        return Tuner(
            ray.tune.with_resources(trial, self.share.resources),
            tune_config=TuneConfig(
                search_alg=_Suggestions(link),
                scheduler=_Decisions(link),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=RunConfig(
                name=uuid.uuid4().hex[:12],
                storage_path=str(scratch),
                verbose=0,
                failure_config=FailureConfig(max_failures=0),
            ),
        )


class _Link:
    """What Tune's two seams share: the director, and how each trial ended.

    An error of the director's would be wrapped by Tune beyond recognition, so it is kept here, and
    everything is brought to an end.
    """

    def __init__(self, director: Director, permits: Path) -> None:
        self.director = director
        self.permits = permits
        self.is_over = False
        self.failure: BaseException | None = None
        self.endings: dict[int, Ending] = {}
        self.running: dict[int, Process | None] = {}
        self.n_begun = 0
        self.begun_at: dict[int, float] = {}
        self.n_stillborn = 0
        self.controller: Any = None

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Leave nothing for Tune's own record of a run, which nobody goes on from."""
        return object, ()

    def ask(self, question: Callable[[], Any], otherwise: Any) -> Any:
        """Ask the director, unless something went wrong before."""
        if self.is_over:
            return otherwise
        try:
            return question()
        except BaseException as error:
            self.failure, self.is_over = error, True
            return otherwise

    def begin(self, number: int) -> None:
        """Note that an attempt is handed out."""
        self.running[number] = None
        self.begun_at[number] = time.monotonic()
        self.n_begun += 1

    def require_births(self, number: int, ending: Ending) -> None:
        """Raise if Ray starts no processes any more: no trial is to blame, and none is to fail."""
        unheard = self.running.get(number) is None
        age = time.monotonic() - self.begun_at.get(number, 0.0)
        is_stillborn = ending.kind in ("died", "gone") and unheard and age < _STILLBORN_SECONDS
        self.n_stillborn = self.n_stillborn + 1 if is_stillborn else 0
        if self.n_stillborn >= _MOST_STILLBORN:
            raise ResourceError(
                "Ray must be able to start the processes of trials, but "
                f"{self.n_stillborn} in a row were dead at once ({ending.message}); it may have "
                "lost its head. Run the same command again to go on, once the cluster is up."
            )

    def end(self, number: int, ending: Ending) -> None:
        """Tell the director that an attempt is over."""
        self.running.pop(number, None)
        self.ask(lambda: self.director.end(number, ending), None)

    def survive(self, failure: BaseException) -> None:
        """End what was running when Tune gave up, where another run of it can go on."""
        if self.failure is not None:
            raise self.failure
        require_survivable(failure)
        # Each such run of Tune has cost some trial one of its attempts, of which it has so many.
        if not self.n_begun:
            raise failure
        self._clear_away()
        for number, ending in endings_of_kill(str(failure), dict(self.running)).items():
            self.endings.pop(number, None)
            self.end(number, ending)
        self.n_begun = 0

    def _clear_away(self) -> None:
        """End processes of trials that Tune left alive: they hold the trials' folders."""
        for _ in range(_MOST_KILLED_AT_ONCE):
            with contextlib.suppress(RuntimeError):  # of another process that was killed
                self.controller.cleanup()
                return


class _Suggestions(Searcher):  # type: ignore[misc]
    """Tune's question for the next trial."""

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    def set_search_properties(self, *_: Any, **__: Any) -> bool:
        """Take no objective from Tune."""
        return True

    def suggest(self, trial_id: str) -> Any:
        """Hand out a trial; None: not now."""
        told = self._link.ask(self._link.director.next, "done")
        if not isinstance(told, Assignment):
            return Searcher.FINISHED if told == "done" else None
        permit = self._link.ask(self._permit, None)
        if permit is None:
            return Searcher.FINISHED
        self._link.begin(told.number)
        return packed(told, permit)

    def _permit(self) -> Path:
        """Permit an attempt, before its process is given it."""
        with room_needed(self._link.permits):
            return grant(self._link.permits)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Leave that to the scheduler's seam, which is told more."""

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the ledger does."""

    def restore(self, checkpoint_path: str) -> None:
        """Take up nothing."""


class _Decisions(FIFOScheduler):  # type: ignore[misc]
    """What Tune tells of trials."""

    def __init__(self, link: _Link) -> None:
        super().__init__()
        self._link = link

    def on_trial_add(self, controller: Any, trial: Any) -> None:
        """Learn of who runs the trials."""
        self._link.controller = controller

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Pass an event on, and stop the trial if the director says so."""
        link, number = self._link, trial.config[NUMBER]
        link.running[number] = process_of(result)
        if ENDING in result:
            link.endings[number] = Ending(**json.loads(result[ENDING]))
        if EVENT not in result:
            return str(TrialScheduler.CONTINUE)
        go_on = link.ask(
            lambda: link.director.hear(number, from_wire(json.loads(result[EVENT]))), False
        )
        return str(TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP)

    def on_trial_complete(self, controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Tell the director that a trial ended, or was stopped as it said."""
        self._end(trial, Ending("halted"))

    def on_trial_error(self, controller: Any, trial: Any) -> None:
        """Tell the director that a trial's process is gone, or out of reach."""
        withdraw(Path(trial.config[PERMIT]))
        self._end(trial, ending_of_error(error_of(trial)))

    def _end(self, trial: Any, unsaid: Ending) -> None:
        """End a trial as it said, or as it must have."""
        link, number = self._link, trial.config[NUMBER]
        ending = link.endings.pop(number, unsaid)
        link.ask(lambda: link.require_births(number, ending), None)
        link.end(number, ending)
