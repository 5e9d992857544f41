"""Settings of the running: `execution.*`. None of them changes what is found."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

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
    min_workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Training processes that will do while nodes come and go: none given, as many "
        "as `workers`; with fewer, a training begins, and goes on, on what is there between the "
        "two, with the same global batch.",
    )
    worker_wait_minutes: float = Field(
        10.0,
        gt=0.0,
        le=10080.0,
        description="Minutes that a training on Ray waits for room for its workers, at its "
        "beginning and after a node was lost, before it ends in an error; it can be gone on with.",
    )
    threads_per_worker: int | None = Field(
        None, ge=1, description="Compute threads of each; none given: the cores shared out."
    )
    readers: int | None = Field(
        None,
        ge=1,
        le=64,
        description="Threads of each worker that read volumes ahead of the steps; none given: up "
        "to 2 of its cores, beside a GPU up to 8.",
    )
    read_ahead: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Parts of a batch, as a worker computes them at a time, that are read ahead "
        "of the steps and held in memory; none given: one a reader.",
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
        2,
        ge=0,
        description="Worker failures after which a fold is given up; a node that is lost is none, "
        "as long as the training has come further since the one before.",
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
    activation_checkpointing: Literal["none", "levels"] = Field(
        "none",
        description="Maps that a training step computes again instead of keeping: none, or those "
        "within the levels of encoders and decoders, which takes less memory and more time.",
    )
    compile: bool = Field(
        False,
        description="Train through torch.compile, which needs a C++ compiler (CPU) or Triton "
        "(GPU); the first steps take minutes, and results move by rounding.",
    )

    @field_validator("output")
    @classmethod
    def _shared_folder(cls, output: str) -> str:
        """Refuse a URL, which would become a folder of that name."""
        if "://" in output:
            raise ValueError(
                f"execution.output must be a folder that all nodes share, got {output!r}. Trials "
                "lock, rename and append to their files, which object stores cannot; volumes "
                "(execution.store) and MLflow's artifacts may be behind a URL"
            )
        return output

    @model_validator(mode="after")
    def _busy_readers(self) -> "ExecutionConfig":
        """Refuse readers that could never have anything to read."""
        if self.readers is not None and (self.read_ahead or self.readers) < self.readers:
            raise ValueError(
                f"execution.readers ({self.readers}) may be at most execution.read_ahead "
                f"({self.read_ahead}): each reads another part ahead, so that the others would "
                "have nothing to do. Raise read_ahead, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _compilable(self) -> "ExecutionConfig":
        """Refuse to compile what is computed twice."""
        if self.compile and self.activation_checkpointing != "none":
            raise ValueError(
                "execution.compile may be true only with execution.activation_checkpointing: "
                f"none, got {self.activation_checkpointing}: a level that is computed again is "
                "not compiled. Leave one of them out"
            )
        return self

    @model_validator(mode="after")
    def _elastic(self) -> "ExecutionConfig":
        """Refuse to do with more than are asked for."""
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(
                f"execution.min_workers ({self.min_workers}) may be at most execution.workers "
                f"({self.workers}): it is how few will do. Lower it, raise workers, or leave it out"
            )
        return self

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
