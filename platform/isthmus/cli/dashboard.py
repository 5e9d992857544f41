"""`isthmus dashboard`: a live view of studies in the browser, on this machine alone by default."""

import ipaddress
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isthmus.cli.compare import RUNS, load_study
from isthmus.cli.terminal import Traceback, command, err, out
from isthmus.core.errors import ConfigError
from isthmus.core.ports import RunReader

if TYPE_CHECKING:
    from dash import Dash

    from isthmus_dashboard.source import Source

DEFAULT_PORT = 8050

Tracking = Annotated[
    str | None,
    typer.Option("--tracking-uri", help="MLflow; default: the folder of runs, without a store."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="RUNS",
        help="Folder of the trials' folders; default: ./runs. With --tracking-uri only for what no "
        "tracking store holds.",
    ),
]
Port = Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")]
Host = Annotated[
    str, typer.Option("--host", help="Address to listen at; there is no authentication.")
]
Refresh = Annotated[
    int, typer.Option("--refresh", min=1, metavar="SECONDS", help="How often to look again.")
]


@command
def dashboard(
    tracking_uri: Tracking = None,
    output: Output = None,
    port: Port = DEFAULT_PORT,
    host: Host = "127.0.0.1",
    refresh: Refresh = 5,
    traceback: Traceback = False,
) -> None:
    """Show studies in the browser, also while they run: progress, front, verdicts, images."""
    hosts = allowed_hosts(host)
    # Dash takes a second to import.
    from isthmus_dashboard.app import make_app  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="isthmus-dashboard-") as scratch:
        source = source_of(tracking_uri, output, Path(scratch))
        serve(make_app(source, hosts, refresh), host, port)


def allowed_hosts(host: str) -> tuple[str, ...]:
    """Say under which names the view may be asked for; warn where others than this machine can.

    Parameters
    ----------
    host : str
        Address to listen at.

    Returns
    -------
    tuple of str
        Loopback's names; the host itself and any IP address beside them where it is another.
    """
    # Dash takes a second to import.
    from isthmus_dashboard.app import LOOPBACK  # noqa: PLC0415

    if _is_loopback(host):
        return tuple(dict.fromkeys((*LOOPBACK, host)))
    err.print(
        f"[yellow]There is no authentication:[/] whoever reaches {host} sees every study, and "
        "images and phenotypes of subjects. Prefer --host 127.0.0.1 and an SSH tunnel."
    )
    return (*LOOPBACK, host, "*")


def source_of(tracking_uri: str | None, output: Path | None, scratch: Path) -> "Source":
    """Say where the studies are; nothing is asked yet.

    Parameters
    ----------
    tracking_uri : str or None
        Of the tracking store; None: studies are read from `output`.
    output : Path or None
        Folder of the trials' folders.
    scratch : Path
        Folder for what is fetched from the store.

    Returns
    -------
    Source
        For `isthmus_dashboard.app.make_app`.

    Raises
    ------
    ConfigError
        If the URI is of an unknown kind.
    """
    from isthmus_dashboard.folder_source import FolderSource  # noqa: PLC0415
    from isthmus_dashboard.tracked_source import TrackedSource  # noqa: PLC0415

    if tracking_uri is None:
        return FolderSource(output or RUNS, load_study)
    # MLflow takes seconds to import.
    from isthmus.backends.mlflow_reader import MlflowRunReader  # noqa: PLC0415
    from isthmus.backends.tracking_uri import checked_uri, shown  # noqa: PLC0415

    uri = checked_uri(tracking_uri)

    def connect() -> RunReader:
        return MlflowRunReader(uri)

    return TrackedSource(shown(uri), connect, scratch, output)


def serve(app: "Dash", host: str, port: int) -> None:
    """Serve the view until interrupted.

    Parameters
    ----------
    app : dash.Dash
        As `isthmus_dashboard.app.make_app` makes it.
    host : str
        Where to listen.
    port : int
        Likewise; 0 for one that is free.

    Raises
    ------
    ConfigError
        If the port cannot be had.
    """
    from werkzeug.serving import make_server  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # a line a request helps nobody
    try:
        server = make_server(host, port, app.server, threaded=True)
    except (OSError, SystemExit) as error:  # werkzeug ends the process where a port is taken
        raise ConfigError(
            f"--host and --port must be free to listen at, but {host}:{port} is not "
            f"({type(error).__name__}). Give another port, or 0 for any that is free."
        ) from None
    shown_host = f"[{host}]" if ":" in host else host
    out.print(f"dashboard  http://{shown_host}:{server.server_port}", markup=False)
    out.print("Ctrl-C ends it.", markup=False)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _is_loopback(host: str) -> bool:
    """Tell whether an address is this machine's alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
