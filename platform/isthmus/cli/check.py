"""`isthmus check`: resolve and validate files, show what they mean and what they cost."""

from pathlib import Path
from typing import Annotated

import typer

from isthmus.backends.worker_share import check_workers
from isthmus.cli.terminal import (
    AsJson,
    Overrides,
    Traceback,
    command,
    out,
    override,
    print_json,
    print_table,
)
from isthmus.config.load import load_experiment
from isthmus.report.summary import facts_table
from isthmus.trial.preview import preview

Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Experiment files.")]


@command
def check(
    files: Files,
    overrides: Overrides = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Resolve and validate experiments; show digest, cohort, model and cost. Trains nothing."""
    experiments = [load_experiment(file, override(overrides)) for file in files]
    for experiment in experiments:
        check_workers(experiment.config.execution)
    previews = [preview(experiment) for experiment in experiments]
    if as_json:
        print_json([{"file": str(f), **p.to_json()} for f, p in zip(files, previews, strict=True)])
        return
    for file, seen in zip(files, previews, strict=True):
        out.print(f"[bold]{file}[/]  digest {seen.digest}")
        print_table(facts_table(seen.facts))
        for note in seen.notes:
            out.print(f"note: {note}", markup=False)
