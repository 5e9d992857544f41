"""The command line: what a user types, wired to the floors below."""

import signal
from types import FrameType

import typer

from isthmus.cli import (
    ablate,
    check,
    compare,
    dashboard,
    demo,
    embed,
    ingest,
    init,
    promote,
    report,
    rollback,
    search,
    stratify,
    train,
)

app = typer.Typer(
    name="isthmus",
    help="Search, ablate and trust multimodal fusion autoencoders of brain images.",
    epilog="Exit codes: 0 done; 1 a bug; 2 bad input; 3 refused by a gate; 4 finished, but some "
    "folds, arms or trials failed; 130 interrupted, run the same command again to continue.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for name, command in (
    ("init", init.init),
    ("check", check.check),
    ("ingest", ingest.ingest),
    ("train", train.train),
    ("search", search.search),
    ("ablate", ablate.ablate),
    ("compare", compare.compare),
    ("report", report.report),
    ("dashboard", dashboard.dashboard),
    ("stratify", stratify.stratify),
    ("promote", promote.promote),
    ("rollback", rollback.rollback),
    ("embed", embed.embed_command),
    ("demo", demo.demo),
):
    app.command(name)(command)


def main() -> None:
    """Run the command line; ends the process with an exit code."""
    signal.signal(signal.SIGTERM, _interrupt)
    app()


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """Treat a polite request to end like Ctrl-C: stop cleanly, resumable."""
    raise KeyboardInterrupt
