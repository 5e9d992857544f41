"""Settings of the model: `model.*`. Facts in arXiv 2303.15963; fusion terms in arXiv 2408.02686."""

from typing import Annotated, Literal

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
    """How the modalities' bottleneck feature maps become one."""

    operation: Literal["concat", "sum", "mean"] = Field(
        "concat", description="How bottleneck maps are joined before the fusion convolution."
    )


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

    @field_validator("modalities")
    @classmethod
    def _distinct(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        """Refuse an empty list and repeated labels."""
        if value is not None and (not value or len(set(value)) != len(value)):
            raise ValueError(f"must name at least one modality, each once, got {list(value)}")
        return value

    @model_validator(mode="after")
    def _used(self) -> "ModelConfig":
        """Refuse settings that another choice would silently ignore."""
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
