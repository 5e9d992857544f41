"""`isthmus embed`: a cohort through a model that was promoted, or that a folder holds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import TimeElapsedColumn

from isthmus.backends.worker_share import check_workers
from isthmus.cli.progress import bars
from isthmus.cli.terminal import (
    Address,
    AsJson,
    Traceback,
    TrackingUri,
    command,
    err,
    out,
    print_json,
)
from isthmus.config.execution import ExecutionConfig
from isthmus.core.errors import ConfigError, ResourceError
from isthmus.promotion.bundle.record import BUNDLE_FILE, read_record
from isthmus.promotion.embedding.files import ModelLabel
from isthmus.promotion.embedding.model_copy import folder_for_copy
from isthmus.promotion.embedding.parts import parts_folder
from isthmus.promotion.embedding.roles import roles_of
from isthmus.promotion.embedding.run import EmbedReport, EmbedRunner, check_places, embed
from isthmus.promotion.embedding.source import CohortPlace, find_cohort, subjects_of
from isthmus.promotion.embedding.subject import EmbedJob, InProcessEmbedRunner
from isthmus.promotion.registry.reference import parse_reference

EXIT_SOME_REFUSED = 4
MAX_REFUSED_SHOWN = 20

Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="A bundle's folder, or NAME@champion, NAME/3 or NAME."),
]
Cohort = Annotated[
    Path,
    typer.Argument(
        metavar="COHORT", help="An experiment.yaml, a cohort's folder, or its participants.tsv."
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The .parquet file to make.")
]
Reconstructions = Annotated[
    Path | None,
    typer.Option("--reconstructions", metavar="DIR", help="Write reconstructed images there too."),
]
Images = Annotated[
    str | None,
    typer.Option(
        "--images", metavar="PATTERN", help="Where images are: {participant_id}, {modality}."
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, help="Processes; with two or more, on Ray.")
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu or cuda; default: the experiment's.")
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Forget what an earlier run left, and replace FILE.")
]


@dataclass(frozen=True)
class _Found:
    """A model in a folder, and what it is called."""

    folder: Path
    reference: str


@command
def embed_command(
    model: Model,
    cohort: Cohort,
    output: Output = Path("embeddings.parquet"),
    reconstructions: Reconstructions = None,
    images: Images = None,
    workers: Workers = 1,
    device: Device = None,
    address: Address = None,
    tracking_uri: TrackingUri = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Embed a cohort's NIfTI files with a model, and put each subject into a stratum; continues."""
    place = find_cohort(cohort, images)
    check_places(output, reconstructions, place.experiment.cohort_root)
    execution = _execution(place.execution, workers, device, address)
    with _model(model, output, tracking_uri, place.tracking_uri) as found:
        record = read_record(found.folder)
        subjects = subjects_of(place, record.modalities, not record.accepts_missing)
        job = EmbedJob(
            bundle=found.folder.resolve(),
            model_digest=record.digest,
            device=execution.device,
            reconstructions=reconstructions.resolve() if reconstructions else None,
            threads=execution.threads_per_worker,
        )
        with bars(err, TimeElapsedColumn()) as progress:
            task = progress.add_task("subjects", total=len(subjects.subjects), detail="")
            report = embed(
                subjects,
                ModelLabel(record.encoder_id, record.digest, found.reference),
                job,
                roles_of(record.origin, place.experiment if place.is_declared else None),
                output,
                _runner(execution),
                lambda done, _: progress.update(task, completed=done),
                fresh,
            )
    _show(report, place, as_json)
    if report.refused:
        raise typer.Exit(EXIT_SOME_REFUSED)


def _execution(
    given: ExecutionConfig, workers: int, device: str | None, address: str | None
) -> ExecutionConfig:
    """Lay the options over the experiment's settings of the running."""
    # What trains and what stratifies is not run here.
    changes: dict[str, Any] = {
        "workers": workers,
        "min_workers": None,
        "stratification_workers": 1,
    }
    changes |= {"device": device} if device is not None else {}
    changes |= {"address": address} if address is not None else {}
    if changes.get("device") not in (None, "auto", "cpu", "cuda"):
        raise ConfigError(f"--device must be auto, cpu or cuda, got {device!r}.")
    execution = given.model_copy(update=changes)
    try:
        check_workers(execution)
    except ResourceError as error:
        raise ResourceError(f"{error} Of `isthmus embed` that is --workers.") from None
    return execution


