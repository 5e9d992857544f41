"""Chooses points with Optuna's samplers, in memory, as a function of the trials so far.

Optuna writes a trial into its storage value by value while a sampler decides. Here it does so in a
copy of the study in memory, and what it chose is then kept as a whole: a search that is killed
leaves no half chosen trial, and a sampler sees the same study whatever it is kept in.
"""

import io
import pickle
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState, create_trial

from isthmus.backends.optuna_points import ask_point, encoded_point
from isthmus.backends.study_storage import StudyError
from isthmus.config.search_points import ordered_dimensions
from isthmus.config.search_space import SearchSpace
from isthmus.core.errors import ConfigError
from isthmus.core.seeds import derive_seed
from isthmus.study.records import TrialRecord

_CMA_STATE = "cma:optimizer:"
# What Optuna's state of CMA-ES is made of. It is kept as a pickle, which may hold anything.
_CMA_PARTS = {
    ("cmaes._cma", "CMA"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
}


def optuna_state(record: TrialRecord) -> TrialState:
    """Say what Optuna calls the state of a trial.

    Parameters
    ----------
    record : TrialRecord
        A trial.

    Returns
    -------
    optuna.trial.TrialState
        An infeasible trial is PRUNED and has no value: see `make_sampler`.
    """
    if record.state == "repeated":
        return TrialState.FAIL if record.values is None else TrialState.COMPLETE
    return {
        "running": TrialState.RUNNING,
        "finished": TrialState.COMPLETE,
        "stopped": TrialState.PRUNED,
        "infeasible": TrialState.PRUNED,
        "failed": TrialState.FAIL,
    }[record.state]


def make_sampler(space: SearchSpace, seed: int) -> Any:
    """Make the sampler that a space asks for.

    Parameters
    ----------
    space : SearchSpace
        Its ``sampler`` and whether it has conditional dimensions.
    seed : int
        At least 0.

    Returns
    -------
    optuna.samplers.BaseSampler
        A fresh one.

    Raises
    ------
    ConfigError
        If CMA-ES is asked for several objectives, or a grid for a range without steps.

    Notes
    -----
    What each makes of trials that did not finish:

    - *tpe*, *multivariate_tpe* count stopped and infeasible trials among the bad ones, and suggest
      away from them, the multivariate one more slowly; running ones too (``constant_liar``), so
      that trials at a time differ. With one objective a trial that was stopped later is less bad;
      with several all are alike. A failed trial is not learned from.
    - *nsga2*, *cmaes* learn from finished trials alone, with one objective or several. What is
      infeasible is no parent, but may be suggested again.
    - *random* learns nothing; *grid* takes each point once, whatever became of it.

    CMA-ES moves numbers alone: categorical and conditional dimensions are drawn at random. A grid
    is Optuna's brute force, which leaves out dimensions that are not asked.
    """
    config = space.sampler
    seed %= 2**32
    if config.kind == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if config.kind == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=config.population_size, seed=seed)
    if config.kind == "cmaes":
        if len(space.objectives) > 1:
            raise ConfigError(
                f"sampler.kind: cmaes is for one objective, got {len(space.objectives)}. "
                "Choose tpe or nsga2, or leave objectives out."
            )
        return optuna.samplers.CmaEsSampler(
            n_startup_trials=config.n_startup_trials, warn_independent_sampling=False, seed=seed
        )
    if config.kind == "grid":
        return _grid(space, seed)
    multivariate = config.kind == "multivariate_tpe"
    with experimental():
        return optuna.samplers.TPESampler(
            n_startup_trials=config.n_startup_trials,
            multivariate=multivariate,
            group=multivariate and any(one.when for one in space.space.values()),
            constant_liar=True,
            seed=seed,
        )


