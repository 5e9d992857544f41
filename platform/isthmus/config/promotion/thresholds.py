"""The thresholds of each gate, a group of settings for each.

The numbers here are those of a gate that is asked without saying its thresholds
(``integrity: true``).
"""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from isthmus.config.people import each_once
from isthmus.config.settings import Settings


class GateSettings(Settings):
    """The thresholds of one gate."""


class ComparedSettings(GateSettings):
    """A gate on a mean over folds, or over families: what is held against its threshold."""

    by: Literal["interval", "mean"] = Field(
        "interval",
        description="What is held against the threshold: the worse end of the interval (over "
        "folds: corrected for the training subjects that they share), or the mean alone, which is "
        "no evidence.",
    )
    alpha: float = Field(
        0.05, gt=0.0, lt=0.5, description="The interval is a two-sided 1 - alpha one."
    )

    @model_validator(mode="after")
    def _used(self) -> "ComparedSettings":
        """Refuse a level that a mean would silently ignore."""
        if self.by == "mean" and self.alpha != type(self).model_fields["alpha"].default:
            raise ValueError(
                f"alpha is of the interval and a mean would ignore it, got {self.alpha:g}; set "
                "by: interval, or leave alpha out"
            )
        return self


class FoldsSettings(ComparedSettings):
    """A gate on a metric of the folds."""

    each_modality: bool = Field(
        False, description="Ask it of every modality by itself, not only of their mean."
    )


class ControlGate(FoldsSettings):
    """The model's squared error beside a control's, fold by fold."""

    max_ratio: float = Field(
        1.0, gt=0.0, description="The model's error must be less than so many times the control's."
    )


class ContrastGate(FoldsSettings):
    """The contrast of grey and white matter: the reconstruction's over the original's."""

    min_ratio: float = Field(
        0.8, ge=0.0, description="Must be at least this; 1 keeps all contrast."
    )
    max_ratio: float | None = Field(
        None, gt=0.0, description="Must be at most this; nothing given: any."
    )

    @model_validator(mode="after")
    def _possible(self) -> "ContrastGate":
        """Refuse a window that nothing fits."""
        if self.max_ratio is not None and self.max_ratio < self.min_ratio:
            raise ValueError(
                f"max_ratio must be at least min_ratio, got {self.max_ratio:g} and "
                f"{self.min_ratio:g}"
            )
        return self


class ShuffleGate(FoldsSettings):
    """How much the embedding matters beside the skips: another subject's in its place."""

    min_increase: float = Field(
        0.1,
        ge=0.0,
        description="Share by which another subject's embedding must at least raise the error.",
    )


class StrataGate(GateSettings):
    """Strata that phenotypes bear out, judged as the best of all that were looked at."""

    alpha: float = Field(
        0.05,
        gt=0.0,
        le=1.0,
        description="The p-value adjusted over the study must be at most this.",
    )
    min_robust: int = Field(
        1, ge=0, description="Factors (phenotypes where there are none) that must be robust."
    )
    min_share_of_folds: float = Field(
        0.5,
        gt=0.0,
        le=1.0,
        description="Share of the folds' encoders by which a factor must be robust to be counted.",
    )


class StabilityGate(GateSettings):
    """Strata that are found again more than those of a cloud without any."""

    min_excess: float = Field(
        0.0, ge=-1.0, le=1.0, description="Adjusted Rand index above the matched nulls' mean."
    )
    alpha: float = Field(
        0.05, gt=0.0, le=1.0, description="The p-value against the nulls must be at most this."
    )
    min_share_of_folds: float = Field(
        0.5, gt=0.0, le=1.0, description="Share of the folds' encoders of which both must hold."
    )


class EqualGate(GateSettings):
    """Errors of groups of held-out subjects, which must be equivalent."""

    columns: tuple[str, ...] = Field(
        ("sex", "site"),
        min_length=1,
        description="Columns of the participants table that make groups; `site` is the cohort's "
        "site, whatever its column is called.",
    )
    margin: float = Field(
        0.25,
        gt=0.0,
        description="Share by which one group's error may exceed another's: 0.25 allows ratios "
        "within 1 / 1.25 and 1.25.",
    )
    alpha: float = Field(
        0.05, gt=0.0, lt=0.5, description="Level of the two one-sided tests of each pair of groups."
    )
    unresolved: Literal["refuse", "allow"] = Field(
        "refuse",
        description="What becomes of a column of which these subjects cannot tell, or that is not "
        "there.",
    )

    @field_validator("columns")
    @classmethod
    def _columns_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Refuse repeated columns."""
        return each_once(value)


class ConvergenceGate(GateSettings):
    """A loss that no longer moves at the end of training."""

    max_change: float = Field(
        0.05,
        gt=0.0,
        description="Share by which the loss may still fall, and without a monitor rise, from one "
        "last part of the epochs to the next.",
    )
    last_share: float = Field(
        0.1, gt=0.0, le=0.5, description="How long such a part is, as a share of the epochs run."
    )


class SizeGate(GateSettings):
    """What the model may weigh; at least one limit."""

    max_parameters: int | None = Field(None, ge=1, description="Trainable parameters.")
    max_embedding_size: int | None = Field(None, ge=1, description="Values of the embedding.")

    @model_validator(mode="after")
    def _asks(self) -> "SizeGate":
        """Refuse a gate that lets everything through."""
        if self.max_parameters is None and self.max_embedding_size is None:
            raise ValueError("must have max_parameters, max_embedding_size or both, got neither")
        return self


class LatencyGate(GateSettings):
    """How long one subject takes, from normalised images to embedding and reconstruction."""

    max_seconds: float = Field(10.0, gt=0.0, description="Median over the measured runs.")


class IntegrityGate(GateSettings):
    """Files that are what their records say: it has no threshold."""


class NotLeakyGate(GateSettings):
    """Normalisation that never saw held-out subjects: it has no threshold."""


class LockboxErrorGate(GateSettings):
    """The model's error on lockbox subjects beside its own on held-out ones."""

    max_ratio: float = Field(
        1.25, gt=0.0, description="Must be less than so many times the held-out error."
    )


class LockboxControlGate(ComparedSettings):
    """The model's squared error beside a control's, lockbox family by lockbox family."""

    max_ratio: float = Field(
        1.0, gt=0.0, description="The model's error must be less than so many times the control's."
    )


class ReplicationGate(GateSettings):
    """Associations of the development strata that came back on lockbox subjects."""

    min_replicated: int = Field(1, ge=0, description="Factors that must have replicated.")
    unresolved: Literal["refuse", "allow"] = Field(
        "refuse", description="What becomes of it where nothing could be tested."
    )


class LooksGate(GateSettings):
    """How often the lockbox was opened: every look after the first is worth less."""

    max_looks: int = Field(1, ge=1, description="Looks, this one among them.")


class ChampionGate(ComparedSettings):
    """A challenger beside the present champion, on the same data; an interval needs its folds."""

    margin: float = Field(
        0.05,
        ge=0.0,
        description="Share by which the challenger's error may exceed the champion's.",
    )
