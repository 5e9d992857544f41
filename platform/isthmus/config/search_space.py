"""What a search may vary, what it is after, and what it may cost: `search_spaces/*.yaml`.

A space speaks of an experiment's settings by their dotted paths and knows no cohort.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
    model_validator,
)

from isthmus.config.settings import Settings

ParamValue = bool | int | float | str | None | list[Any]

WHOLE = 1e-6
"""A number of steps may be off a whole number by this much: 0.3 / 0.1 is not 3."""


class Categorical(Settings):
    """One of several values, which need not be numbers."""

    kind: Literal["categorical"] = Field("categorical", description="One of several values.")
    choices: tuple[Any, ...] = Field(min_length=1, description="The values, each once.")
    when: dict[str, Any] = Field(
        {},
        description="Paths of other dimensions and the value, or list of values, that each must "
        "have for this one to be asked; otherwise its setting has its default.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Let a choice be true or false: whether its setting takes that is checked at load."""
        return value


class IntRange(Settings):
    """A whole number between two bounds, both of which it may take."""

    kind: Literal["int"] = Field("int", description="A whole number.")
    low: int = Field(description="Smallest value.")
    high: int = Field(description="Largest value.")
    step: int = Field(1, ge=1, description="Distance of neighbouring values.")
    log: bool = Field(False, description="Spread evenly over orders of magnitude.")
    when: dict[str, Any] = Field({}, description="As for a categorical dimension.")

    @model_validator(mode="after")
    def _possible(self) -> "IntRange":
        """Refuse an empty range, one that a step overshoots, and a step on orders of magnitude."""
        _require_order(self.low, self.high, self.log)
        if self.log and self.step != 1:
            raise ValueError(
                f"log spreads values unevenly, so step must be 1, got {self.step}; leave out one"
            )
        if (self.high - self.low) % self.step:
            last = self.high - (self.high - self.low) % self.step
            raise ValueError(
                f"high must be a whole number of steps above low, got low {self.low}, high "
                f"{self.high}, step {self.step}; the last value on the way is {last}"
            )
        return self


class FloatRange(Settings):
    """A number between two bounds, both of which it may take."""

    kind: Literal["float"] = Field("float", description="A number.")
    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")
    step: float | None = Field(None, gt=0.0, description="Distance of neighbouring values, if any.")
    log: bool = Field(False, description="Spread evenly over orders of magnitude.")
    when: dict[str, Any] = Field({}, description="As for a categorical dimension.")

    @model_validator(mode="after")
    def _possible(self) -> "FloatRange":
        """Refuse an empty range, one that a step overshoots, and a step on orders of magnitude."""
        _require_order(self.low, self.high, self.log)
        if self.step is None:
            return self
        if self.log:
            raise ValueError(
                f"log spreads values unevenly and excludes a step, got {self.step}; leave out one"
            )
        n_steps = (self.high - self.low) / self.step
        if abs(n_steps - round(n_steps)) > WHOLE:
            last = self.low + math.floor(n_steps) * self.step
            raise ValueError(
                f"high must be a whole number of steps above low, got low {self.low:g}, high "
                f"{self.high:g}, step {self.step:g}; the last value on the way is {last:g}"
            )
        return self


def _require_order(low: float, high: float, log: bool) -> None:
    """Refuse bounds the wrong way round, and orders of magnitude of what is not above 0."""
    if low > high:
        raise ValueError(f"low must be at most high, got low {low:g} and high {high:g}")
    if log and low <= 0:
        raise ValueError(f"log needs low above 0, got {low:g}")


def _require_kind(dimension: Any) -> Any:
    """Refuse what says of no kind of dimension that it is one."""
    if isinstance(dimension, Settings):
        return dimension
    if not isinstance(dimension, Mapping):
        raise ValueError(f"must be a dimension, such as {{kind: int, ...}}, got {dimension!r:.80}")
    if "kind" not in dimension:
        raise ValueError(f"must say its kind: one of {', '.join(_KINDS)}, got none")
    if dimension["kind"] not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {dimension['kind']!r:.80}")
    return dimension


def _tag(dimension: Any) -> str:
    """Name the model of a dimension, in brackets: `explain` leaves such parts out of a path."""
    kind = dimension["kind"] if isinstance(dimension, Mapping) else dimension.kind
    return f"[{kind}]"


_KINDS = ("categorical", "int", "float")
Dimension = Annotated[
    Annotated[Categorical, Tag("[categorical]")]
    | Annotated[IntRange, Tag("[int]")]
    | Annotated[FloatRange, Tag("[float]")],
    Discriminator(_tag),
    BeforeValidator(_require_kind),
]


class ObjectiveConfig(Settings):
    """A number of a trial that is to be small, or large."""

    metric: str = Field(
        description="A metric of the trial: its mean over the folds. `robustness_score` is "
        "another name of `strata_robustness_score`."
    )
    direction: Literal["minimize", "maximize"] = Field(description="Which way is better.")


class SamplerConfig(Settings):
    """How the next point is chosen; Optuna's samplers."""

    kind: Literal["tpe", "multivariate_tpe", "nsga2", "random", "grid", "cmaes"] = Field(
        "tpe", description="Optuna's sampler."
    )
    n_startup_trials: int = Field(
        10,
        ge=1,
        description="Points drawn at random before `tpe`, `multivariate_tpe` and `cmaes` learn "
        "from them.",
    )
    population_size: int = Field(20, ge=2, description="Trials of one generation of `nsga2`.")

    @model_validator(mode="after")
    def _used(self) -> "SamplerConfig":
        """Refuse settings that another sampler would silently ignore."""
        learning = ("tpe", "multivariate_tpe", "cmaes")
        owners = {"n_startup_trials": learning, "population_size": ("nsga2",)}
        _require_used(self, "sampler", self.kind, owners)
        return self


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

    @model_validator(mode="after")
    def _used(self) -> "SchedulerConfig":
        """Refuse settings that another scheduler would silently ignore."""
        halving = ("asha", "hyperband")
        stopping = ("median", *halving)
        owners = {"unit": stopping, "grace": stopping, "reduction_factor": halving}
        _require_used(self, "scheduler", self.kind, {**owners, "min_trials": ("median",)})
        return self


def _require_used(
    group: Settings, name: str, kind: str, owners: Mapping[str, tuple[str, ...]]
) -> None:
    """Refuse a setting that is for other kinds than the one that was chosen."""
    for setting, kinds in owners.items():
        default = type(group).model_fields[setting].default
        if kind not in kinds and getattr(group, setting) != default:
            raise ValueError(
                f"{setting} is for {', '.join(kinds)} and {kind} would ignore it; set "
                f"{name}.kind: {kinds[0]} or leave {name}.{setting} out"
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
        description="Points to begin with: names of presets, or values of dimensions by path. A "
        "dimension that such a point does not name is as in the experiment.",
    )
    objectives: tuple[ObjectiveConfig, ...] = Field(
        (ObjectiveConfig(metric="validation_mse", direction="minimize"),),
        min_length=1,
        description="What is sought; with several, the trials that no other one beats in all.",
    )
    sampler: SamplerConfig = Field(SamplerConfig(), description="How points are chosen.")
    scheduler: SchedulerConfig = Field(SchedulerConfig(), description="Which trials stop early.")
    budget: BudgetConfig = Field(BudgetConfig(), description="What it may cost.")