def propose(
    trials: Sequence[FrozenTrial],
    records: Sequence[TrialRecord],
    space: SearchSpace,
    seed: int,
    first_points: Sequence[Mapping[str, Any]] = (),
) -> tuple[FrozenTrial, dict[str, Any]] | None:
    """Choose the next point.

    Parameters
    ----------
    trials : sequence of optuna.trial.FrozenTrial
        All so far, by number.
    records : sequence of TrialRecord
        What is known of them, in the same order.
    space : SearchSpace
        What may be chosen, and how.
    seed : int
        Of the search.
    first_points : sequence of Mapping
        Trial n is the nth of them; what it does not name of what is asked is left to the sampler.

    Returns
    -------
    (FrozenTrial, dict) or None
        The trial as it is to be kept, but without user attributes, and its point; None once a grid
        is used up.

    Raises
    ------
    ConfigError
        If a first point is not of the space.
    """
    number = len(trials)
    sampler = make_sampler(space, derive_seed(seed, "suggest", number))
    study = in_memory(
        trials,
        records,
        directions=[objective.direction for objective in space.objectives],
        order=[path for path, _ in ordered_dimensions(space)],
        with_reports=_reports_tell_of_the_objective(space),
        sampler=sampler,
    )
    given = encoded_point(space, first_points[number]) if number < len(first_points) else {}
    if given:
        study.enqueue_trial(given)
    trial = study.ask()
    if space.sampler.kind == "nsga2":
        _ = trial.relative_params  # or a trial bound to a first point is of no generation
    point = ask_point(trial, space)
    chosen = study.get_trials(deepcopy=False)[number]
    if space.sampler.kind == "grid" and not given and _repeats(chosen, trials):
        return None
    kept = create_trial(
        state=TrialState.RUNNING,
        params=chosen.params,
        distributions=chosen.distributions,
        system_attrs=chosen.system_attrs,
    )
    return kept, point


def in_memory(
    trials: Sequence[FrozenTrial],
    records: Sequence[TrialRecord],
    directions: Sequence[str],
    order: Sequence[str],
    with_reports: bool = False,
    sampler: Any = None,
) -> Any:
    """Copy a study into memory, each trial in the state that its record says.

    Parameters
    ----------
    trials : sequence of optuna.trial.FrozenTrial
        By number.
    records : sequence of TrialRecord
        In the same order.
    directions : sequence of {"minimize", "maximize"}
        Of the objectives.
    order : sequence of str
        Dimensions in the order in which they are asked; others are left out.
    with_reports : bool
        Whether reports may be taken for the objective.
    sampler : optuna.samplers.BaseSampler, optional
        For what is asked of the copy.

    Returns
    -------
    optuna.study.Study
        The copy.
    """
    study = optuna.create_study(directions=list(directions), sampler=sampler)
    for trial, record in zip(trials, records, strict=True):
        _require_plain(trial.system_attrs)
        state = optuna_state(record)
        # Databases return values in an order of their own, and a grid is a tree of them.
        asked = [path for path in order if path in trial.params]
        copy = create_trial(
            state=state,
            params={path: trial.params[path] for path in asked},
            distributions={path: trial.distributions[path] for path in asked},
            system_attrs=trial.system_attrs,
            values=record.values if state == TrialState.COMPLETE else None,
            intermediate_values=dict(record.reports) if with_reports else {},
        )
        study.add_trial(copy)
    return study


def _reports_tell_of_the_objective(space: SearchSpace) -> bool:
    """Say whether what the scheduler compares may be taken for the objective.

    With several objectives TPE fails on a stopped trial with reports, and `monitor_mse` by epoch
    is small where it is good, whichever way the objective goes.
    """
    if len(space.objectives) > 1:
        return False
    return space.scheduler.unit == "fold" or space.objectives[0].direction == "minimize"


def _repeats(chosen: FrozenTrial, trials: Iterable[FrozenTrial]) -> bool:
    """Say whether a point was chosen before."""
    return any(trial.params == chosen.params for trial in trials)


def _grid(space: SearchSpace, seed: int) -> Any:
    """Make the sampler that takes each point of a space of steps once."""
    endless = [
        path
        for path, one in space.space.items()
        if one.kind == "float" and one.step is None and one.low < one.high
    ]
    if endless:
        raise ConfigError(
            f"sampler.kind: grid needs a step for every range, but {', '.join(endless)} has none. "
            "Give it a step, or choices."
        )
    with experimental():
        return optuna.samplers.BruteForceSampler(seed=seed)


@contextmanager
def experimental() -> Iterator[None]:
    """Take what Optuna calls experimental; its version is pinned.

    Yields
    ------
    None
        While Optuna is quiet about it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


def _require_plain(attributes: Mapping[str, Any]) -> None:
    """Refuse a state of CMA-ES that holds anything but numbers, before Optuna unpickles it."""
    keys = [key for key in attributes if key.startswith(_CMA_STATE)]
    if keys:
        keys.sort(key=lambda key: int(key.removeprefix(_CMA_STATE)))
        pickled = bytes.fromhex("".join(attributes[key] for key in keys))
        _NumbersOnly(io.BytesIO(pickled)).load()


class _NumbersOnly(pickle.Unpickler):
    """Reads a state of CMA-ES and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Find a class that such a state is made of."""
        if (module, name) not in _CMA_PARTS:
            raise StudyError(
                f"A study must keep the state of CMA-ES as numbers, but this one holds {module}."
                f"{name}, which would be run. Do not trust its storage."
            )
        return super().find_class(module, name)
