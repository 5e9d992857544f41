"""What pages are made of: headings, tables, figures, choices, and words where there is nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html

from isthmus.report.chart_looks import Chart
from isthmus.report.page import Passage
from isthmus.report.strata_captions import Caption
from isthmus.report.strata_views import Absent
from isthmus.report.table import Table

Piece = Any
_OPTIONS = {
    "displaylogo": False,
    "responsive": True,
    "plotlyServerURL": "",
    "modeBarButtonsToRemove": ["sendChartToCloud", "lasso2d", "select2d"],
}


def notice(title: str, *sentences: str, kind: str = "absent") -> Piece:
    """Say why there is nothing to see, and what to do.

    Parameters
    ----------
    title : str
        In a few words.
    *sentences : str
        Why, and what to do.
    kind : {"absent", "warns"}
        Whether something is wrong.

    Returns
    -------
    dash component
        Read out when it appears.
    """
    lines = [html.P(sentence) for sentence in sentences if sentence]
    return html.Div(
        [html.H2(title), *lines],
        className=f"notice {kind}",
        role="alert" if kind == "warns" else "status",
    )


def table(content: Table, links: Mapping[str, str] | None = None) -> Piece:
    """Lay out a table of the report.

    Parameters
    ----------
    content : Table
        Text, taken as text.
    links : Mapping of str to str, optional
        Where a cell of the column ``trial`` leads, by its words.

    Returns
    -------
    dash component
        Scrolls sideways where it is wide, by keyboard too.
    """

    def cell(position: int, text: str) -> Piece:
        known = links is not None and content.columns[position] == "trial" and text in links
        inner = html.A(text, href=links[text]) if links is not None and known else text
        return html.Th(inner, scope="row") if position == 0 else html.Td(inner)

    head = html.Tr([html.Th(name, scope="col") for name in content.columns])
    body = [html.Tr([cell(i, text) for i, text in enumerate(row)]) for row in content.rows]
    parts = [
        html.Div(
            html.Table(
                [html.Caption(content.title), html.Thead(head), html.Tbody(body)],
            ),
            className="table",
            tabIndex=0,
            role="region",
            **{"aria-label": content.title},
        )
    ]
    if content.note:
        parts.append(html.P(content.note, className="note"))
    return html.Div(parts)


def figure(key: str, words: Caption, chart: Chart | Absent, graph_id: object = None) -> Piece:
    """Put a chart beside its words.

    Parameters
    ----------
    key : str
        Names it in the page.
    words : Caption
        How to read it, and what it does not show.
    chart : plotly.graph_objects.Figure or Absent
        The chart, or why there is none.
    graph_id : object, optional
        Names what can be clicked.

    Returns
    -------
    dash component
        With the words as the chart's description.
    """
    if isinstance(chart, Absent):
        place: Piece = html.P(f"Not drawn. {chart.reason}", className="notice absent")
    else:
        place = graph(chart, graph_id or f"graph-{key}", words.title)
    return html.Section(
        [
            html.H2(words.title, id=f"title-{key}"),
            html.P(words.reads, className="reads"),
            place,
            html.P([html.B("Does not show: "), words.not_shown], className="note"),
        ],
        id=key,
        **{"aria-labelledby": f"title-{key}"},
    )


def graph(chart: Chart, graph_id: object, label: str) -> Piece:
    """Show a chart.

    Parameters
    ----------
    chart : plotly.graph_objects.Figure
        Drawn.
    graph_id : object
        Names it.
    label : str
        What it is, for those who do not see it.

    Returns
    -------
    dash component
        As wide as there is room.
    """
    shown = dcc.Graph(
        id=graph_id, figure=chart, config=_OPTIONS, style={"height": f"{chart.layout.height}px"}
    )
    return html.Div(shown, className="chart", role="group", **{"aria-label": f"Chart: {label}"})


def passage(content: Passage) -> Piece:
    """Lay out words at the head of a report.

    Parameters
    ----------
    content : Passage
        Title and lines.

    Returns
    -------
    dash component
        A list.
    """
    lines = html.Ul([html.Li(line) for line in content.lines])
    kind = "warns" if content.warns else "says"
    return html.Div([html.H2(content.title), lines], className=f"notice {kind}")


def choice(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str) -> Piece:
    """Offer a choice; what is chosen goes into the address.

    Parameters
    ----------
    name : str
        Of the choice, in the address.
    label : str
        What is chosen.
    options : sequence of (str, str)
        Value and words of each.
    chosen : str
        The value that holds.

    Returns
    -------
    dash component
        A labelled list of the browser's own.
    """
    # `selected` decides at first; the script in assets/ follows `data-chosen` afterwards.
    offered = [
        html.Option(words, value=value, selected=True if value == chosen else None)
        for value, words in options
    ]
    field = html.Select(offered, name=name, id=f"choice-{name}", **{"data-chosen": chosen})
    return html.Div(
        [html.Label(label, htmlFor=f"choice-{name}"), field], className="choice", key=name
    )


def position(name: str, label: str, at: int, last: int) -> Piece:
    """Offer a position along an axis.

    Parameters
    ----------
    name : str
        Of the choice, in the address.
    label : str
        What moves.
    at : int
        Where it is.
    last : int
        The largest position; the smallest is 0.

    Returns
    -------
    dash component
        A labelled slider of the browser's own, moved by arrow keys too.
    """
    field = dcc.Input(
        type="range",
        name=name,
        id=f"choice-{name}",
        min=0,
        max=last,
        step=1,
        value=at,
        className="position",
    )
    words = html.Label(
        position_words(label, at, last), htmlFor=f"choice-{name}", id=f"label-{name}"
    )
    return html.Div([words, field], className="choice", key=name)


def position_words(label: str, at: int, last: int) -> str:
    """Say where a slider is.

    Parameters
    ----------
    label : str
        What moves.
    at, last : int
        As `position` takes them.

    Returns
    -------
    str
        Its label.
    """
    return f"{label}: {at} of {last}"


def choices(*offered: Piece) -> Piece:
    """Put choices beside each other.

    Parameters
    ----------
    *offered : dash component
        Each by `choice` or `position`.

    Returns
    -------
    dash component
        A group.
    """
    return html.Div(
        list(offered), className="choices", role="group", **{"aria-label": "Choices of this page"}
    )


def details(title: str, *inner: Piece) -> Piece:
    """Put away what not everybody reads.

    Parameters
    ----------
    title : str
        What is put away.
    *inner : dash component
        What it is.

    Returns
    -------
    dash component
        Opened by click or key.
    """
    return html.Details([html.Summary(title), *inner])


def pairs(rows: Sequence[tuple[str, Piece]]) -> Piece:
    """List names and values.

    Parameters
    ----------
    rows : sequence of (str, dash component or str)
        Each pair.

    Returns
    -------
    dash component
        A description list.
    """
    inner = [part for name, value in rows for part in (html.Dt(name), html.Dd(value))]
    return html.Dl(inner)
