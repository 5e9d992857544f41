"""What a search may vary, what it is after, and what it may cost: `search_spaces/*.yaml`.

A space speaks of an experiment's settings by their dotted paths and knows no cohort.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from isthmus.config.settings import Settings

ParamValue = bool | int | float | str | None | list[Any]


class Categorical(Settings):
    """One of several values, which need not be numbers."""

    kind: Literal["categorical"] = Field("categorical", description="One of several values.")
    choices: tuple[Any, ...] = Field(min_length=1, description="The values, each once.")
    when: dict[str, Any] = Field(
        {},
        description="Paths of other dimensions and the value, or list of values, that each must "
        "have for this one to be asked; otherwise the experiment's own setting holds.",
    )


class IntRange(Settings):
    """A whole number between two bounds, both of which it may take."""

    kind: Literal["int"] = Field("int", description="A whole number.")
    low: int = Field(description="Smallest value.")
    high: int = Field(description="Largest value.")
    step: int = Field(1, ge=1, description="Distance of neighbouring values.")
    log: bool = Field(False, description="Spread evenly over orders of magnitude.")
    when: dict[str, Any] = Field({}, description="As for a categorical dimension.")


class FloatRange(Settings):
    """A number between two bounds, both of which it may take."""

    kind: Literal["float"] = Field("float", description="A number.")
    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")
    step: float | None = Field(None, gt=0.0, description="Distance of neighbouring values, if any.")
    log: bool = Field(False, description="Spread evenly over orders of magnitude.")
    when: dict[str, Any] = Field({}, description="As for a categorical dimension.")


Dimension = Annotated[Categorical | IntRange | FloatRange, Field(discriminator="kind")]


class ObjectiveConfig(Settings):
    """A number of a trial that is to be small, or large."""

    metric: str = Field(description="A metric of the trial: its mean over the folds.")
    direction: Literal["minimize", "maximize"] = Field(description="Which way is better.")


class SamplerConfig(Settings):
    """How the next point is chosen; Optuna's samplers."""

    kind: Literal["tpe", "multivariate_tpe", "nsga2", "random", "grid", "cmaes"] = Field(
        "tpe", description="Optuna's sampler."
    )
    n_startup_trials: int = Field(
        10, ge=1, description="Points drawn at random before `tpe` and `cmaes` learn from them."
    )
    population_size: int = Field(20, ge=2, description="Trials of one generation of `nsga2`.")


class SchedulerConfig(Settings):
    """Which trials are stopped early; Ray Tune's schedulers."""

    kind: Literal["none", "median", "asha", "hyperband"] = Field(
        "none",
        description="None; below the median of the others; asynchronous successive halving with "
        "one bracket, or with several.",
    )
    unit: Literal["fold", "epoch"] = Field(
        "fold",
        description="What trials are compared at: the mean of the first objective over the same "
        "number of finished folds, or `monitor_mse` after the same epoch of the first fold.",
    )
    grace: int = Field(1, ge=1, description="Units that every trial is given.")
    reduction_factor: int = Field(
        3, ge=2, description="One in so many goes on to the next rung (`asha`, `hyperband`)."
    )
    min_trials: int = Field(
        3, ge=1, description="Other trials that must have come as far (`median`)."
    )


class BudgetConfig(Settings):
    """What a search may cost, over all its sittings. It is no part of what a search is."""

    n_trials: int = Field(20, ge=1, description="Trials that are started, in total.")
    wall_hours: float | None = Field(None, gt=0.0, description="Hours of searching.")
    gpu_hours: float | None = Field(
        None, gt=0.0, description="Hours of GPU, over all workers of all trials."
    )


class SearchSpace(Settings):
    """A search, apart from the experiment that it varies."""

    schema_version: Literal[1] = Field(1, description="Version of this language.")
    name: str = Field(
        "search",
        min_length=1,
        max_length=80,
        description="What people call the search; the file's name, unless it is given.",
    )
    description: str = Field("", description="What the search is to find out.")
    space: dict[str, Dimension] = Field(
        min_length=1, description="Dimensions by the dotted path of the setting that they vary."
    )
    try_first: tuple[str | dict[str, Any], ...] = Field(
        (),
        description="Points to begin with: names of presets, or values by path. What a point does "
        "not name is as in the experiment.",
    )
    objectives: tuple[ObjectiveConfig, ...] = Field(
        (ObjectiveConfig(metric="validation_mse", direction="minimize"),),
        min_length=1,
        description="What is sought; with several, the trials that no other one beats in all.",
    )
    sampler: SamplerConfig = Field(SamplerConfig(), description="How points are chosen.")
    scheduler: SchedulerConfig = Field(SchedulerConfig(), description="Which trials stop early.")
    budget: BudgetConfig = Field(BudgetConfig(), description="What it may cost.")
