"""The chapters in the middle: the ranking, what must be beaten, and what is reconstructed."""

from isthmus.report.ablation.lead import lead_of
from isthmus.report.ablation.tables import contrasts_table, other_metrics_table, pairs_table
from isthmus.report.across_charts import selection_chart
from isthmus.report.across_summary import selection_table
from isthmus.report.chart_looks import Chart
from isthmus.report.figures import controls_figure
from isthmus.report.page import Section
from isthmus.report.pictures import png_of
from isthmus.report.story.arm_sections import arm_section
from isthmus.report.story.begin import MOST_ROWS
from isthmus.report.story.bundle import ReportBundle, TrialDetail
from isthmus.report.story.chapter import (
    Block,
    Chapter,
    Gallery,
    nothing,
    picture_section,
    said,
    with_rows,
)
from isthmus.report.strata_captions import Caption
from isthmus.report.strata_views import Absent
from isthmus.report.study_captions import STUDY_CAPTIONS
from isthmus.report.study_charts import front_chart, hypervolume_chart, importance_chart
from isthmus.report.study_page import study_in_words
from isthmus.report.study_parallel_chart import parallel_chart
from isthmus.report.study_summary import (
    front_table,
    importance_table,
    ranking_table,
    selection_note,
)
from isthmus.report.study_views import leading_selection
from isthmus.report.summary import (
    CONTROL_LABELS,
    controls_table,
    controls_verdict,
    fidelity_table,
    probes_table,
)
from isthmus.report.table import Table
from isthmus.study.records import StudyResult

CONTROLS_CAPTION = Caption(
    "The model against what must be beaten",
    "Held-out mean squared error in the mask, a point a fold, a short line at the mean. The mean "
    "training image knows nobody; PCA has as many values as the embedding; another subject's "
    "embedding, with this subject's skips, shows what the embedding is worth.",
    "Whether the embedding is worth anything for other ends: a model can beat every control here "
    "and hold nothing of a person that matters, or lose and hold it.",
)
PICTURES_CAPTION = Caption(
    "Reconstructions of held-out subjects",
    "Three planes of the subjects of median and of largest error in each fold: input, "
    "reconstruction, and reconstruction - input (red is too bright).",
    "How the model does on others: the eye forgives blur and misses small shifts. The numbers "
    "stand in the chapter before.",
)

NO_FOLD = (
    "No fold has finished yet, of any trial whose folder is here. This part is there as soon as "
    "one has: write the report again."
)


def ranking_chapter(bundle: ReportBundle) -> Chapter:
    """Tell what came out ahead, and how sure that is.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    Chapter
        Ranking, front, importance; of an ablation verdicts and differences.
    """
    if bundle.kind == "ablation":
        blocks = _verdicts(bundle)
    elif bundle.study is not None:
        blocks = _ranking(bundle.study)
    else:
        why = (
            "There is one trial, and nothing to rank it against. `isthmus search` and `isthmus "
            "ablate` compare trials."
            if bundle.kind == "trial"
            else "No trial is known yet."
        )
        blocks = (nothing("Nothing is ranked", why),)
    return Chapter(
        "ranking",
        "What differs" if bundle.kind == "ablation" else "What came out ahead",
        "Which variants differ, with intervals and corrected p-values."
        if bundle.kind == "ablation"
        else "The trials in order, with standard errors; which of them no other one beats; the "
        "smallest that is as good as the best; and what the differences go with.",
        "That the first is better than the second: the best of many is so partly by luck, and "
        "folds share subjects."
        if bundle.kind != "ablation"
        else "That variants which do not differ significantly are the same, unless it says "
        "equivalent.",
        blocks,
    )


def _ranking(study: StudyResult) -> tuple[Block, ...]:
    """Tell how a search's trials compare."""
    drawn: dict[str, Chart | Absent] = {
        "front": front_chart(study),
        "parallel": parallel_chart(study),
        "importance": importance_chart(study),
        "hypervolume": hypervolume_chart(study),
    }
    sections = {key: Section(key, STUDY_CAPTIONS[key], chart) for key, chart in drawn.items()}
    tables = with_rows((front_table(study, MOST_ROWS), importance_table(study)))
    return (
        said("In two lines", study_in_words(study), selection_note(study)),
        ranking_table(study, MOST_ROWS),
        sections["front"],
        sections["parallel"],
        sections["importance"],
        *tables,
        sections["hypervolume"],
    )


