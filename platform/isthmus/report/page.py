"""One self-contained page: tables and interactive figures, without any network."""

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass

from plotly.offline import get_plotlyjs

from isthmus.report.chart_looks import Chart
from isthmus.report.strata_captions import Caption
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import LEAKY
from isthmus.report.table import Table

# Nothing may be fetched or sent: a page from elsewhere, names of columns included, stays harmless.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; form-action 'none'; base-uri 'none'"
)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.3rem; }
nav a { margin-right: 1rem; }
.leaky { background: #D55E00; color: white; padding: 0.4rem 0.8rem; font-weight: 600; }
.note, .not-shown { color: #555; font-size: 0.9rem; max-width: 56rem; margin: 0.3rem 0; }
.reads { max-width: 56rem; margin: 0.3rem 0; }
.absent { border-left: 4px solid #C8C8C8; padding: 0.3rem 0.8rem; }
#figure-plane, #figure-agreement { max-width: 52rem; }
.table { overflow-x: auto; }
img { max-width: 100%; height: auto; }
.lead { border-left: 4px solid #0072B2; padding: 0.1rem 0.8rem; max-width: 56rem; }
.lead h2 { margin: 0.6rem 0 0.2rem; }
.lead ul { margin: 0.2rem 0; padding-left: 1.2rem; }
.lead.warns { border-color: #D55E00; }
h1, .lead, .note, .reads, td { overflow-wrap: break-word; }
table { border-collapse: collapse; font-size: 0.85rem; margin: 0.4rem 0; }
th, td { border-bottom: 1px solid #E4E4E4; padding: 0.2rem 0.6rem; text-align: left;
  vertical-align: top; }
th { border-bottom: 2px solid #999; }
"""
_DRAW = """
const figures = JSON.parse(document.getElementById("figures").textContent);
const options = {displaylogo: false, responsive: true, plotlyServerURL: "",
  modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d"]};
const drawn = Object.entries(figures).map(([key, figure]) => {
  const place = document.getElementById("figure-" + key);
  return Plotly.newPlot(place, figure.data, figure.layout, options)
    .catch((error) => { place.textContent = "Not drawn: " + error; throw error; });
});
Promise.all(drawn).then(() => { document.body.dataset.drawn = String(drawn.length); });
"""


@dataclass(frozen=True)
class Picture:
    """A figure that is a picture already.

    Attributes
    ----------
    png : bytes
        The picture; it becomes part of the page.
    alternative : str
        What is to be seen on it, in words.
    """

    png: bytes
    alternative: str


@dataclass(frozen=True)
class Passage:
    """Words at the head of a page.

    Attributes
    ----------
    title : str
        What they are about.
    lines : tuple of str
        One point each.
    warns : bool
        Whether they are a warning.
    """

    title: str
    lines: tuple[str, ...]
    warns: bool = False

    def to_markdown(self) -> str:
        """Write as markdown.

        Returns
        -------
        str
            Title and list.
        """
        lines = "\n".join(f"- {line}" for line in self.lines)
        return f"**{self.title}**\n\n{lines}\n"


@dataclass(frozen=True)
class Section:
    """One figure of a page, with its words.

    Attributes
    ----------
    key : str
        The figure's name in the page.
    words : Caption
        How to read it, and what it does not show.
    chart : plotly.graph_objects.Figure, Picture or Absent
        The figure, or why there is none.
    """

    key: str
    words: Caption
    chart: Chart | Picture | Absent


def page_of(
    title: str,
    said: str,
    tables: Sequence[Table],
    sections: Sequence[Section],
    leaky: bool,
    lead: Sequence[Passage] = (),
) -> str:
    """Put a page together.

    Parameters
    ----------
    title : str
        What it is of.
    said : str
        The main numbers in a line or two.
    tables : sequence of Table
        Stand below the figures.
    sections : sequence of Section
        The figures, in order.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the page says so.
    lead : sequence of Passage
        Stand above the figures.

    Returns
    -------
    str
        HTML of about 5 MB, nearly all of it plotly.js. Nothing in it can fetch, send or run
        anything, whatever a column or a setting is named.
    """
    links = "".join(
        f'<a href="#{section.key}">{html.escape(section.words.title)}</a> ' for section in sections
    )
    body = (
        f'<h1>{html.escape(title)}</h1><p class="note">{html.escape(said)}</p>',
        *(passage_html(passage) for passage in lead),
        f'<nav>{links}<a href="#tables">Tables</a></nav>',
        *(section_html(section) for section in sections),
        '<div id="tables"></div>',
        *(table_html(table.labelled(leaky)) for table in tables),
    )
    return framed(title, body, sections, leaky)


def framed(
    title: str, body: Sequence[str], sections: Sequence[Section], leaky: bool, style: str = ""
) -> str:
    """Put what a page says into a document that draws its figures by itself.

    Parameters
    ----------
    title : str
        What it is of.
    body : sequence of str
        HTML, in which whatever a user named is escaped, and `section_html` of each section.
    sections : sequence of Section
        Those whose charts are drawn.
    leaky : bool
        Whether normalisation saw the held-out subjects; then the page says so.
    style : str
        Style sheet beside the one that all pages have.

    Returns
    -------
    str
        HTML; its body has the attribute ``data-drawn`` once all charts are drawn.
    """
    figures = {s.key: s.chart for s in sections if not isinstance(s.chart, Absent | Picture)}
    content = json.dumps({key: json.loads(chart.to_json()) for key, chart in figures.items()})
    # in a script no "<" may stand that could end it
    content = content.replace("<", "\\u003c")
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{html.escape(title)}</title><style>{_STYLE}{style}</style>",
            f"<script>{get_plotlyjs()}</script></head><body>",
            f'<p class="leaky">{html.escape(LEAKY)}</p>' if leaky else "",
            *body,
            f'<script type="application/json" id="figures">{content}</script>',
            f"<script>{_DRAW}</script></body></html>\n",
        )
    )


def passage_html(passage: Passage, level: int = 2) -> str:
    """Write words.

    Parameters
    ----------
    passage : Passage
        A title and points.
    level : int
        Of the heading.

    Returns
    -------
    str
        HTML.
    """
    lines = "".join(f"<li>{html.escape(line)}</li>" for line in passage.lines)
    kind = "lead warns" if passage.warns else "lead"
    head = f"<h{level}>{html.escape(passage.title)}</h{level}>"
    return f'<div class="{kind}">{head}<ul>{lines}</ul></div>'


def section_html(section: Section, level: int = 2) -> str:
    """Write one figure's place and its words.

    Parameters
    ----------
    section : Section
        A figure.
    level : int
        Of the heading.

    Returns
    -------
    str
        HTML; a chart is drawn into it by the page's script.
    """
    words = section.words
    if isinstance(section.chart, Absent):
        place = f'<p class="absent">Not drawn. {html.escape(section.chart.reason)}</p>'
    elif isinstance(section.chart, Picture):
        place = picture_html(section.chart)
    else:
        place = f'<div id="figure-{section.key}"></div>'
    return (
        f'<section id="{section.key}"><h{level}>{html.escape(words.title)}</h{level}>'
        f'<p class="reads">{html.escape(words.reads)}</p>'
        f'<p class="not-shown"><b>Does not show:</b> {html.escape(words.not_shown)}</p>'
        f"{place}</section>"
    )


def picture_html(picture: Picture) -> str:
    """Write a picture into the page.

    Parameters
    ----------
    picture : Picture
        With what is to be seen on it.

    Returns
    -------
    str
        HTML.
    """
    content = base64.b64encode(picture.png).decode("ascii")
    return f'<img src="data:image/png;base64,{content}" alt="{html.escape(picture.alternative)}">'


def table_html(table: Table, level: int = 2) -> str:
    """Write one table.

    Parameters
    ----------
    table : Table
        Title, columns, rows and a note.
    level : int
        Of the heading.

    Returns
    -------
    str
        HTML. What is too wide can be scrolled, by keys too.
    """
    title = html.escape(table.title)
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{html.escape(table.note)}</p>' if table.note else ""
    return (
        f'<h{level}>{title}</h{level}><div class="table" tabindex="0" role="region" '
        f'aria-label="Table"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"</div>{note}"
    )
