"""The application: its frame, what happens on a click, and who may ask for it."""

import ipaddress
from collections.abc import Collection
from functools import partial
from importlib import resources
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update, set_props
from flask import Flask, Response, abort, request

from isthmus.core.errors import IsthmusError
from isthmus_dashboard.addresses import read_address
from isthmus_dashboard.context import Context
from isthmus_dashboard.last_seen import LastSeen
from isthmus_dashboard.pages import embeddings, front, images
from isthmus_dashboard.pieces import Piece
from isthmus_dashboard.render import render, state_of
from isthmus_dashboard.scans import Scans
from isthmus_dashboard.source import Source, Standing

REFRESH_SECONDS = 5
# What a page sends back is an address and a click.
_MOST_BYTES = 2**20
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}</head>
<body>
<a class="skip" href="#page">Skip to the content</a>
<noscript>This view needs JavaScript. `isthmus report` writes a page that can be printed.</noscript>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>"""


def make_app(
    source: Source, hosts: Collection[str] = LOOPBACK, refresh_seconds: int = REFRESH_SECONDS
) -> Dash:
    """Make the application.

    Parameters
    ----------
    source : Source
        Where the studies are.
    hosts : collection of str
        Names under which it may be asked for; an IP address that is not on loopback only if
        ``*`` is among them.
    refresh_seconds : int
        How often the page looks whether anything is new.

    Returns
    -------
    dash.Dash
        Fetches nothing from elsewhere, keeps no state of a visitor, and runs nothing that a study
        was named.
    """
    context = Context(LastSeen(source), Scans())
    server = Flask("isthmus_dashboard")
    app = Dash(
        "isthmus_dashboard",
        server=server,
        assets_folder=str(resources.files("isthmus_dashboard") / "assets"),
        index_string=_INDEX,
        title="isthmus",
        update_title=None,  # a title that changes every few seconds is read out each time
        serve_locally=True,
        compress=False,
        enable_mcp=False,
        websocket_callbacks=False,
        suppress_callback_exceptions=True,
        add_log_handler=False,
    )
    app.layout = _frame(refresh_seconds)
    _follow(app, context)
    _guard(server, app, hosts)
    return app


def is_allowed(host: str, hosts: Collection[str]) -> bool:
    """Tell whether a request may name a host.

    A page from elsewhere can have its own name resolve to this machine, and then read whatever is
    served here; it cannot make the browser send another name.

    Parameters
    ----------
    host : str
        As the request names it, with or without a port.
    hosts : collection of str
        As `make_app` takes them.

    Returns
    -------
    bool
        True of the names themselves; with ``*`` among them of any IP address, which no name
        server has a say in.

    Examples
    --------
    >>> is_allowed("localhost:8050", LOOPBACK), is_allowed("evil.example", LOOPBACK)
    (True, False)
    """
    name = host.rsplit(":", 1)[0] if host.count(":") == 1 or "]" in host else host
    name = name.strip("[]").lower()
    if name in {one.lower() for one in hosts}:
        return True
    if "*" not in hosts:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_from_here(origin: str | None, host: str) -> bool:
    """Tell whether a request comes from a page of the view itself.

    A page from elsewhere cannot read the answers, but can have the browser ask for costly ones.

    Parameters
    ----------
    origin : str or None
        What the browser says of the page; other programs say nothing.
    host : str
        As the request names it.

    Returns
    -------
    bool
        False of another host or port, and of a page that has no address.

    Examples
    --------
    >>> is_from_here("http://localhost:8050", "localhost:8050"), is_from_here("null", "localhost")
    (True, False)
    """
    return origin is None or origin.partition("://")[2].lower() == host.lower()


def _frame(seconds: int) -> Piece:
    """Lay out what stands on every page."""
    refresh = dcc.Checklist(
        id="refresh",
        options=[{"label": f" Refresh every {seconds} s", "value": "on"}],
        value=["on"],
    )
    return html.Div(
        [
            dcc.Location(id="at", refresh=False),
            dcc.Interval(id="tick", interval=seconds * 1000),
            dcc.Store(id="shown"),
            html.Header([html.A("isthmus", href="/", className="brand"), refresh]),
            html.Main(
                html.P("Reading ...", className="reading", role="status"), id="page", tabIndex=-1
            ),
        ]
    )


def _follow(app: Dash, context: Context) -> None:
    """Have the page follow the address, the clock and clicks."""
    at = (State("at", "pathname"), State("at", "search"))
    chosen = Output("at", "search", allow_duplicate=True)
    planes = Input({"type": images.GRAPH, "plane": ALL}, "clickData")
    app.callback(
        Output("page", "children"),
        Output("shown", "data"),
        Input("at", "pathname"),
        Input("at", "search"),
        Input("tick", "n_intervals"),
        State("shown", "data"),
    )(partial(_show, context))
    app.callback(Output("tick", "disabled"), Input("refresh", "value"))(_pause)
    for graph, choose in ((front.GRAPH, _choose_point), (embeddings.GRAPH, _choose_subject)):
        clicked = Input(graph, "clickData")
        app.callback(chosen, clicked, *at, prevent_initial_call=True)(partial(choose, context))
    app.callback(chosen, planes, *at, prevent_initial_call=True)(_move)


def _show(
    context: Context, pathname: str, search: str, tick: int, shown: dict[str, Any] | None
) -> Any:
    """Draw what the address leads to, unless it is what stands there already."""
    before, address = shown or {}, read_address(pathname, search)
    was = read_address(before.get("pathname"), before.get("search"))
    if ctx.triggered_id == "at" and images.only_moved(was, address):
        found = _standing(context, pathname, search)
        props = images.moved_props(context, found, address) if found and address else {}
        for name, value in props:
            set_props(name, value)
        if props:
            return no_update, {**before, "pathname": pathname, "search": search}
    digest = state_of(context, address)
    # What has not changed is not drawn again under the reader's eyes.
    if ctx.triggered_id == "tick" and digest == before.get("digest"):
        return no_update, no_update
    parts = [part for part in render(context, address) if part != ""]
    return parts, {"pathname": pathname, "search": search, "digest": digest}


def _pause(chosen: list[str] | None) -> bool:
    """Stop the clock, or let it go on."""
    return not chosen


def _choose_point(context: Context, click: Any, pathname: str, search: str) -> Any:
    """Choose the trial behind a point."""
    found, address = _standing(context, pathname, search), read_address(pathname, search)
    if found is None or found.study is None or address is None or not click:
        return no_update
    number = front.clicked_trial(found.study, address, *_clicked(click))
    key = next((one.key for one in found.trials if one.number == number), None)
    return no_update if number is None or key is None else address.choosing(trial=key)


def _choose_subject(context: Context, click: Any, pathname: str, search: str) -> Any:
    """Choose the subject behind a point."""
    found, address = _standing(context, pathname, search), read_address(pathname, search)
    if found is None or address is None or not click:
        return no_update
    try:
        subject = embeddings.clicked_subject(context, found, address, *_clicked(click))
    except IsthmusError:  # the page that was clicked is of what is not there any more
        return no_update
    return no_update if subject is None else address.choosing(subject=subject)


def _move(clicks: list[Any], pathname: str, search: str) -> Any:
    """Move the crosshair."""
    address, plane = read_address(pathname, search), ctx.triggered_id
    if address is None or not plane or not any(clicks):
        return no_update
    point = ctx.triggered[0]["value"]["points"][0]
    return address.choosing(**images.moved_to(plane["plane"], point["x"], point["y"]))


def _standing(context: Context, pathname: str, search: str) -> Standing | None:
    """Find the study of an address, if it is to be had."""
    address = read_address(pathname, search)
    if address is None or address.study is None:
        return None
    try:
        return context.seen.standing(address.study).value
    except IsthmusError:
        return None


def _clicked(click: Any) -> tuple[int, int]:
    """Take trace and point of a click."""
    point = click["points"][0]
    return int(point["curveNumber"]), int(point.get("pointNumber", -1))


def _guard(server: Flask, app: Dash, hosts: Collection[str]) -> None:
    """Answer those alone who name this host, and let the page fetch from here alone."""
    hashes = " ".join(f"'{one.strip(chr(39))}'" for one in app.csp_hashes())
    policy = (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; font-src 'self' data:; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )

    server.config["MAX_CONTENT_LENGTH"] = _MOST_BYTES

    @server.before_request
    def named() -> None:
        if not is_allowed(request.host, hosts):
            abort(403, "This host name is not served; use the address that was printed.")
        if not is_from_here(request.headers.get("Origin"), request.host):
            abort(
                403, "Another page than this view's own asked; open the address that was printed."
            )

    @server.after_request
    def fenced(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response
