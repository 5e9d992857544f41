"""Settings of the training: `training.*`. All of them change what is trained."""

from typing import Literal

from pydantic import Field, model_validator

from isthmus.config.settings import Settings


class LossConfig(Settings):
    """The reconstruction loss, summed over modalities with equal weights."""

    kind: Literal["bce", "mse", "l1", "huber", "ssim_mix"] = Field(
        "bce",
        description="Binary cross-entropy, mean squared, mean absolute, Huber, or SSIM mixed "
        "with L1.",
    )
    masked: bool = Field(
        False, description="Count voxels inside the brain mask only (the paper: all voxels)."
    )
    huber_delta: float = Field(0.1, gt=0.0, description="Where Huber's loss turns linear.")
    ssim_share: float = Field(
        0.5, ge=0.0, le=1.0, description="Weight of 1 - SSIM in `ssim_mix`; the rest is L1."
    )

    @model_validator(mode="after")
    def _used(self) -> "LossConfig":
        """Refuse settings that another kind of loss would silently ignore."""
        for name, kind in (("huber_delta", "huber"), ("ssim_share", "ssim_mix")):
            if self.kind != kind and getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(
                    f"training.loss.{name} is for {kind} and {self.kind} would ignore it; set "
                    f"training.loss.kind: {kind} or leave training.loss.{name} out"
                )
        return self


class EarlyStoppingConfig(Settings):
    """Stopping by families that belong to neither the gradient nor the held-out fold."""

    monitor_share: float = Field(
        0.0,
        ge=0.0,
        le=0.5,
        description="Share of each training fold kept aside to choose the best epoch; 0: the "
        "last epoch is used.",
    )
    patience: int | None = Field(
        None, ge=1, description="Epochs without improvement after which training stops."
    )
    min_delta: float = Field(
        0.0, ge=0.0, description="Fall of the monitored loss that counts as improvement."
    )

    @model_validator(mode="after")
    def _monitored(self) -> "EarlyStoppingConfig":
        """Refuse a patience with nothing to watch."""
        if self.patience is not None and self.monitor_share == 0.0:
            raise ValueError(
                "patience needs subjects to watch: set training.early_stopping.monitor_share "
                "above 0 (the held-out fold is never watched, it would no longer be held out)"
            )
        if self.min_delta and self.patience is None:
            raise ValueError("min_delta is for patience and would be ignored; set patience too")
        return self


class TrainingConfig(Settings):
    """How the model is fitted."""

    epochs: int = Field(200, ge=1, description="Passes over the training fold.")
    global_batch_size: int = Field(
        1, ge=1, description="Subjects per optimiser step, over all workers."
    )
    accumulation_steps: int = Field(
        1,
        ge=1,
        description="Slices of the global batch whose gradients are summed before a step; batch "
        "normalisation sees one slice, over all workers.",
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="Optimiser.")
    learning_rate: float = Field(1e-3, gt=0.0, description="Step size at its highest.")
    weight_decay: float = Field(0.0, ge=0.0, description="Decoupled weight decay (adamw only).")
    kernel_l2: float = Field(
        5e-5, ge=0.0, description="L2 penalty on convolution kernels, added to the loss."
    )
    schedule: Literal["constant", "warmup_cosine"] = Field(
        "constant", description="Learning rate over steps."
    )
    warmup_share: float = Field(
        0.05, ge=0.0, lt=1.0, description="Share of all steps that warm up (warmup_cosine only)."
    )
    gradient_clip_norm: float | None = Field(
        None, gt=0.0, description="Largest norm of the whole gradient."
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="Arithmetic of the forward pass (autocast)."
    )
    modality_dropout: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Probability with which each image that a subject has is withheld from the "
        "encoders in a training step; one always stays, and what is withheld is reconstructed all "
        "the same. A model of one modality has nothing to withhold.",
    )
    loss: LossConfig = Field(LossConfig(), description="Reconstruction loss.")
    early_stopping: EarlyStoppingConfig = Field(
        EarlyStoppingConfig(), description="Choice of the best epoch."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingConfig":
        """Refuse combinations of which a part would be ignored."""
        if self.global_batch_size % self.accumulation_steps:
            raise ValueError(
                f"training.accumulation_steps ({self.accumulation_steps}) must divide "
                f"training.global_batch_size ({self.global_batch_size})"
            )
        if self.weight_decay and self.optimizer == "adam":
            raise ValueError(
                "training.weight_decay is for adamw and adam would ignore it; set "
                "training.optimizer: adamw, or use training.kernel_l2"
            )
        default = type(self).model_fields["warmup_share"].default
        if self.schedule != "warmup_cosine" and self.warmup_share != default:
            raise ValueError(
                "training.warmup_share is for warmup_cosine and a constant learning rate would "
                "ignore it; set training.schedule: warmup_cosine or leave it out"
            )
        return self
