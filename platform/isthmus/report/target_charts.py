"""Interactive figures of the targets of one report, drawn by plotly."""

import math

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from isthmus.report.chart_looks import Chart, laid_out, safe
from isthmus.report.strata_palette import GREY, INK, VERDICT_MARKS, stratum_mark
from isthmus.report.strata_views import (
    Absent,
    Cloud,
    ProfilePanel,
    cloud_view,
    loadings_view,
    profile_limits,
    profile_view,
    spread,
)
from isthmus.report.strata_words import VERDICTS, shortened
from isthmus.stratification.factors import NoFactors
from isthmus.stratification.record import RobustnessReport

_PANELS_A_ROW = 3
_MOST_CELLS_WITH_NUMBERS = 400


def cloud_chart(report: RobustnessReport) -> Chart | Absent:
    """Draw each target's p-values over the draws, and its replication rate beside the null's.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `target_figures.cloud_figure`.
    """
    view = cloud_view(report)
    if isinstance(view, Absent):
        return view
    chart = make_subplots(
        rows=1, cols=2, shared_yaxes=True, column_widths=[0.62, 0.38], horizontal_spacing=0.03
    )
    for row, cloud in enumerate(view):
        chart.add_trace(_points(row, cloud), row=1, col=1)
    _add_medians(chart, view)
    _add_rates(chart, view)
    config = report.config
    dotted = {"line_dash": "dot", "line_width": 1, "line_color": INK}
    chart.add_vline(x=config.alpha, row=1, col=1, **dotted)
    chart.add_vline(x=config.robustness.min_replication_rate, row=1, col=2, **dotted)
    chart.update_yaxes(
        tickvals=list(range(len(view))),
        ticktext=[safe(shortened(cloud.target)) for cloud in view],
        range=[len(view) - 0.4, -0.6],
    )
    smallest = math.log10(0.7 / (1 + config.robustness.n_null_phenotypes))
    chart.update_xaxes(
        type="log",
        dtick=1,
        range=[smallest, 0.1],
        title_text="p-value in each draw",
        row=1,
        col=1,
    )
    chart.update_xaxes(range=[-0.03, 1.05], title_text="replication rate; grey: null", row=1, col=2)
    return laid_out(chart, 190 + 30 * len(view), legend=True)


def loadings_chart(report: RobustnessReport) -> Chart | Absent:
    """Draw the factor loadings as a heat map.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `target_figures.loadings_figure`.
    """
    view, factors = loadings_view(report), report.factors
    if isinstance(view, Absent) or isinstance(factors, NoFactors):
        return view
    names = [safe(name) for name in factors.phenotypes]
    columns = [
        f"{name.removeprefix('factor_')}<br>{share:.0%}"
        for name, share in zip(factors.names, factors.explained_variance, strict=True)
    ]
    numbers = view.size <= _MOST_CELLS_WITH_NUMBERS
    chart = go.Figure(
        go.Heatmap(
            z=view,
            x=list(range(len(columns))),
            y=list(range(len(names))),
            customdata=[[name] * len(columns) for name in names],
            zmin=-1,
            zmax=1,
            colorscale="PuOr",
            xgap=1,
            ygap=1,
            colorbar={"title": {"text": "loading"}},
            texttemplate="%{z:.2f}" if numbers else None,
            hovertemplate="%{customdata}, factor %{x}: %{z:.2f}<extra></extra>",
        )
    )
    chart.update_xaxes(
        tickvals=list(range(len(columns))),
        ticktext=columns,
        title_text="factor, and its share of the phenotypes' variance",
    )
    chart.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[safe(shortened(name)) for name in factors.phenotypes],
        autorange="reversed",
    )
    return laid_out(chart, 170 + 24 * len(names))


def profiles_chart(report: RobustnessReport) -> Chart | Absent:
    """Draw what each stratum looks like on each target.

    Parameters
    ----------
    report : RobustnessReport
        What the job found.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `target_figures.profiles_figure`.
    """
    view = profile_view(report)
    if isinstance(view, Absent):
        return view
    n_strata = 1 + max(profile.stratum for profile in report.profiles)
    across = min(len(view), _PANELS_A_ROW if n_strata <= 16 else 2)
    down = math.ceil(len(view) / across)
    height = 70 + 170 * down
    chart = make_subplots(
        rows=down,
        cols=across,
        subplot_titles=[safe(shortened(panel.target, 34)) for panel in view],
        vertical_spacing=min(60 / height, 1 / down),
        horizontal_spacing=0.06,
    )
    for i, panel in enumerate(view):
        row, column = divmod(i, across)
        chart.add_trace(_profile(panel), row=row + 1, col=column + 1)
        category = panel.kind == "category"
        unit, limits = "share" if category else "z-score", profile_limits(view, category)
        chart.update_yaxes(title_text=unit, range=limits, row=row + 1, col=column + 1)
        if row == down - 1 or i + across >= len(view):
            chart.update_xaxes(title_text="stratum", row=row + 1, col=column + 1)
    chart.update_annotations(font_size=12)
    chart.update_xaxes(range=[-0.6, n_strata - 0.4], dtick=max(1, math.ceil(n_strata / 14)))
    return laid_out(chart, height)


