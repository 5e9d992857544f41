"""From a question to the trials that answer it: arms, seeds, folds, and what is compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from isthmus.config.ablation.design import AblationConfig
from isthmus.config.ablation.fraction import aliases_in_words
from isthmus.config.experiment import ExperimentConfig
from isthmus.config.laid_over import laid_over
from isthmus.config.load import Experiment
from isthmus.config.paths import flatten
from isthmus.core.digest import digest_of
from isthmus.core.errors import ConfigError
from isthmus.model.description import ModelDescription
from isthmus.study.ablation.arms import MODALITIES, Draft, draft_arms, factors_of
from isthmus.study.ablation.baseline import settings_in_common
from isthmus.study.ablation.build import ArmBuilder, BuiltArm
from isthmus.study.ablation.comparisons import comparisons_of, left_out
from isthmus.study.ablation.matching import Settling
from isthmus.study.ablation.records import AblationPlan, Arm, ArmRun
from isthmus.study.feasibility import described_model
from isthmus.trial.run import PreparedTrial, prepare_trial
from isthmus.volumes.store import open_store

# What people call it, and the sentence that they ask it in, is no part of what it is; settings and
# baseline are in the experiment that they lead to.
_NO_IDENTITY = {"schema_version", "name", "question", "settings", "baseline", "factors"}


@dataclass(frozen=True)
class PreparedAblation:
    """An ablation whose inputs are open and whose trials are known.

    Attributes
    ----------
    plan : AblationPlan
        Arms, runs and comparisons.
    experiments : Mapping of int to Experiment
        By the number of a run: what `run_trial` takes.
    trials : Mapping of int to PreparedTrial
        By seed: the baseline's, whose folds all arms share.
    identity : Mapping of str to Any
        All that makes the ablation what it is, by dotted path; JSON values.
    """

    plan: AblationPlan
    experiments: Mapping[int, Experiment]
    trials: Mapping[int, PreparedTrial]
    identity: Mapping[str, Any]


def prepare_ablation(
    experiment: Experiment,
    ablation: AblationConfig,
    memory_bytes: int | None = None,
    execution: Mapping[str, Any] | None = None,
) -> PreparedAblation:
    """Plan an ablation; nothing is written.

    Parameters
    ----------
    experiment : Experiment
        What is ablated; the cohort must be ingested.
    ablation : AblationConfig
        Checked against the experiment.
    memory_bytes : int, optional
        What each training worker has for itself; none given: not looked at.
    execution : Mapping of str to Any, optional
        Settings of `execution` that each trial is given, such as its threads.

    Returns
    -------
    PreparedAblation
        An arm that cannot be built is in the plan with the reason, and has no runs.

    Raises
    ------
    ConfigError
        If the baseline cannot be built, there is nothing to compare it with, or there would be a
        single fold.
    IsthmusError
        As `prepare_trial`.

    Notes
    -----
    The seed decides the folds and every random stream of a trial. At a seed all arms are laid over
    one prepared trial, so that they have the same folds; what decides those cannot vary.
    """
    grid = open_store(experiment.store_url).grid
    in_common, notes = settings_in_common(experiment, ablation)
    fused = tuple(in_common.get(MODALITIES) or experiment.config.fused_modalities)
    drafts = draft_arms(ablation, fused)

    def describe(config: ExperimentConfig) -> ModelDescription:
        return described_model(config.model, config.fused_modalities, grid)

    settling = Settling(ablation, experiment.config, in_common, describe)
    trials = _trials(experiment, ablation, {**in_common, **_references(settling, drafts[0])})
    # not over the baseline's levels: what an arm's level leaves alone is as in the experiment
    bases = {
        seed: replace(trial, experiment=_at_seed(experiment, experiment.config, seed))
        for seed, trial in trials.items()
    }
    builder = ArmBuilder(settling, in_common, bases, describe, memory_bytes, execution or {})
    built = tuple(builder.build(drafts, (*notes, *_note_of_folds(trials))))
    runs = tuple(_runs(built, trials))
    _require_comparable(built, runs)
    by_name = {one.arm.name: one for one in built}
    experiments = {run.number: by_name[run.arm].prospects[run.seed].experiment for run in runs}
    identity = _identity(ablation, trials)
    plan = _plan(ablation, trials, drafts, tuple(one.arm for one in built), runs, identity)
    return PreparedAblation(plan, experiments, trials, identity)


def _references(settling: Settling, baseline: Draft) -> Mapping[str, Any]:
    """Find the settings of the baseline's levels."""
    if baseline.settings:
        return baseline.settings
    return settling.settle(baseline.levels)[0]


