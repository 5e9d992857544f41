"""From an address to what stands on the page, whatever is or is not there."""

import hashlib
import logging
from datetime import datetime
from typing import Any

from dash import html

from isthmus.core.errors import IsthmusError
from isthmus_dashboard.addresses import PAGES, Address
from isthmus_dashboard.context import Context
from isthmus_dashboard.last_seen import Seen
from isthmus_dashboard.pages.ablation import ablation_page
from isthmus_dashboard.pages.embeddings import embeddings_page
from isthmus_dashboard.pages.front import front_page
from isthmus_dashboard.pages.home import home_page
from isthmus_dashboard.pages.images import images_page
from isthmus_dashboard.pages.overview import overview_page
from isthmus_dashboard.pages.robustness import robustness_page
from isthmus_dashboard.pieces import Piece, notice
from isthmus_dashboard.source import Missing, Standing

_log = logging.getLogger("isthmus.dashboard")
_DRAW = {
    "overview": overview_page,
    "front": front_page,
    "ablation": ablation_page,
    "robustness": robustness_page,
    "embeddings": embeddings_page,
    "images": images_page,
}


def render(context: Context, address: Address | None) -> list[Piece]:
    """Show what an address leads to.

    Parameters
    ----------
    context : Context
        What may be looked at.
    address : Address or None
        None of one that leads nowhere.

    Returns
    -------
    list of dash component
        Navigation and content; where something is not there, why, and what to do.
    """
    if address is None:
        said = "This address leads nowhere. Go to the list of studies and choose one."
        return [html.H1("No such page"), notice("No such page", said, kind="warns"), _home_link()]
    try:
        return _home(context) if address.study is None else _study(context, address)
    except Exception as error:  # whatever it is, the rest of the view must stay usable
        _log.exception("the page %s could not be drawn", address.path())
        said = (
            f"{type(error).__name__}. This is a fault of isthmus; the terminal that runs the "
            "dashboard has the details. Other pages still work."
        )
        return [html.H1("Not drawn"), notice("Not drawn", said, kind="warns"), _home_link()]


def state_of(context: Context, address: Address | None) -> str:
    """Say in what state the studies are that a page is drawn from.

    Parameters
    ----------
    context : Context
        What may be looked at.
    address : Address or None
        Of the page.

    Returns
    -------
    str
        A digest: as long as it stays, the page stays, and need not be drawn to know that.
    """
    seen: Seen[Any]
    try:
        seen = (
            context.seen.entries()
            if address is None or address.study is None
            else context.seen.standing(address.study)
        )
    except Exception as error:  # which `render` tells about
        return f"{type(error).__name__}: {error}"
    return hashlib.sha256(repr((seen.value, seen.away)).encode()).hexdigest()


def _home(context: Context) -> list[Piece]:
    """Show the list of studies."""
    seen = context.seen.entries()
    away = _away(seen.away, seen.last)
    if seen.value is None:
        return [html.H1("Studies"), *away]
    return [*away, *home_page(context, seen.value)]


def _study(context: Context, address: Address) -> list[Piece]:
    """Show a page of a study."""
    assert address.study is not None  # asked before
    try:
        seen = context.seen.standing(address.study)
    except Missing as error:
        return [
            html.H1("No such study"),
            notice("No such study", str(error), kind="warns"),
            _home_link(),
        ]
    away = _away(seen.away, seen.last)
    standing = seen.value
    if standing is None:
        return [html.H1("Not to be had"), *away, _home_link()]
    try:
        content = _DRAW[address.page](context, standing, address)
    except Missing as error:
        content = [notice("Nothing to show", str(error))]
    except IsthmusError as error:
        content = [notice("Cannot be read", str(error), kind="warns")]
    return [_navigation(standing, address), *_heading(standing, address), *away, *content]


def _heading(standing: Standing, address: Address) -> list[Piece]:
    """Name study and page."""
    kind = {"search": "Search", "ablation": "Ablation", "trial": "Trial"}[standing.entry.kind]
    return [
        html.P([_home_link(), f" / {kind}"], className="crumbs"),
        html.H1(f"{PAGES[address.page]}: {standing.entry.name}"),
    ]


def _navigation(standing: Standing, address: Address) -> Piece:
    """Lead to the pages of the study."""
    links = [
        html.Li(
            html.A(
                words,
                href=address.to(page),
                **({"aria-current": "page"} if page == address.page else {}),
            )
        )
        for page, words in PAGES.items()
    ]
    return html.Nav(html.Ul(links), **{"aria-label": f"Pages of {standing.entry.name}"})


def _away(why: str, last: datetime | None) -> list[Piece]:
    """Say that the studies cannot be had now, and of when the view is."""
    if not why:
        return []
    if last is None:
        advice = "This page looks again every few seconds."
        return [notice("The studies cannot be had", why, advice, kind="warns")]
    when = last.strftime("%Y-%m-%d %H:%M:%S")
    said = f"This is as it was last seen, at {when}. It follows again once the store answers."
    return [notice("The store is away", said, why, kind="warns")]


def _home_link() -> Piece:
    """Lead to the list of studies."""
    return html.A("All studies", href="/")
