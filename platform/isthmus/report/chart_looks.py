"""What all interactive figures share: their looks, and user's words made harmless.

Plotly reads some HTML in its labels, so what a user named is escaped.
"""

import html
from typing import Any

from isthmus.report.strata_palette import INK, PALE

Chart = Any


def safe(text: str) -> str:
    """Escape what a user named, for plotly's labels.

    Parameters
    ----------
    text : str
        A column, a subject, an encoder.

    Returns
    -------
    str
        The same without markup.
    """
    return html.escape(text, quote=False)


def heading(chart: Chart, row: int, text: str) -> None:
    """Write a line above one of the charts that stand below each other.

    Parameters
    ----------
    chart : plotly.graph_objects.Figure
        Made of rows of charts.
    row : int
        Which, from 1.
    text : str
        What to write.
    """
    suffix = "" if row == 1 else str(row)
    chart.add_annotation(
        x=0,
        y=1,
        xref=f"x{suffix} domain",
        yref=f"y{suffix} domain",
        text=text,
        showarrow=False,
        xanchor="left",
        yanchor="bottom",
        font_size=12,
    )


def laid_out(chart: Chart, height: int, legend: bool = False) -> Chart:
    """Give a chart the looks that all have.

    Parameters
    ----------
    chart : plotly.graph_objects.Figure
        Drawn.
    height : int
        Pixels.
    legend : bool
        Whether its colours need one.

    Returns
    -------
    plotly.graph_objects.Figure
        The same.
    """
    chart.update_layout(
        template="none",
        height=height,
        showlegend=legend,
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        margin={"l": 20, "r": 20, "t": 60, "b": 20},
        font={"family": "system-ui, sans-serif", "size": 12, "color": INK},
        hoverlabel={"align": "left"},
        bargap=0.04,
    )
    lines = {"gridcolor": "#ECECEC", "zeroline": False, "linecolor": PALE, "automargin": True}
    chart.update_xaxes(**lines)
    chart.update_yaxes(**lines)
    return chart
