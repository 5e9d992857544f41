"""Settings of the model: `model.*`. Facts in arXiv 2303.15963; fusion terms in arXiv 2408.02686."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from isthmus.config.settings import Settings

KernelSize = Annotated[int, Field(ge=1, le=15)]


class SeparableConfig(Settings):
    """How a separable convolution (depthwise, then pointwise) is made."""

    where: Literal["mid", "all"] = Field(
        "mid", description="Which units are separable: those of the mid-flows, or all."
    )
    depth_multiplier: int = Field(1, ge=1, le=8, description="Depthwise filters per input channel.")
    pointwise_groups: int = Field(
        1, ge=1, description="Groups of the pointwise convolution; must divide its channels."
    )
    norm_between: bool = Field(
        False, description="Normalise between the depthwise and the pointwise convolution."
    )


class FusionConfig(Settings):
    """How the modalities' feature maps become one, in the terms of arXiv 2408.02686."""

    operation: Literal[
        "concat", "sum", "mean", "max", "gated", "attention", "tensor", "calibration"
    ] = Field(
        "concat", description="How the modalities' maps are joined; all but concat can miss some."
    )
    positions: tuple[Annotated[int, Field(ge=1)] | Literal["bottleneck"], ...] = Field(
        ("bottleneck",),
        description="Where they are: levels of the encoders, from 1, and always the bottleneck.",
    )
    timing: Literal["sudden", "gradual"] = Field(
        "sudden",
        description="All modalities at once, or one after another in their order (from three on).",
    )
    rank: int = Field(4, ge=1, le=64, description="Terms of the low-rank product (tensor).")
    heads: int = Field(
        2, ge=1, le=64, description="Attention heads; must divide the channels (attention)."
    )

    @property
    def accepts_missing(self) -> bool:
        """Whether subjects can lack some of the modalities."""
        return self.operation in MASKED_OPERATIONS

    @property
    def levels(self) -> tuple[int, ...]:
        """The positions before the bottleneck, shallowest first."""
        return tuple(place for place in self.positions if place != "bottleneck")

    @field_validator("positions")
    @classmethod
    def _ordered(cls, value: tuple[int | str, ...]) -> tuple[int | str, ...]:
        """Put positions in the order of depth; refuse repeated ones and a missing bottleneck."""
        levels = sorted(place for place in value if isinstance(place, int))
        if value.count("bottleneck") != 1 or len(set(levels)) != len(levels):
            raise ValueError(
                f"must name each level once, and the bottleneck, where the embedding is, once; "
                f"got {list(value)}"
            )
        return (*levels, "bottleneck")

    @model_validator(mode="after")
    def _used(self) -> "FusionConfig":
        """Refuse settings that another operation would silently ignore."""
        for name, reader in (("rank", "tensor"), ("heads", "attention")):
            default = type(self).model_fields[name].default
            if self.operation != reader and getattr(self, name) != default:
                raise ValueError(
                    f"model.fusion.{name} is for model.fusion.operation: {reader}, and "
                    f"{self.operation} would ignore it; leave it out"
                )
        return self


MASKED_OPERATIONS: tuple[str, ...] = tuple(
    name for name in get_args(FusionConfig.model_fields["operation"].annotation) if name != "concat"
)
"""Operations that join whichever modalities a subject has; the others need all of them."""


class ModelConfig(Settings):
    """The model that is trained."""

    family: Literal["fusion_autoencoder"] = Field(
        "fusion_autoencoder", description="Which family of models, a module in `model/`."
    )
    modalities: tuple[str, ...] | None = Field(
        None, description="Modalities the model fuses; none given: all of `cohort.modalities`."
    )
    embedding_size: int = Field(
        1536, ge=1, description="Values of the embedding, over all bottleneck positions."
    )
    depth: int = Field(5, ge=1, le=7, description="Levels; each halves the grid.")
    base_channels: int = Field(
        2, ge=1, le=256, description="Channels of the first level; each level doubles them."
    )
    kernel_size: KernelSize | tuple[KernelSize, KernelSize, KernelSize] = Field(
        (5, 6, 5), description="Kernel edge in voxels, one number or one for each axis."
    )
    mid_flow_blocks: int = Field(
        3, ge=0, le=16, description="Units within the identity of each mid-flow."
    )
    convolution: Literal["separable", "standard"] = Field(
        "separable", description="Separable (the paper) or standard (the released code)."
    )
    separable: SeparableConfig = Field(
        SeparableConfig(), description="How separable convolutions are made."
    )
    norm: Literal["batch", "group", "instance"] = Field(
        "batch", description="Normalisation of each unit."
    )
    norm_momentum: float = Field(
        0.99,
        ge=0.0,
        lt=1.0,
        description="Share of the running statistics that a step keeps (batch normalisation).",
    )
    activation: Literal["elu", "relu", "leaky_relu", "gelu", "silu"] = Field(
        "elu", description="Activation of each unit."
    )
    dropout: float = Field(0.1, ge=0.0, lt=1.0, description="Share of values dropped per unit.")
    skips: Literal["all", "deep", "none"] = Field(
        "all", description="Skip connections: all, all but full resolution, or none."
    )
    fusion: FusionConfig = Field(FusionConfig(), description="How modalities are fused.")
    bottleneck: Literal["spatial", "dense"] = Field(
        "spatial",
        description="Embedding as a feature map, or as a vector of any size (fully connected).",
    )

    kernels: Literal["auto", "torch"] = Field(
        "auto",
        description="Who computes convolutions: the project's kernels where they apply, or PyTorch "
        "alone. The results agree but for rounding, so that this identifies no experiment.",
    )

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Refuse an empty list and repeated labels."""
        if value is not None and (not value or len(set(value)) != len(value)):
            raise ValueError(f"must name at least one modality, each once, got {list(value)}")
        return value

    @model_validator(mode="after")
    def _used(self) -> "ModelConfig":
        """Refuse settings that another choice would silently ignore, and levels there are not."""
        beyond = [level for level in self.fusion.levels if level >= self.depth]
        if beyond:
            raise ValueError(
                f"model.fusion.positions must be levels below model.depth ({self.depth}), whose "
                f"last level is the bottleneck, got {beyond}"
            )
        momentum = type(self).model_fields["norm_momentum"].default
        if self.norm != "batch" and self.norm_momentum != momentum:
            raise ValueError(
                f"model.norm_momentum is for batch normalisation and {self.norm} would ignore it; "
                "set model.norm: batch or leave it out"
            )
        if self.convolution == "standard" and self.separable != SeparableConfig():
            raise ValueError(
                "model.separable has settings, but model.convolution is 'standard' and would "
                "ignore them; set model.convolution: separable or leave model.separable out"
            )
        return self
