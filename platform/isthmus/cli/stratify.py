"""`isthmus stratify`: the robustness job on embeddings that are there already."""

import json
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from isthmus.backends.worker_share import check_task_workers
from isthmus.cli.progress import StratifyProgress
from isthmus.cli.runner import task_runner
from isthmus.cli.stratify_logging import Logbook
from isthmus.cli.terminal import (
    Address,
    AsJson,
    Overrides,
    Traceback,
    TrackingUri,
    command,
    err,
    out,
    override,
    print_json,
    print_table,
)
from isthmus.config.stratify import load_settings, settings_of
from isthmus.core.errors import ConfigError
from isthmus.report.across_summary import across_tables, selection_table
from isthmus.report.strata_files import write_selection_files
from isthmus.report.strata_overview import overview_tables
from isthmus.report.stratify_publish import (
    draw_restratified,
    publish_restratified,
)
from isthmus.stratification.across import SelectionReport
from isthmus.trial.embedded import Embedded, from_files, from_folder, from_run
from isthmus.trial.restratify import Prepared, Restratified, prepare, run_prepared
from isthmus.trial.selection import select_among, selection_key
from isthmus.trial.strata import STRATA_FILE

Runs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="RUN...", help="Trials or folds: folders, or ids of their runs in MLflow."
    ),
]
Embeddings = Annotated[
    list[Path] | None,
    typer.Option(
        "--embeddings",
        metavar="FILE",
        help="Embeddings that another tool made (.parquet, .tsv, .csv), an encoder a file.",
    ),
]
People = Annotated[
    Path | None,
    typer.Option("--participants", metavar="FILE", help="Their participants.tsv."),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML of cohort.*, stratification.* and seed."),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="DIR", help="Default: beside the trial, or here."),
]

_RUN_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, eq=False)
class Outcome:
    """All that a call of the command found.

    Attributes
    ----------
    trials : tuple of Restratified
        Each RUN, or the files.
    run_ids : tuple of (str or None)
        Where each was logged.
    selection : SelectionReport or None
        With several trials, the best of them judged as such.
    directory : Path
        Folder of it all.
    """

    trials: tuple[Restratified, ...]
    run_ids: tuple[str | None, ...]
    selection: SelectionReport | None
    directory: Path


