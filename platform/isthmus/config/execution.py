"""Settings of the running: `execution.*`. None of them changes what is found."""

from typing import Literal

from pydantic import Field, model_validator

from isthmus.config.settings import Settings


class ExecutionConfig(Settings):
    """How the running is organised. Nothing here changes a result or enters the digest."""

    output: str = Field("runs", description="Folder of trials, from the experiment file's folder.")
    store: str = Field(
        "store", description="Folder or fsspec URL of the volume store, from the same folder."
    )
    tracking_uri: str | None = Field(
        None, description="MLflow; none given: a sqlite file beside the trials."
    )
    address: str | None = Field(
        None, description="Ray cluster; none given: a local one where Ray is needed."
    )
    workers: int = Field(
        1, ge=1, le=1024, description="Training processes; with two or more, on Ray."
    )
    threads_per_worker: int | None = Field(
        None, ge=1, description="Compute threads of each; none given: the cores shared out."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to compute.")
    gpus_per_worker: float = Field(
        1.0,
        gt=0.0,
        le=1.0,
        description="Share of a GPU that each worker reserves; below 1, with one worker a trial, "
        "several trials share a GPU.",
    )
    concurrent_trials: int | None = Field(
        None, ge=1, description="Trials of a search at a time; none given: as many as fit."
    )
    study_storage: str | None = Field(
        None,
        description="Where a search keeps its study: sqlite:///, journal:/// or postgresql:// "
        "URL; none given: a sqlite file in the search's folder.",
    )
    max_failures: int = Field(
        2, ge=0, description="Worker failures after which a fold is given up."
    )
    ingest_processes: int | None = Field(
        None, ge=1, description="Processes that read images; none given: one a core."
    )
    stratification_workers: int = Field(
        1, ge=1, le=4096, description="Processes of the robustness job; with two or more, on Ray."
    )
    checkpoint_every_steps: int = Field(
        100, ge=1, description="Optimiser steps between checkpoints; each epoch's end has one."
    )

    @model_validator(mode="after")
    def _placeable(self) -> "ExecutionConfig":
        """Refuse shares of a GPU that nobody could use."""
        if self.gpus_per_worker < 1.0 and self.workers > 1:
            raise ValueError(
                f"execution.gpus_per_worker ({self.gpus_per_worker:g}) may be below 1 only with "
                f"one of execution.workers, got {self.workers}: workers of one training would "
                "come to share a GPU, and NCCL, which joins them, refuses that. Set "
                "execution.workers: 1, or leave gpus_per_worker out"
            )
        if self.gpus_per_worker < 1.0 and self.device == "cpu":
            raise ValueError(
                "execution.gpus_per_worker is for GPUs and execution.device: cpu would ignore it; "
                "leave one of them out"
            )
        return self