def _points(row: int, cloud: Cloud) -> Chart:
    """Draw one target's p-values."""
    effects = cloud.replication.effect_sizes
    return go.Scatter(
        x=cloud.p_values,
        y=row + 0.55 * spread(len(cloud.p_values)),
        mode="markers",
        marker={"size": 4, "color": VERDICT_MARKS[cloud.verdict][0], "opacity": 0.45},
        customdata=[(draw, effects[draw]) for draw in cloud.draws],
        hovertemplate="draw %{customdata[0]}: p %{x:.3g}, effect size %{customdata[1]:.3f}"
        f"<extra>{safe(cloud.target)}</extra>",
        showlegend=False,
    )


def _add_medians(chart: Chart, view: tuple[Cloud, ...]) -> None:
    """Draw the median and 95 % of the draws of each target."""
    known = [
        (row, again.p_median, again.p_low, again.p_high)
        for row, cloud in enumerate(view)
        for again in (cloud.replication,)
        if again.p_median is not None and again.p_low is not None and again.p_high is not None
    ]
    chart.add_trace(
        go.Scatter(
            x=[middle for _, middle, _, _ in known],
            y=[row for row, *_ in known],
            error_x={
                "array": [high - middle for _, middle, _, high in known],
                "arrayminus": [middle - low for _, middle, low, _ in known],
                "color": INK,
                "thickness": 1.2,
                "width": 0,
            },
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 13, "color": INK, "line_width": 2.5},
            hovertemplate="median p %{x:.3g}<extra></extra>",
            name="median and 95 % of draws",
        ),
        row=1,
        col=1,
    )


def _add_rates(chart: Chart, view: tuple[Cloud, ...]) -> None:
    """Draw the replication rates over the null's mean and 95th percentile."""
    rows = list(range(len(view)))
    nulls = [cloud.replication for cloud in view]
    chart.add_trace(
        go.Bar(
            x=[null.null_rate_high for null in nulls],
            y=rows,
            orientation="h",
            width=0.62,
            marker_color="#E4E4E4",
            hovertemplate="null: 95th percentile %{x:.1%}<extra></extra>",
            name="null rate, mean and 95th percentile",
        ),
        row=1,
        col=2,
    )
    chart.add_trace(
        go.Scatter(
            x=[null.null_rate for null in nulls],
            y=rows,
            mode="markers",
            marker={"symbol": "line-ns-open", "size": 17, "color": GREY, "line_width": 2},
            hovertemplate="null: mean %{x:.1%}<extra></extra>",
            showlegend=False,
        ),
        row=1,
        col=2,
    )
    for verdict, (colour, shape) in VERDICT_MARKS.items():
        own = [row for row in rows if view[row].verdict == verdict]
        if own:
            chart.add_trace(
                go.Scatter(
                    x=[nulls[row].rate for row in own],
                    y=own,
                    mode="markers",
                    marker={"symbol": shape.plotly, "size": 11, "color": colour},
                    customdata=[(safe(view[row].target), nulls[row].p_rate) for row in own],
                    hovertemplate="%{customdata[0]}: rate %{x:.0%}, p of the rate "
                    "%{customdata[1]:.2g}<extra></extra>",
                    name=VERDICTS[verdict],
                ),
                row=1,
                col=2,
            )


def _profile(panel: ProfilePanel) -> Chart:
    """Draw one target over the strata."""
    marks = [stratum_mark(profile.stratum) for profile in panel.profiles]
    errors = [profile.standard_error or 0.0 for profile in panel.profiles]
    return go.Scatter(
        x=[profile.stratum for profile in panel.profiles],
        y=[profile.mean for profile in panel.profiles],
        error_y={"array": errors, "color": GREY, "thickness": 1.2, "width": 0},
        mode="markers",
        marker={
            "color": [colour for colour, _ in marks],
            "symbol": [shape.plotly for _, shape in marks],
            "size": 8,
        },
        customdata=[
            (profile.n, error) for profile, error in zip(panel.profiles, errors, strict=True)
        ],
        hovertemplate="stratum %{x}, n %{customdata[0]}: %{y:.2f} ± %{customdata[1]:.2f}"
        f"<extra>{safe(panel.target)}</extra>",
    )