@command
def stratify(
    runs: Runs = None,
    embeddings: Embeddings = None,
    participants: People = None,
    config: Config = None,
    output: Output = None,
    overrides: Overrides = None,
    tracking_uri: TrackingUri = None,
    address: Address = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Ask of embeddings that are there how far their strata can be trusted; continues."""
    _check_call(runs, embeddings, config)
    changes = override(overrides, tracking_uri, address)
    with ExitStack() as open_things:
        scratch = Path(open_things.enter_context(tempfile.TemporaryDirectory()))
        logbook = Logbook(load_settings(config, changes).execution.tracking_uri)
        found = _find(runs or [], embeddings or [], logbook, scratch)
        trials = [
            prepare(
                embedded,
                settings_of(embedded.experiment.config, changes)
                if embedded.experiment
                else load_settings(config, changes),
                participants,
            )
            for embedded in found
        ]
        outcome = _run(trials, output, logbook, open_things)
    _show(outcome, as_json)


def _check_call(
    runs: Sequence[str] | None, embeddings: Sequence[Path] | None, config: Path | None
) -> None:
    """Refuse what would be ignored."""
    if bool(runs) == bool(embeddings):
        raise ConfigError(
            "Give either RUN..., trials of isthmus, or --embeddings FILE with --participants FILE, "
            f"embeddings of another tool; got {'both' if runs else 'neither'}."
        )
    if runs and config is not None:
        raise ConfigError(
            "--config is for --embeddings: a trial's settings are those of its experiment. Change "
            "them with --set."
        )


def _find(
    runs: Sequence[str], files: Sequence[Path], logbook: Logbook, scratch: Path
) -> list[Embedded]:
    """Read the embeddings, wherever they are."""
    if files:
        return [from_files(files)]
    found = []
    for run in runs:
        if Path(run).is_dir():
            found.append(from_folder(Path(run)))
            continue
        if not _RUN_ID.fullmatch(run):
            raise ConfigError(
                "RUN must be the folder of a trial or of a fold, or the id of its run in MLflow "
                f"(32 hexadecimal digits), but {run!r} is neither."
            )
        found.append(from_run(logbook.reader(), run, scratch))
    labels = [embedded.label for embedded in found]
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise ConfigError(f"Each RUN must be named once, but {repeated} are.")
    return found


def _run(
    trials: Sequence[Prepared], output: Path | None, logbook: Logbook, open_things: ExitStack
) -> Outcome:
    """Compute, draw and log each trial, then choose among them."""
    for note in dict.fromkeys(note for trial in trials for note in trial.notes):
        err.print(f"note: {note}", markup=False)
    execution = trials[0].settings.execution
    check_task_workers(execution)
    root = output or _default_folder(trials)
    pages = [logbook.page(trial) for trial in trials]
    runner = task_runner(execution, open_things)
    done, run_ids = [], []
    for trial, page in zip(trials, pages, strict=True):
        directory = root if len(trials) == 1 else root / trial.embedded.label
        with StratifyProgress(err) as progress:
            found = run_prepared(trial, directory, runner, progress)
        drawn = draw_restratified(found)
        run = page() if page else None
        if run is not None:
            publish_restratified(found, drawn, trial.settings, run)
        done.append(found)
        run_ids.append(run.run_id if run else None)
    selection = None
    if len(trials) > 1:
        selection = select_among(list(zip(trials, done, strict=True)), root, runner)
        write_selection_files(selection, root, any(trial.leaky for trial in done))
    return Outcome(tuple(done), tuple(run_ids), selection, root)


def _default_folder(trials: Sequence[Prepared]) -> Path:
    """Name a folder after what goes into it: beside the trial's, or here."""
    if len(trials) > 1:
        return Path(f"stratified-{selection_key(trials)[:8]}")
    (trial,) = trials
    name, folder = f"stratified-{trial.key[:8]}", trial.embedded.folder
    return Path(name) if folder is None else folder.parent / f"{trial.embedded.label}-{name}"


def _show(outcome: Outcome, as_json: bool) -> None:
    """Print tables for people, or JSON for programs."""
    if as_json:
        print_json(_as_json(outcome))
        return
    for trial in outcome.trials:
        tables = overview_tables(trial.reports, trial.leaky)
        for table in (*tables, *across_tables(trial.across, trial.leaky)):
            print_table(table)
    if outcome.selection is not None:
        print_table(selection_table(outcome.selection))
    out.print(f"results  {outcome.directory}", markup=False)
    for run_id in filter(None, outcome.run_ids):
        out.print(f"run      {run_id}", markup=False)


def _as_json(outcome: Outcome) -> dict[str, Any]:
    """Turn what was found into JSON-serialisable values; the whole records are in the files."""
    selection = outcome.selection
    return {
        "directory": str(outcome.directory),
        "selection": json.loads(selection.to_json()) if selection else None,
        "trials": [
            {
                "label": trial.label,
                "key": trial.key,
                "directory": str(trial.directory),
                "mlflow_run_id": run_id,
                "across": json.loads(trial.across.to_json()),
                "encoders": {
                    name: {
                        "encoder_id": report.encoder_id,
                        "report": str(trial.directory / name / STRATA_FILE),
                        "strata": report.strata.kind,
                        "metrics": report.metrics(),
                        "associations": [asdict(found) for found in report.associations],
                    }
                    for name, report in trial.reports.items()
                },
            }
            for trial, run_id in zip(outcome.trials, outcome.run_ids, strict=True)
        ],
    }
