"""Interactive figures of a study, drawn by plotly."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from isthmus.report.chart_looks import Chart, heading, laid_out, safe
from isthmus.report.strata_palette import BLUE, GREY, INK, ORANGE, PALE, VERMILION
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import shortened
from isthmus.report.study_hover import HOVER, hover_texts
from isthmus.report.study_views import (
    History,
    errors_of,
    front_view,
    history_view,
    hypervolume_view,
    importance_view,
    values_of,
)
from isthmus.report.study_words import (
    STATES,
    objective_in_words,
)
from isthmus.study.records import StudyResult

_BY_NUMBER = "trial, in the order of suggestion"


def front_chart(result: StudyResult) -> Chart | Absent:
    """Draw the finished trials by two objectives, those that no other one beats joined.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `study_figures.front_figure`; trial, point and values show under the pointer. With more
        than two objectives the plane is chosen from a list.
    """
    view = front_view(result)
    if isinstance(view, Absent):
        return view
    chart, shown = go.Figure(), []
    for plane, (i, j) in enumerate(view.pairs):
        for trials, symbol, colour, name in (
            (view.beaten, "circle-open", GREY, "finished"),
            (view.front, "circle", BLUE, "no other beats it in all"),
        ):
            joined = colour == BLUE and len(view.pairs) == 1
            chart.add_trace(
                go.Scatter(
                    x=values_of(trials, i),
                    y=values_of(trials, j),
                    error_x=_error(errors_of(trials, i)),
                    error_y=_error(errors_of(trials, j)),
                    mode="lines+markers" if joined else "markers",
                    # as steps: what lies between two trials was not reached by any
                    line={"color": BLUE, "width": 1, "shape": "hv"} if joined else None,
                    marker={"symbol": symbol, "color": colour, "size": 9},
                    text=hover_texts(result, trials),
                    hovertemplate=HOVER,
                    name=name,
                    visible=plane == 0,
                )
            )
            shown.append(plane)
    labels = [safe(objective_in_words(one)) for one in result.objectives]
    laid_out(chart, 480, legend=True)
    chart.update_xaxes(title_text=labels[view.pairs[0][0]])
    chart.update_yaxes(title_text=labels[view.pairs[0][1]])
    if len(view.pairs) > 1:
        _offer_planes(chart, view.pairs, labels, shown, result)
    return chart


def history_chart(result: StudyResult) -> Chart | Absent:
    """Draw each objective over the trials.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `study_figures.history_figure`; trial, point and values show under the pointer.
    """
    view = history_view(result)
    if isinstance(view, Absent):
        return view
    n_rows = len(view)
    chart = make_subplots(
        rows=n_rows, cols=1, shared_xaxes=True, vertical_spacing=0.12 / max(1, n_rows - 1)
    )
    for row, history in enumerate(view, 1):
        for trace in _history_traces(result, history):
            trace.showlegend = row == 1
            trace.legendgroup = trace.name
            chart.add_trace(trace, row=row, col=1)
    laid_out(chart, 110 + 260 * n_rows, legend=True)
    for row, history in enumerate(view, 1):
        if row > 1:
            heading(chart, row, safe(objective_in_words(history.objective)))
        chart.update_yaxes(title_text=safe(history.objective.metric), row=row, col=1)
    chart.update_xaxes(title_text=_BY_NUMBER, row=n_rows, col=1)
    return chart


def hypervolume_chart(result: StudyResult) -> Chart | Absent:
    """Draw the hypervolume after each finished trial.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `study_figures.hypervolume_figure`.
    """
    view = hypervolume_view(result)
    if isinstance(view, Absent):
        return view
    chart = go.Figure(
        go.Scatter(
            x=[number for number, _ in view],
            y=[volume for _, volume in view],
            mode="lines+markers",
            line={"color": BLUE, "shape": "hv"},
            marker={"size": 5},
            hovertemplate="after trial %{x}: %{y:.4g}<extra></extra>",
        )
    )
    chart.update_xaxes(title_text=_BY_NUMBER)
    chart.update_yaxes(title_text="hypervolume", rangemode="tozero")
    return laid_out(chart, 340)


def importance_chart(result: StudyResult) -> Chart | Absent:
    """Draw the share of each dimension.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `study_figures.importance_figure`.
    """
    view = importance_view(result)
    if isinstance(view, Absent):
        return view
    paths = tuple(dict.fromkeys(path for one in view for path in one.shares))
    n_columns = min(2, len(view))
    n_rows = -(-len(view) // n_columns)
    height = 70 + 26 * len(paths)
    chart = make_subplots(
        rows=n_rows,
        cols=n_columns,
        shared_yaxes=True,
        subplot_titles=[safe(f"{one.metric}, {one.method}") for one in view],
        vertical_spacing=min(0.3, 60 / (height * n_rows)),
        horizontal_spacing=0.04,
    )
    rows = list(range(len(paths)))
    for k, one in enumerate(view):
        bars = go.Bar(
            x=[one.shares.get(path) for path in paths],
            y=rows,
            orientation="h",
            marker_color=BLUE,
            text=[safe(path) for path in paths],
            textposition="none",
            hovertemplate="%{text}: %{x:.1%}<extra></extra>",
        )
        chart.add_trace(bars, row=k // n_columns + 1, col=k % n_columns + 1)
    laid_out(chart, 80 + height * n_rows)
    chart.update_annotations(font_size=12)
    chart.update_xaxes(tickformat=".0%", range=[0, 1])
    labels = [safe(shortened(path, 40)) for path in paths]
    chart.update_yaxes(tickvals=rows, ticktext=labels, range=[len(rows) - 0.4, -0.6])
    return chart.update_layout(bargap=0.25)


def _history_traces(result: StudyResult, history: History) -> list[Chart]:
    """Draw one objective over the trials."""
    numbers = [one.number for one in history.finished]
    traces = [
        go.Scatter(
            x=numbers,
            y=list(history.values),
            error_y=_error([error or 0.0 for error in history.errors]),
            mode="markers",
            marker={"color": GREY, "size": 7},
            text=hover_texts(result, history.finished),
            hovertemplate=HOVER,
            name="finished",
        ),
        go.Scatter(
            x=numbers,
            y=list(history.best_so_far),
            mode="lines",
            line={"color": BLUE, "shape": "hv"},
            hoverinfo="skip",
            name="best so far",
        ),
    ]
    by_number = {one.number: one for one in result.trials}
    if history.stopped:
        stopped = [by_number[number] for number, _ in history.stopped]
        traces.append(
            go.Scatter(
                x=[number for number, _ in history.stopped],
                y=[value for _, value in history.stopped],
                mode="markers",
                marker={"symbol": "square-open", "color": ORANGE, "size": 7},
                text=hover_texts(result, stopped),
                hovertemplate=HOVER,
                name=STATES["stopped"],
            )
        )
    colours = {"failed": VERMILION, "infeasible": INK}
    known = [*history.values, *(value for _, value in history.stopped)]
    foot = min(known, default=0.0) - 0.06 * (max(known, default=1.0) - min(known, default=0.0))
    for state, of in history.without_value:
        traces.append(
            go.Scatter(
                x=list(of),
                y=[foot] * len(of),
                mode="markers",
                marker={"symbol": "line-ns-open", "color": colours.get(state, GREY), "size": 9},
                text=hover_texts(result, [by_number[number] for number in of]),
                hovertemplate=HOVER,
                name=STATES[state],
            )
        )
    return traces


def _offer_planes(
    chart: Chart,
    pairs: Sequence[tuple[int, int]],
    labels: Sequence[str],
    shown: Sequence[int],
    result: StudyResult,
) -> None:
    """Let one of the planes be chosen."""
    metrics = [safe(one.metric) for one in result.objectives]
    buttons = [
        {
            "label": f"{metrics[i]}, {metrics[j]}",
            "method": "update",
            "args": [
                {"visible": [of == plane for of in shown]},
                {"xaxis.title.text": labels[i], "yaxis.title.text": labels[j]},
            ],
        }
        for plane, (i, j) in enumerate(pairs)
    ]
    menu = {"buttons": buttons, "x": 1, "y": 1.0, "xanchor": "right", "yanchor": "bottom"}
    chart.update_layout(updatemenus=[menu], margin_t=100)


def _error(errors: Sequence[float]) -> dict[str, Any]:
    """Describe whiskers."""
    return {
        "array": list(errors),
        "color": PALE,
        "thickness": 1,
        "width": 0,
    }
