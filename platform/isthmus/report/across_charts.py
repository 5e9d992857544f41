"""Interactive figures across encoders and trials, drawn by plotly."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from isthmus.report.across_figures import curve_title
from isthmus.report.across_views import (
    Curve,
    agreement_view,
    components_label,
    curve_view,
    selection_view,
)
from isthmus.report.chart_looks import Chart, laid_out, safe
from isthmus.report.strata_palette import BLUE, GREY, INK, ORANGE
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import shortened
from isthmus.stratification.across import AcrossEncoders, SelectionReport


def curves_chart(across: AcrossEncoders) -> Chart | Absent:
    """Draw every target's specification curve, one at a time, chosen from a list.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `across_figures.curve_figure`.
    """
    views = [curve_view(across, target) for target in range(len(across.targets))]
    curves = [view for view in views if not isinstance(view, Absent)]
    if not curves:
        reasons = [view.reason for view in views if isinstance(view, Absent)]
        return Absent(reasons[0] if reasons else "There are no phenotype factors to follow.")
    n_rows = len(curves[0].choices)
    upper, lower = 260, 40 + 15 * n_rows
    chart = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.04,
        row_heights=[upper / (upper + lower), lower / (upper + lower)],
    )
    shown: list[int] = []
    for number, curve in enumerate(curves):
        for trace, row in _traces(curve, across.alpha):
            trace.visible = number == 0
            chart.add_trace(trace, row=row, col=1)
            shown.append(number)
    laid_out(chart, upper + lower + 130, legend=True)
    titles = [safe(curve_title(curve, across.alpha)) for curve in curves]
    buttons = [
        {
            "label": safe(shortened(curve.target)),
            "method": "update",
            "args": [{"visible": [of == number for of in shown]}, {"title.text": titles[number]}],
        }
        for number, curve in enumerate(curves)
    ]
    chart.update_layout(
        title={"text": titles[0], "x": 0, "xref": "paper", "font_size": 12},
        margin_t=100,
        updatemenus=[
            {"buttons": buttons, "x": 1, "y": 1.0, "xanchor": "right", "yanchor": "bottom"}
        ],
    )
    chart.update_yaxes(title_text="epsilon^2", rangemode="tozero", row=1, col=1)
    chart.update_yaxes(
        tickvals=list(range(n_rows)),
        ticktext=[safe(choice.label) for choice in curves[0].choices],
        tickfont_size=10,
        range=[n_rows - 0.4, -0.6],
        row=2,
        col=1,
    )
    chart.update_xaxes(title_text="specification, by rising effect size", row=2, col=1)
    return chart


def agreement_chart(across: AcrossEncoders) -> Chart | Absent:
    """Draw the adjusted Rand index of each pair of encoders.

    Parameters
    ----------
    across : AcrossEncoders
        What the encoders of a trial have in common.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `across_figures.agreement_figure`; full names show under the pointer.
    """
    view = agreement_view(across)
    if isinstance(view, Absent):
        return view
    names, ari_EE = view
    labels = [safe(name) for name in names]
    chart = go.Figure(
        go.Heatmap(
            z=[[None if np.isnan(v) else float(v) for v in row] for row in ari_EE],
            customdata=[[f"{a} and {b}" for b in labels] for a in labels],
            zmin=0,
            zmax=1,
            colorscale="Viridis",
            xgap=1,
            ygap=1,
            hoverongaps=False,
            colorbar={"title": {"text": "ARI"}},
            hovertemplate="%{customdata}: %{z:.2f}<extra></extra>",
        )
    )
    ticks = {"tickvals": list(range(len(names))), "ticktext": labels}
    ticks["tickfont_size"] = 11 if len(names) <= 25 else 8
    chart.update_xaxes(**ticks, tickangle=-90)
    chart.update_yaxes(**ticks, autorange="reversed", scaleanchor="x", constrain="domain")
    edge = min(860, 300 + 30 * len(names))
    laid_out(chart, edge)
    chart.update_layout(plot_bgcolor="#E4E4E4")
    chart.update_xaxes(showgrid=False, constrain="domain")
    chart.update_yaxes(showgrid=False)
    return chart


def selection_chart(selection: SelectionReport) -> Chart | Absent:
    """Draw each trial's naive p-value beside the one adjusted for having been picked.

    Parameters
    ----------
    selection : SelectionReport
        What is left of the best of many trials.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `across_figures.selection_figure`.
    """
    view = selection_view(selection)
    if isinstance(view, Absent):
        return view
    rows = list(range(len(view)))
    names = [safe(one.label) for one in view]
    chart = go.Figure()
    for name, values, mark in (
        ("naive p", [one.p_naive for one in view], {"symbol": "circle-open", "color": GREY}),
        ("adjusted p", [one.p_adjusted for one in view], {"symbol": "diamond", "color": BLUE}),
    ):
        chart.add_trace(
            go.Scatter(
                x=values,
                y=rows,
                mode="markers",
                marker={**mark, "size": 9},
                text=names,
                hovertemplate="%{text}: %{x:.3g}<extra>" + name + "</extra>",
                name=name,
            )
        )
    chart.update_xaxes(type="log", dtick=1, title_text="p-value of the trial's best factor")
    labels = [safe(shortened(one.label, 40)) for one in view]
    chart.update_yaxes(tickvals=rows, ticktext=labels, range=[len(rows) - 0.4, -0.6])
    return laid_out(chart, 170 + 22 * len(rows), legend=True)


def _traces(curve: Curve, alpha: float) -> list[tuple[Chart, int]]:
    """Draw one target's curve, and the choices behind it, each for its row of the chart."""
    traces: list[tuple[Chart, int]] = []
    for wanted, symbol, colour, name in (
        (True, "circle", BLUE, f"q <= {alpha:g}"),
        (False, "circle-open", GREY, "not significant"),
    ):
        at = [i for i, significant in enumerate(curve.significant) if significant == wanted]
        if at:
            mark = {"symbol": symbol, "color": colour, "size": 7}
            traces.append((_effects(curve, at, mark, name), 1))
            traces.append((_ticks(curve, set(at), colour), 2))
    middle = float(np.median(curve.effect_sizes))
    line = go.Scatter(
        x=[0, len(curve.effect_sizes) - 1],
        y=[middle, middle],
        mode="lines",
        line={"color": ORANGE, "width": 1.5},
        hoverinfo="skip",
        name=f"median {middle:.2g}",
    )
    return [*traces, (line, 1)]


def _effects(curve: Curve, at: list[int], mark: dict[str, object], name: str) -> Chart:
    """Draw the effect sizes at some positions."""
    return go.Scatter(
        x=at,
        y=[curve.effect_sizes[i] for i in at],
        mode="markers",
        marker=mark,
        customdata=[
            (
                safe(shortened(one.encoder_id, 40)),
                one.clusterer.replace("_", " "),
                components_label(one.pca_components),
                one.n_strata,
                curve.q_values[i],
            )
            for i in at
            for one in (curve.specifications[i],)
        ],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}, %{customdata[2]}, %{customdata[3]} "
        "strata<br>effect size %{y:.3f}, q %{customdata[4]:.3g}<extra></extra>",
        name=name,
    )


def _ticks(curve: Curve, at: set[int], colour: str) -> Chart:
    """Draw a tick for each choice behind the specifications at some positions."""
    ticks = [(i, row) for row, choice in enumerate(curve.choices) for i in choice.at if i in at]
    return go.Scatter(
        x=[i for i, _ in ticks],
        y=[row for _, row in ticks],
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 8, "color": colour or INK},
        hoverinfo="skip",
        showlegend=False,
    )
