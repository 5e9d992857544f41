"""What explains the differences between trials, and how the front of several objectives grew."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna.visualization import plot_hypervolume_history

from isthmus.backends.fanova import main_effects
from isthmus.backends.optuna_samplers import experimental, in_memory
from isthmus.study.records import Importance, Objective, TrialRecord

FEWEST_TRIALS = 4
# Said of few trials, of which the docstring speaks.
_OF_FEW = "(Some regimes for parameter|Target and region quantiles|The number of trials)"


def importances(
    trials: Sequence[FrozenTrial],
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
) -> tuple[Importance, ...]:
    """Measure how much each dimension explains of each objective, in two ways.

    Both describe the trials that there are. A sampler that learns looks where it is good, so
    neither estimates an effect over the whole space, and neither comes with an interval.

    Parameters
    ----------
    trials : sequence of optuna.trial.FrozenTrial
        By number.
    records : sequence of TrialRecord
        In the same order; those in state ``finished`` count.
    objectives : sequence of Objective
        What is sought.

    Returns
    -------
    tuple of Importance
        For each objective fANOVA [1]_ and PED-ANOVA [2]_. Left out is what cannot be computed: all
        of it with fewer than 4 different finished points, an objective whose values are all the
        same, a method that finds nothing to share out.

    Notes
    -----
    fANOVA takes a forest's share of the variance that a dimension explains alone, and needs every
    trial to have a value: it leaves out conditional dimensions that some trial was not asked.
    PED-ANOVA compares the best tenth of the trials with all of them, and has conditional
    dimensions too, where enough trials were asked. A dimension with a single value has no share.

    References
    ----------
    .. [1] Hutter F, Hoos H, Leyton-Brown K (2014). An efficient approach for assessing
       hyperparameter importance. ICML.
    .. [2] Watanabe S, Bansal A, Hutter F (2023). PED-ANOVA: efficiently quantifying
       hyperparameter importance in arbitrary subspaces. IJCAI.
    """
    pairs = [pair for pair in zip(trials, records, strict=True) if pair[1].state == "finished"]
    if len({repr(sorted(trial.params.items())) for trial, _ in pairs}) < FEWEST_TRIALS:
        return ()
    varied = sorted(
        {path for t, _ in pairs for path, one in t.distributions.items() if not one.single()}
    )
    always = [path for path in varied if all(path in trial.params for trial, _ in pairs)]
    found = []
    for index, objective in enumerate(objectives):
        values = [record.values[index] for _, record in pairs if record.values is not None]
        if len(values) < len(pairs) or min(values) == max(values):
            continue
        finished = [trial for trial, _ in pairs]
        methods = (
            ("fANOVA", _fanova(finished, values, always)),
            ("PED-ANOVA", _ped_anova(_of_one_objective(finished, values, objective), varied)),
        )
        for method, shares in methods:
            if shares:
                found.append(Importance(objective.metric, method, shares))
    return tuple(found)


def hypervolumes(
    trials: Sequence[FrozenTrial],
    records: Sequence[TrialRecord],
    objectives: Sequence[Objective],
    reference_point: Sequence[float],
) -> tuple[tuple[int, float], ...]:
    """Follow the hypervolume over the finished trials.

    Parameters
    ----------
    trials : sequence of optuna.trial.FrozenTrial
        By number.
    records : sequence of TrialRecord
        In the same order.
    objectives : sequence of Objective
        What is sought; with one there is no such volume.
    reference_point : sequence of float
        A value for each objective; a trial that is worse in any of them adds nothing.

    Returns
    -------
    tuple of (int, float)
        Number of each finished trial, and the hypervolume of it and those of smaller numbers.
    """
    finished = {record.number for record in records if record.state == "finished"}
    if len(objectives) < 2 or not finished:
        return ()
    study = in_memory(trials, records, [one.direction for one in objectives], order=())
    with experimental():
        drawn = plot_hypervolume_history(study, list(reference_point)).data[0]
    history = zip(drawn.x, drawn.y, strict=True)
    return tuple((int(n), float(volume)) for n, volume in history if n in finished)


def _of_one_objective(
    trials: Sequence[FrozenTrial], values: Sequence[float], objective: Objective
) -> Any:
    """Make a study of finished trials and one of their objectives."""
    study = optuna.create_study(direction=objective.direction)
    for trial, value in zip(trials, values, strict=True):
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE,
                params=trial.params,
                distributions=trial.distributions,
                values=[value],
            )
        )
    return study


def _fanova(
    trials: Sequence[FrozenTrial], values: Sequence[float], paths: Sequence[str]
) -> Mapping[str, float]:
    """Share out what a forest explains; nothing where it splits nowhere."""
    if not paths:
        return {}
    distributions = {path: trials[0].distributions[path] for path in paths}
    return _shares(main_effects([trial.params for trial in trials], distributions, values, seed=0))


def _ped_anova(study: Any, paths: Sequence[str]) -> Mapping[str, float]:
    """Share out what tells the best trials from all; nothing where nothing does."""
    if not paths:
        return {}
    with experimental(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", _OF_FEW, UserWarning)
        try:
            found = optuna.importance.get_param_importances(
                study, evaluator=PedAnovaImportanceEvaluator(), params=list(paths), normalize=False
            )
        except (RuntimeError, ValueError):
            return {}
    return _shares(found)


def _shares(found: Mapping[str, float]) -> Mapping[str, float]:
    """Make shares of what was found, the largest first."""
    total = sum(found.values())
    if not total > 0.0:
        return {}
    ranked = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return {path: float(value / total) for path, value in ranked}