def _verdicts(bundle: ReportBundle) -> tuple[Block, ...]:
    """Tell how an ablation's arms compare."""
    result = bundle.ablation
    if result is None:
        return (nothing("Verdicts", "None yet: the ablation could not be read."),)
    told = ("Question", "What failed", "To be careful of")
    return (
        *(passage for passage in lead_of(result) if passage.title not in told),
        *(
            section
            for key in ("effects", "scores", "ranks", "matrix")
            if (section := arm_section(bundle, key)) is not None
        ),
        contrasts_table(result).first(MOST_ROWS),
        *(
            table.first(MOST_ROWS)
            for table in with_rows((other_metrics_table(result), pairs_table(result)))
        ),
    )


def controls_chapter(bundle: ReportBundle) -> Chapter:
    """Tell what the embedding really carries.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    Chapter
        Of the leading trial, beside the others that are told in full.
    """
    lead = lead_of_story(bundle)
    if lead is None or not lead.result.folds:
        blocks: tuple[Block, ...] = (nothing("Controls", NO_FOLD),)
    else:
        result, tables = lead.result, tuple[Table, ...]()
        if result.succeeded:
            words = controls_verdict(result)
            png, absent = png_of(controls_figure(result)), ""
            tables = (fidelity_table(result), controls_table(result), probes_table(result))
        else:
            words = absent = "A fold failed, so no mean over folds is shown."
            png = None
        figure = picture_section("controls-figure", CONTROLS_CAPTION, png, words, absent)
        blocks = (
            said(f"Of {lead.label}", words, until_now(lead)),
            figure,
            *with_rows(tables),
            *with_rows((_beside_table(bundle),)),
        )
    return Chapter(
        "controls",
        "What the embedding really carries",
        "The leading trial beside answers that need no such model: the mean training image, PCA "
        "of the same size, another subject's embedding, no skips; and what an untrained encoder's "
        "embedding predicts as well.",
        "How the model compares with other published ones: there are other cohorts, masks and "
        "intensity scales behind those.",
        blocks,
    )


def pictures_chapter(bundle: ReportBundle) -> Chapter:
    """Show what is reconstructed.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    Chapter
        Pictures.
    """
    lead = lead_of_story(bundle)
    pictures = lead.panels if lead else ()
    side = arm_section(bundle, "side_by_side")
    gallery = Gallery(
        PICTURES_CAPTION,
        pictures,
        f"No fold of a trial that is told in full has kept its slices. {NO_FOLD}",
    )
    return Chapter(
        "reconstructions",
        "Reconstructions",
        "What the model makes of people that it has not seen.",
        "More than a few of them, chosen as it says below.",
        (*((side,) if side else ()), gallery),
    )


def selection_blocks(study: StudyResult | None) -> tuple[Block, ...]:
    """Tell what is left of the best of many trials.

    Parameters
    ----------
    study : StudyResult or None
        Of a search.

    Returns
    -------
    tuple of Block
        Figure and table; nothing where there is no search.
    """
    if study is None:
        return ()
    leading = leading_selection(study)
    chart = leading if isinstance(leading, Absent) else selection_chart(leading)
    table = () if study.selection is None else (selection_table(study.selection).first(MOST_ROWS),)
    return (Section("selection", STUDY_CAPTIONS["selection"], chart), *table)


def until_now(detail: TrialDetail) -> str:
    """Say how far a trial is that is not over.

    Parameters
    ----------
    detail : TrialDetail
        Of the folds that have finished.

    Returns
    -------
    str
        Empty for a trial that is over.
    """
    if detail.is_whole:
        return ""
    planned = detail.result.facts.get("n_folds", "unknown")
    return (
        f"This trial is not whole: {len(detail.result.folds)} of {planned} folds have finished, "
        "and means are over those."
    )


def _beside_table(bundle: ReportBundle) -> Table:
    """Set the trials that are told in full beside each other."""
    rows = []
    for detail in bundle.details:
        summary = detail.result.summary
        cells = [f"{summary[name].mean:.4g}" if name in summary else "-" for name in CONTROL_LABELS]
        rows.append((detail.label, str(len(detail.result.folds)), *cells))
    columns = ("trial", "folds", *CONTROL_LABELS.values())
    note = "Mean held-out MSE over folds; trials with fewer folds are no match for the others."
    return Table("Leading trials and their controls", columns, tuple(rows), note)


def lead_of_story(bundle: ReportBundle) -> TrialDetail | None:
    """Take the trial that the story is told by.

    Parameters
    ----------
    bundle : ReportBundle
        All that is known.

    Returns
    -------
    TrialDetail or None
        The first in full; None before any fold has finished.
    """
    return bundle.details[0] if bundle.details else None
