"""The chapters on strata: stability, associations, other encoders, fewer modalities."""

from collections.abc import Sequence

from isthmus.report.across_charts import agreement_chart, curves_chart
from isthmus.report.across_summary import across_tables
from isthmus.report.chart_looks import Chart
from isthmus.report.page import Section
from isthmus.report.pictures import png_of
from isthmus.report.story.arm_sections import arm_section
from isthmus.report.story.begin import MOST_ROWS
from isthmus.report.story.bundle import ReportBundle, TrialDetail
from isthmus.report.story.chapter import (
    Block,
    Chapter,
    nothing,
    picture_section,
    said,
    with_rows,
)
from isthmus.report.story.middle import (
    NO_FOLD,
    lead_of_story,
    selection_blocks,
    until_now,
)
from isthmus.report.strata_captions import CAPTIONS, Caption
from isthmus.report.strata_charts import jaccard_chart, plane_chart, stability_chart, sweep_chart
from isthmus.report.strata_overview import findings_table
from isthmus.report.strata_summary import robustness_tables
from isthmus.report.strata_views import Absent
from isthmus.report.strata_words import report_in_words
from isthmus.report.subset_figures import subset_figure
from isthmus.report.subset_views import subset_tables
from isthmus.report.summary import strata_table
from isthmus.report.table import Table
from isthmus.report.target_charts import cloud_chart, loadings_chart, profiles_chart
from isthmus.stratification.record import RobustnessReport
from isthmus.trial.records import FoldResult

SUBSET_CAPTION = Caption(
    "Every subset of the modalities as input",
    "Rows: what the model was given. Cells: mean squared error over the mean training image's, "
    "below 1 is worth something; framed and marked: the modality was not given, so it is "
    "synthesised. Right: agreement of the strata with those from all modalities.",
    "What a model would do that was trained on that subset alone: `isthmus ablate` asks that.",
)


def strata_chapter(bundle: ReportBundle) -> Chapter:
    """Tell what the strata are worth.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    Chapter
        Of the leading trial: all folds in tables, the first in figures; then its encoders
        together, and what is left after the choice among many trials.
    """
    lead = lead_of_story(bundle)
    agreement = arm_section(bundle, "agreement")
    if lead is None or not lead.result.folds:
        blocks: tuple[Block, ...] = (
            nothing("Strata", NO_FOLD),
            *with_rows((_trials_table(bundle),)),
        )
    else:
        blocks = (*_of_lead(bundle, lead), *_across(lead), *selection_blocks(bundle.study))
    return Chapter(
        "strata",
        "Strata and what they relate to",
        "Whether the subjects fall into groups that come back when others are drawn, more so than "
        "a cloud without groups would; what these groups relate to, with p-values adjusted for "
        "the number of targets and for the choice among trials; and whether other encoders and "
        "other clusterings say the same.",
        "That a stratum is a kind of person. Strata of an embedding can be stable and mean "
        "nothing, and an association in these subjects is no prediction for others: the lockbox "
        "is for that.",
        (*blocks, *((agreement,) if agreement else ())),
    )


def subsets_chapter(bundle: ReportBundle) -> Chapter:
    """Tell what fewer modalities give.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    Chapter
        Table and figure, or why there are none.
    """
    lead = lead_of_story(bundle)
    folds = lead.result.folds if lead else ()
    first = next((fold for fold in folds if fold.subset_grid is not None), None)
    if lead is None or first is None or first.subset_grid is None:
        why = NO_FOLD if not folds else "It was not asked for. Set controls.subset_grid: true."
        blocks: tuple[Block, ...] = (nothing("Subsets of the modalities", why),)
    else:
        tables = subset_tables(lead.result)
        words = " ".join(table.note for table in tables)
        png = png_of(subset_figure(first.subset_grid, first.leaky))
        title = f"{SUBSET_CAPTION.title}, fold {first.number}"
        caption = Caption(title, SUBSET_CAPTION.reads, SUBSET_CAPTION.not_shown)
        blocks = (picture_section("subset-grid", caption, png, words, ""), *tables)
    return Chapter(
        "subsets",
        "With fewer modalities",
        "What the leading trial makes of subjects of whom not every modality is given, and "
        "whether the strata stay the same.",
        "That a synthesised image may stand for one that was measured.",
        blocks,
    )


def _of_lead(bundle: ReportBundle, lead: TrialDetail) -> tuple[Block, ...]:
    """Show all folds of a trial in tables, and the first in figures."""
    folds = lead.result.folds
    reports = {f"fold {fold.number}": fold.strata for fold in folds}
    return (
        said(
            f"Of {lead.label}, fold by fold",
            *(_in_words(fold) for fold in folds),
            until_now(lead),
        ),
        strata_table(lead.result),
        *with_rows((findings_table(reports), _trials_table(bundle))),
        said(
            f"Figures of fold {folds[0].number}",
            "It stands for the others because it is the first, not because of what it shows. The "
            "others are in report_bundle.json, and in pages of their own beside the trial.",
        ),
        *_sections(folds[0].strata),
        *robustness_tables(folds[0].strata),
    )


def _sections(report: RobustnessReport) -> tuple[Section, ...]:
    """Draw one encoder's strata."""
    drawn: dict[str, Chart | Absent] = {
        "stability": stability_chart(report),
        "jaccard": jaccard_chart(report),
        "plane": plane_chart(report),
        "sweep": sweep_chart(report),
        "p_values": cloud_chart(report),
        "profiles": profiles_chart(report),
        "loadings": loadings_chart(report),
    }
    return tuple(Section(key, CAPTIONS[key], chart) for key, chart in drawn.items())


def _across(lead: TrialDetail) -> tuple[Block, ...]:
    """Show what a trial's encoders have in common."""
    across = lead.result.across
    if across is None:
        why = "Encoders are compared once every fold has finished, and none failed."
        return (nothing("Across encoders", why),)
    curves = Section("curves", CAPTIONS["curves"], curves_chart(across))
    agreement = Section("encoders", CAPTIONS["agreement"], agreement_chart(across))
    return (curves, agreement, *across_tables(across))


def _in_words(fold: FoldResult) -> str:
    """Say in a line what a fold's strata are worth."""
    strata, stability, verdicts, score = report_in_words(fold.strata)
    return (
        f"Fold {fold.number}: {strata}; stability {stability}; robust / significant / testable: "
        f"{verdicts}; robustness score {score}."
    )


def _trials_table(bundle: ReportBundle) -> Table:
    """Show the strata of all trials that have any, in short words."""
    rows: Sequence[tuple[str, ...]] = [
        (brief.label, str(number), *words)
        for brief in bundle.trials
        for number, words in enumerate(brief.strata)
    ]
    columns = (
        "trial",
        "finished fold",
        "strata",
        "stability",
        "robust / significant / testable",
        "robustness score",
    )
    table = Table("Strata of every trial", columns, tuple(rows))
    return table.first(MOST_ROWS) if len(bundle.trials) > 1 else Table(table.title, columns, ())
