"""`isthmus init`: look at a cohort's folder and write an experiment that works."""

from pathlib import Path
from typing import Annotated

import typer

from isthmus.cli.terminal import AsJson, Traceback, command, err, out, print_json
from isthmus.core.errors import ConfigError
from isthmus.core.files import write_text
from isthmus.trial.propose import propose

CohortFolder = Annotated[
    Path, typer.Argument(metavar="COHORT_DIR", help="Folder with participants.tsv and images.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="Where to write the experiment.")
]
Preset = Annotated[str, typer.Option("--preset", help="Settings to start from.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]


@command
def init(
    cohort_dir: CohortFolder,
    output: Output = Path("experiment.yaml"),
    preset: Preset = "smoke",
    force: Force = False,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Write experiment.yaml for a cohort, after looking at what is there."""
    if output.exists() and not force:
        raise ConfigError(
            f"{output}: exists already and would be lost. Give another name with --output, or "
            "--force to replace it."
        )
    proposal = propose(cohort_dir, output, preset)
    write_text(output, proposal.text)
    if as_json:
        print_json({"file": str(output), "notes": list(proposal.notes), "facts": proposal.facts})
        return
    for note in proposal.notes:
        err.print(f"note: {note}", markup=False)
    out.print(f"wrote  {output}")
    out.print(f"next   isthmus check {output}")
    out.print(f"       isthmus ingest {output}")
    out.print(f"       isthmus train {output}")
