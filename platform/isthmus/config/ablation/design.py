"""What an ablation asks: its factors, its design, what is compared and by which metrics.

An ablation speaks of an experiment's settings by their dotted paths and knows no cohort.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from isthmus.config.settings import Settings

Design = Literal["modality_subsets", "one_factor_out", "one_factor_in", "factorial"]
ModalitySet = Annotated[tuple[str, ...], Field(min_length=1)]
_FOLDER_NAME = re.compile(r"[\w-][\w .-]*")


class MatchConfig(Settings):
    """A setting that is solved for, so that a level comes to the size of another one."""

    level: str = Field(description="Level of the same factor whose size is to be met.")
    by: Literal["parameters", "multiply_accumulates"] = Field(
        description="Trainable parameters, or multiplications of one subject's forward pass."
    )
    vary: str = Field(
        "model.base_channels",
        description="Setting of the model, a whole number, that is varied to meet it.",
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
        description="Level of the baseline, by its name: a value as it is written, `x0.5` of a "
        "scale; none given: the first, and the last of `one_factor_in`.",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """Let a value be true or false: whether its setting takes that is checked at load."""
        if info.field_name == "values":
            return value
        return super()._no_truth_for_numbers(value, info)

    @model_validator(mode="after")
    def _one_way(self) -> "FactorConfig":
        """Need exactly one way to say the levels, and more than one level."""
        ways = {
            name: getattr(self, name)
            for name in ("values", "scales", "levels")
            if getattr(self, name) is not None
        }
        if len(ways) != 1:
            given = " and ".join(ways) or "none of them"
            raise ValueError(f"must have exactly one of values, scales and levels, got {given}")
        (name, levels), *_ = ways.items()
        if len(levels) < 2:
            raise ValueError(
                f"{name} must be at least 2, for a factor of one level varies nothing, got "
                f"{len(levels)}"
            )
        if self.scales is not None:
            if any(scale <= 0 for scale in self.scales):
                raise ValueError(f"scales must be above 0, got {list(self.scales)}")
            if len(set(self.scales)) < len(self.scales):
                raise ValueError(f"scales must be there once each, got {list(self.scales)}")
        return self


class SubsetsConfig(Settings):
    """Which sets of modalities; nothing given: all of them."""

    sizes: tuple[int, ...] | None = Field(
        None, description="Numbers of modalities; the set of all is always there."
    )
    listed: tuple[ModalitySet, ...] | None = Field(
        None, description="The sets themselves; the set of all is always there."
    )

    @model_validator(mode="after")
    def _distinct(self) -> "SubsetsConfig":
        """Refuse two ways to say the sets, and what is there twice."""
        if self.sizes is not None and self.listed is not None:
            raise ValueError("must be by sizes or listed, got both; leave one of them out")
        sizes = self.sizes or ()
        if self.sizes is not None and (not sizes or min(sizes) < 1 or len(set(sizes)) < len(sizes)):
            raise ValueError(f"sizes must be above 0 and there once each, got {list(sizes)}")
        if self.listed is not None and not self.listed:
            raise ValueError("listed must name at least one set, got none")
        for modalities in self.listed or ():
            if len(set(modalities)) < len(modalities):
                raise ValueError(f"a set has each modality once, got {list(modalities)}")
        sets = [frozenset(modalities) for modalities in self.listed or ()]
        again = [
            one for one, its in zip(self.listed or (), sets, strict=True) if sets.count(its) > 1
        ]
        if again:
            raise ValueError(f"each set must be listed once, got {list(again[-1])} again")
        return self


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

    @model_validator(mode="after")
    def _one_source(self) -> "BaselineConfig":
        """Refuse two sources, and a trial of no search."""
        if self.file is not None and self.search is not None:
            raise ValueError("must be a file or a search, got both; leave one of them out")
        if self.search is None and self.trial != type(self).model_fields["trial"].default:
            raise ValueError(f"trial is of a search, got {self.trial!r} without one; set search")
        return self


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

    @model_validator(mode="after")
    def _one_margin(self) -> "ContrastConfig":
        """Refuse two regions of practical equivalence."""
        if self.margin is not None and self.relative_margin is not None:
            raise ValueError("must have margin or relative_margin, got both; leave one of them out")
        return self


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
    name: str = Field(
        min_length=1,
        max_length=80,
        description="What people call it; none given: the file's name. Its folder ends with it.",
    )
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

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        """Refuse what would make another folder."""
        if value and not _FOLDER_NAME.fullmatch(value):
            raise ValueError(
                "must be of letters, digits, spaces and '._-' and begin with no dot or space, for "
                f"it names a folder; got {value!r}"
            )
        return value

    @model_validator(mode="after")
    def _used(self) -> "AblationConfig":
        """Refuse parts that the design would ignore, and need those that it is made of."""
        of_subsets = self.design == "modality_subsets"
        if of_subsets and self.factors:
            raise ValueError(
                f"factors are not for modality_subsets, which varies the modalities alone, got "
                f"{list(self.factors)}; leave them out or use another design"
            )
        if of_subsets and not self.hypothesis:
            raise ValueError(
                "modality_subsets needs a hypothesis, got none; write what is expected"
            )
        if not of_subsets and not self.factors:
            raise ValueError(f"{self.design} needs factors, got none")
        if not of_subsets and self.hypothesis is not None:
            raise ValueError(
                f"hypothesis is for modality_subsets and {self.design} would ignore it; each "
                "factor has its own"
            )
        if not of_subsets and self.subsets != SubsetsConfig():
            raise ValueError(
                f"subsets is for modality_subsets and {self.design} would ignore it; leave it out"
            )
        if self.design != "factorial" and self.fraction:
            raise ValueError(
                f"fraction is for factorial and {self.design} would ignore it; leave it out"
            )
        return self
