"""The figures of an ablation's report, each once for the page and once as a picture."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from isthmus.report.ablation.captions import caption_of
from isthmus.report.ablation.charts import (
    effects_chart,
    learning_chart,
    matrix_chart,
    ranks_chart,
    scores_chart,
)
from isthmus.report.ablation.figures import (
    effects_figure,
    learning_figure,
    matrix_figure,
    ranks_figure,
    scores_figure,
)
from isthmus.report.ablation.labels import against_baseline
from isthmus.report.ablation.learning import learning_view
from isthmus.report.ablation.outcome import primary_of
from isthmus.report.ablation.ranks import ranks_view
from isthmus.report.ablation.side_by_side import side_by_side_figure, side_by_side_view
from isthmus.report.ablation.views import agreement_view, effects_view, matrix_view, scores_view
from isthmus.report.chart_looks import Chart
from isthmus.report.drawings import Drawing
from isthmus.report.page import Picture, Section
from isthmus.report.pictures import png_of
from isthmus.report.strata_figures import said_figure
from isthmus.report.strata_views import Absent
from isthmus.study.ablation.findings import AblationResult


@dataclass(frozen=True)
class Part:
    """One figure of the report.

    Attributes
    ----------
    key : str
        Its name in the page.
    file : str
        Name of its picture.
    view : object
        What it shows; `Absent` if that is nothing.
    chart : callable
        Draws the view for the page.
    figure : callable
        Draws the view as a picture.
    """

    key: str
    file: str
    view: Any
    chart: Callable[[Any], Chart | Picture]
    figure: Callable[[Any], Figure]


def parts_of(result: AblationResult, output: Path) -> tuple[Part, ...]:
    """List the figures of a report, in order.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    output : Path
        Folder that the trials are in.

    Returns
    -------
    tuple of Part
        The same whatever has finished; those that have nothing to show say why.
    """
    finding = primary_of(result)
    metric = "the primary metric" if finding is None else finding.metric
    axis = f"{metric} ({against_baseline(result.plan)})"
    return (
        Part(
            "effects",
            "effects.png",
            effects_view(result),
            lambda view: effects_chart(view, axis),
            lambda view: effects_figure(view, axis),
        ),
        Part("scores", "scores.png", scores_view(result), scores_chart, scores_figure),
        Part("ranks", "critical_difference.png", ranks_view(result), ranks_chart, ranks_figure),
        Part("matrix", "verdicts.png", matrix_view(result), matrix_chart, matrix_figure),
        Part(
            "side_by_side",
            "reconstructions.png",
            side_by_side_view(result, output),
            lambda view: Picture(png_of(side_by_side_figure(view)), view.in_words),
            side_by_side_figure,
        ),
        Part(
            "learning",
            "learning_curves.png",
            learning_view(result),
            learning_chart,
            learning_figure,
        ),
        Part(
            "agreement",
            "strata_agreement.png",
            agreement_view(result),
            scores_chart,
            scores_figure,
        ),
    )


def section_of(result: AblationResult, part: Part) -> Section:
    """Put a figure of the page beside its words.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    part : Part
        One of its report's.

    Returns
    -------
    Section
        Of the page.
    """
    words = caption_of(result, part.key)
    absent = isinstance(part.view, Absent)
    return Section(part.key, words, part.view if absent else part.chart(part.view))


def drawing_of(result: AblationResult, part: Part) -> Drawing:
    """Put a picture beside its words.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    part : Part
        One of its report's.

    Returns
    -------
    Drawing
        Of the summary.
    """

    def draw() -> Figure:
        if isinstance(part.view, Absent):
            return said_figure(part.view.reason)
        return part.figure(part.view)

    return Drawing(part.file, part.view, draw, caption_of(result, part.key))
