"""The subjects in their plane, coloured by what is known of each."""

from collections.abc import Sequence

import plotly.graph_objects as go

from isthmus.report.chart_looks import Chart, laid_out, safe
from isthmus.report.strata_charts import plane_chart
from isthmus.report.strata_palette import INK, VERMILION
from isthmus.report.strata_views import Absent, plane_view
from isthmus.stratification.record import RobustnessReport


def strata_points(report: RobustnessReport, subject: str) -> tuple[Chart | Absent, list[list[str]]]:
    """Draw the subjects by stratum.

    Parameters
    ----------
    report : RobustnessReport
        What the robustness job found.
    subject : str
        Whom to ring; nobody if they are not in the plane.

    Returns
    -------
    chart : plotly.graph_objects.Figure or Absent
        The report's own figure.
    ids : list of list of str
        Who is behind each point, trace by trace.
    """
    view, chart = plane_view(report), plane_chart(report)
    if isinstance(view, Absent) or isinstance(chart, Absent):
        return chart, []
    _ring(chart, report, subject)
    return chart, [list(group.participant_ids) for group in view]


def value_points(
    report: RobustnessReport, name: str, values: Sequence[float | None], subject: str
) -> tuple[Chart | Absent, list[list[str]]]:
    """Draw the subjects coloured by a number.

    Parameters
    ----------
    report : RobustnessReport
        What the robustness job found.
    name : str
        What the number is.
    values : sequence of float or None
        Of each of the report's subjects; None where it is not known.
    subject : str
        Whom to ring.

    Returns
    -------
    chart : plotly.graph_objects.Figure or Absent
        Known values from dark to light, hollow where there is none.
    ids : list of list of str
        Who is behind each point, trace by trace.
    """
    if report.plane is None:
        return Absent("The embedding has no variance, so its subjects have no plane."), []
    known = [i for i, value in enumerate(values) if value is not None]
    unknown = [i for i, value in enumerate(values) if value is None]
    ids = [[report.participant_ids[i] for i in of] for of in (known, unknown)]
    shown = safe(name)
    marker = {
        "color": [values[i] for i in known],
        "colorscale": "Cividis",
        "showscale": bool(known),
        "colorbar": {"title": {"text": shown}},
        "size": 9,
        "line": {"width": 0.5, "color": INK},
    }
    hollow = {"color": "white", "size": 8, "line": {"width": 1, "color": INK}}
    chart = go.Figure(
        [
            _points(report, known, marker, "known", f"%{{text}}: %{{marker.color:.4g}} {shown}"),
            _points(report, unknown, hollow, "not known", "%{text}: not known"),
        ]
    )
    first, second = report.plane.explained
    chart.update_xaxes(title_text=f"principal component 1 ({first:.1%} of the variance)")
    chart.update_yaxes(
        title_text=f"principal component 2 ({second:.1%} of the variance)", scaleanchor="x"
    )
    laid_out(chart, 560, legend=bool(unknown))
    _ring(chart, report, subject)
    return chart, ids


def _points(
    report: RobustnessReport, at: Sequence[int], marker: dict[str, object], name: str, hover: str
) -> Chart:
    """Draw some of the subjects."""
    assert report.plane is not None  # asked before
    return go.Scatter(
        x=[report.plane.coordinates[i][0] for i in at],
        y=[report.plane.coordinates[i][1] for i in at],
        mode="markers",
        marker=marker,
        text=[safe(report.participant_ids[i]) for i in at],
        hovertemplate=hover + "<extra></extra>",
        name=name,
    )


def _ring(chart: Chart, report: RobustnessReport, subject: str) -> None:
    """Ring the chosen subject; the ring is the last trace."""
    if report.plane is None or subject not in report.participant_ids:
        return
    x, y = report.plane.coordinates[report.participant_ids.index(subject)]
    ring = {"symbol": "circle-open", "size": 20, "color": VERMILION, "line_width": 3}
    chart.add_trace(
        go.Scatter(x=[x], y=[y], mode="markers", marker=ring, hoverinfo="skip", name=safe(subject))
    )
