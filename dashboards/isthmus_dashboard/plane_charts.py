"""Slices as charts: input, reconstruction and difference side by side, with a crosshair."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from isthmus.report.chart_looks import Chart, laid_out
from isthmus.report.pictures import DIFFERENCE_LIMIT, is_missing
from isthmus.report.strata_palette import ORANGE
from isthmus_dashboard.scans import Cut, FloatArray

COLUMNS = ("input", "reconstruction", "difference")
# Which of the volume's axes runs to the right and which upwards, by plane.
AXES = ((1, 2), (0, 2), (0, 1))


def plane_chart_of(cut: Cut, at: tuple[int, int] | None) -> Chart:
    """Draw one plane of one modality.

    Parameters
    ----------
    cut : Cut
        Input and reconstruction.
    at : tuple of int or None
        Where the other two planes cross it, to the right and upwards; None where nothing moves.

    Returns
    -------
    plotly.graph_objects.Figure
        Input and reconstruction on one grey scale from 0 to 1, difference (reconstruction - input)
        on a diverging scale; in place of an image that the subject lacks stands a word.
    """
    images = (cut.input, cut.reconstruction, cut.reconstruction - cut.input)
    chart = make_subplots(rows=1, cols=3, subplot_titles=COLUMNS, horizontal_spacing=0.02)
    for column, image in enumerate(images, 1):
        if is_missing(image):
            said = "no such image" if column == 1 else "nothing to compare with"
            chart.add_annotation(
                text=said, x=0.5, y=0.5, xref="x domain", yref="y domain", showarrow=False
            )
            chart.layout.annotations[-1].update(
                xref=_domain("x", column), yref=_domain("y", column)
            )
        chart.add_trace(_heatmap(image, column), row=1, col=column)
        suffix = "" if column == 1 else str(column)
        chart.update_yaxes(scaleanchor=f"x{suffix}", constrain="domain", row=1, col=column)
        if at is not None:
            line = {"line_color": ORANGE, "line_width": 1, "row": 1, "col": column}
            chart.add_vline(x=at[0], **line)
            chart.add_hline(y=at[1], **line)
    laid_out(chart, 270)
    chart.update_layout(
        margin={"l": 4, "r": 4, "t": 28, "b": 4}, dragmode=False, hovermode="closest"
    )
    chart.update_xaxes(visible=False, constrain="domain", fixedrange=True)
    chart.update_yaxes(visible=False, fixedrange=True)
    return chart


def _heatmap(image: FloatArray, column: int) -> Chart:
    """Draw one slice; axes in RAS order then have superior or anterior up."""
    difference = column == len(COLUMNS)
    limit = DIFFERENCE_LIMIT
    return go.Heatmap(
        z=image.T,
        zmin=-limit if difference else 0.0,
        zmax=limit if difference else 1.0,
        colorscale="RdBu_r" if difference else "gray",
        showscale=False,
        hovertemplate="%{x}, %{y}: %{z:.3f}<extra>" + COLUMNS[column - 1] + "</extra>",
    )


def _domain(axis: str, column: int) -> str:
    """Name a subplot's own coordinates."""
    return f"{axis}{'' if column == 1 else column} domain"
