"""Interactive figures of an ablation, drawn by plotly."""

import textwrap

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from isthmus.report.ablation.learning import Band, Learning
from isthmus.report.ablation.looks import VERDICT_MARKS, arm_line
from isthmus.report.ablation.ranks import Ranks
from isthmus.report.ablation.views import Effect, Matrix, Scores, short_verdict
from isthmus.report.ablation.words import VERDICTS
from isthmus.report.chart_looks import Chart, heading, laid_out, safe
from isthmus.report.strata_palette import GREY, INK, PALE
from isthmus.report.strata_words import shortened

_LONGEST = 26
_SHADE = "#EAF3F9"


def effects_chart(view: tuple[Effect, ...], metric: str) -> Chart:
    """Draw the differences with their intervals.

    Parameters
    ----------
    view : tuple of Effect
        A row each.
    metric : str
        In what they differ.

    Returns
    -------
    plotly.graph_objects.Figure
        As `figures.effects_figure`; the verdict in words shows under the pointer.
    """
    chart, rows = go.Figure(), range(len(view))
    for verdict, (colour, shape) in VERDICT_MARKS.items():
        of = [row for row in rows if view[row].verdict == verdict]
        if not of:
            continue
        drawn = [view[row].difference is not None for row in of]
        chart.add_trace(
            go.Scatter(
                x=[view[row].difference or 0.0 for row in of],
                y=of,
                mode="markers",
                marker={"color": colour, "symbol": shape.plotly, "size": 11},
                error_x=_interval([view[row] for row in of], colour),
                text=[_hover(view[row].said) for row in of],
                hovertemplate="%{text}<extra></extra>",
                name=VERDICTS[verdict] if any(drawn) else f"{VERDICTS[verdict]} (no number)",
            )
        )
    for row, effect in enumerate(view):
        if effect.margin is not None:
            chart.add_shape(
                type="rect",
                x0=-effect.margin,
                x1=effect.margin,
                y0=row - 0.5,
                y1=row + 0.5,
                fillcolor=_SHADE,
                line_width=0,
                layer="below",
            )
    chart.add_vline(x=0.0, line_color=INK, line_width=1)
    laid_out(chart, 150 + 34 * len(view), legend=True)
    chart.update_xaxes(title_text=f"difference in {safe(metric)}")
    chart.update_yaxes(
        tickvals=list(rows),
        ticktext=[_name(effect.label) for effect in view],
        range=[len(view) - 0.5, -0.5],
    )
    return chart


def scores_chart(view: Scores) -> Chart:
    """Draw every score, the same blocks joined.

    Parameters
    ----------
    view : Scores
        All arms.

    Returns
    -------
    plotly.graph_objects.Figure
        As `figures.scores_figure`; seed, fold and value show under the pointer.
    """
    chart = go.Figure()
    blocks = [f"seed {one.seed}, fold {one.fold}" for one in view.blocks]
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for group in view.joined:
        for block, name in enumerate(blocks):
            # None ends a line
            x += [*group, None]
            y += [*(view.arms[k].values[block] for k in group), None]
            text += [name] * (len(group) + 1)
    chart.add_trace(
        go.Scatter(
            x=x,
            y=y,
            mode="lines+markers",
            line={"color": PALE, "width": 1},
            marker={"color": GREY, "size": 6},
            text=text,
            hovertemplate="%{text}: %{y:.4g}<extra></extra>",
            name="a fold at a seed",
        )
    )
    known = [(k, arm) for k, arm in enumerate(view.arms) if arm.mean is not None]
    means = [arm.mean or 0.0 for _, arm in known]
    highs = [arm.high if arm.high is not None else arm.mean for _, arm in known]
    lows = [arm.low if arm.low is not None else arm.mean for _, arm in known]
    chart.add_trace(
        go.Scatter(
            x=[k + 0.18 for k, _ in known],
            y=means,
            mode="markers",
            marker={"color": INK, "symbol": "diamond", "size": 8},
            error_y={
                "array": [(high or 0.0) - mean for high, mean in zip(highs, means, strict=True)],
                "arrayminus": [mean - (low or 0.0) for low, mean in zip(lows, means, strict=True)],
                "color": INK,
                "width": 0,
            },
            text=[safe(arm.label) for _, arm in known],
            hovertemplate="%{text}: mean %{y:.4g}<extra></extra>",
            name="mean, 95 % interval",
        )
    )
    laid_out(chart, 420, legend=True)
    labels = [_name(arm.label, 22) for arm in view.arms]
    chart.update_xaxes(
        tickvals=list(range(len(labels))), ticktext=labels, range=[-0.5, len(labels) - 0.3]
    )
    chart.update_yaxes(title_text=safe(view.metric))
    return chart


def ranks_chart(view: Ranks) -> Chart:
    """Draw the critical-difference diagram.

    Parameters
    ----------
    view : Ranks
        Arms, and what joins them.

    Returns
    -------
    plotly.graph_objects.Figure
        As `figures.ranks_figure`.
    """
    chart, n, n_bars = go.Figure(), len(view.arms), len(view.bars)
    bottom = 1.0 + 0.35 * n_bars + max((arm.height for arm in view.arms), default=0)
    for k, (low, high) in enumerate(view.bars):
        y = 0.4 + 0.35 * k
        chart.add_trace(_line([low - 0.04, high + 0.04], [y, y], INK, 6))
    for arm in view.arms:
        y, end = 1.0 + 0.35 * n_bars + arm.height, 0.7 if arm.on_left else n + 0.3
        chart.add_trace(_line([arm.rank, arm.rank, end], [0.0, y, y], GREY, 1))
        chart.add_annotation(
            x=end,
            y=y,
            text=f"{_name(arm.label, 20)} ({arm.rank:.2f})",
            xanchor="right" if arm.on_left else "left",
            showarrow=False,
            font_size=11,
        )
    chart.add_trace(_line([1, n], [0, 0], INK, 1))
    laid_out(chart, 120 + round(34 * bottom))
    chart.update_xaxes(
        range=[1 - 0.8 * n, n + 0.8 * n],
        tickvals=list(range(1, n + 1)),
        side="top",
        showgrid=False,
        title_text=f"average rank by {safe(view.metric)}, 1 is best",
    )
    return chart.update_yaxes(range=[bottom + 0.5, -0.1], visible=False)