def _trials(
    experiment: Experiment, ablation: AblationConfig, settings: Mapping[str, Any]
) -> dict[int, PreparedTrial]:
    """Prepare the baseline's trial at each seed."""
    base = laid_over(experiment.config, settings, "the baseline")
    first = experiment.config.seed
    trials = {
        seed: prepare_trial(_at_seed(experiment, base, seed))
        for seed in range(first, first + ablation.n_seeds)
    }
    if sum(len(trial.split.folds) for trial in trials.values()) < 2:
        raise ConfigError(
            "An ablation must have at least 2 folds over all seeds to tell a difference from "
            "chance, got 1. Set n_seeds to 2 or more, or cross_validation.method: k_fold."
        )
    return trials


def _plan(
    ablation: AblationConfig,
    trials: Mapping[int, PreparedTrial],
    drafts: Sequence[Draft],
    arms: tuple[Arm, ...],
    runs: tuple[ArmRun, ...],
    identity: Mapping[str, Any],
) -> AblationPlan:
    """Write down what was found."""
    first = next(iter(trials.values()))
    return AblationPlan(
        name=ablation.name,
        ablation_id=digest_of(dict(identity)),
        experiment=first.experiment.config.name,
        question=ablation.question,
        design=ablation.design,
        factors=factors_of(ablation, drafts),
        arms=arms,
        seeds=tuple(trials),
        n_folds=len(first.split.folds),
        fold_sizes={seed: _sizes(trial) for seed, trial in trials.items()},
        runs=runs,
        comparisons=comparisons_of(ablation, arms),
        aliases=(*aliases_in_words(ablation), *left_out(ablation, arms)),
    )


def _at_seed(experiment: Experiment, config: ExperimentConfig, seed: int) -> Experiment:
    """Take an experiment at a seed."""
    return replace(experiment, config=config.model_copy(update={"seed": seed}))


def _require_comparable(built: Sequence[BuiltArm], runs: Sequence[ArmRun]) -> None:
    """Refuse a baseline that nothing can be compared with."""
    baseline, *others = (one.arm for one in built)
    if len({run.arm for run in runs}) < 2:
        why = "; ".join(f"{a.name}: {a.infeasible or f'the same as {a.same_as}'}" for a in others)
        raise ConfigError(
            f"An ablation needs an arm beside its baseline {baseline.name}, got none: {why}"
        )


def _note_of_folds(trials: Mapping[int, PreparedTrial]) -> tuple[str, ...]:
    """Say where seeds do not change the folds."""
    file = next(iter(trials.values())).experiment.config.cross_validation.split_file
    if file is None or len(trials) == 1:
        return ()
    return (f"All seeds have the folds of {file}: they differ in what is drawn in training alone.",)


def _runs(built: Sequence[BuiltArm], trials: Mapping[int, PreparedTrial]) -> Iterator[ArmRun]:
    """Yield the trials, all arms of a seed before the next one, so that pairs are complete."""
    number = 0
    for seed, trial in trials.items():
        for one in built:
            if one.prospects:
                prospect = one.prospects[seed]
                yield ArmRun(
                    number,
                    one.arm.name,
                    seed,
                    prospect.digest,
                    prospect.folder,
                    trial.split.digest,
                )
                number += 1


def _sizes(trial: PreparedTrial) -> tuple[tuple[int, int], ...]:
    """Count who is trained on, monitor part included, and who is held out."""
    return tuple(
        (len(fold.train) + len(fold.monitor), len(fold.validation)) for fold in trial.split.folds
    )


def _identity(ablation: AblationConfig, trials: Mapping[int, PreparedTrial]) -> dict[str, Any]:
    """List all that makes an ablation what it is."""
    trial = next(iter(trials.values()))
    design = ablation.model_dump(mode="json", exclude=_NO_IDENTITY)
    factors = {name: factor.model_dump(mode="json") for name, factor in ablation.factors.items()}
    return {
        **flatten(trial.experiment.config.identifying_settings()),
        **{f"digest of {name}": trial.identity[name] for name in ("images", "participants")},
        **{f"digest of split, seed {seed}": one.split.digest for seed, one in trials.items()},
        **{f"factors.{name}": factor for name, factor in factors.items()},
        **{f"ablation.{name}": value for name, value in design.items()},
    }