def _runner(execution: ExecutionConfig) -> EmbedRunner:
    """Choose where to compute; one process, unless it is to be on a cluster, is this one."""
    if execution.workers == 1 and execution.address is None:
        return InProcessEmbedRunner()
    # Ray takes seconds to import: only what is used is.
    from isthmus.backends.ray_embed import RayEmbedRunner  # noqa: PLC0415

    return RayEmbedRunner(execution)


@contextmanager
def _model(model: str, output: Path, asked: str | None, default: str | None) -> Iterator[_Found]:
    """Have a model's folder: the user's, or a copy of a version in the registry."""
    folder = Path(model)
    if (folder / BUNDLE_FILE).is_file():
        if asked is not None:
            raise ConfigError(
                f"--tracking-uri says where the registry is, but {model} is a folder: it would be "
                "ignored. Leave it out."
            )
        yield _Found(folder, str(folder.resolve()))
        return
    if folder.is_dir():
        raise ConfigError(
            f"{model}: MODEL must be a bundle's folder, with {BUNDLE_FILE}, or a version in the "
            "registry, such as NAME@champion; this folder is no bundle."
        )
    reference = parse_reference(model)
    tracking_uri = asked or default
    if tracking_uri is None:
        raise ConfigError(
            f"{model} is no folder, so it must be looked up in a registry, but COHORT is no "
            "experiment that would say where. Give --tracking-uri."
        )
    # MLflow takes seconds to import too.
    from isthmus.backends.mlflow_registry import MlflowModelRegistry  # noqa: PLC0415

    registry = MlflowModelRegistry(tracking_uri)
    version = registry.find(reference.name, reference.which)
    if version is None:
        known = ", ".join(item.version for item in registry.versions(reference.name))
        there = f"its versions are {known}" if known else "there is no such model"
        raise ConfigError(
            f"{reference.uri} must be in the registry at {tracking_uri}, but {there}. "
            "`isthmus promote` registers models."
        )
    with folder_for_copy(parts_folder(output)) as beside:
        copy = registry.download(version, beside / "bundle")
        yield _Found(copy, f"models:/{version.name}/{version.version}")


def _show(report: EmbedReport, place: CohortPlace, as_json: bool) -> None:
    """Print what came of it."""
    if as_json:
        print_json(report.to_json())
        return
    for note in report.notes:
        err.print(f"note: {note}", markup=False)
    again = f", {report.n_found} of them were finished before" if report.n_found else ""
    out.print(f"{report.n_embedded} of {report.n_subjects} subjects embedded{again}.")
    out.print(f"model       {report.model} (encoder {report.encoder_id})", markup=False)
    roles = ", ".join(f"{name} {n}" for name, n in report.roles.items())
    out.print(f"roles       {roles}")
    if report.without:
        lacking = ", ".join(f"{name} {n}" for name, n in report.without.items())
        out.print(f"without     {lacking}", markup=False)
    out.print(f"strange     {report.n_out_of_distribution} are out of distribution")
    for participant_id, reason in list(report.refused.items())[:MAX_REFUSED_SHOWN]:
        out.print(f"refused     {participant_id}: {reason}", markup=False)
    if len(report.refused) > MAX_REFUSED_SHOWN:
        out.print(f"refused     ... {len(report.refused) - MAX_REFUSED_SHOWN} more")
    out.print(f"embeddings  {report.output}", markup=False)
    out.print(f"verdicts    {report.verdicts}", markup=False)
    if report.reconstructions:
        out.print(f"images      {report.reconstructions}", markup=False)
    people = place.experiment.cohort_root / place.experiment.config.cohort.participants
    out.print(
        f"next        isthmus stratify --embeddings {report.output} --participants {people}",
        markup=False,
    )
