"""Interactive figures of the strata of one report, drawn by plotly."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from isthmus.report.chart_looks import Chart, heading, laid_out, safe
from isthmus.report.strata_palette import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PALE,
    TRUST_MARKS,
    VERMILION,
    stratum_mark,
)
from isthmus.report.strata_views import (
    Absent,
    Candidate,
    PlaneGroup,
    not_placed,
    plane_view,
    stability_view,
    sweep_view,
)
from isthmus.report.strata_words import TRUSTS
from isthmus.stratification.record import RobustnessReport


def stability_chart(report: RobustnessReport) -> Chart | Absent:
    """Draw the ARI of the draws, and the observed mean ARI against that of the matched nulls.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `strata_figures.stability_figure`.
    """
    view = stability_view(report)
    if isinstance(view, Absent):
        return view
    stability, null = view
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    bins = {"nbinsx": 30, "hovertemplate": "%{x}: %{y}<extra></extra>"}
    chart.add_trace(go.Histogram(x=stability.ari, marker_color=BLUE, **bins), row=1, col=1)
    chart.add_trace(go.Histogram(x=null.null, marker_color=PALE, **bins), row=2, col=1)
    ticks = {"symbol": "line-ns-open", "color": INK, "size": 8}
    chart.add_trace(
        go.Scatter(
            x=null.null,
            y=[0.0] * len(null.null),
            mode="markers",
            marker=ticks,
            customdata=null.n_strata,
            hovertemplate="a cloud without strata: mean ARI %{x:.3f}, %{customdata} strata"
            "<extra></extra>",
        ),
        row=2,
        col=1,
    )
    chart.add_vline(x=stability.ari_mean, line_color=INK, line_width=1.5, row=1, col=1)
    chart.add_vline(x=null.observed, line_color=ORANGE, line_width=3, row=2, col=1)
    excess = "" if null.excess is None else f", excess {null.excess + 0.0:+.2f}"
    p_value = "no p: too few nulls" if null.p_value is None else f"p {null.p_value:.2g}"
    failed = f" ({stability.n_failed} without a partition, at 0)" if stability.n_failed else ""
    chart.update_yaxes(title_text="draws", row=1, col=1)
    chart.update_yaxes(title_text="clouds", row=2, col=1)
    chart.update_xaxes(title_text=f"adjusted Rand index; below: means over {null.n_draws} draws")
    chart.update_xaxes(title_text="", row=1, col=1)
    heading(chart, 1, f"{stability.n_draws} draws{failed}: mean {stability.ari_mean:.2f}")
    heading(
        chart,
        2,
        f"{null.n_nulls} clouds without strata ({null.n_failed} without a partition, left out); "
        f"observed {null.observed:.2f}{excess}, {p_value}",
    )
    return laid_out(chart, 470)


def jaccard_chart(report: RobustnessReport) -> Chart | Absent:
    """Draw how well each stratum is found again, with the conventional limits.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `strata_figures.jaccard_figure`.
    """
    view = stability_view(report)
    if isinstance(view, Absent):
        return view
    strata = view[0].strata
    chart = go.Figure()
    for trust, (colour, shape) in TRUST_MARKS.items():
        rows = [(one, one.jaccard) for one in strata if one.trust == trust]
        known = [(one, jaccard) for one, jaccard in rows if jaccard is not None]
        chart.add_trace(
            go.Scatter(
                x=[jaccard for _, jaccard in known],
                y=[one.stratum for one, _ in known],
                error_x={
                    "array": [(one.jaccard_high or jaccard) - jaccard for one, jaccard in known],
                    "arrayminus": [jaccard - (one.jaccard_low or 0.0) for one, jaccard in known],
                    "width": 0,
                },
                mode="markers",
                marker={"color": colour, "symbol": shape.plotly, "size": 10},
                customdata=[(one.size, one.n_draws) for one, _ in known],
                hovertemplate="stratum %{y}, n %{customdata[0]}: Jaccard %{x:.2f} over "
                "%{customdata[1]} draws<extra></extra>",
                name=TRUSTS[trust],
            )
        )
    for limit in (0.6, 0.75):
        chart.add_vline(x=limit, line_dash="dot", line_width=1, line_color=INK)
    labels = [
        f"{one.stratum} (n {one.size})" + ("" if one.jaccard is not None else ", in no draw")
        for one in strata
    ]
    chart.update_yaxes(
        tickvals=[one.stratum for one in strata],
        ticktext=labels,
        range=[len(strata) - 0.4, -0.6],
        title_text="stratum",
    )
    chart.update_xaxes(range=[0, 1.02], title_text="Jaccard index, mean and 95 % of draws")
    return laid_out(chart, 170 + 22 * len(strata), legend=True)


def sweep_chart(report: RobustnessReport) -> Chart | Absent:
    """Draw the silhouette of every candidate against its number of strata.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `strata_figures.sweep_figure`.
    """
    view = sweep_view(report)
    if isinstance(view, Absent):
        return view
    chart = go.Figure(_taken(view))
    for outcome, colour, symbol in (
        ("partition", BLUE, "circle"),
        ("degenerate_partition", GREY, "x"),
    ):
        own = [candidate for candidate in view if candidate.point.outcome == outcome]
        if own:
            mark = {"symbol": symbol, "size": 9, "color": colour}
            chart.add_trace(_candidates(own, mark, outcome.replace("_", " ")))
    chart.add_vline(
        x=report.config.max_strata + 0.5, line_dash="dot", line_width=1, line_color=GREY
    )
    left_out = not_placed(report)
    chart.update_xaxes(title_text="strata" + (f"<br>{left_out}" if left_out else ""))
    chart.update_yaxes(title_text="mean silhouette, in [-1, 1]")
    return laid_out(chart, 390, legend=True)


def plane_chart(report: RobustnessReport) -> Chart | Absent:
    """Draw the subjects in the plane of the two leading principal components.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `strata_figures.plane_figure`; a subject's id shows under the pointer.
    """
    view = plane_view(report)
    if isinstance(view, Absent):
        return view
    chart = go.Figure([_group_trace(group) for group in view])
    for group in view:
        if group.exemplar is not None:
            x, y = group.points[group.exemplar]
            chart.add_annotation(
                x=x,
                y=y,
                text=str(group.stratum),
                showarrow=False,
                font_size=10,
                bgcolor="white",
                bordercolor=stratum_mark(group.stratum or 0)[0],
                borderpad=1,
                opacity=0.9,
            )
    first, second = report.plane.explained if report.plane else (0.0, 0.0)
    chart.update_xaxes(title_text=f"principal component 1 ({first:.1%} of the variance)")
    chart.update_yaxes(
        title_text=f"principal component 2 ({second:.1%} of the variance)",
        scaleanchor="x",
    )
    laid_out(chart, 560 if len(view) <= 22 else 760, legend=True)
    chart.update_layout(
        legend={"orientation": "v", "x": 1.01, "yanchor": "top", "title_text": "stratum"}
    )
    return chart


def _taken(view: Sequence[Candidate]) -> Chart:
    """Ring the candidate that was taken."""
    taken = [candidate for candidate in view if candidate.point.chosen]
    return go.Scatter(
        x=[candidate.n_strata for candidate in taken],
        y=[candidate.silhouette for candidate in taken],
        mode="markers",
        marker={"symbol": "circle-open", "size": 20, "color": VERMILION, "line_width": 3},
        hoverinfo="skip",
        name="taken",
    )


def _candidates(own: Sequence[Candidate], mark: dict[str, object], name: str) -> Chart:
    """Draw candidates of one outcome."""
    said = []
    for candidate in own:
        point = candidate.point
        stability = "not needed" if point.stability is None else f"{point.stability:.3f}"
        said.append((f"{point.setting:.5g}", point.smallest, stability))
    return go.Scatter(
        x=[candidate.n_strata for candidate in own],
        y=[candidate.silhouette for candidate in own],
        mode="markers",
        marker=mark,
        customdata=said,
        hovertemplate="%{x} strata, silhouette %{y:.3f}<br>setting %{customdata[0]}, "
        "smallest stratum %{customdata[1]}, stability %{customdata[2]}<extra></extra>",
        name=name,
    )


def _group_trace(group: PlaneGroup) -> Chart:
    """Draw the members of one stratum."""
    colour, symbol, name = GREY, "circle", f"none (n {len(group.points)})"
    if group.stratum is not None:
        colour, shape = stratum_mark(group.stratum)
        symbol, name = shape.plotly, f"{group.stratum} (n {len(group.points)})"
    return go.Scatter(
        x=group.points[:, 0],
        y=group.points[:, 1],
        mode="markers",
        marker={"color": colour, "symbol": symbol, "size": _dot(len(group.points)), "opacity": 0.7},
        text=[safe(name) for name in group.participant_ids],
        hovertemplate="%{text}<extra>" + name + "</extra>",
        name=name,
    )


def _dot(count: int) -> int:
    """Choose the size of a point: smaller where there are many."""
    return max(5, min(9, math.ceil(90 / math.sqrt(max(count, 1)))))
