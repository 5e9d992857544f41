"""Settings of the running: `execution.*`. None of them changes what is found."""

from typing import Literal

from pydantic import Field

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
