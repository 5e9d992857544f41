"""Ray Tune's schedulers as the judge of which trials are stopped early.

The algorithms are Ray's, the bookkeeping is the ledger's: a scheduler is made anew at each start
and told again of every report, under the study's numbers instead of Tune's identifiers, which
change with each attempt. So it decides after a kill as it would have without one.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule, TrialScheduler

from isthmus.config.search_space import SchedulerConfig
from isthmus.core.seeds import derive_seed

_LEVEL, _VALUE = "level", "value"


class RayStopper:
    """Implement `isthmus.study.stopper.Stopper` on ASHA, Hyperband or the median rule.

    Parameters
    ----------
    config : SchedulerConfig
        Not of kind ``none``.
    direction : {"minimize", "maximize"}
        Which values are better.
    n_levels : int
        Folds, or epochs, of a whole trial.
    seed : int
        Of the draw of each trial's bracket (``hyperband``).

    Notes
    -----
    ASHA (Li et al. 2020) compares at the rungs grace, grace x factor, grace x factor^2 ...; a trial
    goes on if it is among the best 1 / factor of those that have come as far. ``hyperband`` is the
    same with brackets that begin at later rungs, as many as there are rungs: Ray's asynchronous
    form of Li et al. 2018. The median rule (Golovin et al. 2017) stops a trial whose best value is
    worse than the median of the others' running means.

    References
    ----------
    Li et al. 2018, Hyperband, JMLR 18(185). Li et al. 2020, A system for massively parallel
    hyperparameter tuning, MLSys. Golovin et al. 2017, Google Vizier, KDD.
    """

    def __init__(
        self,
        config: SchedulerConfig,
        direction: Literal["minimize", "maximize"],
        n_levels: int,
        seed: int,
    ) -> None:
        self._seed = seed
        self._entrants: dict[int, _Entrant] = {}
        mode = "min" if direction == "minimize" else "max"
        self._scheduler: Any
        if config.kind == "median":
            self._scheduler = MedianStoppingRule(
                time_attr=_LEVEL,
                metric=_VALUE,
                mode=mode,
                grace_period=config.grace,
                min_samples_required=config.min_trials,
                # else it would pause trials, to let others come as far
                min_time_slice=math.inf,
            )
            return
        n_rungs = int(math.log(max(n_levels, config.grace) / config.grace, config.reduction_factor))
        self._scheduler = ASHAScheduler(
            time_attr=_LEVEL,
            metric=_VALUE,
            mode=mode,
            max_t=max(n_levels, config.grace),
            grace_period=config.grace,
            reduction_factor=config.reduction_factor,
            brackets=n_rungs + 1 if config.kind == "hyperband" else 1,
            # the last level is an end already; a rung is judged once
            stop_last_trials=False,
        )

    def report(self, number: int, level: int, value: float) -> bool:
        """Hear how a trial stands at a level; tell whether it is to go on.

        Parameters
        ----------
        number : int
            Of the trial.
        level : int
            Finished folds, or epochs; larger than at its last report.
        value : float
            How it stands.

        Returns
        -------
        bool
            False if it is to be stopped.
        """
        result = {_LEVEL: level, _VALUE: value}
        decision = self._scheduler.on_trial_result(None, self._entrant(number), result)
        return bool(decision != TrialScheduler.STOP)

    def recall(self, number: int, level: int, value: float) -> None:
        """Be told again of what was decided before, so that others are compared with it.

        Parameters
        ----------
        number : int
            Of the trial.
        level : int
            Finished folds, or epochs.
        value : float
            How it stood.
        """
        entrant, result = self._entrant(number), {_LEVEL: level, _VALUE: value}
        if isinstance(self._scheduler, MedianStoppingRule):
            # Takes a result down without judging it.
            self._scheduler.on_trial_complete(None, entrant, result)
        else:
            self._scheduler.on_trial_result(None, entrant, result)

    def _entrant(self, number: int) -> "_Entrant":
        """Return what Ray knows a trial as, entering it the first time."""
        if number not in self._entrants:
            self._entrants[number] = _Entrant(str(number))
            with _drawing(derive_seed(self._seed, "bracket", number)):
                self._scheduler.on_trial_add(None, self._entrants[number])
        return self._entrants[number]


class _Entrant:
    """What Ray's schedulers look at of a trial: its identifier."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id

    def __str__(self) -> str:
        return self.trial_id


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """Let Ray draw a bracket from numpy's global stream, and put that back as it was."""
    before = np.random.get_state()  # noqa: NPY002 - Ray knows no other
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
