"""`isthmus ingest`: every image checked and stored once."""

from dataclasses import fields
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from isthmus.cli.terminal import (
    AsJson,
    ExperimentFile,
    Overrides,
    Traceback,
    command,
    err,
    out,
    override,
    print_json,
)
from isthmus.cohort.participants import load_participants
from isthmus.config.load import Experiment, load_experiment
from isthmus.volumes.ingest import ingest as ingest_cohort
from isthmus.volumes.ingest_report import IngestReport
from isthmus.volumes.verdict import ImageVerdict

Strict = Annotated[
    bool, typer.Option("--strict", help="Refuse the whole run when one image is refused.")
]


MAX_REFUSED_SHOWN = 20


@command
def ingest(
    experiment_file: ExperimentFile,
    overrides: Overrides = None,
    strict: Strict = False,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Check every image and store it once; set the lockbox aside. Continues where it stopped."""
    experiment = load_experiment(experiment_file, override(overrides))
    report = ingest_with_progress(experiment, strict)
    show_ingested(report, as_json)


def ingest_with_progress(experiment: Experiment, strict: bool) -> IngestReport:
    """Ingest a cohort with a progress bar.

    Parameters
    ----------
    experiment : Experiment
        Resolved settings.
    strict : bool
        Whether one refused image refuses the run.

    Returns
    -------
    IngestReport
        What was read, reused and refused.
    """
    participants = load_participants(experiment)
    total = len(participants.ids) * len(experiment.config.cohort.modalities)
    with Progress(
        TextColumn("images"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        disable=not err.is_terminal,
    ) as progress:
        task = progress.add_task("images", total=total)

        def count(verdict: ImageVerdict) -> None:
            progress.advance(task)

        return ingest_cohort(experiment, participants, count, strict)


def show_ingested(report: IngestReport, as_json: bool) -> None:
    """Print what became of the cohort.

    Parameters
    ----------
    report : IngestReport
        What was read, reused and refused.
    as_json : bool
        Print JSON on stdout instead.
    """
    if as_json:
        print_json(_as_json(report))
        return
    again = f", {report.n_reused} were stored already" if report.n_reused else ""
    out.print(
        f"{report.n_accepted} of {report.n_participants} participants accepted, "
        f"{report.n_lockbox} of them in the lockbox; {report.n_read} images read{again}.",
    )
    grid = "x".join(str(edge) for edge in report.grid)
    out.print(f"grid       {grid}, from {report.reference}")
    if report.n_incomplete:
        lacking = ", ".join(f"{name} {n}" for name, n in report.lacking)
        out.print(f"incomplete {report.n_incomplete} of those accepted lack an image: {lacking}")
    for participant_id, reason in report.refused[:MAX_REFUSED_SHOWN]:
        out.print(f"refused    {participant_id}: {reason}", markup=False)
    if len(report.refused) > MAX_REFUSED_SHOWN:
        out.print(f"refused    ... {len(report.refused) - MAX_REFUSED_SHOWN} more")
    out.print(f"verdicts   {report.store_url}/verdicts.tsv")
    out.print("next       isthmus train, with the same experiment file")


def _as_json(report: IngestReport) -> dict[str, Any]:
    """Turn a report into JSON-serialisable values; the verdicts stay in their table."""
    content = {field.name: getattr(report, field.name) for field in fields(report)}
    del content["verdicts"]
    return {**content, "refused": dict(report.refused)}
