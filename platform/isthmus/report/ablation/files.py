"""An ablation as files: its record, one page, a summary, scores and comparisons, pictures."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from isthmus.core.files import write_text
from isthmus.report.ablation.labels import comparison_label
from isthmus.report.ablation.lead import lead_of
from isthmus.report.ablation.sections import Part, drawing_of, parts_of, section_of
from isthmus.report.ablation.tables import ablation_tables, contrasts_table
from isthmus.report.ablation.words import verdict_in_words
from isthmus.report.drawings import drawings_in_words, write_drawings
from isthmus.report.latex import to_latex
from isthmus.report.page import page_of
from isthmus.study.ablation.findings import AblationContrast, AblationResult, MetricFindings
from isthmus.study.ablation.result_json import write_result

PAGE_FILE = "ablation.html"
SUMMARY_FILE = "summary.md"
SCORES_FILE = "scores.csv"
CONTRASTS_FILE = "contrasts.csv"
LATEX_FILE = "contrasts.tex"
# More rows than this belong onto the page.
MOST_ROWS = 100

_CONTRAST_COLUMNS = (
    "metric",
    "primary",
    "kind",
    "comparison",
    "factor",
    "verdict",
    "difference",
    "ci_low",
    "ci_high",
    "mean",
    "reference_mean",
    "effect_size",
    "p_value",
    "p_value_adjusted",
    "equivalence_p_value",
    "equivalence_p_value_adjusted",
    "margin",
    "smallest_resolvable",
    "n_blocks",
    "family",
    "modalities",
    "in_words",
)


def write_ablation_files(result: AblationResult, output: Path, directory: Path) -> tuple[Path, ...]:
    """Write an ablation's report.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands, be it before its first fold.
    output : Path
        Folder that the trials are in, for the slices that they kept.
    directory : Path
        Folder of the files; made when missing.

    Returns
    -------
    tuple of Path
        ``result.json``, ``ablation.html``, ``summary.md``, ``scores.csv``, ``contrasts.csv``,
        ``contrasts.tex`` and a PNG a figure, each whole. A figure that has nothing to show is not
        written, and one of an earlier state in its place is removed; page and summary say why.
        Called again with the same result, it writes the same. The summary has the first 100 rows
        of a table, the page has all.
    """
    parts = parts_of(result, output)
    texts = {
        PAGE_FILE: ablation_page(result, parts),
        SUMMARY_FILE: _summary(result, parts),
        SCORES_FILE: scores_csv(result),
        CONTRASTS_FILE: contrasts_csv(result),
        LATEX_FILE: to_latex(contrasts_table(result), f"tab:{result.plan.name}"),
    }
    written = [write_result(result, directory)]
    for name, text in texts.items():
        write_text(directory / name, text)
        written.append(directory / name)
    drawings = [drawing_of(result, part) for part in parts]
    return (*written, *write_drawings(drawings, directory))


def ablation_page(result: AblationResult, parts: Sequence[Part]) -> str:
    """Write the page of an ablation.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.
    parts : sequence of Part
        Its figures.

    Returns
    -------
    str
        HTML of about 5 MB that needs no network: first the question, the verdicts by the primary
        metric and what failed, then figures and tables.
    """
    plan = result.plan
    return page_of(
        title_of(result),
        f"{plan.design.replace('_', ' ')}; identity {plan.ablation_id[:12]}",
        ablation_tables(result),
        [section_of(result, part) for part in parts],
        leaky=all(arm.leaky for arm in plan.arms),
        lead=lead_of(result),
    )


def title_of(result: AblationResult) -> str:
    """Name an ablation.

    Parameters
    ----------
    result : AblationResult
        Any.

    Returns
    -------
    str
        The title of page and summary.
    """
    return f"Ablation {result.plan.name} of {result.plan.experiment}"


def scores_csv(result: AblationResult) -> str:
    """Write every score, as it was given.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    str
        Columns ``arm``, ``leaky``, ``seed``, ``fold``, ``metric``, ``value``; a row for each that
        there is.
    """
    leaky = {arm.name: arm.leaky for arm in result.plan.arms}
    return _csv(
        ("arm", "leaky", "seed", "fold", "metric", "value"),
        (
            (one.arm, leaky[one.arm], block.seed, block.fold, finding.metric, value)
            for finding in result.findings
            for one in finding.arms
            for block, value in zip(finding.blocks, one.values, strict=True)
            if value is not None
        ),
    )


def contrasts_csv(result: AblationResult) -> str:
    """Write every comparison by every metric, pairs of arms included.

    Parameters
    ----------
    result : AblationResult
        An ablation as it stands.

    Returns
    -------
    str
        Numbers to their last digit, empty where there is none; the verdict in words last.
    """
    return _csv(
        _CONTRAST_COLUMNS,
        (
            _contrast_row(result, finding, one)
            for finding in result.findings
            for one in (*finding.contrasts, *(finding.ranking.pairs if finding.ranking else ()))
        ),
    )


def _contrast_row(
    result: AblationResult, finding: MetricFindings, one: AblationContrast
) -> tuple[object, ...]:
    """Write one comparison."""
    numbers = (getattr(one, name) for name in _CONTRAST_COLUMNS[6:19])
    return (
        finding.metric,
        finding.is_primary,
        one.comparison.kind,
        comparison_label(result.plan, one.comparison),
        one.comparison.factor,
        one.verdict,
        *numbers,
        one.family,
        " ".join(one.modalities),
        verdict_in_words(result, finding, one),
    )


def _summary(result: AblationResult, parts: Sequence[Part]) -> str:
    """Write question, verdicts, tables and pictures as markdown."""
    lead = "\n".join(passage.to_markdown() for passage in lead_of(result))
    tables = "\n".join(table.to_markdown() for table in ablation_tables(result, MOST_ROWS))
    figures = drawings_in_words([drawing_of(result, part) for part in parts])
    return "\n".join((f"# {title_of(result)}\n", lead, tables, figures))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table with a heading."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
