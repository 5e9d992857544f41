"""`isthmus report`: the story of a search, an ablation or a trial as one page, for anybody."""

from pathlib import Path
from typing import Annotated

import typer

from isthmus.backends.tracking_uri import shown
from isthmus.cli.compare import find_study, load_study
from isthmus.cli.terminal import (
    AsJson,
    Traceback,
    TrackingUri,
    command,
    err,
    out,
    print_json,
)
from isthmus.config.load import load_experiment
from isthmus.core.errors import ConfigError
from isthmus.promotion.publish import publish_report
from isthmus.promotion.story import promoted_trial, promotion_parts
from isthmus.report.story.bundle import ReportBundle
from isthmus.report.story.files import require_replaceable, write_report
from isthmus.report.story.gather import MOST_DETAILS, gather_bundle
from isthmus.report.story.pdf import find_browser, write_pdf
from isthmus.study.record_json import STUDY_FILE
from isthmus.study.search import EXPERIMENT_FILE, SEARCH_FILE

Study = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="Folder of a search, an ablation or a trial, or its name below ./runs.",
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "-o", "--output", metavar="DIR", help="Folder of the report; an earlier one is replaced."
    ),
]
Lead = Annotated[
    int | None,
    typer.Option(
        "--trial",
        min=0,
        metavar="N",
        help="The trial it is told by; default: the promoted, else the best.",
    ),
]
Details = Annotated[
    int, typer.Option("--details", min=1, metavar="N", help="Trials that are kept in full.")
]
Pdf = Annotated[
    bool, typer.Option("--pdf", help="Print the page to report.pdf too; needs a Chromium.")
]
Publish = Annotated[
    bool, typer.Option("--publish", help="Put the page with the study's run in MLflow, too.")
]


@command
def report(
    study: Study,
    output: Output,
    trial: Lead = None,
    details: Details = MOST_DETAILS,
    pdf: Pdf = False,
    publish: Publish = False,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Write the story of a search, an ablation or a trial as one page that needs no network."""
    folder = find_study(study)
    require_replaceable(output)
    if tracking_uri is not None and not publish:
        raise ConfigError("--tracking-uri is where --publish puts the page. Add --publish.")
    if pdf:
        find_browser()
    lead = promoted_trial(folder) if trial is None else trial
    bundle = bundle_of(folder, details, lead)
    files = list(write_report(bundle, output, promotion_parts(folder)))
    if pdf:
        files.append(write_pdf(files[0]))
    if publish:
        publish_page(files[0], bundle, tracking_uri or _tracking_uri(folder))
    if as_json:
        print_json({"directory": str(output), "files": [str(file) for file in files]})
        return
    for said in bundle.missing:
        err.print(f"note: {said}", markup=False)
    out.print(f"report  {files[0]}", markup=False)
    if pdf:
        out.print(f"on paper  {files[-1]}", markup=False)
    out.print(f"{len(files)} files in {output}", markup=False)


def publish_page(page: Path, bundle: ReportBundle, tracking_uri: str) -> None:
    """Put a report's page with the run of what it tells of.

    Parameters
    ----------
    page : Path
        The page.
    bundle : ReportBundle
        What it shows.
    tracking_uri : str
        MLflow.

    Raises
    ------
    ConfigError
        If MLflow has no run of it.
    """
    # MLflow takes seconds to import: only what is used is.
    from isthmus.backends.mlflow_reader import MlflowRunReader  # noqa: PLC0415

    if not publish_report(page, bundle, MlflowRunReader(tracking_uri)):
        raise ConfigError(
            f"A report is put with the run of its {bundle.kind}, but {shown(tracking_uri)} has "
            f"none of {bundle.name}. The page itself is written: {page}. Name the right store "
            "with --tracking-uri."
        )


def _tracking_uri(folder: Path) -> str:
    """Look up where a study was tracked."""
    return load_experiment(folder / EXPERIMENT_FILE).tracking_uri


def bundle_of(
    folder: Path,
    n_details: int = MOST_DETAILS,
    chosen: int | None = None,
    with_people: bool = False,
) -> ReportBundle:
    """Gather all that is shown of a study, of a search as it stands now.

    Parameters
    ----------
    folder : Path
        Of a search, an ablation or a trial.
    n_details : int
        Trials in full.
    chosen : int, optional
        Number of the trial that leads.
    with_people : bool
        Hand on declared columns of the development subjects; not for a report that is passed on.

    Returns
    -------
    ReportBundle
        As `gather_bundle`.

    Raises
    ------
    ConfigError
        If the folder is of none of these.
    StudyError
        If the study is kept in a database that is not to be had.
    """
    is_search = (folder / SEARCH_FILE).exists() or (folder / STUDY_FILE).exists()
    study = load_study(folder) if is_search else None
    return gather_bundle(folder, study, n_details, chosen, with_people)
