"""The list of studies."""

from collections.abc import Sequence
from datetime import datetime

from dash import html

from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Context
from isthmus_dashboard.pieces import Piece, notice
from isthmus_dashboard.source import Entry

TITLE = "Studies"
_KINDS = {"search": "Searches", "ablation": "Ablations", "trial": "Trials"}


def home_page(context: Context, entries: Sequence[Entry]) -> list[Piece]:
    """List what there is, by kind.

    Parameters
    ----------
    context : Context
        What may be looked at.
    entries : sequence of Entry
        The newest first.

    Returns
    -------
    list of dash component
        A table a kind; words where there is nothing.
    """
    place = context.seen.source.place
    parts: list[Piece] = [html.H1(TITLE), html.P(["In ", html.Code(place)], className="note")]
    if not entries:
        parts.append(
            notice(
                "No studies yet",
                f"Nothing that isthmus made is in {place}.",
                "Start one with `isthmus search EXPERIMENT SPACE`, or name another place with "
                "--tracking-uri or --output. This page looks again every few seconds.",
            )
        )
    for kind, title in _KINDS.items():
        own = [one for one in entries if one.kind == kind]
        if own:
            parts.append(_list(title, own))
    return parts


def _list(title: str, entries: Sequence[Entry]) -> Piece:
    """Lay out the entries of one kind."""
    told = any(one.state for one in entries)  # a folder's list does not know
    rows = [
        html.Tr(
            [
                html.Th(html.A(one.name, href=Address(one.key).path()), scope="row"),
                *([html.Td(one.state)] if told else []),
                html.Td(_when(one.started)),
            ]
        )
        for one in entries
    ]
    columns = ("name", *(["state"] if told else []), "begun" if told else "changed")
    head = html.Tr([html.Th(name, scope="col") for name in columns])
    inner = html.Table([html.Caption(title), html.Thead(head), html.Tbody(rows)])
    return html.Div(inner, className="table", tabIndex=0, role="region", **{"aria-label": title})


def _when(seconds: float | None) -> str:
    """Write a time as the clock on the wall has it."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")
