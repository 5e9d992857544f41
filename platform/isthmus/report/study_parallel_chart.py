"""The interactive figure of all finished trials over all dimensions, drawn by plotly."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from isthmus.report.chart_looks import Chart, laid_out, safe
from isthmus.report.strata_palette import INK
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import shortened
from isthmus.report.study_hover import HOVER, hover_texts
from isthmus.report.study_parallel import Parallel, parallel_view
from isthmus.study.records import StudyResult

_MOST_GROUPS = 8


def parallel_chart(result: StudyResult) -> Chart | Absent:
    """Draw each finished trial as a line over all dimensions and objectives.

    Parameters
    ----------
    result : StudyResult
        A study.

    Returns
    -------
    plotly.graph_objects.Figure or Absent
        As `study_figures.parallel_figure`; trials show under the pointer, and groups of ranks can
        be taken away in the legend.

    Notes
    -----
    Plotly's own parallel coordinates need WebGL and, to set it up, scripts made of text, which
    the page forbids; they then leave an empty place without an error.
    """
    view = parallel_view(result)
    if isinstance(view, Absent):
        return view
    n, chart = len(view.trials), go.Figure()
    said = hover_texts(result, view.trials)
    groups = [range(0, 1), *_groups(1, n)]
    colours = sample_colorscale("Viridis", [group.start / n for group in groups])
    # the best are drawn last, on top
    for group, colour in reversed(list(zip(groups, colours, strict=True))):
        chart.add_trace(_lines(view, group, colour, said))
    laid_out(chart, 500, legend=True)
    chart.update_layout(legend_traceorder="reversed", margin_t=90)
    labels = [safe(shortened(scale.label, 22)) for scale in view.scales]
    chart.update_xaxes(
        tickvals=list(range(len(labels))),
        ticktext=labels,
        # of its own accord plotly turns them where they do not fit, and back, without an end
        tickangle=-15,
        gridcolor=INK,
        range=[-0.6, len(labels) - 0.7],
    )
    chart.update_yaxes(visible=False, range=[-0.05, 1.05])
    for column, scale in enumerate(view.scales):
        for position, words in scale.ticks:
            chart.add_annotation(
                x=column,
                y=scale.height(position),
                text=safe(shortened(words, 16)),
                showarrow=False,
                xanchor="right",
                xshift=-3,
                font_size=10,
                bgcolor="rgba(255,255,255,0.75)",
            )
    return chart


def _groups(first: int, last: int) -> list[range]:
    """Cut ranks into some groups of equal size."""
    size = max(1, -(-(last - first) // _MOST_GROUPS))
    return [range(start, min(start + size, last)) for start in range(first, last, size)]


def _lines(view: Parallel, group: range, colour: str, said: Sequence[str]) -> Chart:
    """Draw the trials of some ranks as one trace, apart by gaps."""
    x: list[float | None] = []
    y: list[float | None] = []
    text: list[str] = []
    for k in group:
        for column, scale in enumerate(view.scales):
            x.append(column)
            y.append(scale.height(scale.positions[k]))
            text.append(said[k])
        x, y, text = [*x, None], [*y, None], [*text, ""]
    is_best = group.start == 0
    ranks = f"{group.start + 1} to {group.stop}" if len(group) > 1 else str(group.stop)
    return go.Scatter(
        x=x,
        y=y,
        mode="lines+markers",
        line={"color": colour, "width": 3 if is_best else 1.2},
        marker={"size": 5 if is_best else 3},
        opacity=1.0 if is_best else max(0.25, min(0.8, 40 / len(view.trials))),
        text=text,
        hovertemplate=HOVER,
        name=f"rank {ranks}",
    )
