"""What an ablation found: verdicts first, then figures and tables."""

import base64
from pathlib import Path

from dash import html

from isthmus.report.ablation.files import title_of
from isthmus.report.ablation.lead import lead_of
from isthmus.report.ablation.sections import parts_of, section_of
from isthmus.report.ablation.tables import ablation_tables
from isthmus.report.page import Picture, Section
from isthmus_dashboard.addresses import Address
from isthmus_dashboard.context import Context
from isthmus_dashboard.pieces import Piece, figure, notice, passage, table
from isthmus_dashboard.source import Standing

MOST_ROWS = 100


def ablation_page(context: Context, standing: Standing, address: Address) -> list[Piece]:
    """Show an ablation's report.

    Parameters
    ----------
    context : Context
        What may be looked at.
    standing : Standing
        An ablation.
    address : Address
        Where in the view one is.

    Returns
    -------
    list of dash component
        As on the page that the ablation wrote.
    """
    result = standing.ablation
    if result is None:
        return [
            notice(
                "No verdicts here",
                standing.note
                or f"{standing.entry.name} is no ablation. Choose one in the list "
                "of studies, or start one with `isthmus ablate EXPERIMENT ABLATION`.",
            )
        ]
    # Without the trials' folders there are no slices to set side by side; the section says so.
    output = standing.output or Path("/nonexistent")
    return [
        html.H2(title_of(result)),
        *(passage(one) for one in lead_of(result)),
        *(_section(section_of(result, part)) for part in parts_of(result, output)),
        *(table(one) for one in ablation_tables(result, MOST_ROWS)),
    ]


def _section(section: Section) -> Piece:
    """Lay out one figure of the report."""
    if not isinstance(section.chart, Picture):
        return figure(section.key, section.words, section.chart)
    content = base64.b64encode(section.chart.png).decode("ascii")
    words = section.words
    return html.Section(
        [
            html.H2(words.title),
            html.P(words.reads, className="reads"),
            html.Img(src=f"data:image/png;base64,{content}", alt=section.chart.alternative),
            html.P([html.B("Does not show: "), words.not_shown], className="note"),
        ],
        id=section.key,
    )