def matrix_chart(view: Matrix) -> Chart:
    """Draw the verdicts of all metrics.

    Parameters
    ----------
    view : Matrix
        Verdicts.

    Returns
    -------
    plotly.graph_objects.Figure
        As `figures.matrix_figure`; the verdict in words shows under the pointer.
    """
    verdicts = list(VERDICT_MARKS)
    scale, n = [], len(verdicts)
    for k, verdict in enumerate(verdicts):
        colour = VERDICT_MARKS[verdict][0]
        scale += [[k / n, colour], [(k + 1) / n, colour]]
    chart = go.Figure(
        go.Heatmap(
            z=[
                [None if one is None else verdicts.index(one.verdict) + 0.5 for one in row]
                for row in view.cells
            ],
            zmin=0,
            zmax=n,
            colorscale=scale,
            opacity=0.4,
            showscale=False,
            xgap=2,
            ygap=2,
            text=[["" if one is None else _hover(one.said) for one in row] for row in view.cells],
            hovertemplate="%{text}<extra></extra>",
        )
    )
    for i, row in enumerate(view.cells):
        for j, effect in enumerate(row):
            words = "" if effect is None else short_verdict(effect).replace("\n", "<br>")
            chart.add_annotation(x=j, y=i, text=words, showarrow=False, font_size=10)
    laid_out(chart, 140 + 44 * len(view.metrics))
    chart.update_xaxes(
        tickvals=list(range(len(view.comparisons))),
        ticktext=[_name(name, 22) for name in view.comparisons],
        title_text=safe(view.against),
        showgrid=False,
    )
    return chart.update_yaxes(
        tickvals=list(range(len(view.metrics))),
        ticktext=[_name(name) for name in view.metrics],
        range=[len(view.metrics) - 0.5, -0.5],
        showgrid=False,
    )


def learning_chart(view: Learning) -> Chart:
    """Draw the middle and the range of each arm's curves.

    Parameters
    ----------
    view : Learning
        Training losses, and what was monitored.

    Returns
    -------
    plotly.graph_objects.Figure
        As `figures.learning_figure`, below each other; arms can be taken away in the legend.
    """
    panels = [("training loss", view.train)]
    if view.monitor:
        panels.append(("monitored mean squared error", view.monitor))
    chart = make_subplots(rows=len(panels), cols=1, shared_xaxes=True, vertical_spacing=0.12)
    named: set[str] = set()
    for row, (_, bands) in enumerate(panels, 1):
        for band in bands:
            for trace in _band(band, band.label not in named):
                chart.add_trace(trace, row=row, col=1)
            named.add(band.label)
    laid_out(chart, 130 + 260 * len(panels), legend=True)
    for row, (label, _) in enumerate(panels, 1):
        if row > 1:
            heading(chart, row, label)
        chart.update_yaxes(title_text="loss" if row == 1 else "MSE", row=row, col=1)
    return chart.update_xaxes(title_text="epoch", row=len(panels), col=1)


def _band(band: Band, in_legend: bool) -> list[Chart]:
    """Draw one arm: its range as an area, its median as a line."""
    colour, _, dashes = arm_line(band.position)
    label = safe(band.label)
    area = go.Scatter(
        x=[*band.epochs, *reversed(band.epochs)],
        y=[*band.high, *reversed(band.low)],
        fill="toself",
        fillcolor=colour,
        opacity=0.15,
        mode="none",
        hoverinfo="skip",
        legendgroup=label,
        showlegend=False,
    )
    middle = go.Scatter(
        x=list(band.epochs),
        y=list(band.middle),
        mode="lines+markers" if len(band.epochs) == 1 else "lines",
        line={"color": colour, "dash": dashes},
        customdata=list(band.n_blocks),
        hovertemplate="epoch %{x}: median %{y:.4g} of %{customdata} folds",
        name=label,
        legendgroup=label,
        showlegend=in_legend,
    )
    return [area, middle]


def _interval(effects: list[Effect], colour: str) -> dict[str, object]:
    """Describe intervals, which need not be symmetric."""
    ends = [(one.difference or 0.0, one.low, one.high) for one in effects]
    return {
        "array": [0.0 if high is None else high - middle for middle, _, high in ends],
        "arrayminus": [0.0 if low is None else middle - low for middle, low, _ in ends],
        "color": colour,
        "thickness": 2,
        "width": 0,
    }


def _line(x: list[float], y: list[float], colour: str, width: float) -> Chart:
    """Draw a line that says nothing under the pointer."""
    return go.Scatter(
        x=x, y=y, mode="lines", line={"color": colour, "width": width}, hoverinfo="skip"
    )


def _name(text: str, longest: int = _LONGEST) -> str:
    """Shorten what a user named, and make it harmless."""
    return safe(shortened(text, longest))


def _hover(text: str) -> str:
    """Break a sentence that would leave the page, and make it harmless."""
    return "<br>".join(safe(line) for line in textwrap.wrap(text, 60))
