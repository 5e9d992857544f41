"""What the commands share at the terminal: options, errors as one paragraph, tables, JSON."""

import functools
import json
import logging
import os
import traceback as stack
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from isthmus.core.errors import IsthmusError
from isthmus.core.files import disk_full
from isthmus.report.comparison_view import SavedComparison
from isthmus.report.table import Table

P = ParamSpec("P")

PIPE_COLUMNS = 140
LOCAL_MLFLOW = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves unless it is told otherwise."""


def _console(stderr: bool) -> Console:
    """Open a console; where nobody looks at a width, tables still get room."""
    opened = Console(stderr=stderr, soft_wrap=True, highlight=False)
    if not opened.is_terminal and "COLUMNS" not in os.environ:
        opened.width = PIPE_COLUMNS
    return opened


out = _console(stderr=False)
err = _console(stderr=True)

ExperimentFile = Annotated[
    Path, typer.Argument(metavar="EXPERIMENT", help="An experiment.yaml, as `isthmus init` writes.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a setting, such as model.depth=4."),
]
SpaceOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--space-set", metavar="PATH=VALUE", help="Override a space, such as budget.n_trials=4."
    ),
]
AblationOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--ablation-set", metavar="PATH=VALUE", help="Override an ablation, such as n_seeds=3."
    ),
]
GatesOverrides = Annotated[
    list[str] | None,
    typer.Option(
        "--gates-set", metavar="PATH=VALUE", help="Override a gate, such as gates.latency=false."
    ),
]
TrackingUri = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow; default: a sqlite file beside the trials."),
]
Address = Annotated[
    str | None, typer.Option("--address", help="Ray cluster; default: one on this machine.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout.")]
Traceback = Annotated[bool, typer.Option("--traceback", help="Show the stack of an error.")]


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Make a function a command: errors become one paragraph and an exit code.

    Parameters
    ----------
    function : callable
        Takes at least ``as_json`` and ``traceback``.

    Returns
    -------
    callable
        Same signature; ends with `typer.Exit` instead of raising.
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.get("as_json", False))
        try:
            with quiet_logging():
                function(*args, **kwargs)
        except IsthmusError as error:
            _say_error(error, as_json, bool(kwargs.get("traceback", False)))
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            err.print("[yellow]Interrupted.[/] Run the same command again to continue.")
            raise typer.Exit(130) from None
        except typer.Exit:
            raise
        except OSError as error:
            _say_error(_refused(error), as_json, bool(kwargs.get("traceback", False)))
            raise typer.Exit(IsthmusError.exit_code) from None
        except Exception as error:
            _say_error(error, as_json, bool(kwargs.get("traceback", False)), a_bug=True)
            raise typer.Exit(1) from None

    return guarded


def override(
    overrides: list[str] | None, tracking_uri: str | None = None, address: str | None = None
) -> list[str]:
    """Turn the options that have a setting of their own into overrides.

    Parameters
    ----------
    overrides : list of str or None
        As given with ``--set``.
    tracking_uri, address : str or None
        As given with ``--tracking-uri`` and ``--address``.

    Returns
    -------
    list of str
        ``path=value``, the value as JSON where it is text of the user's.
    """
    result = list(overrides or [])
    if tracking_uri is not None:
        result.append(f"execution.tracking_uri={json.dumps(tracking_uri)}")
    if address is not None:
        result.append(f"execution.address={json.dumps(address)}")
    return result


def print_tracking(uri: str) -> None:
    """Say where runs are compared.

    Parameters
    ----------
    uri : str
        Of the tracking store, as it may be shown.
    """
    view = uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri!r}"
    out.print(f"compare runs  {view}", markup=False)


def print_comparison(saved: SavedComparison | None, uri: str) -> None:
    """Say where a search's trials are compared.

    Parameters
    ----------
    saved : SavedComparison or None
        Where the comparison is; None where none was saved.
    uri : str
        Of the tracking store, as it may be shown.
    """
    if saved is None:
        print_tracking(uri)
    elif saved.address is not None:
        out.print(f"compare runs  {saved.address}", markup=False)
    else:
        print_tracking(saved.tracking_uri)
        out.print(f"  then open   {LOCAL_MLFLOW}/{saved.route}", markup=False)


def print_table(table: Table) -> None:
    """Print a table on stdout.

    Parameters
    ----------
    table : Table
        Title, columns, rows and a note.
    """
    # as Text: what stands in brackets in a user's label is no markup
    drawn = RichTable(
        title=Text(table.title),
        title_justify="left",
        caption=Text(table.note),
        caption_justify="left",
    )
    for i, column in enumerate(table.columns):
        drawn.add_column(Text(column), justify="left" if i == 0 else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    out.print(drawn)


def print_json(value: Any) -> None:
    """Print a machine-readable result on stdout.

    Parameters
    ----------
    value : Any
        JSON-serialisable.
    """
    typer.echo(json.dumps(value, indent=2, sort_keys=True, allow_nan=False))


class _Notices(logging.Handler):
    """Prints isthmus's own log lines as plain notices."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one line, above any progress bar."""
        err.print(record.getMessage(), markup=False)


class quiet_logging:  # noqa: N801 - used as a verb
    """Show isthmus's own notices on stderr while a command runs, and nobody else's chatter."""

    def __enter__(self) -> None:
        """Attach the handler."""
        self._handler = _Notices()
        logger = logging.getLogger("isthmus")
        logger.setLevel(logging.INFO)
        logger.addHandler(self._handler)

    def __exit__(self, *exception: object) -> None:
        """Detach the handler."""
        logging.getLogger("isthmus").removeHandler(self._handler)


def _refused(error: OSError) -> IsthmusError:
    """Say what the system refused; a full disk by its class."""
    full = disk_full(error, Path.cwd())
    if full is not None:
        return full
    where = f"{error.filename}: " if error.filename else ""
    return IsthmusError(
        f"{where}the system refused ({error.strerror or error}). Check that the path exists and "
        "may be read and written; execution.output and execution.store say where things go."
    )


def _say_error(error: Exception, as_json: bool, traceback: bool, a_bug: bool = False) -> None:
    """Print an error for people on stderr, and for scripts on stdout."""
    if traceback:
        err.print("".join(stack.format_exception(error)), markup=False, highlight=False)
    kind = type(error).__name__
    if a_bug:
        err.print(f"[bold red]This is a bug in isthmus[/] ({kind}):", end=" ")
        err.print(str(error), markup=False)
        if not traceback:
            err.print("Run again with --traceback and report what it prints.")
    else:
        err.print("[bold red]error:[/]", end=" ")
        err.print(str(error), markup=False)
    if as_json:
        print_json({"error": kind, "message": str(error)})
