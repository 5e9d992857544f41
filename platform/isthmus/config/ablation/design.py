"""What an ablation asks: its factors, its design, what is compared and by which metrics.

An ablation speaks of an experiment's settings by their dotted paths and knows no cohort.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from isthmus.config.settings import Settings

Design = Literal["modality_subsets", "one_factor_out", "one_factor_in", "factorial"]
ModalitySet = Annotated[tuple[str, ...], Field(min_length=1)]


class MatchConfig(Settings):
    """A setting that is solved for, so that a level comes to the size of another one."""

    level: str = Field(description="Level of the same factor whose size is to be met.")
    by: Literal["parameters", "multiply_accumulates"] = Field(
        description="Trainable parameters, or multiplications of one subject's forward pass."
    )
    vary: str = Field(
        "model.base_channels", description="Setting, a whole number, that is varied to meet it."
    )


class LevelConfig(Settings):
    """One level of a factor: several settings together."""

    settings: dict[str, Any] = Field({}, description="Values by dotted path.")
    match: MatchConfig | None = Field(
        None, description="Another level's size, to be met by varying one more setting."
    )


class FactorConfig(Settings):
    """One thing that is varied; exactly one of `values`, `scales` and `levels` says how."""

    hypothesis: str = Field(
        min_length=1, description="What is expected, in one line, before anything is run."
    )
    values: tuple[Any, ...] | None = Field(
        None, description="Values of the setting that the factor is named by."
    )
    scales: tuple[float, ...] | None = Field(
        None,
        description="Multiples of the baseline's value of the setting that the factor is named by.",
    )
    levels: dict[str, LevelConfig] | None = Field(
        None, description="Named levels of one or several settings."
    )
    reference: str | None = Field(
        None,
        description="Level of the baseline; none given: the first, and the last of "
        "`one_factor_in`.",
    )


class SubsetsConfig(Settings):
    """Which sets of modalities; nothing given: all of them."""

    sizes: tuple[int, ...] | None = Field(
        None, description="Numbers of modalities; the set of all is always there."
    )
    listed: tuple[ModalitySet, ...] | None = Field(
        None, description="The sets themselves; the set of all is always there."
    )


class BaselineConfig(Settings):
    """Settings that every arm starts from; nothing given: the experiment as it is."""

    file: str | None = Field(
        None,
        description="YAML with settings that are laid over the experiment, from the ablation "
        "file's folder.",
    )
    search: str | None = Field(
        None, description="Name of a space that was searched for this experiment: its winner."
    )
    trial: Literal["best", "smallest"] | int = Field(
        "best",
        description="Of a search: the best trial, the smallest one within its standard error, or "
        "a trial's number.",
    )


class ContrastConfig(Settings):
    """A metric that arms are compared by."""

    metric: str = Field(
        description="A trial's metric, or `strata_agreement`: the adjusted Rand index of an arm's "
        "strata with the baseline's."
    )
    direction: Literal["minimize", "maximize", "either"] = Field(
        description="Which way is better; `either`: neither is, only a difference is of interest."
    )
    margin: float | None = Field(
        None,
        gt=0.0,
        description="Half-width of the region of practical equivalence, in the metric's units.",
    )
    relative_margin: float | None = Field(
        None, gt=0.0, description="The same as a share of the reference's mean; give one of both."
    )


class InferenceConfig(Settings):
    """How differences are tested."""

    alpha: float = Field(0.05, gt=0.0, lt=0.5, description="Level of the tests.")
    power: float = Field(
        0.8, gt=0.0, lt=1.0, description="Power at which the smallest difference is said."
    )
    correction: Literal["holm", "bonferroni", "fdr_by"] = Field(
        "holm", description="Correction over the comparisons of one kind by one metric."
    )


class AblationConfig(Settings):
    """One question."""

    schema_version: Literal[1] = Field(1, description="Version of this language.")
    name: str = Field(description="What people call it; none given: the file's name.")
    question: str = Field(min_length=1, description="What is asked, in a sentence.")
    design: Design = Field(description="How arms are made of factors.")
    baseline: BaselineConfig = Field(BaselineConfig(), description="What arms start from.")
    settings: dict[str, Any] = Field(
        {}, description="Settings of all arms, the baseline's included, by dotted path."
    )
    factors: dict[str, FactorConfig] = Field({}, description="What is varied, by name.")
    subsets: SubsetsConfig = Field(
        SubsetsConfig(), description="Of `modality_subsets`: which sets."
    )
    hypothesis: str | None = Field(
        None, description="Of `modality_subsets`, which has no factors: what is expected."
    )
    fraction: dict[str, tuple[str, ...]] = Field(
        {},
        description="Of `factorial`: two-level factors whose levels follow from the product of "
        "others', so that not all combinations are run.",
    )
    n_seeds: int = Field(
        2,
        ge=1,
        le=50,
        description="Seeds of each arm, from the experiment's own on; each has folds of its own.",
    )
    contrasts: tuple[ContrastConfig, ...] = Field(
        min_length=1, description="Metrics; the verdict rests on the first one."
    )
    inference: InferenceConfig = Field(InferenceConfig(), description="How it is tested.")

    @model_validator(mode="after")
    def _placeholder(self) -> "AblationConfig":
        """Refuse parts that the design would ignore."""
        return self
