"""The gates and their thresholds, each group the question of one gate.

A gate that is left out of a file is not asked. Their thresholds are in
`isthmus.config.promotion.thresholds`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from isthmus.config.promotion.thresholds import (
    ChampionGate,
    ContrastGate,
    ControlGate,
    ConvergenceGate,
    EqualGate,
    GateSettings,
    IntegrityGate,
    LatencyGate,
    LockboxControlGate,
    LockboxErrorGate,
    LooksGate,
    NotLeakyGate,
    ReplicationGate,
    ShuffleGate,
    SizeGate,
    StabilityGate,
    StrataGate,
)
from isthmus.config.settings import Settings


class GateGroup(Settings):
    """Gates by name: ``true`` asks one with its own thresholds, ``false`` is as if left out."""

    @model_validator(mode="before")
    @classmethod
    def _asked(cls, content: Any) -> Any:
        """Turn true into a gate without thresholds of its own, and leave out what is false."""
        if not isinstance(content, Mapping):
            return content
        for name, value in content.items():
            if value is None:
                raise ValueError(
                    f"{name} must be a group of thresholds, or true or false, got nothing; "
                    f"`{name}: true` asks it with its own thresholds"
                )
        return {k: {} if v is True else v for k, v in content.items() if v is not False}

    @model_serializer(mode="wrap")
    def _only_asked(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the gates that are not asked."""
        return {name: value for name, value in write(self).items() if value is not None}

    def asked(self) -> Iterator[tuple[str, GateSettings]]:
        """Yield the gates that are asked, with their thresholds.

        Yields
        ------
        tuple of (str, GateSettings)
            In the order in which they are declared here.
        """
        for name in type(self).model_fields:
            settings = getattr(self, name)
            if settings is not None:
                yield name, settings


class TrialGates(GateGroup):
    """What a trial must show on the subjects that it held out."""

    integrity: IntegrityGate | None = Field(
        None, description="Every file is what its record says, and the trial what its study says."
    )
    not_leaky: NotLeakyGate | None = Field(
        None, description="Normalisation was fitted on training subjects alone."
    )
    convergence: ConvergenceGate | None = Field(
        None, description="Every fold was trained to an end, and its loss no longer moved."
    )
    mean_image: ControlGate | None = Field(
        None, description="The model's error beside that of the mean training image."
    )
    pca: ControlGate | None = Field(
        None, description="The model's error beside that of a linear code of the same size."
    )
    cnr_ratio: ContrastGate | None = Field(
        None, description="The contrast of grey and white matter that reconstructions keep."
    )
    embedding_shuffle: ShuffleGate | None = Field(
        None, description="What another subject's embedding does to the error."
    )
    strata: StrataGate | None = Field(
        None, description="Robust factors, and a p-value adjusted over the study."
    )
    stability: StabilityGate | None = Field(
        None, description="Stability of the strata above that of clouds without any."
    )
    equal_performance: EqualGate | None = Field(
        None, description="Errors of sites, of sexes and of other groups."
    )
    size: SizeGate | None = Field(None, description="Parameters and embedding.")
    latency: LatencyGate | None = Field(None, description="Time that one subject takes.")


class LockboxGates(GateGroup):
    """What the model must show on the subjects that nothing before has seen."""

    mean_image: LockboxControlGate | None = Field(
        None, description="The model's error beside that of the mean training image."
    )
    pca: LockboxControlGate | None = Field(
        None, description="The model's error beside that of a linear code of the same size."
    )
    error_ratio: LockboxErrorGate | None = Field(
        None, description="The model's error beside its own on held-out development subjects."
    )
    replication: ReplicationGate | None = Field(
        None, description="Associations of the strata that came back."
    )
    looks: LooksGate | None = Field(None, description="How often the lockbox was opened.")


class PromotionConfig(Settings):
    """Gates from a study to the alias of a champion."""

    schema_version: Literal[1] = Field(1, description="Version of this language.")
    name: str = Field(
        min_length=1,
        max_length=80,
        description="What people call it; the file's name, if not given.",
    )
    description: str = Field("", description="What these thresholds are for.")
    gates: TrialGates = Field(
        description="Asked of a trial, before the lockbox is opened; at least one."
    )
    lockbox: LockboxGates = Field(
        LockboxGates(), description="Asked of what the model did on lockbox subjects."
    )
    champion: ChampionGate | None = Field(
        None,
        description="Asked where there is a champion already; left out: any challenger that "
        "passed may take its place.",
    )

    @model_validator(mode="before")
    @classmethod
    def _asked(cls, content: Any) -> Any:
        """Let the champion's gate be true or false, as the others may."""
        if not isinstance(content, Mapping) or not isinstance(content.get("champion"), bool):
            return content
        return {**content, "champion": {} if content["champion"] else None}

    @field_validator("gates")
    @classmethod
    def _some(cls, value: TrialGates) -> TrialGates:
        """Refuse a file that lets every trial through."""
        if not any(True for _ in value.asked()):
            raise ValueError(
                f"must ask at least one of {', '.join(type(value).model_fields)}, got none"
            )
        return value

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns whose groups are compared."""
        return self.gates.equal_performance.columns if self.gates.equal_performance else ()
